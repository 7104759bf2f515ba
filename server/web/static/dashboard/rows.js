// A long list of which only the rows in view exist, and of which only their data is asked for.

/** Rows above and below those in view. */
const BEYOND = 8;

/** Rows that one request asks for. */
const BLOCK = 50;

/** Blocks that are kept. */
const KEPT = 40;

/** For so long no row has come into view before data is asked for. */
const PAUSE = 80;

export class Rows {
  #total = 0;
  #first = 0;
  #last = -1;
  #rows = new Map();
  #blocks = new Map();
  #asked = new Map();
  #pause = 0;
  #frame = 0;

  /**
   * `ask(offset, limit, signal, then)` calls back with the records from a place on, `fill(row,
   * record)` shows one; a record that is not there yet is null.
   */
  constructor(holder, { ask, fill }) {
    this.holder = holder;
    this.ask = ask;
    this.fill = fill;
    const look = () => {
      this.#frame ||= requestAnimationFrame(() => {
        this.#frame = 0;
        this.#look();
      });
    };
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    holder.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Shows other rows, of which there are so many and the first ones are here. */
  show(total, records) {
    this.stop();
    this.#blocks.clear();
    this.#blocks.set(0, records);
    this.#total = total;
    for (const row of this.#rows.values()) row.remove();
    this.#rows.clear();
    this.#look();
  }

  /** Asks for nothing any more. */
  stop() {
    clearTimeout(this.#pause);
    for (const asking of this.#asked.values()) asking.abort();
    this.#asked.clear();
  }

  /** Shows what there is, in the words of the moment. */
  speak() {
    for (const [index, row] of this.#rows) this.fill(row, this.#record(index));
  }

  static get block() {
    return BLOCK;
  }

  #record(index) {
    return this.#blocks.get(Math.floor(index / BLOCK))?.[index % BLOCK] ?? null;
  }

  /** Makes the rows in view, and asks for their data once no others come. */
  #look() {
    if (this.holder.offsetParent === null) return;
    const height = this.#height();
    this.holder.style.height = `${this.#total * height}px`;
    const { top } = this.holder.getBoundingClientRect();
    const place = (y) => Math.floor((y - top) / height);
    this.#first = Math.max(0, place(0) - BEYOND);
    this.#last = Math.min(this.#total - 1, place(innerHeight) + BEYOND);
    for (const [index, row] of this.#rows) {
      const isInView = index >= this.#first && index <= this.#last;
      // What has the focus keeps it when it is scrolled away.
      if (isInView || row.contains(document.activeElement)) continue;
      row.remove();
      this.#rows.delete(index);
    }
    for (let index = this.#first; index <= this.#last; index += 1) this.#make(index, height);
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => this.#load(), PAUSE);
  }

  #height() {
    return parseFloat(getComputedStyle(this.holder).getPropertyValue("--row"));
  }

  #make(index, height) {
    if (this.#rows.has(index)) return;
    const row = document.createElement("div");
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", String(index + 2));
    row.style.transform = `translateY(${index * height}px)`;
    this.fill(row, this.#record(index));
    // In the order of the list, which is that of the Tab key.
    const next = [...this.#rows.keys()].filter((other) => other > index);
    this.holder.insertBefore(row, next.length ? this.#rows.get(Math.min(...next)) : null);
    this.#rows.set(index, row);
  }

  #load() {
    const [first, last] = [this.#first, this.#last].map((index) => Math.floor(index / BLOCK));
    for (const [block, asking] of this.#asked) {
      if (block >= first && block <= last) continue;
      asking.abort();
      this.#asked.delete(block);
    }
    for (let block = first; block <= last; block += 1) {
      if (!this.#blocks.has(block) && !this.#asked.has(block)) this.#fetch(block);
    }
  }

  async #fetch(block) {
    const asking = new AbortController();
    this.#asked.set(block, asking);
    await this.ask(block * BLOCK, BLOCK, asking.signal, (records) => {
      this.#blocks.set(block, records);
      const oldest = this.#blocks.keys().next().value;
      if (this.#blocks.size > KEPT) this.#blocks.delete(oldest);
      for (const [index, row] of this.#rows) {
        if (Math.floor(index / BLOCK) === block) this.fill(row, this.#record(index));
      }
    });
    if (this.#asked.get(block) === asking) this.#asked.delete(block);
  }

  /** The arrow keys lead from row to row. */
  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest("[role=row]");
    if (!step || !row) return;
    const found = [...this.#rows].find(([, other]) => other === row);
    const next = found && this.#rows.get(found[0] + step)?.querySelector("a");
    if (!next) return;
    event.preventDefault();
    next.focus({ preventScroll: true });
    next.closest("[role=row]").scrollIntoView({ block: "nearest" });
  }
}
