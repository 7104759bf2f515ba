// The API, asked with a token that lives as long as the page.

/** The token is missing or good no longer. */
export class LoggedOut extends Error {}

/** Nobody answers, or the database behind whoever does. */
export class Unreachable extends Error {}

/** The API says no; the text is its own. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const AWAY = new Set([502, 503, 504]);

/** Requests under way: as many as keep a small server busy, so that the first ones end early. */
const AT_ONCE = 3;

export class Api {
  #token = "";
  #asked = new WeakMap();
  #underWay = 0;
  #waiting = [];

  get hasToken() {
    return this.#token !== "";
  }

  forget() {
    this.#token = "";
  }

  /** Ends the token, here at once and on the server as soon as that is reached. */
  logout() {
    const headers = { SESSION: this.#token };
    this.forget();
    fetch("/logout", { method: "POST", headers, credentials: "omit", keepalive: true })
      .then((answer) => answer.text())
      .catch(() => {}); // a token that nobody knows any more runs out by itself
  }

  /** Gets a token; false where user or password are wrong. */
  async login(user, password) {
    const bytes = new TextEncoder().encode(`${user}:${password}`);
    const basic = btoa(String.fromCharCode(...bytes));
    const answer = await ask("/login", {
      method: "POST",
      headers: { Authorization: `Basic ${basic}` },
    });
    if (answer.status === 401) return false;
    this.#token = (await parsed(answer)).value_token;
    return true;
  }

  /**
   * The values of an answer: numrecs, records and what belongs to all of them, or the data, meta
   * and links of /v1. What is asked for twice under one signal is fetched once.
   */
  values(request, signal) {
    if (!this.#asked.has(signal)) this.#asked.set(signal, new Map());
    const known = this.#asked.get(signal);
    const key = path(request);
    if (!known.has(key)) {
      const fetched = this.#fetched(request, signal);
      known.set(key, fetched);
      fetched.catch(() => known.delete(key));
    }
    return known.get(key);
  }

  async #fetched(request, signal) {
    if (this.#underWay >= AT_ONCE) await new Promise((begin) => { this.#waiting.push(begin); });
    this.#underWay += 1;
    try {
      signal.throwIfAborted();
      const answer = await parsed(await this.#get(request, signal));
      return answer.values ?? answer;
    } finally {
      this.#underWay -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** An answer as CSV. */
  async csv(request) {
    const answer = await this.#get(with_(request, { format: "csv" }));
    if (!answer.ok) await parsed(answer);
    return answer.blob();
  }

  async #get(request, signal) {
    const answer = await ask(path(request), { headers: { SESSION: this.#token }, signal });
    if (answer.status === 401) throw new LoggedOut(); // what /v1 says of a token
    return answer;
  }
}

/** A route and its parameters. */
export function request(route, params) {
  return { route, params };
}

/** What follows /v1/ in an address, and its parameters. */
export function v1(path, params = {}) {
  return request(`/v1/${path}`, params);
}

/** The line that asks for the same in a terminal. */
export function curl({ route, params }) {
  const parts = Object.entries(params).map(([name, value]) =>
    `${/ /.test(value) ? "--data-urlencode" : "-d"} '${name}=${value}'`);
  const url = location.origin + address(route);
  return ["curl -sS -G -H \"SESSION: $TOKEN\"", ...parts, `'${url}'`].join(" ");
}

function with_({ route, params }, more) {
  return request(route, { ...params, ...more });
}

function path({ route, params }) {
  return `${address(route)}?${new URLSearchParams(params)}`;
}

function address(route) {
  return route.startsWith("/") ? route : `/apielec/${route}`;
}

async function ask(url, options) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "omit", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (AWAY.has(answer.status)) throw new Unreachable(told(await body(answer)));
  if (answer.status === 405 || answer.status === 406) throw new LoggedOut();
  return answer;
}

async function parsed(answer) {
  const content = await body(answer);
  if (!answer.ok) {
    throw new Refused(told(content) ?? `${answer.status} ${answer.statusText}`, answer.status);
  }
  return content;
}

/** What an answer says, in words. */
function told({ message, detail }) {
  return message ?? detail;
}

/** The JSON of an answer; one that breaks off comes from a server that is gone. */
async function body(answer) {
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
}
