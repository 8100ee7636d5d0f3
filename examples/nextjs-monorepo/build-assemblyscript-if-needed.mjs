// Compiles assembly/elevation.ts to server/public/elevation.wasm, unless that file is newer.

import { spawnSync } from 'node:child_process'
import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const output = 'server/public/elevation.wasm'
const inputs = [
  'assembly/elevation.ts',
  'asconfig.json',
  'build-assemblyscript-if-needed.mjs',
  'package-lock.json', // the compiler's version
]

process.chdir(dirname(fileURLToPath(import.meta.url)))

/** When the file was written last, in milliseconds; `undefined` when there is none. */
function modifiedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs
}

const builtAt = modifiedAt(output)
const newestInput = Math.max(...inputs.map((path) => modifiedAt(path) ?? 0))

if (builtAt !== undefined && builtAt > newestInput) {
  console.log(`assemblyscript: ${output} is up to date`)
} else {
  mkdirSync(dirname(output), { recursive: true })
  const { status, error } = spawnSync('npx', ['asc', '--target', 'release'], { stdio: 'inherit' })
  if (error) throw error
  if (status === 0) console.log(`assemblyscript: wrote ${output}`)
  process.exitCode = status ?? 1
}
