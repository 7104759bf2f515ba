// The list of meters: what each has used in the last month, and what is wrong with it.

import { v1 } from "./api.js";
import { Groups } from "./groups.js";
import { counted, word } from "./locale.js";
import { cell, fillRow } from "./row.js";
import { Rows } from "./rows.js";
import { MOST_BESIDE, SORTS, WARNINGS, of } from "./view.js";

/** For so long after a key the search waits for another. */
const PAUSE = 250;

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
    this.warning = $("fleet-warning");
    this.groups = new Groups(page);
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
      this.#find();
    });
    this.warning.addEventListener("change", () => {
      page.go({ ...this.#typed, warning: this.warning.value || null });
    });
    this.element.addEventListener("click", ({ target }) => {
      const head = target.closest("[role=columnheader] button");
      if (head) page.go({ ...this.#typed, sort: this.#next(head.value) });
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
    const { list, warning } = this.page.view;
    // What is being typed is looked for soon.
    if (!this.#pause && this.search.value.trim() !== list) this.search.value = list;
    const { data, meta: { total } } = await this.page.api.values(this.#asked(0, Rows.block), signal);
    this.#shown = { total, isPart: list !== "" || warning !== null };
    await this.groups.load(signal);
    this.rows.show(total, data);
    this.speak();
  }

  hide() {
    this.#wait();
    this.rows.stop();
  }

  speak() {
    this.search.placeholder = word("meter_search_hint");
    const { sort, warning } = this.page.view;
    this.warning.replaceChildren(...["", ...WARNINGS].map((each) =>
      new Option(word("warnings")[each || "all"], each)));
    this.warning.value = warning ?? "";
    this.#tellOrder(sort);
    if (!this.#shown) return;
    const { total, isPart } = this.#shown;
    $("fleet-count").textContent = counted(isPart ? "meters_found" : "meters_count", total);
    $("fleet-table").setAttribute("aria-rowcount", String(total + 1));
    this.rows.speak();
    this.groups.speak();
    this.#tellChosen();
  }

  /** What is shown of the order, in words. */
  get order() {
    const { sort } = this.page.view;
    if (!sort) return word("unsorted");
    return word("sorted", [...this.#heads(sort)].at(-1).textContent, sort.startsWith("-"));
  }

  /** What has been typed and is not looked for yet, which a new order is not to undo. */
  get #typed() {
    this.#wait();
    return of.list(this.search.value.trim());
  }

  /** The buttons above a column, in both tables. */
  #heads(sort) {
    return this.element.querySelectorAll(`.heads [value=${sort.replace("-", "")}]`);
  }

  /** The order after that of the moment: first one way, then the other, then that of the ids. */
  #next(by) {
    const { sort } = this.page.view;
    const first = SORTS[by];
    const other = first === by ? `-${by}` : by;
    if (sort === other) return null;
    return sort === first ? other : first;
  }

  #tellOrder(sort) {
    for (const head of this.element.querySelectorAll("[aria-sort]")) {
      head.removeAttribute("aria-sort");
    }
    for (const button of sort ? this.#heads(sort) : []) {
      const order = sort.startsWith("-") ? "descending" : "ascending";
      button.parentElement.setAttribute("aria-sort", order);
    }
  }

  /** Looks for nothing until more is typed. */
  #wait() {
    clearTimeout(this.#pause);
    this.#pause = 0;
  }

  #asked(offset, limit) {
    const { list, quality, sort, warning } = this.page.view;
    return v1("meters", {
      offset, limit, recent: "yes", quality,
      ...(list && { search: list }), ...(sort && { sort }), ...(warning && { warning }),
    });
  }

  #find() {
    this.#wait();
    const text = this.search.value.trim();
    if (text !== this.page.view.list) this.page.go(of.list(text));
  }

  #fill(row, meter) {
    if (!meter) {
      row.replaceChildren(cell("…", "name"));
      return;
    }
    const link = this.page.view.but(of.meter(meter.id)).hash;
    fillRow(row, { ...meter, energies: energies(meter) }, link, this.#choice(meter));
    row.classList.toggle("chosen", this.#chosen.has(meter.id));
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
