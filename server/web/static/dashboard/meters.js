// Which meter is shown: a choice, where there are several.

import { LoggedOut, request, v1 } from "./api.js";
import { counted, word } from "./locale.js";
import { of } from "./view.js";

/** Meters in the list; where there are more, a field searches them. */
const LISTED = 100;

/** For so long after a key the search waits for another. */
const PAUSE = 250;

const form = document.getElementById("meters");
const select = form.querySelector("select");
const search = form.querySelector("input");
const told = form.querySelector("output");
const list = form.querySelector("a");

export class Meters {
  #isKnown = false;
  /** The first meters of the service. */
  #listed = { records: [] };
  /** The first groups. */
  #groups = [];
  /** What the search has found; null where nothing is searched for. */
  #found = null;
  #searching = new AbortController();
  #pause = 0;

  constructor(page) {
    this.page = page;
    select.addEventListener("change", () => {
      const { value, selectedOptions: [{ dataset }] } = select;
      page.go(dataset.group ? of.group(dataset.group) : of.meter(value));
    });
    search.addEventListener("input", () => {
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => this.#search(), PAUSE);
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      clearTimeout(this.#pause);
      await this.#search();
      const { length, 0: only } = this.#found?.records ?? [];
      if (length === 1) page.go(of.meter(only.meter));
      else select.focus();
    });
  }

  /** Whether there are several meters to choose from. */
  get isChoice() {
    return this.#listed.records.length > 1;
  }

  /** The meter to begin with; null where none is preferred. */
  get first() {
    return this.isChoice ? this.#listed.default ?? null : null;
  }

  /** What people call the meter that is shown; empty where there is no choice. */
  get name() {
    return form.hidden ? "" : this.#own.name ?? this.#own.meter;
  }

  /** What people call a meter. */
  nameOf(meter) {
    return this.#known(meter).name ?? meter;
  }

  /** Finds out which meters there are, once. */
  async load(signal) {
    if (this.#isKnown) return;
    this.#listed = await this.page.api.values(request("getMeters", { limit: LISTED }), signal);
    this.#groups = this.isChoice ? await this.#askGroups(signal) : [];
    this.#isKnown = true;
  }

  async #askGroups(signal) {
    try {
      return (await this.page.api.values(v1("groups", { limit: LISTED }), signal)).data;
    } catch (error) {
      if (error instanceof LoggedOut || error.name === "AbortError") throw error;
      return []; // a database that the loader has not prepared for groups yet
    }
  }

  /** Has them found out again by the next load. */
  renew() {
    this.#isKnown = false;
  }

  /** Offers the meters, what the view is of among them. */
  show() {
    const { view, view: { kind, meter } } = this.page;
    const { records } = this.#found ?? this.#listed;
    const isOwn = (each) => each.meter === meter;
    form.hidden = kind === "list" || (!this.isChoice && (!meter || records.some(isOwn)));
    list.hidden = !this.isChoice;
    list.href = view.but(of.list()).hash;
    search.hidden = !this.#listed.next;
    const own = kind === "meter" ? label(this.#own) : this.page.name;
    const options = records.map((each) => new Option(label(each), each.meter));
    const isOffered = kind === "meter" && records.some(isOwn);
    const groups = this.#groups.map(groupOption);
    const { group } = view;
    const shownGroup = groups.find(({ dataset }) => dataset.group === group);
    if (!isOffered && !shownGroup) options.unshift(new Option(own, meter ?? ""));
    if (groups.length) {
      const all = document.createElement("optgroup");
      all.label = word("groups");
      all.append(...groups);
      options.push(all);
    }
    // A list that is open stays so, unless it changes.
    const texts = (list) => JSON.stringify(Array.from(list, (each) =>
      [each.label, each.value, ...Array.from(each.children, ({ label }) => label)]));
    if (texts(options) !== texts(select.children)) select.replaceChildren(...options);
    select.value = shownGroup ? shownGroup.value : meter ?? "";
    this.speak();
  }

  speak() {
    search.placeholder = word("meter_search_hint");
    const count = this.#found?.records.length;
    told.textContent = !this.#found ? ""
      : this.#found.next ? word("meters_more", count) : counted("meters_found", count);
  }

  /** What is known of the meter of the view. */
  get #own() {
    return this.#known(this.page.view.meter);
  }

  #known(meter) {
    const known = [
      ...this.#listed.records, ...(this.#found?.records ?? []), ...this.page.told,
    ];
    return known.find((each) => each?.meter === meter) ?? { meter, name: null };
  }

  #search() {
    this.#searching.abort();
    this.#searching = new AbortController();
    const { signal } = this.#searching;
    const text = search.value.trim();
    const asked = request("getMeters", { limit: LISTED, search: text });
    return this.page.attempt(async () => {
      this.#found = text ? await this.page.api.values(asked, signal) : null;
      this.show();
    }, signal);
  }
}

/** A group to choose. A colon tells it apart from a meter of the same id. */
function groupOption({ id, name }) {
  const option = new Option(name === null ? id : `${name} (${id})`, `:${id}`);
  option.dataset.group = id;
  return option;
}

function label({ meter, name }) {
  return name === null ? meter : `${name} (${meter})`;
}
