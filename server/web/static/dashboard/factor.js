// The power factor by time of day: that of the energy registers, and what the meter itself wrote.

import { request } from "./api.js";
import { ink } from "./ink.js";
import { number, spanName, time, word } from "./locale.js";
import { Panel } from "./panel.js";
import { Plot } from "./plot.js";

const TICK = /^(00|03|06|09|12|15|18|21):00$/;
const LINES = [["power_factor_of_energy", "power"], ["mean", "maximeter"]];
const WORDS = { power_factor_of_energy: "factor_of_energy", mean: "factor_own" };

export class Factor extends Panel {
  constructor(page) {
    super("factor", page);
    const holder = document.createElement("div");
    this.body.append(holder);
    this.plot = new Plot(holder, { height: 210 });
  }

  requests() {
    return [request("getProfile", {
      column: "power_factor",
      by: "none",
      percentiles: 50,
      ...this.page.during(this.view.span),
      ...this.page.common,
    })];
  }

  show([{ records }]) {
    this.records = records;
    this.lines = LINES.filter(([name]) => records.some((record) => record[name] !== null));
    // Most meters of households record neither reactive energy nor a power factor.
    this.element.hidden = !this.lines.length;
    if (this.element.hidden) return;
    this.name(word("factor"), word("factor_sub"));
    this.legend(this.lines.map(([name, colour]) => [word(WORDS[name]), colour, "line"]));
    const column = (name) => records.map((record) => record[name]);
    const [lowest] = [...records]
      .filter((record) => record[this.lines[0][0]] !== null)
      .sort((one, other) => one[this.lines[0][0]] - other[this.lines[0][0]]);
    const clocks = records.map((record) => record.time.slice(0, 5));
    this.plot.draw({
      locals: clocks.map((clock) => `2000-01-01T${clock}`),
      columns: this.lines.map(([name]) => column(name)),
      series: () => this.lines.map(([, colour]) => (
        { stroke: ink(colour), width: 2, points: { show: false }, spanGaps: false }
      )),
      unit: "cos φ",
      top: 1,
      tickAt: () => clocks
        .map((clock, index) => [index, `${time(`2000-01-01T${clock}`)}\n`])
        .filter((_, index) => TICK.test(clocks[index])),
      describe: (index) => [
        time(`2000-01-01T${clocks[index]}`),
        this.lines.map(([name, colour]) => [word(WORDS[name]), shown(records[index][name]), colour]),
      ],
      label: word(
        "factor_summary", spanName(this.view.span), shown(lowest[this.lines[0][0]]),
        time(`2000-01-01T${lowest.time.slice(0, 5)}`),
      ),
    });
  }

  table() {
    const heads = [word("time"), ...this.lines.map(([name]) => word(WORDS[name]))];
    const rows = this.records.map((record) => [
      record.time.slice(0, 5), ...this.lines.map(([name]) => shown(record[name])),
    ]);
    return { heads, rows };
  }
}

function shown(factor) {
  return factor === null ? word("no_value") : number(factor, 3);
}
