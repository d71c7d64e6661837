// PGlite on Node behind the port's packet4 framing: each input frame (4-byte big-endian length,
// frontend messages) is answered by exactly one output frame. This is the reference side of the
// conformance tests; it also stands in for pglite-port when the integration tests are developed.
//
//   PGLITE_NPM_DIR   directory of the unpacked @electric-sql/pglite package (holds dist/)
//   PGLITE_DATA_DIR  as for pglite-port; default memory://
//   EXTENSIONS       archives of extensions, separated by ':'
//   PRELOAD          names for shared_preload_libraries, separated by ','
//
// Each frame goes to execProtocolRawStream (execProtocolRawSync with a sink of our own), because
// the plain call also parses the answer in JavaScript and may throw on messages it does not know.
import { writeSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'

const npmDir = process.env.PGLITE_NPM_DIR
if (!npmDir) {
  console.error('pglite_node.mjs: PGLITE_NPM_DIR is not set')
  process.exit(64)
}
const { PGlite } = await import(pathToFileURL(join(npmDir, 'dist', 'index.js')).href)

const SSL_REQUEST = 80877103
const GSSENC_REQUEST = 80877104

function writeAll(bytes) {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(1, bytes, done)
    } catch (e) {
      if (e.code !== 'EAGAIN') throw e
    }
  }
}

function writeFrame(chunks) {
  const body = Buffer.concat(chunks)
  const head = Buffer.alloc(4)
  head.writeUInt32BE(body.length)
  writeAll(head)
  writeAll(body)
}

const listed = (name, separator) => (process.env[name] || '').split(separator).filter(Boolean)
const extensions = Object.fromEntries(
  listed('EXTENSIONS', ':').map((archive) => {
    const name = basename(archive, '.tar.gz')
    const sharedPreloadLibraries = listed('PRELOAD', ',').filter((library) => library === name)
    return [name, { name, setup: async () => ({ bundlePath: pathToFileURL(archive), sharedPreloadLibraries }) }]
  }),
)
const db = await PGlite.create(process.env.PGLITE_DATA_DIR || 'memory://', { extensions })

// PGlite swallows what the engine throws, other than PostgreSQL's longjmp to its main loop (an exit
// with status 100), and goes on with a broken engine. Here it is remembered, and answered.
let thrown = null
const module = db.Module
const mainLoopOnce = module._PostgresMainLoopOnce
module._PostgresMainLoopOnce = () => {
  try {
    return mainLoopOnce()
  } catch (e) {
    if (e.status !== 100) thrown ??= e
    throw e
  }
}

async function answer(frame) {
  if (frame.length === 8) {
    const code = frame.readUInt32BE(4)
    if (code === SSL_REQUEST || code === GSSENC_REQUEST) return [Buffer.from('N')]
  }
  const chunks = []
  thrown = null
  if (frame.length > 0) {
    await db.execProtocolRawStream(frame, {
      syncToFs: false,
      onRawData: (bytes) => chunks.push(Buffer.from(bytes)),
    })
  }
  if (thrown !== null) throw thrown
  return chunks
}

async function close() {
  await db.close()
  process.exit(0)
}
process.on('SIGTERM', close)
process.on('SIGINT', close)

let pending = []
let have = 0
function take(n) {
  const all = pending.length === 1 ? pending[0] : Buffer.concat(pending)
  const rest = all.subarray(n)
  pending = rest.length ? [rest] : []
  have -= n
  return all.subarray(0, n)
}

let length = -1
for await (const chunk of process.stdin) {
  pending.push(chunk)
  have += chunk.length
  for (;;) {
    if (length < 0) {
      if (have < 4) break
      length = take(4).readUInt32BE(0)
    }
    if (have < length) break
    const frame = take(length)
    length = -1
    let chunks
    try {
      chunks = await answer(frame)
    } catch (e) {
      chunks = [Buffer.from(`ERROR: ${e.message ?? e.status ?? e}`.split('\n')[0])]
    }
    writeFrame(chunks)
  }
}
await close()
