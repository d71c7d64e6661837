import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import postgres from 'postgres'
import { assert, ca, check, fails, options, sleep } from './checks.mjs'

const connect = (extra = {}) => postgres({ ...options, username: options.user, max: 1, onnotice: () => 0, ...extra })
async function withSql(extra, run) {
  const sql = connect(extra)
  try {
    return await run(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

await check('settings', () => withSql({ connection: { application_name: 'me', work_mem: '5MB' } }, async (sql) => {
  assert((await sql`show work_mem`)[0].work_mem === '5MB')
  assert((await sql`show application_name`)[0].application_name === 'me')
}))

await check('prepared', () => withSql({}, async (sql) => {
  for (let n = 0; n < 200; n++) assert((await sql`select ${n}::int + 1 as n`)[0].n === n + 1)
  const rows = Array.from({ length: 1000 }, (_, n) => ({ n, s: `row ${n}` }))
  await sql`create temp table t (n int, s text)`
  await sql`insert into t ${sql(rows)}`
  assert((await sql`select count(*)::int as n from t`)[0].n === 1000)
}))

await check('binary', () => withSql({}, async (sql) => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  const [row] = await sql`select ${bytes}::bytea as b, ${new Date(0)}::timestamptz as d,
    ${sql.json({ a: [1, null] })}::jsonb as j, ${[1, 2, 3]}::int[] as a, ${'ünd'}::text as t`
  assert(Buffer.compare(row.b, bytes) === 0 && row.d.getTime() === 0 && row.t === 'ünd')
  assert(JSON.stringify(row.j) === '{"a":[1,null]}' && row.a.length === 3)
}))

await check('copy', () => withSql({}, async (sql) => {
  await sql`create temp table t (n int, s text)`
  function* lines() {
    for (let n = 0; n < 100000; n++) yield `${n}\trow ${n}\n`
  }
  await pipeline(Readable.from(lines()), await sql`copy t from stdin`.writable())
  let count = 0
  for await (const chunk of await sql`copy t to stdout`.readable()) for (const b of chunk) if (b === 10) count++
  assert(count === 100000, count)
}))

await check('errors', () => withSql({}, async (sql) => {
  await fails('42601', () => sql`selec`)
  await fails('22012', () => sql`select 1/${0}::int`)
  await fails('42P01', () => sql`table missing`)
  assert((await sql`select 1 as n`)[0].n === 1)
  await fails('28P01', () => withSql({ password: 'wrong' }, (other) => other`select 1`))
}))

await check('transactions', () => withSql({}, async (sql) => {
  await sql`create temp table t (n int)`
  await sql.begin(async (tx) => {
    await tx`insert into t values (1)`
    await tx.savepoint(async (sp) => { await sp`insert into t values (2)`; throw new Error('back') }).catch(() => 0)
  })
  assert((await sql`select sum(n)::int as n from t`)[0].n === 1)
}))

await check('cursors', () => withSql({}, async (sql) => {
  let sum = 0
  await sql`select generate_series(1, 10000) as n`.cursor(100, (rows) => { for (const row of rows) sum += row.n })
  assert(sum === 50005000)
}))

await check('cancel', () => withSql({}, async (sql) => {
  const query = sql`select pg_sleep(30)`.execute()
  await sleep(300)
  query.cancel()
  await fails('57014', () => query)
  assert((await sql`select 1 as n`)[0].n === 1)
}))

await check('notify', () => withSql({}, (a) => withSql({}, async (b) => {
  let resolve
  const got = new Promise((r) => { resolve = r })
  await a.listen('news', resolve)
  await b.notify('news', 'hello')
  assert(await got === 'hello')
})))

await check('pool', () => withSql({ max: 10 }, async (sql) => {
  await sql`create table counter_p (n int)`
  await sql`insert into counter_p values (0)`
  await Promise.all(Array.from({ length: 500 }, () => sql.begin((tx) => tx`update counter_p set n = n + 1`)))
  assert((await sql`select n from counter_p`)[0].n === 500)
  await sql`drop table counter_p`
}))

await check('tls', async () => {
  if (ca === null) return
  await withSql({ host: 'localhost', ssl: { ca } }, async (sql) => assert((await sql`select 1 as n`)[0].n === 1))
})
