import type { Metadata } from 'next'
import Link from 'next/link'

import { regions, trailsIn } from '@almanac/trails'

export const metadata: Metadata = { title: 'Regions' }

export default function RegionsPage() {
  return (
    <>
      <h1>Regions</h1>
      <div className="cards">
        {regions.map(({ id, name, summary }) => (
          <article key={id} className="card">
            <h3>
              <Link href={`/regions/${id}`}>{name}</Link>
            </h3>
            <p>{summary}</p>
            <p className="quiet">{trailsIn(id).length} trails</p>
          </article>
        ))}
      </div>
    </>
  )
}
