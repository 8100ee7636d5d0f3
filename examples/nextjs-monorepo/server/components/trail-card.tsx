import Link from 'next/link'

import { type Trail, trailLength } from '@almanac/trails'
import { formatDistance } from '@almanac/units'

export function TrailCard({ trail }: { trail: Trail }) {
  return (
    <article className="card">
      <h3>
        <Link href={`/trails/${trail.slug}`}>{trail.name}</Link>
      </h3>
      <p>{trail.summary}</p>
      <p className="quiet">{formatDistance(trailLength(trail))}</p>
    </article>
  )
}
