'use client'

import { useMemo, useState } from 'react'

import { searchTrails } from '@almanac/trails'

import { TrailCard } from './trail-card'

export function TrailSearch() {
  const [query, setQuery] = useState('')
  const found = useMemo(() => searchTrails(query), [query])
  return (
    <>
      <label className="field">
        Search
        <input type="search" value={query} onChange={(event) => setQuery(event.target.value)} placeholder="ridge, mill, hut" />
      </label>
      <p className="quiet" role="status">
        {found.length === 1 ? '1 trail' : `${found.length} trails`}
      </p>
      <div className="cards">
        {found.map((trail) => (
          <TrailCard key={trail.slug} trail={trail} />
        ))}
      </div>
    </>
  )
}
