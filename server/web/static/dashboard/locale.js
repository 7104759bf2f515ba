// Words, numbers and dates as the reader writes them.

import { LANGUAGES } from "./words.js";

const own = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in LANGUAGES);

let language = own ?? "en";
let dates;
let numbers;
const formats = new Map();

choose(language);

/** Speaks one of the languages from now on. */
export function choose(tag) {
  language = tag;
  dates = navigator.languages.find((known) => known.startsWith(tag)) ?? tag;
  // Who reads neither language still reads their own numbers.
  const foreign = !(navigator.language.slice(0, 2) in LANGUAGES);
  numbers = foreign ? navigator.language : dates;
  formats.clear();
  document.documentElement.lang = tag;
}

export function chosen() {
  return language;
}

/** The language of a reader who has chosen none. */
export function preferred() {
  return own ?? "en";
}

export function word(name, ...values) {
  const found = LANGUAGES[language][name];
  return typeof found === "function" ? found(...values) : found;
}

/** Fills in the words of a part of the page. */
export function speak(part) {
  for (const element of part.querySelectorAll("[data-word]")) {
    element.textContent = word(element.dataset.word);
  }
  for (const element of part.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", word(element.dataset.label));
  }
  for (const element of part.querySelectorAll("[data-hint]")) {
    element.title = word(element.dataset.hint);
  }
}

export function number(value, digits = 0, options = {}) {
  const key = `number ${digits} ${JSON.stringify(options)}`;
  if (!formats.has(key)) {
    const fraction = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    formats.set(key, new Intl.NumberFormat(numbers, { ...fraction, ...options }));
  }
  return formats.get(key).format(value);
}

export function percent(share, digits = 0, signed = false) {
  const signDisplay = signed ? "exceptZero" : "auto";
  return number(share, digits, { style: "percent", signDisplay });
}

/** A count with its noun. */
export function counted(name, count) {
  return word(name, count, number(count));
}

/** How many readings there are of those that are expected, as far as that is known. */
export function ofExpected({ present, expected }) {
  return expected === null ? number(present) : `${number(present)} / ${number(expected)}`;
}

/** An amount with its unit; large ones need no decimals. */
export function amount(value, unit) {
  if (value === null || value === undefined) return word("no_value");
  const size = Math.abs(value);
  return `${number(value, size >= 1000 ? 0 : size >= 100 ? 1 : 2)}\u00a0${unit}`;
}

function shown(local, options) {
  const key = `date ${JSON.stringify(options)}`;
  if (!formats.has(key)) {
    formats.set(key, new Intl.DateTimeFormat(dates, { ...options, timeZone: "UTC" }));
  }
  return formats.get(key).format(moment(local));
}

/** The clock's own time as if it were UTC, so that no zone moves it. */
function moment(local) {
  return Date.parse(`${local.length > 10 ? local.slice(0, 16) : `${local}T00:00`}Z`);
}

export function day(local) {
  return shown(local, { day: "numeric", month: "short", year: "numeric" });
}

export function dayAndWeekday(local) {
  return shown(local, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
}

export function time(local) {
  return shown(local, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

export function dayAndTime(local) {
  return `${dayAndWeekday(local)}, ${time(local)}`;
}

export function dayOfMonth(local) {
  return shown(local, { day: "numeric" });
}

export function month(local) {
  return shown(local, { month: "short" });
}

export function monthAndYear(local) {
  return shown(local, { month: "long", year: "numeric" });
}

export function year(local) {
  return shown(local, { year: "numeric" });
}

/** The name of a weekday, 0 for Monday. */
export function weekdayName(index) {
  return capital(shown(`2024-01-0${index + 1}`, { weekday: "long" }));
}

export function monthName(index) {
  return shown(`2024-${String(index + 1).padStart(2, "0")}-01`, { month: "short" });
}

/** A span in words: a month or a year by its name. */
export function spanName(span) {
  if (span.days === 1) return dayAndWeekday(span.from);
  if (span.isMonths && span.months === 1) return capital(monthAndYear(span.from));
  if (span.from.endsWith("-01-01") && span.to === `${span.from.slice(0, 4)}-12-31`) {
    return year(span.from);
  }
  return `${day(span.from)} – ${day(span.to)}`;
}

function capital(text) {
  return text.charAt(0).toLocaleUpperCase(language) + text.slice(1);
}
