import type { Metadata } from 'next'

import { ProfileComparison } from '@/components/profile-comparison'

export const metadata: Metadata = { title: 'Compare' }

export default function ComparePage() {
  return (
    <>
      <h1>Compare</h1>
      <ProfileComparison />
    </>
  )
}
