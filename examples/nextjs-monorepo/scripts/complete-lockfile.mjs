// Adds to package-lock.json the optional platform packages that npm left out.
//
// A package with native parts, such as nx or next, has one optional dependency per platform. When
// the registry lacks some of them (it may keep only the platforms that its users have), npm
// writes a lock file without them, and `npm ci` then refuses that file: "Missing:
// @nx/nx-darwin-arm64@24.0.6 from lock file". An entry with the version and the platform is all
// that `npm ci` asks for. It has no integrity, so npm checks none when it installs the package.
//
//   node scripts/complete-lockfile.mjs            adds what is missing
//   node scripts/complete-lockfile.mjs --check    fails when something is missing, or when an
//                                                 entry names the registry it came from

import { readFileSync, writeFileSync } from 'node:fs'

const lockFile = new URL('../package-lock.json', import.meta.url)

/** `@nx/nx-linux-x64-musl` → `{ os: ['linux'], cpu: ['x64'], libc: ['musl'] }`, in npm's terms. */
function platformOf(name) {
  const match = /-(darwin|freebsd|linux|win32)-(x64|arm64|arm|ia32)(?:-(\w+))?$/.exec(name)
  if (!match) return undefined
  const [, os, cpu, abi] = match
  const libc = { gnu: 'glibc', musl: 'musl' }[abi]
  return { os: [os], cpu: [cpu], ...(libc && { libc: [libc] }) }
}

/** The entries that `npm ci` would miss, by their key in the lock file. */
function missingEntries(packages) {
  const missing = {}
  for (const { optionalDependencies = {}, dev } of Object.values(packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      const key = `node_modules/${name}`
      const platform = platformOf(name)
      const isPinned = /^\d+\.\d+\.\d+$/.test(version)
      if (packages[key] || !platform || !isPinned) continue
      const { os, cpu, libc } = platform
      missing[key] = { version, cpu, ...(dev && { dev }), ...(libc && { libc }), optional: true, os }
    }
  }
  return missing
}

const lock = JSON.parse(readFileSync(lockFile, 'utf8'))
const missing = missingEntries(lock.packages)
const addressed = Object.entries(lock.packages).filter(([, { resolved }]) => resolved?.includes('://'))

if (process.argv.includes('--check')) {
  for (const key of Object.keys(missing)) console.error(`missing from package-lock.json: ${key}`)
  for (const [key] of addressed) console.error(`names its registry in package-lock.json: ${key}`)
  process.exitCode = Object.keys(missing).length + addressed.length > 0 ? 1 : 0
} else {
  const entries = Object.entries({ ...lock.packages, ...missing })
  entries.sort(([a], [b]) => a.localeCompare(b, 'en'))
  lock.packages = Object.fromEntries(entries)
  writeFileSync(lockFile, `${JSON.stringify(lock, null, 2)}\n`)
  console.log(`package-lock.json: ${Object.keys(missing).length} platform packages added`)
}
