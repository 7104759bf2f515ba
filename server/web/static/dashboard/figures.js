// The key figures of the span.

import { request } from "./api.js";
import { amount, counted, dayAndTime, number, percent, word } from "./locale.js";
import { coverage, isLong, summed } from "./quality.js";

/** For so long figures of before stay, pale, before new ones are shown one by one. */
const PATIENCE = 400;

export class Figures {
  /** The answers so far by name; what is not there yet is left open. */
  #shown = {};
  #lacks = "";

  constructor(page) {
    this.page = page;
    this.element = document.getElementById("figures");
  }

  /** Asks for all figures; those that are quick to work out don't wait for the others. */
  async load(signal) {
    const { view, all, common, api } = this.page;
    const before = view.span.yearBefore();
    const isKnown = before.from >= all.from && before.to <= all.to;
    const summary = (span) => request("getSummary", { ...this.page.during(span), ...common });
    const quick = {
      coverage: coverage(this.page, view.span),
      sums: this.page.sums(view.quality),
      peaks: this.page.peaks(),
    };
    const slow = { now: summary(view.span), ...(isKnown && { before: summary(before) }) };
    const shown = {};
    let isPatient = true;
    const show = () => {
      if (signal.aborted) return;
      this.#shown = shown;
      this.#lacks = "";
      this.element.removeAttribute("aria-busy");
      this.page.title();
      this.speak();
    };
    const timer = setTimeout(() => {
      isPatient = false;
      if (Object.keys(shown).length) show();
    }, PATIENCE);
    const fetched = (asked) => Object.entries(asked).map(async ([name, one]) => {
      shown[name] = await api.values(one, signal);
      if (!isPatient) show();
    });
    try {
      const first = Promise.all(fetched(quick));
      await null; // until all other parts have asked as well
      await Promise.all([first, ...fetched(slow)]);
      show();
    } finally {
      clearTimeout(timer);
    }
  }

  /** Whether the span has readings at all. */
  async isEmpty(signal) {
    try {
      const { records } =
        await this.page.api.values(coverage(this.page, this.page.view.span), signal);
      return summed(records, "present") === 0;
    } catch {
      return false; // the panel that shows them says why
    }
  }

  /** Some figures cannot be had now. */
  lacks(reason) {
    this.#lacks = reason;
    this.element.removeAttribute("aria-busy");
    this.speak();
  }

  speak() {
    const { coverage: days, sums, peaks, now, before } = this.#shown;
    if (!Object.keys(this.#shown).length || (days && !summed(days.records, "present"))) {
      this.element.replaceChildren();
      return;
    }
    const open = this.#lacks ? [word("no_value"), [this.#lacks]] : ["…", []];
    const record = now?.records[0];
    const factor = (value, digits) => (value === null ? word("no_value") : number(value, digits));
    this.element.replaceChildren(
      figure("energy", ...(sums ? this.#energy(sums, record, before?.records[0]) : open)),
      figure("peak", ...(peaks ? this.#peak(peaks.records) : open)),
      figure("load_factor", ...(record
        ? [factor(record.load_factor, 2), [word("load_factor_means")]] : open)),
      figure("power_factor", ...(record
        ? [factor(record.power_factor_of_energy, 3), [word("power_factor_means")]] : open)),
      figure("base_load", ...(record
        ? [amount(record.base_load, "kW"), [word("base_load_means")]] : open)),
      figure("coverage", ...(days ? this.#coverage(days.records) : open)),
    );
  }

  #energy({ records, left_out: left }, now, before) {
    const energy = records.some((record) => record.energy !== null)
      ? now?.energy ?? summed(records, "energy") : null;
    const { days } = this.page.view.span;
    const notes = [
      before?.energy && now
        ? word("against_year", percent(now.energy / before.energy - 1, 1, true))
        : days > 1 && energy !== null && word("per_day", amount(energy / days, "kWh")),
      Number(left?.readings)
        && word("left_out", counted("implausible_readings", Number(left.readings))),
    ];
    return [amount(energy, "kWh"), notes];
  }

  #peak([highest]) {
    return [amount(highest?.demand, "kW"), [highest && dayAndTime(highest.date)]];
  }

  #coverage(records) {
    const lacking = records.filter((record) => record.present < record.expected).length;
    const unit = isLong(this.page.view.span) ? "weeks_lack" : "days_lack";
    const share = summed(records, "present") / summed(records, "expected");
    return [
      // Never 100 % where something lacks.
      percent(Math.floor(share * 1000) / 1000, 1),
      [lacking ? counted(unit, lacking) : word("none_lack")],
    ];
  }
}

function figure(name, value, notes) {
  const box = document.createElement("div");
  box.id = `figure-${name}`;
  const term = document.createElement("dt");
  term.textContent = word(name);
  const shown = document.createElement("dd");
  shown.className = "value";
  shown.textContent = value;
  box.append(term, shown);
  for (const note of notes.filter(Boolean)) {
    const line = document.createElement("dd");
    line.textContent = note;
    box.append(line);
  }
  return box;
}
