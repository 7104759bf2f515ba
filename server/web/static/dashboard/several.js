// Several meters beside each other: their key figures, energy, and average day.

import { v1 } from "./api.js";
import { ink } from "./ink.js";
import { amount, day, dayAndTime, dayAndWeekday, monthAndYear, number, percent, spanName, word, year } from "./locale.js";
import { Panel } from "./panel.js";
import { Plot } from "./plot.js";
import { SUMS, Span, lastDay, possible } from "./span.js";
import { of } from "./view.js";

/** How /v1 calls the intervals. */
export const RESOLUTIONS = { hour: "PT1H", day: "P1D", week: "P1W", month: "P1M", year: "P1Y" };
const MANY = 62;
const DASHES = [[], [7, 4], [2, 3]];
const SHAPES = ["line", "line-1", "line-2"];
export const COLOURS = 8;

/** What is known of the meters together. */
export class Several {
  constructor(page) {
    this.page = page;
  }

  /** The time zone of all of them; null where they differ. */
  get zone() {
    const zones = new Set(this.page.members.map(({ timezone }) => timezone));
    return zones.size === 1 ? [...zones][0] : null;
  }

  /** Returns from when to when they have readings; null where none has any. */
  async learn(signal) {
    const { page, page: { view } } = this;
    const found = await Promise.all(
      view.meters.map((meter) => page.api.values(v1(`meters/${meter}`), signal)));
    page.members = found.map(({ data }) => data);
    page.tell(page.members.map(({ id, name }) => ({ meter: id, name })));
    const known = page.members.filter(({ first_reading: first }) => first);
    if (!known.length) return null;
    const days = (name) => known.map((meter) => meter[name].slice(0, 10)).sort();
    return new Span(days("first_reading")[0], days("last_reading").at(-1));
  }
}

/** The parameters for the days of a view. */
export function during({ span, quality }) {
  return { from: span.from, to: span.end, quality };
}

class Beside extends Panel {
  get names() {
    return this.view.meters.map((meter) => this.page.nameOf(meter));
  }

  /** The lines of a chart: one for each meter. */
  lines() {
    return this.names.map((_, index) => ({
      stroke: ink(`series-${index % COLOURS}`),
      width: 2,
      dash: DASHES[index % DASHES.length],
      points: { show: false },
      spanGaps: false,
    }));
  }

  tellLines() {
    this.legend(this.names.map((name, index) =>
      [name, `series-${index % COLOURS}`, SHAPES[index % SHAPES.length]]));
  }

  /** The values of all meters, one after the other, with their ids in front. */
  async csv(asked) {
    const texts = await Promise.all(
      asked.map(async (request) => (await this.page.api.csv(request)).text()));
    const tables = texts.map((text) => text.trimEnd().split(/\r?\n/));
    const rows = tables.flatMap(([, ...lines], index) =>
      lines.map((line) => `${this.view.meters[index]},${line}`));
    return new Blob([[`meter,${tables[0][0]}`, ...rows, ""].join("\r\n")], { type: "text/csv" });
  }

  lacksOf(records) {
    const none = this.names.filter((_, index) => !records[index].length);
    return none.length ? word("beside_none", none.join(", ")) : "";
  }
}

export class BesideFigures extends Beside {
  constructor(page) {
    super("beside-figures", page);
    this.part("footer details").hidden = true;
  }

  requests() {
    return this.view.meters.map((meter) => v1(`meters/${meter}/summary`, during(this.view)));
  }

