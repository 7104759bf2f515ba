// Demand over the days shown: power, the maximeter, and the highest peaks.

import uPlot from "/static/uplot/uPlot.esm.js";

import { request } from "./api.js";
import { ink, type } from "./ink.js";
import { amount, dayAndTime, dayAndWeekday, spanName, word } from "./locale.js";
import { Panel } from "./panel.js";
import { Plot } from "./plot.js";
import { intervalNote, powerNote } from "./power.js";
import { Span, fineness, lastDay } from "./span.js";

const PEAKS = 5;
const FEWEST_POINTS = 800;
const MOST_POINTS = 2000;
/** As long as it is not known how far readings are apart, no more than days are told apart. */
const DAY_SECONDS = 86_400;

export class Demand extends Panel {
  constructor(page) {
    super("demand", page);
    const holder = document.createElement("div");
    this.body.append(holder);
    this.plot = new Plot(holder, { zoomed: (from, to) => this.#zoom(from, to) });
  }

  requests() {
    const points = Math.min(MOST_POINTS, Math.max(FEWEST_POINTS, this.body.clientWidth * 1.5));
    this.interval = fineness(this.view.span, points, this.page.longest ?? DAY_SECONDS);
    return [
      request("getAggregate", {
        interval: this.interval,
        columns: "power,maximeter",
        ...this.page.during(this.view.span),
        ...this.page.common,
      }),
      this.peaksAsked(),
    ];
  }

  peaksAsked() {
    const span = this.page.during(this.view.span);
    return request("getPeaks", { number: PEAKS, ...span, ...this.page.common });
  }

  show([{ records }, { records: peaks }]) {
    this.records = records;
    const starts = records.map((record) => Date.parse(record.date));
    this.peaks = new Map();
    for (const [rank, peak] of peaks.entries()) {
      const moment = Date.parse(peak.date);
      const after = starts.findIndex((start) => start > moment);
      const index = (after < 0 ? starts.length : after) - 1;
      if (index >= 0) this.peaks.set(index, [...(this.peaks.get(index) ?? []), { rank, ...peak }]);
    }
    this.note([intervalNote(this.page), powerNote(records)].filter(Boolean).join(" "));
    const isRange = records.some((record) => record.power_max !== record.power_min);
    this.name(word("demand"), word("demand_points")[this.interval]);
    this.legend([
      [word("power"), "power", "line"],
      ...(isRange ? [[word("range"), "range", "bar"]] : []),
      ...(records.some((record) => record.maximeter !== null)
        ? [[word("maximeter"), "maximeter", "line"]] : []),
      [word("peaks"), "peak", "mark"],
    ]);
    const column = (name) => records.map((record) => record[name]);
    const line = (stroke, width = 1.5) =>
      ({ stroke, width, points: { show: false }, spanGaps: false });
    const [highest] = peaks;
    const span = spanName(this.view.span);
    this.plot.draw({
      locals: column("date"),
      columns: [
        column("power_max"), column("power_min"), column("power_mean"), column("maximeter"),
      ],
      series: () => [
        { ...line("transparent", 0), paths: uPlot.paths.linear() },
        { ...line("transparent", 0), paths: uPlot.paths.linear() },
        line(ink("power")),
        line(ink("maximeter"), 1.25),
      ],
      bands: () => (isRange ? [{ series: [1, 2], fill: ink("range") }] : []),
      finest: { "15m": "hour", "30m": "hour", week: "day" }[this.interval] ?? this.interval,
      unit: "kW",
      describe: (index) => this.#describe(index),
      mark: (plot) => this.#mark(plot),
      top: highest ? highest.demand * 1.08 : 0,
      label: highest
        ? word("demand_summary", span, amount(highest.demand, "kW"), dayAndTime(highest.date))
        : word("demand_none", span),
    });
  }

  table([{ records }, { records: peaks }]) {
    const ranked = peaks.map((peak, rank) => [
      `${word("peak")} ${rank + 1}: ${dayAndTime(peak.date)}`, amount(peak.demand, "kW"),
      "", "", "",
    ]);
    const rows = records.map((record) => [
      this.#when(record),
      ...["maximeter", "power_mean", "power_min", "power_max"].map(
        (name) => amount(record[name], "kW")),
    ]);
    const heads = ["date", "maximeter", "power", "power_min", "power_max"].map((name) => word(name));
    return { heads, rows: [...ranked, ...rows] };
  }

  #describe(index) {
    const record = this.records[index];
    const lines = [[word("power"), amount(record.power_mean, "kW"), "power"]];
    if (record.power_max !== record.power_min) {
      const range = `${amount(record.power_min, "kW")} – ${amount(record.power_max, "kW")}`;
      lines.push([word("range"), range, "range"]);
    }
    lines.push([word("maximeter"), amount(record.maximeter, "kW"), "maximeter"]);
    for (const { rank, date } of this.peaks.get(index) ?? []) {
      lines.push([`${word("peak")} ${rank + 1}`, dayAndTime(date), "peak"]);
    }
    return [this.#when(record), lines];
  }

  #when(record) {
    const fine = ["15m", "30m", "hour"].includes(this.interval);
    return fine ? dayAndTime(record.date) : dayAndWeekday(record.date);
  }

  /** A triangle above each peak; the highest says how high it is. */
  #mark(plot) {
    const pen = plot.ctx;
    const size = 5 * devicePixelRatio;
    pen.save();
    for (const [index, peaks] of this.peaks) {
      const x = plot.valToPos(index, "x", true);
      const y = plot.valToPos(peaks[0].demand, "y", true) - 3 * devicePixelRatio;
      pen.fillStyle = ink("peak");
      pen.strokeStyle = ink("panel");
      pen.lineWidth = devicePixelRatio;
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(x - size, y - 1.7 * size);
      pen.lineTo(x + size, y - 1.7 * size);
      pen.closePath();
      pen.fill();
      pen.stroke();
      if (peaks[0].rank !== 0) continue;
      const { left, width } = plot.bbox;
      pen.font = type(12 * devicePixelRatio, 600);
      pen.fillStyle = ink("text");
      pen.textBaseline = "middle";
      const isRight = x > left + width * 0.8;
      pen.textAlign = isRight ? "right" : "left";
      const beside = (isRight ? -1 : 1) * 1.6 * size;
      pen.fillText(amount(peaks[0].demand, "kW"), x + beside, y - 0.9 * size);
    }
    pen.restore();
  }

  #zoom(from, to) {
    const [first, last] = [this.records[from], this.records[to]];
    const span = new Span(first.date.slice(0, 10), lastDay(last.end));
    this.page.go({ span: span.within(this.view.span) });
  }
}
