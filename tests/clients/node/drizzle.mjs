// Drizzle over pg: migrations from files, queries, transactions.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eq, relations, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import { integer, jsonb, numeric, pgTable, serial, text, timestamp } from 'drizzle-orm/pg-core'
import pg from 'pg'
import { assert, check, fails, options } from './checks.mjs'

const author = pgTable('dz_author', {
  id: serial('id').primaryKey(), name: text('name').notNull().unique(), data: jsonb('data'),
  made: timestamp('made', { withTimezone: true }).defaultNow(),
})
const book = pgTable('dz_book', {
  id: serial('id').primaryKey(), authorId: integer('author_id').references(() => author.id),
  title: text('title').notNull(), price: numeric('price'),
})
const authorRelations = relations(author, ({ many }) => ({ books: many(book) }))
const bookRelations = relations(book, ({ one }) => ({
  author: one(author, { fields: [book.authorId], references: [author.id] }),
}))

const pool = new pg.Pool({ ...options, max: 10 })
const db = drizzle(pool, { schema: { author, book, authorRelations, bookRelations } })

await check('migrations', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drizzle-'))
  mkdirSync(join(folder, 'meta'))
  const files = {
    '0000_first': `create table dz_author (id serial primary key, name text not null unique, data jsonb,
      made timestamptz default now());`,
    '0001_second': `create table dz_book (id serial primary key, author_id integer references dz_author (id),
      title text not null, price numeric);
      --> statement-breakpoint
      create index dz_title on dz_book (title);`,
  }
  const entries = Object.keys(files).map((tag, idx) => ({ idx, version: '7', when: 1700000000000 + idx, tag, breakpoints: true }))
  for (const [tag, text] of Object.entries(files)) writeFileSync(join(folder, `${tag}.sql`), text)
  writeFileSync(join(folder, 'meta', '_journal.json'), JSON.stringify({ version: '7', dialect: 'postgresql', entries }))
  await migrate(db, { migrationsFolder: folder })
  await migrate(db, { migrationsFolder: folder })
})

await check('queries', async () => {
  const made = await db.insert(author).values(Array.from({ length: 100 }, (_, n) => ({ name: `a${n}`, data: { n } }))).returning()
  await db.insert(book).values(made.map((a) => ({ authorId: a.id, title: `of ${a.name}`, price: '1.50' })))
  const found = await db.query.author.findFirst({ where: eq(author.name, 'a7'), with: { books: true } })
  assert(found.books[0].title === 'of a7' && found.data.n === 7)
  const prepared = db.select().from(author).where(eq(author.name, sql.placeholder('name'))).prepare('by_name')
  for (let n = 0; n < 100; n++) assert((await prepared.execute({ name: `a${n}` }))[0].data.n === n)
})

await check('errors', () => fails('23505', () => db.insert(author).values({ name: 'a1' })))

await check('transactions', async () => {
  await db.transaction(async (tx) => {
    await tx.insert(author).values({ name: 'outer' })
    await tx.transaction(async (inner) => {
      await inner.insert(author).values({ name: 'inner' })
      throw new Error('back')
    }).catch(() => 0)
  })
  assert((await db.$count(author)) === 101)
})

await check('pool', async () => {
  await Promise.all(Array.from({ length: 500 }, () => db.transaction((tx) =>
    tx.update(book).set({ price: sql`${book.price} + 1` }).where(eq(book.title, 'of a0')))))
  assert(Number((await db.select().from(book).where(eq(book.title, 'of a0')))[0].price) === 501.5)
})

await check('clean_up', async () => {
  await db.execute(sql`drop table dz_book, dz_author; drop schema drizzle cascade`)
  await pool.end()
})