  show(answers) {
    this.name(word("beside_figures"), spanName(this.view.span));
    this.note(this.#zones());
    const { heads, rows } = this.table(answers);
    const table = document.createElement("table");
    table.createCaption().textContent = word("beside_figures");
    table.caption.className = "unseen";
    const head = table.createTHead().insertRow();
    for (const text of heads) {
      const made = document.createElement("th");
      made.scope = "col";
      made.textContent = text;
      head.append(made);
    }
    const body = table.createTBody();
    for (const [index, [first, ...others]] of rows.entries()) {
      const row = body.insertRow();
      const named = document.createElement("th");
      named.scope = "row";
      const link = document.createElement("a");
      link.href = this.view.but(of.meter(this.view.meters[index])).hash;
      link.textContent = first;
      named.append(link);
      row.append(named);
      for (const text of others) row.insertCell().textContent = text;
    }
    const scroll = document.createElement("div");
    scroll.className = "wide";
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "group");
    scroll.setAttribute("aria-label", word("beside_figures"));
    scroll.append(table);
    this.body.replaceChildren(scroll);
  }

  table(answers) {
    const heads = [
      ...["meter", "energy"].map((name) => word(name)), word("energy_a_day"),
      ...["peak", "load_factor", "base_load", "coverage"].map((name) => word(name)),
    ];
    const { days } = this.view.span;
    const rows = answers.map(({ data }, index) => {
      if (!data) return [this.names[index], word("no_value"), "", "", "", "", ""];
      const share = data.coverage === null ? null : Math.floor(data.coverage * 1000) / 1000;
      const peak = amount(data.peak_demand, "kW");
      return [
        this.names[index],
        amount(data.energy, "kWh"),
        data.energy === null ? word("no_value") : amount(data.energy / days, "kWh"),
        data.peak_demand === null ? peak : `${peak}, ${dayAndTime(data.peak_demand_date)}`,
        data.load_factor === null ? word("no_value") : number(data.load_factor, 2),
        amount(data.base_load, "kW"),
        share === null ? word("no_value") : percent(share, 1),
      ];
    });
    return { heads, rows };
  }

  /** Says so where the meters' days are not the same. */
  #zones() {
    const zones = new Set(this.page.members.map(({ timezone }) => timezone));
    return zones.size > 1 ? word("zones_differ", [...zones].join(", ")) : "";
  }
}

/** A chart of energy by hour, day, week, month or year. */
export class EnergyOverTime extends Beside {
  constructor(id, page) {
    super(id, page);
    const holder = document.createElement("div");
    this.body.append(holder);
    this.plot = new Plot(holder, { zoomed: (from, to) => this.#zoom(from, to) });
  }

  get sums() {
    const { span, sums } = this.view;
    const names = this.#possible();
    if (names.includes(sums)) return sums;
    return names.find((name) => span.days / SUMS[name] <= MANY) ?? names.at(-1) ?? "year";
  }

  /** The parameters of the sums that are drawn. */
  get asked() {
    return { resolution: RESOLUTIONS[this.sums], fields: "energy", ...during(this.view) };
  }

  get finest() {
    return this.sums === "week" ? "day" : this.sums;
  }

  /** Names the chart, and offers the intervals. */
  head() {
    this.name(word("energy_by", word("units")[this.sums]), spanName(this.view.span));
    this.choice(
      word("interval"),
      this.#possible().map((name) => [name, word("intervals")[name]]),
      this.sums,
      (sums) => this.page.go({ sums }),
    );
  }

  /** The name of an interval by its local start and its end. */
  when({ start, end }) {
    const from = start.slice(0, 10);
    if (this.sums === "hour") return dayAndTime(start);
    if (this.sums === "day") return dayAndWeekday(from);
    if (this.sums === "week") return `${day(from)} – ${day(lastDay(end))}`;
    return this.sums === "month" ? monthAndYear(from) : year(from);
  }

  #possible() {
    return possible(this.view.span, Math.max(MANY, this.body.clientWidth / 4));
  }

  #zoom(from, to) {
    const [first, last] = [this.at(from).start.slice(0, 10), lastDay(this.at(to).end)];
    this.page.go({ span: new Span(first, last).within(this.view.span) });
  }
}

export class BesideEnergy extends EnergyOverTime {
  constructor(page) {
    super("beside-energy", page);
  }

