import { regions, trailLength, trails } from '@almanac/trails'
import { formatDistance, formatHeight } from '@almanac/units'

import { TrailCard } from '@/components/trail-card'
import { factsOf } from '@/lib/elevation-server'

export default async function HomePage() {
  const withFacts = await Promise.all(trails.map(async (trail) => ({ trail, facts: await factsOf(trail) })))
  const length = trails.reduce((sum, trail) => sum + trailLength(trail), 0)
  const ascent = withFacts.reduce((sum, { facts }) => sum + facts.ascent, 0)
  const hardest = withFacts.toSorted((a, b) => b.facts.hours - a.facts.hours).slice(0, 3)
  return (
    <>
      <h1>Trail Almanac</h1>
      <p>
        {trails.length} trails in {regions.length} regions: {formatDistance(length)} of walking and {formatHeight(ascent)} of
        climbing.
      </p>
      <h2>The three longest days</h2>
      <div className="cards">
        {hardest.map(({ trail }) => (
          <TrailCard key={trail.slug} trail={trail} />
        ))}
      </div>
    </>
  )
}
