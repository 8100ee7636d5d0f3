import { toMetres } from '@almanac/units'

import type { RegionId } from './regions.js'

export interface Waypoint {
  name: string
  /** Distance from the start of the trail. */
  kilometre: number
  /** Height above sea level in metres. */
  height: number
}

export interface Trail {
  slug: string
  name: string
  region: RegionId
  summary: string
  /** From start to end, at least two. */
  waypoints: readonly Waypoint[]
}

/** Metres from the first waypoint to the last. */
export function trailLength({ waypoints }: Trail): number {
  return toMetres(waypoints.at(-1)?.kilometre ?? 0, 'kilometre')
}

/** Heights at even distances of `step` metres, on straight lines between the waypoints. */
export function profileOf(trail: Trail, step: number): number[] {
  const heights: number[] = []
  const { waypoints } = trail
  let next = 1
  for (let metre = 0; metre <= trailLength(trail); metre += step) {
    while (next < waypoints.length - 1 && toMetres(waypoints[next]!.kilometre, 'kilometre') < metre) next += 1
    const from = waypoints[next - 1]!
    const to = waypoints[next]!
    const share = (metre / 1000 - from.kilometre) / (to.kilometre - from.kilometre)
    heights.push(from.height + share * (to.height - from.height))
  }
  return heights
}
