// The frame around a chart: title, controls, legend, table, and the lines behind it.

import { Refused, curl } from "./api.js";
import { speak, word } from "./locale.js";
import { save } from "./save.js";

export class Panel {
  #asked = [];
  #shown = null;

  /** `page` is what all panels share: the API, the view, what is known of the meter. */
  constructor(id, page) {
    this.page = page;
    this.element = document.getElementById(id);
    this.element.append(document.getElementById("frame").content.cloneNode(true));
    this.body = this.part(".body");
    const title = this.part("h3");
    title.id = `${id}-title`;
    this.element.setAttribute("aria-labelledby", title.id);
    this.part("details").addEventListener("toggle", () => this.#tabulate());
    this.part(".curl").addEventListener("click", ({ target }) => this.#copy(target));
    this.part(".csv").addEventListener("click", () => this.#download());
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  get view() {
    return this.page.view;
  }

  /** Asks for what is to be shown and shows it. */
  async load(signal) {
    try {
      // Some find out first what there is to ask for.
      let requests = this.requests(signal);
      if (requests instanceof Promise) requests = await requests;
      const answers = await Promise.all(
        requests.map((request) => this.page.api.values(request, signal)),
      );
      this.#asked = this.told?.() ?? requests;
      this.#shown = answers;
      this.speak();
    } catch (error) {
      // What is shown stays pale as long as it is not what was asked for.
      if (!(error instanceof Refused)) throw error;
      this.note(word("failed", error.message));
    }
    this.element.removeAttribute("aria-busy");
  }

  /** Shows again what there is, in the words of the moment. */
  speak() {
    speak(this.element);
    if (!this.#shown) return;
    this.note("");
    this.show(this.#shown);
    this.#tabulate();
  }

  name(title, sub = "") {
    this.part("h3").textContent = title;
    this.part(".sub").textContent = sub;
  }

  /** What the colours mean: [label, name of a colour, shape]. */
  legend(entries) {
    this.part(".legend").replaceChildren(...entries.map(([label, colour, shape]) => {
      const entry = document.createElement("li");
      entry.textContent = label;
      entry.dataset.ink = colour;
      entry.dataset.shape = shape;
      return entry;
    }));
  }

  note(text) {
    const note = this.part(".note");
    note.textContent = text;
    note.hidden = !text;
  }

  /** What was asked for cannot be had now, though the server is there; what is shown stays pale. */
  lacks(reason, again) {
    this.note(word("lacks", reason));
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = word("retry");
    button.addEventListener("click", again);
    this.part(".note").append(" ", button);
  }

  /** Buttons of which one is chosen, where there is a choice: [value, label]. */
  choice(label, entries, chosen, onChoose) {
    if (entries.length < 2) {
      this.part(".controls").replaceChildren();
      return;
    }
    const group = document.createElement("div");
    group.className = "choice";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", label);
    for (const [value, text] of entries) {
      const button = document.createElement("button");
      button.type = "button";
      button.value = value;
      button.textContent = text;
      button.setAttribute("aria-pressed", String(value === chosen));
      button.addEventListener("click", () => onChoose(value));
      group.append(button);
    }
    const controls = this.part(".controls");
    const held = controls.contains(document.activeElement) ? document.activeElement.value : null;
    controls.replaceChildren(group);
    if (held) group.querySelector(`[value="${held}"]`)?.focus();
  }

  #tabulate() {
    const scroll = this.part(".scroll");
    scroll.setAttribute("aria-label", `${word("table")}: ${this.part("h3").textContent}`);
    if (!this.part("details").open || !this.#shown) {
      scroll.replaceChildren();
      return;
    }
    const { heads, rows } = this.table(this.#shown);
    const table = document.createElement("table");
    const caption = table.createCaption();
    caption.className = "unseen";
    caption.textContent = this.part("h3").textContent;
    const head = table.createTHead().insertRow();
    for (const text of heads) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = text;
      head.append(cell);
    }
    const body = table.createTBody();
    for (const [first, ...others] of rows) {
      const row = body.insertRow();
      const cell = document.createElement("th");
      cell.scope = "row";
      cell.textContent = first;
      row.append(cell);
      for (const text of others) row.insertCell().textContent = text;
    }
    if (!rows.length) scroll.textContent = word("no_rows");
    else scroll.replaceChildren(table);
  }

  /** What is downloaded, given the requests for what is shown. */
  csv([asked]) {
    return this.page.api.csv(asked);
  }

  async #copy(button) {
    const lines = this.#asked.map(curl).join("\n");
    try {
      await navigator.clipboard.writeText(lines);
    } catch {
      // Only pages of this machine or over TLS may write to the clipboard; the reader always may.
      const dialog = document.getElementById("lines");
      dialog.querySelector("textarea").value = lines;
      dialog.showModal();
      dialog.querySelector("textarea").select();
      return;
    }
    button.textContent = word("copied");
    this.page.say(word("copied"));
    setTimeout(() => { button.textContent = word("curl"); }, 2000);
  }

  #download() {
    this.page.attempt(async () => {
      const name = this.page.file(this.element.id);
      save(await this.csv(this.#asked), name);
    });
  }
}
