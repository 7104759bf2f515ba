// Stream all readings line by line; works in Node 18 and in browsers without libraries.
const url = process.env.API_URL ?? 'http://127.0.0.1:5000'
const meter = process.env.API_METER ? `&meter=${process.env.API_METER}` : ''
const login = `${process.env.API_USER ?? 'rick'}:${process.env.API_PASSWORD ?? 'morty'}`

async function answer(path, options) {
  const response = await fetch(url + path, options)
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return response
}

async function* lines(response) {
  let rest = ''
  const decoder = new TextDecoder()
  for await (const bytes of response.body) {
    const found = (rest + decoder.decode(bytes, { stream: true })).split('\n')
    rest = found.pop()
    yield* found
  }
}

const basic = Buffer.from(login).toString('base64')
const token = await answer('/login', { method: 'POST', headers: { Authorization: `Basic ${basic}` } })
const headers = { SESSION: (await token.json()).value_token }

let count = 0
let energy = 0n // in hundred-thousandths of a kWh, so that the sum is exact
let told
for await (const line of lines(await answer(`/apielec/getData?format=ndjson&columns=energy${meter}`, { headers }))) {
  const reading = JSON.parse(line)
  if ('numrecs' in reading) told = reading.numrecs // the last line
  else {
    count += 1
    energy += BigInt((reading.energy ?? '0').replace('.', ''))
  }
}
if (count !== told) throw new Error(`${count} readings came of ${told}`)
console.log(`${count} readings, ${Number(energy) / 1e5} kWh`)
