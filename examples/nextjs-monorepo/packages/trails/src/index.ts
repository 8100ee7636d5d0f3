export { regions, type Region, type RegionId } from './regions.js'
export { trails } from './data.js'
export { type Trail, type Waypoint, trailLength, profileOf } from './trail.js'
export { findTrail, searchTrails, trailsIn, trailsNearLength } from './search.js'
