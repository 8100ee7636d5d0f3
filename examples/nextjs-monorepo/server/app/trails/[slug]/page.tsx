import type { Metadata } from 'next'
import Link from 'next/link'
import { notFound } from 'next/navigation'

import { findTrail, regions, trailLength, trails, trailsNearLength } from '@almanac/trails'
import { formatDistance, formatHeight, toMetres } from '@almanac/units'

import { ElevationChart } from '@/components/elevation-chart'
import { ElevationTable } from '@/components/elevation-table'
import { TrailCard } from '@/components/trail-card'
import { factsOf, outlineOf } from '@/lib/elevation-server'

interface Props {
  params: Promise<{ slug: string }>
}

export const dynamicParams = false

export function generateStaticParams() {
  return trails.map(({ slug }) => ({ slug }))
}

export async function generateMetadata({ params }: Props): Promise<Metadata> {
  const { slug } = await params
  const trail = findTrail(slug)
  return { title: trail?.name, description: trail?.summary }
}

export default async function TrailPage({ params }: Props) {
  const { slug } = await params
  const trail = findTrail(slug)
  if (!trail) notFound()
  const region = regions.find(({ id }) => id === trail.region)
  const [facts, outline] = await Promise.all([factsOf(trail), outlineOf(trail, 180)])
  return (
    <>
      <h1>{trail.name}</h1>
      <p>{trail.summary}</p>
      {region && (
        <p className="quiet">
          In <Link href={`/regions/${region.id}`}>{region.name}</Link>
        </p>
      )}
      <ElevationChart heights={outline} label={`Elevation of ${trail.name}`} />
      <ElevationTable length={trailLength(trail)} facts={facts} />
      <h2>Waypoints</h2>
      <ol>
        {trail.waypoints.map(({ name, kilometre, height }) => (
          <li key={kilometre}>
            {name}: {formatDistance(toMetres(kilometre, 'kilometre'))}, {formatHeight(height)}
          </li>
        ))}
      </ol>
      <h2>Of about the same length</h2>
      <div className="cards">
        {trailsNearLength(trail, 3).map((other) => (
          <TrailCard key={other.slug} trail={other} />
        ))}
      </div>
    </>
  )
}
