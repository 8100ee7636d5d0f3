// The arithmetic of elevation profiles.
//
// A profile is a row of heights in metres, one every `step` metres of trail. The host writes it to
// `buffer()` and calls the functions below with its length; `smooth` and `resample` write their
// result back to the same place.

/** How many heights the buffer holds. */
export const capacity: i32 = 4096

const heights = new StaticArray<f64>(capacity)
const scratch = new StaticArray<f64>(capacity)

/** Address of the buffer in the module's memory. */
export function buffer(): usize {
  return changetype<usize>(heights)
}

/** Metres climbed. A rise or fall of less than `threshold` is noise of the measurement. */
export function ascent(length: i32, threshold: f64): f64 {
  return climbed(length, threshold, 1.0)
}

/** Metres descended, as a positive number. */
export function descent(length: i32, threshold: f64): f64 {
  return climbed(length, threshold, -1.0)
}

function climbed(length: i32, threshold: f64, direction: f64): f64 {
  if (length == 0) return 0.0
  let total: f64 = 0.0
  let reference = heights[0]
  for (let i = 1; i < length; i++) {
    const change = heights[i] - reference
    if (abs(change) < threshold) continue
    if (change * direction > 0.0) total += abs(change)
    reference = heights[i]
  }
  return total
}

/** The steepest slope, up or down, over `window` steps: 0.1 is 10 %. */
export function steepest(length: i32, step: f64, window: i32): f64 {
  let result: f64 = 0.0
  for (let i = window; i < length; i++) {
    const slope = abs(heights[i] - heights[i - window]) / (step * <f64>window)
    result = max(result, slope)
  }
  return result
}

export function lowest(length: i32): f64 {
  let result = f64.POSITIVE_INFINITY
  for (let i = 0; i < length; i++) result = min(result, heights[i])
  return result
}

export function highest(length: i32): f64 {
  let result = f64.NEGATIVE_INFINITY
  for (let i = 0; i < length; i++) result = max(result, heights[i])
  return result
}

/** Replaces each height by the mean of its neighbours up to `radius` steps away. */
export function smooth(length: i32, radius: i32): void {
  for (let i = 0; i < length; i++) {
    const first = max(0, i - radius)
    const last = min(length - 1, i + radius)
    let sum: f64 = 0.0
    for (let j = first; j <= last; j++) sum += heights[j]
    scratch[i] = sum / <f64>(last - first + 1)
  }
  for (let i = 0; i < length; i++) heights[i] = scratch[i]
}

/** Stretches or shrinks the profile to `wanted` heights, linearly between the given ones. */
export function resample(length: i32, wanted: i32): void {
  const scale = wanted > 1 ? <f64>(length - 1) / <f64>(wanted - 1) : 0.0
  for (let i = 0; i < wanted; i++) {
    const position = <f64>i * scale
    const before = min(<i32>position, length - 1)
    const after = min(before + 1, length - 1)
    const share = position - <f64>before
    scratch[i] = heights[before] * (1.0 - share) + heights[after] * share
  }
  for (let i = 0; i < wanted; i++) heights[i] = scratch[i]
}

/**
 * Hours to walk the profile, by Tobler's function: 6 km/h on a gentle descent of 5 %, and less with
 * every percent of slope away from that.
 */
export function walkingHours(length: i32, step: f64): f64 {
  let hours: f64 = 0.0
  for (let i = 1; i < length; i++) {
    const slope = (heights[i] - heights[i - 1]) / step
    const kilometresPerHour = 6.0 * Math.exp(-3.5 * abs(slope + 0.05))
    hours += step / 1000.0 / kilometresPerHour
  }
  return hours
}
