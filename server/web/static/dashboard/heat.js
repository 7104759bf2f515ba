// The load of each hour of each day, as colours.

import { request } from "./api.js";
import { Grid } from "./grid.js";
import { hatched, ink, type } from "./ink.js";
import { amount, dayAndTime, dayAndWeekday, number, spanName, word } from "./locale.js";
import { Panel } from "./panel.js";
import { intervalNote, powerNote } from "./power.js";
import { Span, plus } from "./span.js";
import { ticks } from "./ticks.js";

const MOST_DAYS = 366;
const DAYS_ASKED = 92;
const HOUR_SECONDS = 3600;
const HOURS = [0, 6, 12, 18];

/** Viridis (Smith, van der Walt and Firing, CC0): even in lightness, and for the colour-blind. */
const SCALE = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
];

export class Heat extends Panel {
  constructor(page) {
    super("heat", page);
    const holder = document.createElement("div");
    this.body.append(holder);
    this.grid = new Grid(holder, { zoomed: (from, to) => this.#zoom(from, to) });
  }

  /** The days shown: no more than a year of them. */
  get span() {
    const { span } = this.view;
    return span.days > MOST_DAYS ? new Span(plus(span.to, 1 - MOST_DAYS), span.to) : span;
  }

  requests() {
    return this.#isLong ? [] : this.span.parts(DAYS_ASKED).map((part) => this.#request(part));
  }

  told() {
    return this.#isLong ? [] : [this.#request(this.span)];
  }

  /** Whether readings are longer than an hour, so that none has a load of its own. */
  get #isLong() {
    return this.page.longest > HOUR_SECONDS;
  }

  #request(span) {
    return request("getAggregate", {
      interval: "hour", columns: "power", ...this.page.during(span), ...this.page.common,
    });
  }

  show(answers) {
    const { span } = this;
    this.days = Array.from({ length: span.days }, (_, index) => plus(span.from, index));
    const places = new Map(this.days.map((day, index) => [day, index]));
    this.loads = this.days.map(() => Array(24).fill(undefined));
    let most = null;
    for (const { date, power_mean: power } of answers.flatMap(({ records }) => records)) {
      const hours = this.loads[places.get(date.slice(0, 10))];
      const hour = Number(date.slice(11, 13));
      // The repeated hour is shown by its first pass, unless only the second has readings.
      if (!hours || (hours[hour] ?? null) !== null) continue;
      hours[hour] = power;
      if (power !== null && power > (most?.power ?? -Infinity)) most = { power, date };
    }
    this.most = most?.power ?? 0;
    this.name(word("heat"), word("heat_sub"));
    const notes = [
      intervalNote(this.page),
      this.#isLong && word("heat_long"),
      powerNote(answers.flatMap(({ records }) => records)),
      span !== this.view.span && word("heat_part", spanName(span)),
    ];
    this.note(notes.filter(Boolean).join(" "));
    const lacks = this.loads.some((hours) => hours.includes(null));
    this.legend(lacks ? [[word("heat_none"), "missing", "hatched"]] : []);
    const texts = ticks(this.days.map((day) => `${day}T00:00`), this.body.clientWidth / 56, "day");
    const label = most
      ? word("heat_summary", spanName(span), amount(most.power, "kW"), dayAndTime(most.date))
      : word("demand_none", spanName(span));
    this.grid.draw({
      columns: this.days.length,
      rows: 24,
      rowHeight: 10,
      gap: 1,
      margins: (width) => ({ top: 6, right: width < 500 ? 58 : 66, bottom: 40, left: 48 }),
      colour: (column, row, pen) => this.#colour(column, row, pen),
      edge: (pen, place) => this.#edge(pen, place, texts),
      describe: (column, row) => this.#describe(column, row),
    }, label);
  }

  table() {
    const hours = Array.from({ length: 24 }, (_, hour) => `${String(hour).padStart(2, "0")}`);
    const rows = this.days.map((day, index) => [
      dayAndWeekday(day),
      ...this.loads[index].map((power) => (power == null ? "–" : number(power, 1))),
    ]);
    return { heads: [`${word("date")} / ${word("hour")} (kW)`, ...hours], rows };
  }

  #colour(column, row, pen) {
    const power = this.loads[column][row];
    if (power === undefined) return null;
    if (power === null) return hatched(pen, ink("missing"));
    return shade(Math.max(0, power) / (this.most || 1));
  }

  #edge(pen, { x, y }, texts) {
    pen.font = type(12);
    pen.fillStyle = ink("quiet");
    pen.textAlign = "right";
    pen.textBaseline = "top";
    for (const hour of HOURS) pen.fillText(`${String(hour).padStart(2, "0")}:00`, 40, y(hour) - 1);
    pen.textAlign = "center";
    for (const [index, text] of texts) {
      const middle = (x(index) + x(index + 1)) / 2;
      pen.fillRect(middle, y(24), 1, 4);
      text.split("\n").forEach((line, at) => pen.fillText(line, middle, y(24) + 8 + 15 * at));
    }
    const left = x(this.days.length) + 14;
    const rows = 22;
    for (let row = 0; row < rows * 10; row += 1) {
      pen.fillStyle = shade(1 - row / (rows * 10 - 1));
      pen.fillRect(left, y(2) + row, 12, 1.5);
    }
    pen.fillStyle = ink("quiet");
    pen.textAlign = "left";
    pen.fillText("kW", left, y(0));
    pen.textBaseline = "middle";
    const step = round(this.most / 5);
    for (let power = 0; power <= this.most; power += step) {
      const place = y(2) + rows * 10 * (1 - power / (this.most || 1));
      pen.fillText(number(power, step < 1 ? 2 : 0), left + 18, place);
    }
  }

  #describe(column, row) {
    const power = this.loads[column][row];
    const date = `${this.days[column]}T${String(row).padStart(2, "0")}:00`;
    const shown = power == null ? word("heat_none") : amount(power, "kW");
    return [dayAndTime(date), [[word("power"), shown]]];
  }

  #zoom(from, to) {
    this.page.go({ span: new Span(this.days[from], this.days[to]) });
  }
}

/** The next larger 1, 2 or 5 times a power of ten. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 5, 10].find((digit) => digit * power >= value) * power;
}

function shade(share) {
  const place = Math.min(1, share) * (SCALE.length - 1);
  const below = Math.min(SCALE.length - 2, Math.floor(place));
  const part = place - below;
  const mixed = SCALE[below].map((value, index) =>
    Math.round(value + (SCALE[below + 1][index] - value) * part));
  return `rgb(${mixed.join(" ")})`;
}
