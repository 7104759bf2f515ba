// The list of meters: what each has used in the last month, and what is wrong with it.

import { LoggedOut, v1 } from "./api.js";
import { amount, counted, day, number, percent, word } from "./locale.js";
import { Rows } from "./rows.js";
import { plus } from "./span.js";
import { spark } from "./spark.js";
import { MOST_BESIDE, of } from "./view.js";

/** For so long after a key the search waits for another. */
const PAUSE = 250;

/** A meter without a reading for longer than this is stale. */
const STALE_DAYS = 2;
const DAYS = 31;

/** Groups above the list; others are searched for. */
const GROUPS = 30;
const DAY = 86_400_000;

const $ = (id) => document.getElementById(id);

export class Fleet {
  #pause = 0;
  #shown = null;
  /** The meters that are to be shown beside each other. */
  #chosen = new Map();

  constructor(page) {
    this.page = page;
    this.element = $("fleet");
    this.search = $("fleet-search");
    this.rows = new Rows($("fleet-rows"), {
      ask: (offset, limit, signal, then) => page.attempt(async () => {
        then((await page.api.values(this.#asked(offset, limit), signal)).data);
      }, signal),
      fill: (row, meter) => this.#fill(row, meter),
    });
    this.search.addEventListener("input", () => {
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => this.#find(), PAUSE);
    });
    this.element.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(this.#pause);
      this.#find();
    });
    $("beside").addEventListener("click", () => page.go(of.meters([...this.#chosen.keys()])));
    $("unchoose").addEventListener("click", () => {
      this.#chosen.clear();
      this.rows.speak();
      this.#tellChosen();
      this.search.focus();
    });
  }

  /** Shows the list as the view asks for it. */
  async load(signal) {
    const { list } = this.page.view;
    if (document.activeElement !== this.search) this.search.value = list;
    const { data, meta: { total } } = await this.page.api.values(this.#asked(0, Rows.block), signal);
    this.#shown = { total, list };
    await this.#groups(signal);
    this.rows.show(total, data);
    this.speak();
  }

  /** Offers the groups that are searched for. */
  async #groups(signal) {
    const { view, view: { list } } = this.page;
    const asked = v1("groups", { limit: GROUPS, ...(list && { search: list }) });
    let found = { data: [], links: {} };
    try {
      found = await this.page.api.values(asked, signal);
    } catch (error) {
      if (error instanceof LoggedOut || error.name === "AbortError") throw error;
      // The database is not prepared for groups yet.
    }
    $("groups").hidden = !found.data.length;
    $("groups").querySelector("p").hidden = !found.links.next;
    $("groups").querySelector("ul").replaceChildren(...found.data.map(({ id, name }) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = view.but(of.group(id)).hash;
      link.textContent = name ?? id;
      link.title = id;
      item.append(link);
      return item;
    }));
  }

  hide() {
    clearTimeout(this.#pause);
    this.rows.stop();
  }

  forget() {
    this.#chosen.clear();
    this.rows.show(0, []);
  }

  speak() {
    this.search.placeholder = word("meter_search_hint");
    if (!this.#shown) return;
    const { total, list } = this.#shown;
    $("fleet-count").textContent = counted(list ? "meters_found" : "meters_count", total);
    $("fleet-table").setAttribute("aria-rowcount", String(total + 1));
    this.rows.speak();
    this.#tellChosen();
  }

  #asked(offset, limit) {
    const { list, quality } = this.page.view;
    return v1("meters", {
      offset, limit, recent: "yes", quality, ...(list && { search: list }),
    });
  }

  #find() {
    const text = this.search.value.trim();
    if (text !== this.page.view.list) this.page.go(of.list(text));
  }

  #fill(row, meter) {
    if (!meter) {
      row.replaceChildren(cell("…", "name"));
      return;
    }
    const energy = energies(meter);
    const known = energy.filter((value) => value !== null);
    const sum = known.length ? known.reduce((all, value) => all + value, 0) : null;
    const share = meter.recent_expected
      ? Math.floor(meter.recent_present / meter.recent_expected * 1000) / 1000 : null;
    row.replaceChildren(
      cell(this.#choice(meter), "pick"),
      cell(this.#name(meter), "name"),
      cell(energy.length ? spark(energy, DAYS, described(meter, energy)) : "", "month"),
      cell(sum === null ? "–" : amount(sum, "kWh"), "energy"),
      cell(share === null ? "–" : percent(Math.min(1, share), share < 1 ? 1 : 0), "share"),
      cell(meter.last_reading ? day(meter.last_reading) : "–", "newest"),
      cell(marks(meter), "marks"),
    );
    row.classList.toggle("chosen", this.#chosen.has(meter.id));
  }

  #name({ id, name }) {
    const link = document.createElement("a");
    link.href = this.page.view.but(of.meter(id)).hash;
    link.textContent = name ?? id;
    if (name === null) return link;
    const own = document.createElement("span");
    own.textContent = id;
    const both = document.createDocumentFragment();
    both.append(link, " ", own);
    return both;
  }

  #choice({ id, name }) {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = this.#chosen.has(id);
    box.disabled = !box.checked && this.#chosen.size >= MOST_BESIDE;
    box.setAttribute("aria-label", word("choose", name ?? id));
    box.addEventListener("change", () => {
      const wasFull = this.#chosen.size >= MOST_BESIDE;
      if (box.checked) this.#chosen.set(id, name ?? id);
      else this.#chosen.delete(id);
      box.closest("[role=row]").classList.toggle("chosen", box.checked);
      const isFull = this.#chosen.size >= MOST_BESIDE;
      if (isFull !== wasFull) {
        for (const other of this.element.querySelectorAll("[role=row] input")) {
          other.disabled = isFull && !other.checked;
        }
      }
      this.#tellChosen();
    });
    return box;
  }

  #tellChosen() {
    const { size } = this.#chosen;
    $("chosen").hidden = !size;
    $("chosen").querySelector("output").textContent = size
      ? `${counted("chosen", size)}: ${[...this.#chosen.values()].join(", ")}` : "";
    $("beside").disabled = size < 2;
  }
}

/** The energy of a meter's last days, null where it is unknown. */
function energies({ recent_energy: energy }) {
  return (energy ?? "").split(" ").filter(Boolean)
    .map((text) => (text === "-" ? null : Number(text)));
}

function described({ recent_from: from }, energy) {
  const known = energy.filter((value) => value !== null);
  const span = `${day(from)} – ${day(plus(from, energy.length - 1))}`;
  return known.length
    ? word("month_summary", span, amount(Math.min(...known), "kWh"),
      amount(Math.max(...known), "kWh"))
    : word("month_none", span);
}

/** What is wrong with a meter: [name of the mark, what it says]. */
function faults(meter) {
  if (!meter.last_reading) return [["none", word("mark_none")]];
  const found = [];
  const age = Math.floor((Date.now() - Date.parse(meter.last_reading)) / DAY);
  const missing = (meter.recent_expected ?? 0) - meter.recent_present;
  if (age >= STALE_DAYS) found.push(["stale", word("mark_stale", number(age))]);
  if (missing > 0) found.push(["gaps", word("mark_gaps", number(missing))]);
  if (meter.recent_implausible) {
    found.push(["implausible", word("mark_implausible", number(meter.recent_implausible))]);
  }
  return found;
}

function marks(meter) {
  const all = document.createDocumentFragment();
  for (const [kind, text] of faults(meter)) {
    const mark = document.createElement("span");
    mark.className = `mark ${kind}`;
    mark.textContent = text;
    mark.title = word(`mark_${kind}_means`);
    all.append(mark, " ");
  }
  return all;
}

function cell(content, name) {
  const made = document.createElement("div");
  made.setAttribute("role", "cell");
  made.className = name;
  made.append(content);
  // Where the screen is too narrow for a head.
  if (name === "share") made.dataset.head = word("coverage");
  return made;
}
