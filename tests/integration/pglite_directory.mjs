// What PGlite on Node does with data directories, for test_interchange.py and test_old_versions.py.
//
//   node pglite_directory.mjs PACKAGE query DIR SQL          rows of the last statement, as JSON
//   node pglite_directory.mjs PACKAGE dump DIR none|gzip FILE
//   node pglite_directory.mjs PACKAGE load FILE SQL          from an archive into memory
//
// PACKAGE is the directory of the unpacked npm package @electric-sql/pglite.
import { File } from 'node:buffer'
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'

// PGlite uses the global, which Node has since version 20.
globalThis.File ??= File

const [npmDir, command, ...args] = process.argv.slice(2)
const { PGlite } = await import(pathToFileURL(join(npmDir, 'dist', 'index.js')).href)

async function printRows(db, sql) {
  const results = await db.exec(sql, { rowMode: 'array' })
  console.log(JSON.stringify(results.at(-1).rows))
}

let db
if (command === 'query') {
  db = await PGlite.create(args[0])
  await printRows(db, args[1])
} else if (command === 'dump') {
  db = await PGlite.create(args[0])
  const archive = await db.dumpDataDir(args[1])
  writeFileSync(args[2], Buffer.from(await archive.arrayBuffer()))
} else if (command === 'load') {
  // Without a type, as a page would get it from a server that knows none.
  const loadDataDir = new File([readFileSync(args[0])], basename(args[0]))
  db = await PGlite.create({ loadDataDir })
  await printRows(db, args[1])
} else {
  throw new Error(`unknown command ${command}`)
}
await db.close()
