import path from 'node:path'

import type { NextConfig } from 'next'

const workspace = path.join(import.meta.dirname, '..')

const config: NextConfig = {
  // Named, since another lock file further up would be taken for the root.
  turbopack: { root: workspace },
  outputFileTracingRoot: workspace,
}

export default config
