import type { Metadata } from 'next'

import { UnitConverter } from '@/components/unit-converter'

export const metadata: Metadata = { title: 'Units' }

export default function UnitsPage() {
  return (
    <>
      <h1>Units</h1>
      <UnitConverter />
    </>
  )
}
