// Which days lack readings or hold doubtful ones, and what leaving those out changes.

import { request } from "./api.js";
import { Grid } from "./grid.js";
import { ink, type } from "./ink.js";
import {
  amount, counted, day, dayAndTime, dayAndWeekday, number, ofExpected, percent, spanName, word,
} from "./locale.js";
import { Panel } from "./panel.js";
import { intervalNote } from "./power.js";
import { Span, lastDay } from "./span.js";
import { ticks } from "./ticks.js";

const MOST_DAYS = 1100;
const MOST_NAMED = 12;
const MOST_LISTED = 100;

/** The flags in their order; what is missing is counted with the readings that do not exist. */
const KINDS = [
  "missing", "catch_up", "implausible", "zero_voltage", "repeated_hour", "estimated",
];
/** Told only where there are any: most reports do not say it. */
const RARE = "estimated";

/** Days, or for a long span weeks, with the readings that they should have and those they have. */
export function coverage(page, span) {
  const during = { ...page.during(span), values: "number" };
  return isLong(span)
    ? request("getAggregate", { interval: "week", columns: "energy,flags", ...during })
    : request("getQuality", { list: "days", ...during });
}

/** The sum of a column over records, those without it left out. */
export function summed(records, column) {
  return records.reduce((sum, record) => sum + (record[column] ?? 0), 0);
}

/** Whether a span is told by weeks. */
export function isLong(span) {
  return span.days > MOST_DAYS;
}

export class Quality extends Panel {
  constructor(page) {
    super("quality", page);
    const holder = document.createElement("div");
    this.lacking = document.createElement("div");
    this.lacking.className = "days";
    this.excluded = document.createElement("div");
    this.excluded.className = "days";
    this.body.append(holder, this.lacking, this.excluded);
    this.grid = new Grid(holder, {
      zoomed: (from, to) => this.#go(this.records[from], this.records[to]),
    });
  }

  requests() {
    const { span } = this.view;
    const during = this.page.during(span);
    return [
      coverage(this.page, span),
      this.page.sums("clean"),
      request("getQuality", {
        list: "flagged", flag: "implausible", ...during, values: "number",
      }),
    ];
  }

  /** What the strip itself is drawn from, and the readings below it. */
  told() {
    const [days, , implausible] = this.requests();
    return [days, implausible];
  }

  show([{ records }, { implausible }, { records: excluded }]) {
    this.note(intervalNote(this.page));
    this.records = this.#counted(records);
    this.kinds = KINDS.filter((kind) =>
      kind !== RARE || this.records.some(({ counts }) => counts[kind] > 0));
    const totals = this.kinds.map((kind) =>
      this.records.reduce((sum, record) => sum + record.counts[kind], 0));
    this.name(word("quality_title"), this.#changes(implausible));
    this.legend(this.kinds.map((kind) =>
      [`${word(kind)}: ${word(`${kind}_means`)}`, kind, "bar"]));
    const locals = records.map(({ date }) => date);
    const texts = ticks(locals, this.body.clientWidth / 56, "day");
    const told = this.kinds.map((kind, row) => `${word(kind)}: ${number(totals[row])}.`).join(" ");
    this.grid.draw({
      columns: records.length,
      rows: this.kinds.length,
      rowHeight: 22,
      gap: 2,
      margins: (width) => ({ top: 6, right: width < 500 ? 36 : 74, bottom: 40, left: 112 }),
      colour: (column, row) => {
        const kind = this.kinds[row];
        return ink(this.records[column].counts[kind] ? kind : "grid");
      },
      edge: (pen, place) => this.#edge(pen, place, texts, totals),
      describe: (column) => this.#describe(this.records[column]),
    }, word("quality_summary", spanName(this.view.span), told));
    this.#name(this.records.filter(({ counts }) => counts.missing > 0));
    this.#list(excluded);
  }

  table() {
    const heads = ["date", "expected", "present", ...this.kinds, "coverage"]
      .map((name) => word(name));
    const rows = this.records
      .filter(({ counts }) => this.kinds.some((kind) => counts[kind] > 0))
      .map((record) => [
        this.#when(record),
        record.expected === null ? "–" : number(record.expected),
        number(record.present),
        ...this.kinds.map((kind) => number(record.counts[kind])),
        record.coverage === null ? "–" : percent(record.coverage, 1),
      ]);
    return { heads, rows };
  }

  /** The records with how many of their readings are of each kind. */
  #counted(records) {
    return records.map((record) => ({
      ...record,
      counts: {
        ...Object.fromEntries(KINDS.map((kind) => [kind, record[`flag_${kind}`]])),
        missing: record.expected === null
          ? record.flag_missing : Math.max(0, record.expected - record.present),
      },
    }));
  }

