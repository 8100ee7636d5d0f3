import type { Metadata } from 'next'
import { notFound } from 'next/navigation'

import { regions, trailsIn } from '@almanac/trails'
import { formatDuration, formatHeight } from '@almanac/units'

import { TrailCard } from '@/components/trail-card'
import { factsOf } from '@/lib/elevation-server'

interface Props {
  params: Promise<{ region: string }>
}

export const dynamicParams = false

export function generateStaticParams() {
  return regions.map(({ id }) => ({ region: id }))
}

export async function generateMetadata({ params }: Props): Promise<Metadata> {
  const { region } = await params
  return { title: regions.find(({ id }) => id === region)?.name }
}

export default async function RegionPage({ params }: Props) {
  const { region: id } = await params
  const region = regions.find((candidate) => candidate.id === id)
  if (!region) notFound()
  const trails = trailsIn(region.id)
  const facts = await Promise.all(trails.map(factsOf))
  const highest = Math.max(...facts.map((fact) => fact.highest))
  const hours = facts.reduce((sum, fact) => sum + fact.hours, 0)
  return (
    <>
      <h1>{region.name}</h1>
      <p>{region.summary}</p>
      <p className="quiet">
        Up to {formatHeight(highest)}; {formatDuration(hours)} for all of its trails.
      </p>
      <div className="cards">
        {trails.map((trail) => (
          <TrailCard key={trail.slug} trail={trail} />
        ))}
      </div>
    </>
  )
}
