// What assembly/elevation.ts computes, for the server and for the browser.

interface ElevationExports {
  memory: WebAssembly.Memory
  capacity: WebAssembly.Global
  buffer(): number
  ascent(length: number, threshold: number): number
  descent(length: number, threshold: number): number
  steepest(length: number, step: number, window: number): number
  lowest(length: number): number
  highest(length: number): number
  smooth(length: number, radius: number): void
  resample(length: number, wanted: number): void
  walkingHours(length: number, step: number): number
}

/** Metres, except `steepest` (height over distance) and `hours`. */
export interface ElevationFacts {
  ascent: number
  descent: number
  lowest: number
  highest: number
  steepest: number
  hours: number
}

export interface Elevation {
  /** `heights` in metres, one every `step` metres. */
  facts(heights: readonly number[], step: number): ElevationFacts
  /** The profile without its small bumps, as `count` heights over the same distance. */
  outline(heights: readonly number[], count: number): number[]
}

export const wasmFile = 'elevation.wasm'

const noiseMetres = 2
const slopeWindow = 2

export async function instantiateElevation(bytes: BufferSource): Promise<Elevation> {
  const { instance } = await WebAssembly.instantiate(bytes, {
    env: {
      abort() {
        throw new Error('elevation.wasm was aborted')
      },
    },
  })
  const wasm = instance.exports as unknown as ElevationExports
  const capacity: number = wasm.capacity.value
  const buffer = new Float64Array(wasm.memory.buffer, wasm.buffer(), capacity)

  function load(heights: readonly number[]): number {
    if (heights.length > capacity) throw new RangeError(`a profile has at most ${capacity} heights`)
    buffer.set(heights)
    return heights.length
  }

  return {
    facts(heights, step) {
      const length = load(heights)
      return {
        ascent: wasm.ascent(length, noiseMetres),
        descent: wasm.descent(length, noiseMetres),
        lowest: wasm.lowest(length),
        highest: wasm.highest(length),
        steepest: wasm.steepest(length, step, slopeWindow),
        hours: wasm.walkingHours(length, step),
      }
    },
    outline(heights, count) {
      const length = load(heights)
      wasm.smooth(length, 1)
      wasm.resample(length, count)
      return Array.from(buffer.subarray(0, count))
    },
  }
}
