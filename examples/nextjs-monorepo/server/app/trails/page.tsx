import type { Metadata } from 'next'

import { TrailSearch } from '@/components/trail-search'

export const metadata: Metadata = { title: 'Trails' }

export default function TrailsPage() {
  return (
    <>
      <h1>Trails</h1>
      <TrailSearch />
    </>
  )
}
