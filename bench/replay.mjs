// PGlite on Node as bench/throughput.py measures it; the counterpart of replay.cc.
//
//   node replay.mjs FILE PACKAGE_DIRECTORY
//
// The answer's bytes are not parsed while the clock runs, so this is PGlite without its results API.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const MAGIC = 'pglite-replay 1\n'
const [file, packageDirectory] = process.argv.slice(2)
const { PGlite } = await import(pathToFileURL(join(packageDirectory, 'dist', 'index.js')).href)

const bytes = readFileSync(file)
let at = MAGIC.length
if (bytes.toString('latin1', 0, at) !== MAGIC) throw new Error('not a workload file')
const number = () => {
  at += 4
  return bytes.readUInt32BE(at - 4)
}
const take = (size) => {
  at += size
  return bytes.subarray(at - size, at)
}

// CRC-32, which Node's zlib has from version 20.15 only.
const CRC = new Uint32Array(256).map((_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1
  return n
})
function crc32(data, checksum) {
  checksum = ~checksum
  for (let i = 0; i < data.length; i++) checksum = CRC[(checksum ^ data[i]) & 255] ^ (checksum >>> 8)
  return ~checksum >>> 0
}

// As look_at() in replay.cc.
function lookAt(answer, seen) {
  seen.bytes += answer.length
  let last = 0
  let begin = 0 // of a run of messages that go into the checksum
  let position = 0
  const flush = (end) => {
    if (end > begin) seen.checksum = crc32(answer.subarray(begin, end), seen.checksum)
  }
  while (position + 5 <= answer.length) {
    last = answer[position]
    const next = position + 1 + answer.readUInt32BE(position + 1)
    if (next > answer.length) throw new Error('an answer that ends inside a message')
    if (last === 69) seen.error ||= answer.toString('utf8', position + 5, next).replaceAll('\0', ' ')
    if (last === 68 || last === 100) {
      seen.rows++
    } else if (last !== 67) {
      flush(position)
      begin = next
    }
    position = next
  }
  flush(position)
  if (last !== 90) throw new Error('an answer without ReadyForQuery')
}

const db = await PGlite.create('memory://')
const items = []
number() // the longest answer
for (let left = number(); left > 0; left--) {
  const name = take(number()).toString()
  const timed = number() !== 0
  const requests = number()
  const seen = { checksum: 0, rows: 0, bytes: 0, error: '' }
  const samples = new Float64Array(requests)
  let total = 0
  for (let i = 0; i < requests; i++) {
    const frames = []
    for (let count = number(); count > 0; count--) frames.push(take(number()))
    const request = frames.length === 1 ? frames[0] : Buffer.concat(frames)
    const start = process.hrtime.bigint()
    const answer = db.execProtocolRawSync(request)
    samples[i] = Number(process.hrtime.bigint() - start) / 1000
    total += samples[i]
    try {
      lookAt(Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength), seen)
    } catch (error) {
      throw new Error(`${name}, request ${i + 1}: ${error.message}`)
    }
  }
  samples.sort()
  const quantile = (q) => (requests > 0 ? samples[Math.floor(q * (requests - 1))] : 0)
  items.push({
    name,
    timed,
    ms: total / 1000,
    requests,
    p50_us: quantile(0.5),
    p99_us: quantile(0.99),
    rows: seen.rows,
    bytes: seen.bytes,
    checksum: seen.checksum.toString(16).padStart(8, '0'),
    error: seen.error,
  })
}
process.stdout.write(JSON.stringify({ items }) + '\n', () => process.exit(0))
