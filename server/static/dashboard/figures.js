// The key figures of the span.

import { request } from "./api.js";
import { amount, counted, dayAndTime, number, percent, word } from "./locale.js";
import { coverage, isLong } from "./quality.js";

export class Figures {
  #shown = null;

  constructor(page) {
    this.page = page;
    this.element = document.getElementById("figures");
  }

  async load(signal) {
    const { view, all, common, api } = this.page;
    const during = (span) => this.page.during(span);
    const before = view.span.yearBefore();
    const isKnown = before.from >= all.from && before.to <= all.to;
    const answers = await Promise.all([
      api.values(request("getSummary", { ...during(view.span), ...common }), signal),
      api.values(coverage(this.page, view.span), signal),
      isKnown && api.values(request("getSummary", { ...during(before), ...common }), signal),
    ]);
    this.#shown = answers;
    this.element.removeAttribute("aria-busy");
    this.speak();
  }

  /** Whether the span has readings at all. */
  get isEmpty() {
    return !this.#shown?.[0].records[0]?.present;
  }

  speak() {
    if (!this.#shown || this.isEmpty) {
      this.element.replaceChildren();
      return;
    }
    const [{ records: [now], left_out: left }, { records: days }, before] = this.#shown;
    const lacking = days.filter((day) => day.present < day.expected).length;
    const unit = isLong(this.page.view.span) ? "weeks_lack" : "days_lack";
    const factor = (value, digits) => (value === null ? word("no_value") : number(value, digits));
    this.element.replaceChildren(
      figure("energy", amount(now.energy, "kWh"), [
        before ? this.#against(now, before.records[0]) : this.#perDay(now),
        ...(Number(left?.readings) ? [word("left_out", counted("implausible_readings", Number(left.readings)))] : []),
      ]),
      figure("peak", amount(now.peak_demand, "kW"), [
        now.peak_demand_date ? dayAndTime(now.peak_demand_date) : "",
      ]),
      figure("load_factor", factor(now.load_factor, 2), [word("load_factor_means")]),
      figure("power_factor", factor(now.power_factor_of_energy, 3), [word("power_factor_means")]),
      figure("base_load", amount(now.base_load, "kW"), [word("base_load_means")]),
      figure("coverage", percent(Math.floor(now.coverage * 1000) / 1000, 1), [
        lacking ? counted(unit, lacking) : word("none_lack"),
      ]),
    );
  }

  #perDay(now) {
    return word("per_day", amount(now.energy / this.page.view.span.days, "kWh"));
  }

  #against(now, before) {
    if (!before?.energy) return this.#perDay(now);
    return word("against_year", percent(now.energy / before.energy - 1, 1, true));
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
