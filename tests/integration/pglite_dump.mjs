// What PGlite on Node does with dumps, for test_dump_sql.py.
//
//   node pglite_dump.mjs PACKAGE TOOLS dump DIR ARGUMENT...   pgDump() of @electric-sql/pglite-tools
//   node pglite_dump.mjs PACKAGE TOOLS restore DIR FILE       exec() of a file in a new directory
//
// PACKAGE and TOOLS are the directories of the unpacked npm packages.
import { File } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

// PGlite uses the global, which Node has since version 20.
globalThis.File ??= File

const [npmDir, toolsDir, command, directory, ...args] = process.argv.slice(2)
const load = (...path) => import(pathToFileURL(join(...path)).href)
const { PGlite } = await load(npmDir, 'dist', 'index.js')
const pg = await PGlite.create(directory)
if (command === 'dump') {
  const { pgDump } = await load(toolsDir, 'dist', 'pg_dump.js')
  const dump = await pgDump({ pg, args })
  process.stdout.write(await dump.text())
} else if (command === 'restore') {
  await pg.exec(readFileSync(args[0], 'utf8'))
} else {
  throw new Error(`unknown command ${command}`)
}
await pg.close()
