// Energy by day, week, month or year, beside that of the year before.

import uPlot from "/static/uplot/uPlot.esm.js";

import { request } from "./api.js";
import { hatched, ink } from "./ink.js";
import {
  amount, day, dayAndTime, dayAndWeekday, monthAndYear, ofExpected, percent, spanName, word, year,
} from "./locale.js";
import { Panel } from "./panel.js";
import { Plot } from "./plot.js";
import { SUMS, Span, lastDay, plus, plusYears, possible } from "./span.js";

const MANY = 62;
const WEEKS_OF_A_YEAR = 364;
/** Above this share of its readings a sum counts as whole. */
const WHOLE = 0.98;

export class Energy extends Panel {
  constructor(page) {
    super("energy", page);
    const holder = document.createElement("div");
    this.body.append(holder);
    this.plot = new Plot(holder, { zoomed: (from, to) => this.#zoom(from, to) });
  }

  /** The interval of the sums: the reader's own choice where it can be drawn. */
  get sums() {
    const { span, sums } = this.view;
    const names = this.#possible();
    if (names.includes(sums)) return sums;
    return names.find((name) => span.days / SUMS[name] <= MANY) ?? names.at(-1) ?? "year";
  }

  /** The intervals whose bars are neither too many to tell apart nor less than one. */
  #possible() {
    const most = Math.max(MANY, this.body.clientWidth / 4);
    return possible(this.view.span, most, this.page.longest ?? 0);
  }

  requests() {
    const { span } = this.view;
    this.before = this.sums === "week"
      ? new Span(plus(span.from, -WEEKS_OF_A_YEAR), plus(span.to, -WEEKS_OF_A_YEAR))
      : span.yearBefore();
    // Of a bar for a year, the year before stands beside it.
    const isDrawn = this.sums !== "year" && this.before.overlaps(this.page.all);
    const spans = isDrawn ? [span, this.before] : [span];
    return spans.map((one) => this.sumsOf(one, this.view.quality));
  }

  /** The question for the sums of a span, by the interval that is drawn. */
  sumsOf(span, quality) {
    return request("getAggregate", {
      interval: this.sums,
      columns: "energy",
      ...this.page.during(span),
      ...this.page.common,
      quality,
    });
  }

  show([{ records }, before]) {
    this.records = records;
    const known = new Map();
    for (const record of before?.records ?? []) {
      const from = record.date.slice(0, 10);
      const moved = this.sums === "week" ? plus(from, WEEKS_OF_A_YEAR) : plusYears(from, 1);
      known.set(moved + record.date.slice(10, 13), record.energy);
    }
    this.earlier = records.map((record) => known.get(record.date.slice(0, 13)) ?? null);
    this.hasEarlier = this.earlier.some((energy) => energy !== null);
    const lacks = (record) => record.present < record.expected * WHOLE;
    const isThere = records.some((record) => record.present > 0);
    const isKnown = records.some((record) => record.energy !== null);
    this.note(isThere && !isKnown ? word("no_energy") : "");
    const whole = records.map((record) => (lacks(record) ? null : record.energy));
    const partial = records.map((record) => (lacks(record) ? record.energy : null));

    this.name(word("energy_by", word("units")[this.sums]), spanName(this.view.span));
    this.choice(
      word("interval"),
      this.#possible().map((name) => [name, word("intervals")[name]]),
      this.sums,
      (sums) => this.page.go({ sums }),
    );
    this.legend([
      [word("shown"), "energy", "bar"],
      ...(partial.some((energy) => energy !== null)
        ? [[word("incomplete", percent(1 - WHOLE)), "energy", "hatched"]] : []),
      ...(this.hasEarlier ? [[word("year_before"), "earlier", "bar"]] : []),
    ]);

    const wide = uPlot.paths.bars({ size: [0.9, 90], radius: 0.08 });
    const narrow = uPlot.paths.bars({ size: this.hasEarlier ? [0.52, 52] : [0.72, 72], radius: 0.08 });
    const bar = (paths, fill) => ({ paths, fill, width: 0, points: { show: false } });
    const most = records.reduce(
      (found, record) => ((record.energy ?? -1) > (found?.energy ?? -1) ? record : found), null);
    this.plot.draw({
      locals: records.map((record) => record.date),
      columns: [this.earlier, whole, partial],
      series: () => [
        bar(wide, ink("earlier")),
        bar(narrow, ink("energy")),
        bar(narrow, (plot) => hatched(plot.ctx, ink("energy"))),
      ],
      finest: this.sums === "week" ? "day" : this.sums,
      unit: "kWh",
      describe: (index) => this.#describe(index),
      label: word(
        "energy_summary", word("units")[this.sums], spanName(this.view.span),
        amount(most?.energy, "kWh"), most ? this.#when(most) : "",
      ),
    });
  }

  table([{ records }]) {
    const rows = records.map((record, index) => [
      this.#when(record),
      amount(record.energy, "kWh"),
      ...(this.hasEarlier ? [amount(this.earlier[index], "kWh")] : []),
      ofExpected(record),
    ]);
    const earlier = this.hasEarlier ? [word("year_before")] : [];
    const heads = [word("date"), word("energy"), ...earlier, word("present")];
    return { heads, rows };
  }

  #describe(index) {
    const record = this.records[index];
    const lines = [[word("energy"), amount(record.energy, "kWh"), "energy"]];
    if (this.earlier[index] !== null) {
      lines.push([word("year_before"), amount(this.earlier[index], "kWh"), "earlier"]);
    }
    if (record.expected === null || record.present < record.expected) {
      lines.push([word("present"), ofExpected(record)]);
    }
    return [this.#when(record), lines];
  }

  /** The name of a record's interval, which may be longer than the part of it in the span. */
  #when(record) {
    const [from, to] = this.#days(record);
    if (this.sums === "hour") return dayAndTime(record.date);
    if (this.sums === "day") return dayAndWeekday(from);
    if (this.sums === "week") return `${day(from)} – ${day(to)}`;
    return this.sums === "month" ? monthAndYear(from) : year(from);
  }

  #days(record) {
    return [record.date.slice(0, 10), lastDay(record.end)];
  }

  #zoom(from, to) {
    const span = new Span(this.#days(this.records[from])[0], this.#days(this.records[to])[1]);
    this.page.go({ span: span.within(this.view.span) });
  }
}