  requests() {
    return this.view.meters.map((meter) => v1(`meters/${meter}/aggregates`, this.asked));
  }

  show(answers) {
    this.records = answers.map(({ data }) => keyed(data));
    this.keys = [...new Set(this.records.flatMap((records) => [...records.keys()]))].sort();
    const columns = this.records.map((records) =>
      this.keys.map((key) => records.get(key)?.energy ?? null));
    this.head();
    this.note(this.lacksOf(answers.map(({ data }) => data)));
    this.tellLines();
    this.plot.draw({
      locals: this.keys.map((key) => key.slice(0, 16)),
      columns,
      series: () => this.lines().map((line) =>
        ({ ...line, points: { show: this.keys.length <= MANY, size: 5 } })),
      finest: this.finest,
      unit: "kWh",
      describe: (index) => this.#describe(index),
      label: word("beside_summary", word("units")[this.sums], spanName(this.view.span),
        this.names.join(", ")),
    });
  }

  table() {
    const rows = this.keys.map((key, index) => [
      this.when(this.at(index)),
      ...this.records.map((records) => amount(records.get(key)?.energy, "kWh")),
    ]);
    return { heads: [word("date"), ...this.names], rows };
  }

  #describe(index) {
    const key = this.keys[index];
    const lines = this.records.map((records, place) => {
      const record = records.get(key);
      const lacks = record && record.present < record.expected
        ? ` (${record.present} / ${record.expected})` : "";
      return [
        this.names[place], amount(record?.energy, "kWh") + lacks, `series-${place % COLOURS}`,
      ];
    });
    return [this.when(this.at(index)), lines];
  }

  /** The start and the end at a place of the chart. */
  at(index) {
    const key = this.keys[index];
    return this.records.find((records) => records.has(key)).get(key);
  }
}

export class BesideProfile extends Beside {
  constructor(page) {
    super("beside-profile", page);
    const holder = document.createElement("div");
    this.body.append(holder);
    this.plot = new Plot(holder);
  }

  requests() {
    const asked = { by: "none", ...during(this.view) };
    return this.view.meters.map((meter) => v1(`meters/${meter}/profile`, asked));
  }

  show(answers) {
    this.times = [...new Set(answers.flatMap(({ data }) => data.map(({ time }) => time)))].sort();
    this.means = answers.map(({ data }) => new Map(data.map(({ time, mean }) => [time, mean])));
    this.name(word("profile"), word("profile_sub"));
    this.note(this.lacksOf(answers.map(({ data }) => data)));
    this.tellLines();
    const columns = this.means.map((means) => this.times.map((time) => means.get(time) ?? null));
    this.plot.draw({
      locals: this.times.map((time) => `2000-01-01T${time}`),
      columns,
      // A meter of longer intervals has values at some of the times only.
      series: () => this.lines().map((line) => ({ ...line, spanGaps: true })),
      tickAt: () => this.times.flatMap((time, index) =>
        (/^(00|06|12|18):00/.test(time) ? [[index, time.slice(0, 5)]] : [])),
      finest: "hour",
      unit: "kW",
      describe: (index) => this.#describe(index),
      label: word("beside_profile", spanName(this.view.span), this.names.join(", ")),
    });
  }

  table() {
    const rows = this.times.map((time) => [
      time.slice(0, 5), ...this.means.map((means) => amount(means.get(time), "kW")),
    ]);
    return { heads: [word("time"), ...this.names], rows };
  }

  #describe(index) {
    const time = this.times[index];
    const lines = this.means.map((means, place) =>
      [this.names[place], amount(means.get(time), "kW"), `series-${place % COLOURS}`]);
    return [time.slice(0, 5), lines];
  }
}

/** Records by their local start; that of the hour that comes again has a mark at its end. */
function keyed(records) {
  const found = new Map();
  for (const record of records) {
    const local = record.start.slice(0, 16);
    found.set(found.has(local) ? `${local}+` : local, record);
  }
  return found;
}
