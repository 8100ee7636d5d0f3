export type SlopeClass = 'flat' | 'gentle' | 'steep' | 'very steep'

/** `slope` is height over distance: 0.12 for 12 %. */
export function slopeClass(slope: number): SlopeClass {
  const steepness = Math.abs(slope)
  if (steepness < 0.03) return 'flat'
  if (steepness < 0.1) return 'gentle'
  if (steepness < 0.25) return 'steep'
  return 'very steep'
}

/** `12 %, 7°` */
export function formatSlope(slope: number): string {
  const degrees = (Math.atan(slope) * 180) / Math.PI
  return `${Math.round(slope * 100)} %, ${Math.round(degrees)}°`
}
