// Which days lack readings or hold doubtful ones, and what leaving those out changes.

import { request } from "./api.js";
import { Grid } from "./grid.js";
import { ink, type } from "./ink.js";
import { amount, counted, day, dayAndWeekday, number, percent, spanName, word } from "./locale.js";
import { Panel } from "./panel.js";
import { Span, lastDay } from "./span.js";
import { ticks } from "./ticks.js";

const MOST_DAYS = 1100;
const MOST_NAMED = 12;

/** Days, or for a long span weeks, with the readings that they should have and those they have. */
export function coverage(page, span) {
  const during = { ...page.during(span), values: "number" };
  return isLong(span)
    ? request("getAggregate", { interval: "week", columns: "energy", ...during })
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
    this.body.append(holder, this.lacking);
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
      ...(isLong(span) ? [] : [request("getQuality", { list: "flagged", ...during })]),
    ];
  }

  /** What the strip itself is drawn from. */
  told() {
    const [days, , ...flagged] = this.requests();
    return [days, ...flagged];
  }

  show([{ records }, { left_out: left }, flagged]) {
    this.kinds = flagged ? ["missing", "catch_up", "implausible"] : ["missing", "flagged"];
    this.records = this.#counted(records, flagged?.records ?? []);
    const totals = this.kinds.map((kind) =>
      this.records.reduce((sum, record) => sum + record.counts[kind], 0));
    this.name(word("quality_title"), this.#changes(left));
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
      margins: (width) => ({ top: 6, right: width < 500 ? 36 : 74, bottom: 40, left: 100 }),
      colour: (column, row) => {
        const kind = this.kinds[row];
        return ink(this.records[column].counts[kind] ? kind : "grid");
      },
      edge: (pen, place) => this.#edge(pen, place, texts, totals),
      describe: (column) => this.#describe(this.records[column]),
    }, word("quality_summary", spanName(this.view.span), told));
    this.#name(this.records.filter(({ counts }) => counts.missing > 0));
  }

  table() {
    const heads = ["date", "expected", "present", ...this.kinds, "coverage"]
      .map((name) => word(name));
    const rows = this.records
      .filter(({ counts }) => this.kinds.some((kind) => counts[kind] > 0))
      .map((record) => [
        this.#when(record),
        number(record.expected),
        number(record.present),
        ...this.kinds.map((kind) => number(record.counts[kind])),
        percent(record.coverage ?? 0, 1),
      ]);
    return { heads, rows };
  }

  /** The records with how many of their readings are of each kind. */
  #counted(records, flagged) {
    const doubtful = new Map();
    for (const { date, flags } of flagged) {
      const key = date.slice(0, 10);
      for (const flag of flags.split(" ")) {
        const name = `${key} ${flag}`;
        doubtful.set(name, (doubtful.get(name) ?? 0) + 1);
      }
    }
    return records.map((record) => {
      const count = (kind) => doubtful.get(`${record.date.slice(0, 10)} ${kind}`) ?? 0;
      const missing = Math.max(0, record.expected - record.present);
      return {
        ...record,
        counts: {
          missing,
          flagged: record.flagged,
          catch_up: count("catch_up"),
          implausible: count("implausible"),
        },
      };
    });
  }

  /** The difference between raw and clean, in numbers. */
  #changes(left) {
    const readings = Number(left?.readings ?? 0);
    if (!readings) return word("changes_none");
    return word(
      this.view.quality === "clean" ? "changes_clean" : "changes_raw",
      counted("implausible_readings", readings), amount(Number(left.energy), "kWh"),
    );
  }

  #edge(pen, { x, y }, texts, totals) {
    const rows = this.kinds.length;
    pen.font = type(12);
    pen.textBaseline = "middle";
    this.kinds.forEach((kind, row) => {
      pen.fillStyle = ink("text");
      pen.textAlign = "right";
      pen.fillText(word(kind), 90, y(row) + 10);
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
      [word("present"), `${number(record.present)} / ${number(record.expected)}`],
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
    title.textContent = word(
      records.length ? (long ? "lacking_weeks" : "lacking_days") : "none_lack");
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

  #go(first, last) {
    this.page.go({ span: new Span(first.date.slice(0, 10), lastDay(last.end)) });
  }
}
