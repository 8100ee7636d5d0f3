import { toMetres } from '@almanac/units'

import { trails } from './data.js'
import type { RegionId } from './regions.js'
import { type Trail, trailLength } from './trail.js'

export function findTrail(slug: string): Trail | undefined {
  return trails.find((trail) => trail.slug === slug)
}

export function trailsIn(region: RegionId): Trail[] {
  return trails.filter((trail) => trail.region === region)
}

/** The trails whose name, summary or waypoints contain every word of `query`. */
export function searchTrails(query: string): Trail[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean)
  return trails.filter(({ name, summary, waypoints }) => {
    const text = [name, summary, ...waypoints.map((waypoint) => waypoint.name)].join(' ').toLowerCase()
    return words.every((word) => text.includes(word))
  })
}

/** The `count` other trails that are nearest in length, nearest first. */
export function trailsNearLength(trail: Trail, count: number): Trail[] {
  const wanted = trailLength(trail)
  const distance = (other: Trail) => Math.abs(trailLength(other) - wanted)
  return trails
    .filter((other) => other !== trail && distance(other) < toMetres(10, 'kilometre'))
    .sort((a, b) => distance(a) - distance(b))
    .slice(0, count)
}
