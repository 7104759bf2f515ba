// Where power is not what the meter has measured, and what is lacking without an interval.

import { counted, word } from "./locale.js";

/** Says how many readings have a power that is made of their energy, or that none has any. */
export function powerNote(records) {
  const derived = records.reduce((sum, record) => sum + (record.power_derived ?? 0), 0);
  if (derived) return counted("power_derived", derived);
  const isKnown = records.some((record) => (record.power_mean ?? record.mean ?? null) !== null);
  const isThere = records.some((record) => (record.present ?? record.readings) > 0);
  return isThere && !isKnown ? word("no_power") : "";
}

/** Says what is not known as long as the interval of the readings shown is not. */
export function intervalNote(page) {
  return page.longest === null ? word("interval_unknown") : "";
}
