'use client'

import { useEffect, useState } from 'react'

import { findTrail, profileOf, trailLength, trails } from '@almanac/trails'

import { type Elevation, instantiateElevation, wasmFile } from '@/lib/elevation'

import { ElevationChart } from './elevation-chart'
import { ElevationTable } from './elevation-table'

const step = 50

/** Two trails side by side, computed in the browser. */
export function ProfileComparison() {
  const [elevation, setElevation] = useState<Elevation>()
  const [problem, setProblem] = useState<string>()

  useEffect(() => {
    async function load() {
      const response = await fetch(`/${wasmFile}`)
      if (!response.ok) throw new Error(`${wasmFile}: HTTP ${response.status}`)
      setElevation(await instantiateElevation(await response.arrayBuffer()))
    }
    load().catch((error: unknown) => setProblem(String(error)))
  }, [])

  if (problem) return <p role="alert">{problem}</p>
  if (!elevation) return <p role="status">Loading…</p>
  return (
    <div className="columns">
      <ProfileChoice elevation={elevation} initial="nine-cairns" />
      <ProfileChoice elevation={elevation} initial="hut-to-hut" />
    </div>
  )
}

function ProfileChoice({ elevation, initial }: { elevation: Elevation; initial: string }) {
  const [slug, setSlug] = useState(initial)
  const trail = findTrail(slug)
  if (!trail) return <p role="alert">There is no trail {slug}.</p>
  const heights = profileOf(trail, step)
  return (
    <section>
      <label className="field">
        Trail
        <select value={slug} onChange={(event) => setSlug(event.target.value)}>
          {trails.map(({ slug, name }) => (
            <option key={slug} value={slug}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <ElevationChart heights={elevation.outline(heights, 120)} label={`Elevation of ${trail.name}`} />
      <ElevationTable length={trailLength(trail)} facts={elevation.facts(heights, step)} />
    </section>
  )
}
