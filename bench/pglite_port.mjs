// PGlite on Node as a port of the Erlang VM, with {:packet, 4}: node pglite_port.mjs PACKAGE_DIRECTORY [ARCHIVE...]
// The archives are extensions.
// Each frame on stdin is a request of frontend messages; its answer is a frame on stdout.
import { readSync, writeSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'

const { PGlite } = await import(pathToFileURL(join(process.argv[2], 'dist', 'index.js')).href)
const extensions = Object.fromEntries(
  process.argv.slice(3).map((archive) => {
    const name = basename(archive, '.tar.gz')
    return [name, { name, setup: async () => ({ bundlePath: pathToFileURL(archive) }) }]
  }),
)
const db = await PGlite.create('memory://', { extensions })

function read(size) {
  const bytes = Buffer.alloc(size)
  for (let got = 0; got < size; ) {
    const count = readSync(0, bytes, got, size - got)
    if (count === 0) process.exit(0)
    got += count
  }
  return bytes
}

function write(bytes) {
  for (let sent = 0; sent < bytes.length; ) sent += writeSync(1, bytes, sent)
}

while (true) {
  const request = read(read(4).readUInt32BE(0))
  const answer = db.execProtocolRawSync(request)
  const head = Buffer.alloc(4)
  head.writeUInt32BE(answer.length)
  write(Buffer.concat([head, answer]))
}
