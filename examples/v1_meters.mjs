// List the meters of /v1 and sum up a week of one; works in Node 18 and in browsers.
const url = process.env.API_URL ?? 'http://127.0.0.1:5000'
const meter = process.env.API_METER ?? 'main'
const login = `${process.env.API_USER ?? 'rick'}:${process.env.API_PASSWORD ?? 'morty'}`

const basic = Buffer.from(login).toString('base64')
const answer = await fetch(`${url}/login`, { method: 'POST', headers: { Authorization: `Basic ${basic}` } })
if (!answer.ok) throw new Error(`/login: ${answer.status}`)
const headers = { Authorization: `Bearer ${(await answer.json()).value_token}` }

async function get(path) {
  const response = await fetch(url + path, { headers })
  if (!response.ok) {
    const problem = await response.json() // problem details, RFC 9457
    throw new Error(`${path}: ${problem.detail ?? problem.title}`)
  }
  return response.json()
}

async function* pages(path) {
  for (let next = path; next; ) {
    const { data, links } = await get(next)
    yield* data
    next = links.next
  }
}

let count = 0
for await (const { id } of pages('/v1/meters?limit=500')) {
  count += 1
  if (id === meter) console.log(`${id} is meter ${count}`)
}
console.log(`${count} meters`)

const { data, meta } = await get(`/v1/meters/${meter}/summary?from=2019-09-02&to=2019-09-09`)
console.log(`${data.energy} ${meta.units.energy}, coverage ${data.coverage}`)
