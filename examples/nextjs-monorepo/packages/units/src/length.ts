export type LengthUnit = 'metre' | 'kilometre' | 'foot' | 'mile'

interface LengthUnitFacts {
  symbol: string
  /** Exact, by the international yard of 1959. */
  metres: number
}

export const lengthUnits: Record<LengthUnit, LengthUnitFacts> = {
  metre: { symbol: 'm', metres: 1 },
  kilometre: { symbol: 'km', metres: 1000 },
  foot: { symbol: 'ft', metres: 0.3048 },
  mile: { symbol: 'mi', metres: 1609.344 },
}

export function toMetres(value: number, unit: LengthUnit): number {
  return value * lengthUnits[unit].metres
}

export function fromMetres(metres: number, unit: LengthUnit): number {
  return metres / lengthUnits[unit].metres
}

function format(metres: number, unit: LengthUnit, digits: number): string {
  const value = fromMetres(metres, unit).toLocaleString('en', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  })
  return `${value} ${lengthUnits[unit].symbol}`
}

/** `12.4 km`, or `850 m` below one kilometre. */
export function formatDistance(metres: number): string {
  return metres < 1000 ? format(metres, 'metre', 0) : format(metres, 'kilometre', 1)
}

/** `1,240 m (4,068 ft)` */
export function formatHeight(metres: number): string {
  return `${format(metres, 'metre', 0)} (${format(metres, 'foot', 0)})`
}
