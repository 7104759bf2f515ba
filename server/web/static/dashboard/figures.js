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
      figure("peak", ...(peaks ? this.#peak(peaks) : open)),
      figure("load_factor", ...(record
        ? [factor(record.load_factor, 2), [word("load_factor_means")]] : open)),
      figure("power_factor", ...(record ? this.#powerFactor(record) : open)),
      figure("base_load", ...(record ? [
        amount(record.base_load, "kW"),
        [word("base_load_means"), isDerived(record) && word("from_energy")],
      ] : open)),
      figure("coverage", ...(days ? this.#coverage(days.records) : open)),
    );
  }

  #energy({ records, quality, implausible }, now, before) {
    const energy = records.some((record) => record.energy !== null)
      ? now?.energy ?? summed(records, "energy") : null;
    const { days } = this.page.view.span;
    const notes = [
      before?.energy && now
        ? word("against_year", percent(now.energy / before.energy - 1, 1, true))
        : days > 1 && energy !== null && word("per_day", amount(energy / days, "kWh")),
      ...qualityNotes(quality, implausible, energy),
      now?.energy_readings === 0
        && word(now.power_readings ? "power_only" : "neither_energy_nor_power"),
    ];
    return [amount(energy, "kWh"), notes];
  }

  #peak({ records: [highest], demand_of: source }) {
    const notes = highest ? [dayAndTime(highest.date), word("demand_of")[source]] : [];
    return [amount(highest?.demand, "kW"), notes];
  }

  /** That of the energy registers, and what the meter itself wrote: they are made of other things. */
  #powerFactor(record) {
    const of = record.power_factor_of_energy;
    const own = record.power_factor_mean;
    const ratio = record.reactive_energy_ratio;
    const [inductive, capacitive] = [
      record.reactive_energy_inductive, record.reactive_energy_capacitive,
    ].map((energy) => (energy === null ? null : amount(energy, "kVArh")));
    return [of === null ? word("no_value") : number(of, 3), [
      of !== null && word("power_factor_means"),
      own !== null && word("power_factor_own", number(own, 3)),
      ratio !== null && word("reactive_ratio", number(ratio, 3)),
      inductive !== null && word("inductive", inductive),
      capacitive !== null && word("capacitive", capacitive),
    ]];
  }

  #coverage(records) {
    // Weeks of which one has an unknown interval tell no share of all.
    if (records.some((record) => record.expected === null)) {
      return [word("no_value"), [word("interval_unknown")]];
    }
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

/** Whether the power of a record's readings was not measured but made of their energy. */
function isDerived(record) {
  return record.power_derived > 0 && record.power_readings === 0;
}

/** Whether an energy is raw or clean, and what the other one is. */
function qualityNotes(quality, implausible, energy) {
  const readings = Number(implausible?.readings ?? 0);
  if (!readings) return quality && energy !== null ? [word("same_quality")] : [];
  const [more, said] = quality === "clean"
    ? [1, word("left_out", counted("implausible_readings", readings))]
    : [-1, word("left_in", counted("implausible_readings", readings))];
  const other = (energy ?? 0) + more * Number(implausible.energy);
  return [said, word(quality === "clean" ? "raw_energy" : "clean_energy", amount(other, "kWh"))];
}

/** A key figure: its name, its value, and what belongs to it. */
export function figure(name, value, notes, id = `figure-${name}`) {
  const box = document.createElement("div");
  box.id = id;
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
