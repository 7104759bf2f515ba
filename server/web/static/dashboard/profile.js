// The average day: by kind of day in each season, or by weekday.

import { request } from "./api.js";
import { ink } from "./ink.js";
import { amount, monthName, spanName, time, weekdayName, word } from "./locale.js";
import { Panel } from "./panel.js";
import { Plot } from "./plot.js";
import { intervalNote, powerNote } from "./power.js";

const TYPES = ["working_day", "saturday", "sunday"];
const WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const DASHES = [[], [7, 4], [2, 3]];
const TICK = /T(00|06|12|18):00$/;

export class Profile extends Panel {
  #plots = [];

  constructor(page) {
    super("profile", page);
    this.body.classList.add("multiples");
  }

  get byType() {
    return this.view.split === "type";
  }

  requests() {
    return [request("getProfile", {
      column: "power",
      by: this.byType ? "both" : "weekday",
      percentiles: 50,
      ...this.page.during(this.view.span),
      ...this.page.common,
    })];
  }

  show([{ records }]) {
    this.name(word("profile"), word("profile_sub"));
    const splits = [["type", word("by_type")], ["weekday", word("by_weekday")]];
    this.choice(word("profile_by"), splits, this.view.split, (split) => this.page.go({ split }));
    const names = this.byType
      ? TYPES.map((type) => word("day_types")[type])
      : Array.from({ length: 7 }, (_, index) => weekdayName(index));
    this.legend(names.map((name, line) => [name, this.#colour(line), `line-${this.#dash(line)}`]));
    this.days = this.#averaged(records, names);
    for (const { box, plot } of this.#plots) {
      plot.remove();
      box.remove();
    }
    this.#plots = this.days.map((one) => this.#plot(one));
    const note = this.days.length ? powerNote(records) : word("profile_none");
    this.note([intervalNote(this.page), note].filter(Boolean).join(" "));
  }

  table() {
    const heads = [word("time"), ...this.days.flatMap(({ name, lines }) =>
      lines.map((line) => (name ? `${name}, ${line.name}` : line.name)))];
    const rows = (this.days[0]?.times ?? []).map((at, index) => [
      time(at),
      ...this.days.flatMap(({ lines }) => lines.map((line) => amount(line.powers[index], "kW"))),
    ]);
    return { heads, rows };
  }

  /** One average day for each season, or a single one, with a line for each kind of day. */
  #averaged(records, names) {
    const season = (record) => (this.byType ? Math.floor((record.month % 12) / 3) : 0);
    const line = (record) =>
      (this.byType ? TYPES.indexOf(record.day_type) : WEEKDAYS.indexOf(record.weekday));
    const clocks = [...new Set(records.map((record) => record.time.slice(0, 5)))].sort();
    const seasons = [...new Set(records.map(season))].sort();
    return seasons.map((index) => {
      const own = records.filter((record) => season(record) === index);
      return {
        name: this.byType ? this.#seasonName(index) : "",
        times: clocks.map((clock) => `2000-01-01T${clock}`),
        lines: names.map((name, place) => {
          const mine = own.filter((record) => line(record) === place);
          return { name, place, powers: clocks.map((clock) => mean(mine, clock)) };
        }),
      };
    });
  }

  #seasonName(index) {
    const first = monthName((index * 3 + 11) % 12);
    const last = monthName((index * 3 + 1) % 12);
    return `${word("seasons")[index]}, ${word("season_months", first, last)}`;
  }

  #plot({ name, times, lines }) {
    const box = document.createElement("div");
    if (name) {
      const title = document.createElement("h4");
      title.textContent = name;
      box.append(title);
    }
    const holder = document.createElement("div");
    box.append(holder);
    this.body.append(box);
    const plot = new Plot(holder, { height: 210 });
    const top = Math.max(...this.days.flatMap((day) => day.lines.flatMap(({ powers }) => powers)));
    const [power, at] = lines.flatMap(({ powers }) => powers.map((value, i) => [value ?? 0, i]))
      .reduce((found, one) => (one[0] > found[0] ? one : found), [0, 0]);
    plot.draw({
      locals: times,
      columns: lines.map(({ powers }) => powers),
      series: () => lines.map(({ place }) => ({
        stroke: ink(this.#colour(place)),
        width: 2,
        dash: DASHES[this.#dash(place)],
        points: { show: false },
      })),
      unit: "kW",
      top,
      tickAt: () => times
        .map((clock, index) => [index, `${time(clock)}\n`])
        .filter(([index]) => TICK.test(times[index])),
      describe: (index) => [time(times[index]), lines.map(({ name: label, place, powers }) =>
        [label, amount(powers[index], "kW"), this.#colour(place)])],
      label: word(
        "profile_summary", name, spanName(this.view.span), amount(power, "kW"), time(times[at]),
      ),
    });
    return { box, plot };
  }

  #colour(line) {
    return this.byType ? `type-${line}` : `weekday-${line}`;
  }

  #dash(line) {
    return this.byType ? line : [0, 0, 0, 0, 0, 1, 2][line];
  }
}

/** The mean power at a time of day over several months, each by how many readings it has. */
function mean(records, clock) {
  let sum = 0;
  let readings = 0;
  for (const record of records) {
    if (record.time.slice(0, 5) !== clock || record.mean === null) continue;
    sum += record.mean * record.readings;
    readings += record.readings;
  }
  return readings ? sum / readings : null;
}
