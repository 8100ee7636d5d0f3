export { type LengthUnit, lengthUnits, fromMetres, toMetres, formatDistance, formatHeight } from './length.js'
export { formatSlope, slopeClass, type SlopeClass } from './slope.js'
export { formatDuration } from './duration.js'
