import { pipeline } from 'node:stream/promises'
import { Readable, Writable } from 'node:stream'
import pg from 'pg'
import Cursor from 'pg-cursor'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import { assert, ca, check, fails, options, sleep } from './checks.mjs'

async function withClient(extra, run) {
  const client = new pg.Client({ ...options, ...extra })
  await client.connect()
  try {
    return await run(client)
  } finally {
    await client.end()
  }
}
const value = async (client, sql, values) => Object.values((await client.query(sql, values)).rows[0])[0]

await check('settings', () => withClient(
  { application_name: 'me', options: '-c work_mem=5MB', statement_timeout: 12345 },
  async (c) => {
    assert(await value(c, 'show work_mem') === '5MB')
    assert(await value(c, 'show application_name') === 'me')
    assert(await value(c, 'show statement_timeout') === '12345ms')
  }))

await check('prepared', () => withClient({}, async (c) => {
  for (let n = 0; n < 200; n++) {
    const { rows } = await c.query({ name: 'plus', text: 'select $1::int + 1 as n', values: [n] })
    assert(rows[0].n === n + 1)
  }
}))

await check('binary', () => withClient({}, async (c) => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  const { rows } = await c.query({
    text: 'select $1::bytea as b, $2::int8 as i, $3::text as t, $4::timestamptz as d, $5::jsonb as j, $6::int[] as a',
    values: [bytes, '-1099511627776', 'ünd', new Date(0), { a: [1, null] }, [1, 2, null]],
  })
  const row = rows[0]
  assert(row.b.equals(bytes) && row.i === '-1099511627776' && row.t === 'ünd' && row.d.getTime() === 0)
  assert(JSON.stringify(row.j) === '{"a":[1,null]}' && JSON.stringify(row.a) === '[1,2,null]')
  const binary = await c.query({ text: 'select 7::int4 as n, true as t', binary: true })
  assert(binary.rows[0].n === 7 && binary.rows[0].t === true)
}))

await check('copy', () => withClient({}, async (c) => {
  await c.query('create temp table t (n int, s text)')
  function* lines() {
    for (let n = 0; n < 100000; n++) yield `${n}\trow ${n}\n`
  }
  await pipeline(Readable.from(lines()), c.query(copyFrom('copy t from stdin')))
  let count = 0
  await pipeline(c.query(copyTo('copy t to stdout')), new Writable({
    write(chunk, _, done) { for (const byte of chunk) if (byte === 10) count++; done() },
  }))
  assert(count === 100000, count)
  await fails('22P02', () => pipeline(Readable.from(['x\ty\n'.repeat(1000)]), c.query(copyFrom('copy t from stdin'))))
  assert(await value(c, 'select 1') === 1)
}))

await check('errors', () => withClient({}, async (c) => {
  await fails('42601', () => c.query('selec'))
  await fails('22012', () => c.query('select 1/$1::int', [0]))
  await fails('42P01', () => c.query('table missing'))
  assert(await value(c, 'select 1') === 1)
  await fails('28P01', () => withClient({ password: 'wrong' }, () => 0))
  await fails('3D000', () => withClient({ database: 'missing' }, () => 0))
}))

await check('cursors', () => withClient({}, async (c) => {
  const cursor = c.query(new Cursor('select generate_series(1, 10000) as n'))
  let sum = 0
  for (let rows; (rows = await cursor.read(100)).length;) for (const row of rows) sum += row.n
  assert(sum === 50005000)
}))

await check('cancel', () => withClient({}, (c) => withClient({}, async (other) => {
  const pid = await value(c, 'select pg_backend_pid()')
  const query = c.query('select pg_sleep(30)')
  query.catch(() => 0)
  await sleep(200)
  await other.query('select pg_cancel_backend($1)', [pid])
  await fails('57014', () => query)
  assert(await value(c, 'select 1') === 1)
  // A CancelRequest, as pg sends it.
  const active = new pg.Query('select pg_sleep(30)')
  const ended = new Promise((resolve, reject) => { active.on('error', reject); active.on('end', resolve) })
  ended.catch(() => 0)
  c.query(active)
  await sleep(200)
  const canceler = new pg.Client(options)
  canceler.cancel(c, active)
  await fails('57014', () => ended)
  assert(await value(c, 'select 2') === 2)
})))

await check('notify', () => withClient({}, (a) => withClient({}, async (b) => {
  const got = new Promise((resolve) => a.on('notification', resolve))
  await a.query('listen news')
  await b.query("notify news, 'hello'")
  const { channel, payload } = await got
  assert(channel === 'news' && payload === 'hello')
})))

await check('pool', async () => {
  const pool = new pg.Pool({ ...options, max: 10 })
  await pool.query('create table counter_n (n int); insert into counter_n values (0)')
  await Promise.all(Array.from({ length: 10 }, async () => {
    for (let i = 0; i < 50; i++) {
      const c = await pool.connect()
      await c.query('begin')
      await c.query('update counter_n set n = n + $1', [1])
      await c.query('commit')
      c.release()
    }
  }))
  assert(pool.totalCount === 10, `${pool.totalCount} connections`)
  assert(await value(pool, 'select n from counter_n') === 500)
  await pool.query('drop table counter_n')
  await pool.end()
})

await check('tls', async () => {
  if (ca === null) return
  await withClient({ host: 'localhost', ssl: { ca } }, async (c) => assert(await value(c, 'select 1') === 1))
  await withClient({ host: 'localhost', ssl: { ca }, sslnegotiation: 'direct' },
    async (c) => assert(await value(c, 'select 1') === 1))
})
