// PGlite on Node as bench/run.py measures it.
//
//   node pglite_node.mjs PACKAGE_DIRECTORY DATA_DIR
//
// Opens the database, prints the answer of `select 1`, then does what the lines on stdin say and
// prints one line of JSON for each; times in microseconds. At the end of input it closes.
//
//   exec SQL                 runs it
//   round-trip COUNT         a prepared `select $1::int+1` (Bind, Execute, Sync) in this process
//   seed FILE                runs the SQL of a file
//   clone COUNT SQL          COUNT times: clone(), and the clone's answer to SQL
//   open-close COUNT         COUNT times: another memory:// database opened, asked, closed
import { readFileSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [packageDirectory, dataDirectory] = process.argv.slice(2)
const { PGlite } = await import(pathToFileURL(join(packageDirectory, 'dist', 'index.js')).href)

const say = (value) => writeSync(1, JSON.stringify(value) + '\n')
const since = (start) => Number(process.hrtime.bigint() - start) / 1000

const db = await PGlite.create(dataDirectory)
say((await db.query('select 1 as one')).rows[0].one)

function message(type, ...parts) {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
const text = (string) => Buffer.from(string + '\0')
const int16 = (n) => Buffer.from([n >> 8, n & 255])
const int32 = (n) => Buffer.from([n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255])

async function roundTrip(count) {
  const sync = message('S')
  const parse = message('P', text('s'), text('select $1::int+1'), int16(0))
  await db.execProtocolRaw(Buffer.concat([parse, sync]), { syncToFs: false })
  const bind = message('B', text(''), text('s'), int16(0), int16(1), int32(2), Buffer.from('41'), int16(0))
  const request = Buffer.concat([bind, message('E', text(''), int32(0)), sync])
  const samples = []
  for (let i = -count / 10; i < count; i++) {
    const start = process.hrtime.bigint()
    const answer = db.execProtocolRawSync(request)
    const elapsed = since(start)
    if (!Buffer.from(answer).includes('42')) throw new Error('not the right answer')
    if (i >= 0) samples.push(elapsed)
  }
  samples.sort((a, b) => a - b)
  return {
    count,
    median_us: samples[Math.floor(0.5 * (count - 1))],
    p99_us: samples[Math.floor(0.99 * (count - 1))],
  }
}

async function clones(count, sql) {
  const samples_us = []
  for (let i = 0; i < count; i++) {
    const start = process.hrtime.bigint()
    const copy = await db.clone()
    if ((await copy.query(sql)).rows.length < 1) throw new Error('no row')
    samples_us.push(since(start))
    await copy.close()
  }
  return { samples_us }
}

async function openClose(count) {
  const samples_us = []
  const resident_kib = []
  for (let i = 0; i < count; i++) {
    const start = process.hrtime.bigint()
    const other = await PGlite.create('memory://')
    await other.query('select 1')
    await other.close()
    samples_us.push(since(start))
    resident_kib.push(Math.round(process.memoryUsage.rss() / 1024))
  }
  return { samples_us, resident_kib }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.split(' ')
  try {
    if (command === 'exec') {
      await db.exec(words.join(' '))
      say(true)
    } else if (command === 'seed') {
      await db.exec(readFileSync(words.join(' '), 'utf8'))
      say(true)
    } else if (command === 'round-trip') {
      say(await roundTrip(Number(words[0])))
    } else if (command === 'clone') {
      say(await clones(Number(words[0]), words.slice(1).join(' ')))
    } else if (command === 'open-close') {
      say(await openClose(Number(words[0])))
    } else {
      say({ error: `unknown command ${command}` })
    }
  } catch (error) {
    say({ error: String(error?.message ?? error) })
  }
}
await db.close()
process.exit(0)
