// PostgreSQL as a child process of Node.js: requests and answers on its pipes, each behind its length (packet4).
import { spawn } from 'node:child_process'

class Database {
  #port
  #received = Buffer.alloc(0)
  #waiting = [] // who waits for the next answers, in order

  constructor(dataDir = 'memory://') {
    this.#port = spawn(process.env.PGLITE_PORT ?? 'pglite-port', ['-D', dataDir, '--framing', 'packet4'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#port.stdout.on('data', (bytes) => {
      this.#received = Buffer.concat([this.#received, bytes])
      while (this.#received.length >= 4) {
        const end = 4 + this.#received.readUInt32BE(0)
        if (this.#received.length < end) return
        this.#waiting.shift().resolve(this.#received.subarray(4, end))
        this.#received = this.#received.subarray(end)
      }
    })
    this.#port.on('exit', () => this.#waiting.forEach(({ reject }) => reject(new Error('pglite-port has ended'))))
  }

  // The rows of the last result: arrays of texts, null for NULL.
  async query(sql) {
    const text = Buffer.from(sql + '\0')
    const header = Buffer.alloc(9)
    header.writeUInt32BE(text.length + 5, 0)
    header.write('Q', 4)
    header.writeUInt32BE(text.length + 4, 5)
    const answer = await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#port.stdin.write(Buffer.concat([header, text]))
    })
    let rows = []
    for (let at = 0; at < answer.length; ) {
      const type = String.fromCharCode(answer[at])
      const end = at + 1 + answer.readUInt32BE(at + 1)
      const body = answer.subarray(at + 5, end)
      if (type === 'T') rows = []
      if (type === 'D') rows.push(rowOf(body))
      if (type === 'E') throw new Error(/\0M([^\0]*)/.exec(body.toString())[1])
      at = end
    }
    return rows
  }

  close() {
    return new Promise((resolve) => {
      this.#port.on('close', resolve)
      this.#port.stdin.end()
    })
  }
}

function rowOf(body) {
  const values = []
  let at = 2
  for (let left = body.readUInt16BE(0); left > 0; --left) {
    const size = body.readInt32BE(at)
    at += 4
    values.push(size < 0 ? null : body.toString('utf8', at, at + size))
    at += Math.max(size, 0)
  }
  return values
}

const database = new Database()
await database.query('create table fruit (name text, price numeric)')
await database.query("insert into fruit values ('apple', 0.5), ('quince', null)")
console.log(JSON.stringify(await database.query('select * from fruit order by name')))
await database.query('select 1/0').catch((error) => console.log(error.message))
console.log('exit code', await database.close())
