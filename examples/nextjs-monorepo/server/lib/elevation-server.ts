import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { cache } from 'react'

import { profileOf, type Trail } from '@almanac/trails'

import { type Elevation, type ElevationFacts, instantiateElevation, wasmFile } from './elevation'

/** Metres between two heights of a profile. */
export const profileStep = 50

const loadElevation = cache(async (): Promise<Elevation> => {
  return instantiateElevation(await readFile(path.join(process.cwd(), 'public', wasmFile)))
})

export async function factsOf(trail: Trail): Promise<ElevationFacts> {
  const elevation = await loadElevation()
  return elevation.facts(profileOf(trail, profileStep), profileStep)
}

export async function outlineOf(trail: Trail, count: number): Promise<number[]> {
  const elevation = await loadElevation()
  return elevation.outline(profileOf(trail, profileStep), count)
}
