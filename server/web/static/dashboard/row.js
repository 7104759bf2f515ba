// A row of the list: a meter, or a group, with its last month and what is wrong with it.

import { amount, day, number, percent, word } from "./locale.js";
import { plus } from "./span.js";
import { spark } from "./spark.js";

/** Days of the small chart. */
export const DAYS = 31;

/** With a newest reading that is this old, a meter is stale. */
const STALE_DAYS = 2;
const DAY = 86_400_000;

/** The part of the expected readings below which coverage is low, as /v1/meters has it. */
const LOW_COVERAGE = 0.95;

/**
 * Shows a record of /v1/meters, or what is alike of a group, with its `energies` of the last days.
 * Its name leads to `link`; `choice` stands in front.
 */
export function fillRow(row, record, link, choice = "") {
  const energy = record.energies;
  const sum = energyOf(record);
  const covered = coverageOf(record);
  const share = covered && Math.floor(covered * 1000) / 1000;
  const newest = newestOf(record);
  row.replaceChildren(
    cell(choice, "pick"),
    cell(named(record, link), "name"),
    cell(energy.length ? spark(energy, DAYS, described(record)) : "", "month"),
    cell(sum === null ? "–" : amount(sum, "kWh"), "energy"),
    cell(share === null ? "–" : percent(share, share < 1 ? 1 : 0), "share"),
    cell(newest ? day(newest) : "–", "newest"),
    cell(marks(record), "marks"),
  );
}

/** The energy of the last days, null if it is unknown. */
export function energyOf({ energies }) {
  const known = energies.filter((value) => value !== null);
  return known.length ? known.reduce((all, value) => all + value, 0) : null;
}

/** The part of the expected readings that is there; null where none are expected. */
export function coverageOf({ recent_expected: expected, recent_present: present }) {
  return expected ? Math.min(1, present / expected) : null;
}

/** When the newest reading is from; of a group, whose end is known, the day. */
export function newestOf(record) {
  return record.newest_day ?? record.last_reading;
}

/** Whether a record has a warning that the list can be of. */
export function hasWarning(record, warning) {
  const kinds = faults(record).map(([kind]) => kind);
  if (warning === "any") return kinds.length > 0;
  if (warning === "low-coverage") return (coverageOf(record) ?? 1) < LOW_COVERAGE;
  return kinds.includes(warning) || (warning === "stale" && kinds.includes("none"));
}

/** How many warnings a record has. */
export function warningsOf(record) {
  return faults(record).length;
}

function named({ id, name }, href) {
  const link = document.createElement("a");
  link.href = href;
  link.textContent = name ?? id;
  if (name === null) return link;
  const own = document.createElement("span");
  own.textContent = id;
  const both = document.createDocumentFragment();
  both.append(link, " ", own);
  return both;
}

/** The energy of the days in words. */
function described({ recent_from: from, energies: energy }) {
  const known = energy.filter((value) => value !== null);
  const span = `${day(from)} – ${day(plus(from, energy.length - 1))}`;
  return known.length
    ? word("month_summary", span, amount(Math.min(...known), "kWh"),
      amount(Math.max(...known), "kWh"))
    : word("month_none", span);
}

/** What is wrong with a meter: [name of the mark, what it says]. */
function faults(meter) {
  if (!meter.last_reading) return [["none", word("mark_none")]];
  const found = [];
  const age = Math.floor((Date.now() - Date.parse(meter.last_reading)) / DAY);
  const missing = (meter.recent_expected ?? 0) - meter.recent_present;
  if (age >= STALE_DAYS) found.push(["stale", word("mark_stale", number(age))]);
  if (missing > 0) found.push(["gaps", word("mark_gaps", number(missing))]);
  if (meter.recent_implausible) {
    found.push(["implausible", word("mark_implausible", number(meter.recent_implausible))]);
  }
  return found;
}

function marks(meter) {
  const all = document.createDocumentFragment();
  for (const [kind, text] of faults(meter)) {
    const mark = document.createElement("span");
    mark.className = `mark ${kind}`;
    mark.textContent = text;
    mark.title = word(`mark_${kind}_means`);
    all.append(mark, " ");
  }
  return all;
}

/** A cell of a row. */
export function cell(content, name) {
  const made = document.createElement("div");
  made.setAttribute("role", "cell");
  made.className = name;
  made.append(content);
  // Where the screen is too narrow for a head.
  if (name === "share") made.dataset.head = word("coverage");
  return made;
}
