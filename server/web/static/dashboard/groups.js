// The groups above the list of meters; the sums of those in view are asked for.

import { LoggedOut, Refused, v1 } from "./api.js";
import { word } from "./locale.js";
import {
  DAYS, cell, coverageOf, energyOf, fillRow, hasWarning, newestOf, warningsOf,
} from "./row.js";
import { lastDay, plus } from "./span.js";
import { of } from "./view.js";

/** Groups above the list at first, and so many more each time. */
const MOST = 30;

/** What groups are sorted by; null where it is unknown. */
const KEYS = {
  name: ({ id, name }) => plain(name ?? id),
  energy: energyOf,
  coverage: coverageOf,
  newest: newestOf,
  warnings: warningsOf,
};

const element = document.getElementById("groups");
const body = document.getElementById("group-rows");
const more = document.getElementById("groups-more");

export class Groups {
  #rows = new Map();
  #signal = null;
  /** After which group more follow, null if there are none. */
  #cursor = null;
  #inView = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      this.#inView.unobserve(target);
      this.#ask(target);
    }
  });

  constructor(page) {
    this.page = page;
    more.addEventListener("click", () => page.attempt(() => this.#more(), this.#signal));
  }

  /** Shows the first groups that the view searches for. */
  async load(signal) {
    let found = { data: [], links: {} };
    try {
      found = await this.page.api.values(this.#asked(), signal);
    } catch (error) {
      if (error instanceof LoggedOut || error.name === "AbortError") throw error;
      // The database is not prepared for groups yet.
    }
    this.#inView.disconnect();
    this.#rows.clear();
    this.#signal = signal;
    body.replaceChildren();
    this.#append(found);
  }

  /** Shows the next groups. */
  async #more() {
    const signal = this.#signal;
    const found = await this.page.api.values(this.#asked({ cursor: this.#cursor }), signal);
    signal.throwIfAborted();
    const [first] = this.#append(found);
    first?.querySelector("a").focus();
  }

  #asked(from = {}) {
    const { list } = this.page.view;
    return v1("groups", { limit: MOST, ...from, ...(list && { search: list }) });
  }

  /** Adds a page of groups; returns their rows. */
  #append({ data, links }) {
    const rows = data.map((group) => {
      const row = document.createElement("div");
      row.setAttribute("role", "row");
      this.#rows.set(row, group);
      this.#fill(row, group);
      return row;
    });
    this.#cursor = links.next && new URL(links.next, location).searchParams.get("cursor");
    more.hidden = !this.#cursor;
    body.append(...rows);
    this.#arrange();
    for (const row of rows) {
      // Where a group belongs is known with its figures only.
      if (this.#isSifted) this.#ask(row);
      else this.#inView.observe(row);
    }
    return rows;
  }

  /** Whether groups are sorted by their figures, or only some are shown because of them. */
  get #isSifted() {
    const { sort, warning } = this.page.view;
    return Boolean(warning || sort);
  }

  /** Puts the groups that are there in order, and hides those that have no such warning. */
  #arrange() {
    const { sort, warning } = this.page.view;
    for (const [row, group] of this.#rows) {
      row.hidden = Boolean(warning) && !(group.energies && hasWarning(group, warning));
    }
    element.hidden = [...this.#rows.keys()].every((row) => row.hidden);
    if (!sort) return;
    const key = KEYS[sort.replace("-", "")];
    const keyOf = (row) => {
      const group = this.#rows.get(row);
      return group.energies || key === KEYS.name ? key(group) : null;
    };
    const rows = [...this.#rows.keys()].sort((one, other) =>
      compared(keyOf(one), keyOf(other), sort.startsWith("-")));
    if (rows.every((row, index) => row === body.children[index])) return;
    const focused = body.contains(document.activeElement) ? document.activeElement : null;
    body.append(...rows);
    focused?.focus({ preventScroll: true });
  }

  /** Shows what there is, in the words of the moment. */
  speak() {
    for (const [row, group] of this.#rows) this.#fill(row, group);
  }

  #fill(row, group) {
    if (group.energies) {
      fillRow(row, group, this.#link(group));
      return;
    }
    const link = document.createElement("a");
    link.href = this.#link(group);
    link.textContent = group.name ?? group.id;
    row.replaceChildren(cell("", "pick"), cell(link, "name"), cell("…", "month"));
  }

  #link({ id }) {
    return this.page.view.but(of.group(id)).hash;
  }

  /** Asks for the last days of a group, up to its newest reading. */
  #ask(row) {
    const signal = this.#signal;
    const group = this.#rows.get(row);
    row.setAttribute("aria-busy", "true");
    return this.page.attempt(async () => {
      const { api, view: { quality } } = this.page;
      const values = async (path, params) => {
        try {
          return (await api.values(v1(`groups/${group.id}${path}`, params), signal)).data;
        } catch (error) {
          if (error instanceof Refused) return null; // its own view says why
          throw error;
        }
      };
      const { first_reading: first = null, end } = await values("") ?? {};
      const to = first && lastDay(end);
      // Before its first reading, a group expects some as well.
      const from = first && [first.slice(0, 10), plus(to, 1 - DAYS)].sort().at(-1);
      const last = first && await values("/aggregates", {
        resolution: "P1D", fields: "energy", from, to: end, quality,
      });
      const days = last || [];
      // How many are expected is unknown where the interval of a member is.
      const sum = (name) => days.reduce(
        (all, { [name]: value }) => (all === null || value === null ? null : all + value), 0);
      this.#rows.set(row, {
        ...group,
        last_reading: first && end,
        newest_day: to,
        recent_from: days[0]?.start.slice(0, 10) ?? null,
        energies: days.map(({ energy }) => energy),
        recent_expected: sum("expected"),
        recent_present: sum("present"),
        recent_implausible: 0,
      });
      this.#fill(row, this.#rows.get(row));
      row.removeAttribute("aria-busy");
      if (this.#isSifted) this.#arrange();
    }, signal);
  }
}

/** A name without its accents, in lower case. */
function plain(name) {
  return name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/** Which of two keys comes first; what is unknown comes last. */
function compared(one, other, isDescending) {
  if (one === null || other === null) return (one === null) - (other === null);
  const order = (one > other) - (one < other);
  return isDescending ? -order : order;
}
