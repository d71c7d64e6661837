// What all of these programs do: named checks, each of which passes or says why not.
import { readFileSync } from 'node:fs'

const env = process.env
export const options = {
  host: env.PGHOST, port: Number(env.PGPORT), user: env.PGUSER, password: env.PGPASSWORD, database: env.PGDATABASE,
}
// None: the server has no TLS.
export const ca = env.TLS_CA ? readFileSync(env.TLS_CA) : null

export function assert(condition, what = 'not as expected') {
  if (!condition) throw new Error(what)
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export async function check(name, run) {
  try {
    let timer
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('no answer in 60 s')), 60000) })
    await Promise.race([run(), late])
    clearTimeout(timer)
    console.log(`pass ${name}`)
  } catch (failure) {
    console.error(failure)
    console.log(`fail ${name} ${String(failure).replace(/\s+/g, ' ').slice(0, 300)}`)
  }
}

// The failure that `run` has to have, with its SQLSTATE.
export async function fails(code, run) {
  try {
    await run()
  } catch (failure) {
    const found = failure.code ?? failure.cause?.code
    assert(found === code, `${found}, not ${code}: ${failure}`)
    return
  }
  throw new Error(`no error, not ${code}`)
}
