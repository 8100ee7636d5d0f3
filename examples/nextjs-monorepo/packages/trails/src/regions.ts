export type RegionId = 'coast' | 'moor' | 'forest' | 'range'

export interface Region {
  id: RegionId
  name: string
  summary: string
}

export const regions: readonly Region[] = [
  { id: 'coast', name: 'Saltmarsh Coast', summary: 'Low cliffs, dunes and tidal creeks. Never high, seldom flat.' },
  { id: 'moor', name: 'Hollow Moor', summary: 'Open ground between old peat cuttings, with long views and no shade.' },
  { id: 'forest', name: 'Alder Forest', summary: 'Deep valleys under trees. The climbs are short and there are many.' },
  { id: 'range', name: 'Slate Range', summary: 'Bare ridges above the last huts, free of snow for three months a year.' },
]
