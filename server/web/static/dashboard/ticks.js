// Where an axis of times has its ticks: at whole hours, days, Mondays, months or years.

import { dayOfMonth, month, time, year } from "./locale.js";
import { weekday } from "./span.js";

const hours = (step) => (local) =>
  `${local.slice(0, 10)} ${Math.floor(Number(local.slice(11, 13)) / step)}`;
const months = (step) => (local) =>
  `${local.slice(0, 4)} ${Math.floor((Number(local.slice(5, 7)) - 1) / step)}`;
const years = (step) => (local) => `${Math.floor(Number(local.slice(0, 4)) / step)}`;
const week = (local) =>
  `${Math.floor((Date.parse(local.slice(0, 10)) / 86_400_000 - weekday(local.slice(0, 10))) / 7)}`;

/** From fine to coarse: what a tick stands for, and the part of a time that changes at each. */
const LEVELS = [
  ["hour", hours(1)],
  ["hour", hours(3)],
  ["hour", hours(6)],
  ["hour", hours(12)],
  ["day", (local) => local.slice(0, 10)],
  ["day", (local) => `${local.slice(0, 7)} ${Math.floor((Number(local.slice(8, 10)) - 1) / 2)}`],
  ["day", week],
  ["month", months(1)],
  ["month", months(3)],
  ["month", months(6)],
  ["year", years(1)],
  ["year", years(2)],
  ["year", years(5)],
  ["year", years(10)],
];

/**
 * At most so many ticks for ascending local times, as [index, label of one or two lines]; `finest`
 * is the level of the times themselves: hour, day, month or year.
 */
export function ticks(locals, most, finest) {
  const first = LEVELS.findIndex(([kind]) => kind === finest);
  for (const [kind, key] of LEVELS.slice(first)) {
    const found = [];
    let before = locals.length && !begins(kind, locals[0]) ? key(locals[0]) : null;
    for (let index = 0; index < locals.length && found.length <= most; index += 1) {
      const now = key(locals[index]);
      if (now !== before) found.push(index);
      before = now;
    }
    if (found.length <= most && (found.length > 1 || locals.length < 3 || kind === "year")) {
      return found.map((index, place) => [index, label(kind, locals, index, found[place - 1])]);
    }
  }
  return [];
}

function begins(kind, local) {
  return { hour: /:00$/, day: /T00:00$/, month: /-01T/, year: /-01-01T/ }[kind]
    .test(local.slice(0, 16));
}

/** The second line says what has changed beyond the first. */
function label(kind, locals, index, before) {
  const local = locals[index];
  const last = before === undefined ? "" : locals[before];
  if (kind === "hour") {
    const isNew = local.slice(0, 10) !== last.slice(0, 10);
    return `${time(local)}\n${isNew ? `${dayOfMonth(local)} ${month(local)}` : ""}`;
  }
  if (kind === "day") {
    const isNew = local.slice(0, 7) !== last.slice(0, 7);
    return `${dayOfMonth(local)}\n${isNew ? month(local) : ""}`;
  }
  if (kind === "month") {
    const isNew = local.slice(0, 4) !== last.slice(0, 4);
    return `${month(local)}\n${isNew ? year(local) : ""}`;
  }
  return year(local);
}