  /** The difference between raw and clean, in numbers. */
  #changes(implausible) {
    const readings = Number(implausible?.readings ?? 0);
    if (!readings) return word("changes_none");
    return word(
      this.view.quality === "clean" ? "changes_clean" : "changes_raw",
      counted("implausible_readings", readings), amount(Number(implausible.energy), "kWh"),
    );
  }

  #edge(pen, { x, y }, texts, totals) {
    const rows = this.kinds.length;
    pen.font = type(12);
    pen.textBaseline = "middle";
    this.kinds.forEach((kind, row) => {
      pen.fillStyle = ink("text");
      pen.textAlign = "right";
      pen.fillText(word(kind), 102, y(row) + 10);
      pen.fillStyle = ink("quiet");
      pen.textAlign = "left";
      pen.fillText(number(totals[row]), x(this.records.length) + 8, y(row) + 10);
    });
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const [index, text] of texts) {
      const middle = (x(index) + x(index + 1)) / 2;
      pen.fillRect(middle, y(rows), 1, 4);
      text.split("\n").forEach((line, at) => pen.fillText(line, middle, y(rows) + 8 + 15 * at));
    }
  }

  #describe(record) {
    return [this.#when(record), [
      [word("present"), ofExpected(record)],
      ...this.kinds.map((kind) => [word(kind), number(record.counts[kind]), kind]),
    ]];
  }

  #when(record) {
    const [from, to] = [record.date.slice(0, 10), lastDay(record.end)];
    return from === to ? dayAndWeekday(from) : `${day(from)} – ${day(to)}`;
  }

  /** Those that lack readings, each a way to it. */
  #name(records) {
    const long = isLong(this.view.span);
    const title = document.createElement("h4");
    const isKnown = this.page.longest !== null;
    title.textContent = records.length ? word(long ? "lacking_weeks" : "lacking_days")
      : isKnown ? word("none_lack") : "";
    const list = document.createElement("ul");
    for (const record of records.slice(0, MOST_NAMED)) {
      const entry = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.title = word("zoom_to", this.#when(record));
      const from = day(record.date);
      button.textContent = `${from}: ${counted("missing_count", record.counts.missing)}`;
      button.addEventListener("click", () => this.#go(record, record));
      entry.append(button);
      list.append(entry);
    }
    if (records.length > MOST_NAMED) {
      const entry = document.createElement("li");
      entry.textContent = counted("and_more", records.length - MOST_NAMED);
      list.append(entry);
    }
    this.lacking.replaceChildren(title, list);
  }

  /** The readings that clean leaves out: when, what they say, and the rule they break. */
  #list(readings) {
    if (!readings.length) {
      this.excluded.replaceChildren();
      return;
    }
    const title = document.createElement("h4");
    title.textContent = word("excluded_readings");
    const scroll = document.createElement("div");
    scroll.className = "list";
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", word("excluded_readings"));
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const name of ["date", "energy", "maximeter", "rule"]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = word(name);
      head.append(cell);
    }
    const body = table.createTBody();
    for (const { date, energy, maximeter, rule } of readings.slice(0, MOST_LISTED)) {
      const row = body.insertRow();
      const cell = document.createElement("th");
      cell.scope = "row";
      cell.textContent = dayAndTime(date);
      row.append(cell);
      row.insertCell().textContent = amount(energy, "kWh");
      row.insertCell().textContent = amount(maximeter, "kW");
      const condition = row.insertCell();
      condition.lang = "en";
      condition.textContent = rule;
    }
    scroll.append(table);
    const more = document.createElement("p");
    const rest = readings.length - MOST_LISTED;
    more.textContent = rest > 0 ? counted("and_more_readings", rest) : "";
    this.excluded.replaceChildren(title, scroll, more);
  }

  #go(first, last) {
    this.page.go({ span: new Span(first.date.slice(0, 10), lastDay(last.end)) });
  }
}
