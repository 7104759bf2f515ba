// Days, spans of days, and how finely to ask for them. A day is text like 2019-11-30.

const DAY = 86_400_000;

export function plus(day, days) {
  return text(Date.parse(day) + days * DAY);
}

export function plusMonths(day, months) {
  const [year, month] = day.split("-").map(Number);
  return text(Date.UTC(year, month - 1 + months, 1));
}

/** The same day of another year; the last of February where that year has no 29th. */
export function plusYears(day, years) {
  const moved = `${String(Number(day.slice(0, 4)) + years).padStart(4, "0")}${day.slice(4)}`;
  return isDay(moved) ? moved : `${moved.slice(0, 8)}28`;
}

export function isDay(day) {
  const moment = /^\d{4}-\d\d-\d\d$/.test(day ?? "") ? Date.parse(day) : NaN;
  return !Number.isNaN(moment) && text(moment) === day;
}

/** 0 on a Monday, 6 on a Sunday. */
export function weekday(day) {
  return (new Date(day).getUTCDay() + 6) % 7;
}

/** The last day before a time. */
export function lastDay(end) {
  const day = end.slice(0, 10);
  return end.slice(11, 16) === "00:00" ? plus(day, -1) : day;
}

/** The days from one to another, both included. */
export class Span {
  constructor(from, to) {
    this.from = from;
    this.to = to;
  }

  get days() {
    return Math.round((Date.parse(this.to) - Date.parse(this.from)) / DAY) + 1;
  }

  /** The day after the last. */
  get end() {
    return plus(this.to, 1);
  }

  equals(other) {
    return this.from === other.from && this.to === other.to;
  }

  overlaps(other) {
    return this.from <= other.to && other.from <= this.to;
  }

  within(other) {
    const from = this.from < other.from ? other.from : this.from;
    const to = this.to > other.to ? other.to : this.to;
    return new Span(from, to);
  }

  /** Whether it is made of whole months. */
  get isMonths() {
    return this.from.endsWith("-01") && this.end.endsWith("-01");
  }

  get months() {
    const [first, last] = [this.from, this.to].map((day) => day.split("-").map(Number));
    return (last[0] - first[0]) * 12 + last[1] - first[1] + 1;
  }

  /** The span of the same length before it (-1) or after it (1). */
  beside(direction) {
    if (this.isMonths) {
      const from = plusMonths(this.from, direction * this.months);
      return new Span(from, plus(plusMonths(from, this.months), -1));
    }
    return new Span(plus(this.from, direction * this.days), plus(this.to, direction * this.days));
  }

  yearBefore() {
    if (this.isMonths) {
      return new Span(plusYears(this.from, -1), plus(plusYears(this.end, -1), -1));
    }
    return new Span(plusYears(this.from, -1), plusYears(this.to, -1));
  }

  /** The whole months, or else years, around it, or else all. */
  wider(all) {
    const month = new Span(`${this.from.slice(0, 8)}01`, lastOfMonth(this.to));
    const year = new Span(`${this.from.slice(0, 4)}-01-01`, `${this.to.slice(0, 4)}-12-31`);
    for (const span of [month, year]) {
      const inside = span.within(all);
      if (inside.days > this.days && inside.overlaps(this)) return inside;
    }
    return all;
  }

  /** Parts of at most so many days. */
  parts(days) {
    const parts = [];
    for (let from = this.from; from <= this.to; from = plus(from, days)) {
      parts.push(new Span(from, plus(from, days - 1)).within(this));
    }
    return parts;
  }
}

/** The spans that have a name, counted back from the end of the data; months are whole ones. */
export function presets(all) {
  const ends = all.to === lastOfMonth(all.to) ? all.to : plus(`${all.to.slice(0, 8)}01`, -1);
  const months = (count) => {
    const span = new Span(plusMonths(ends, 1 - count), ends);
    return span.overlaps(all) ? span.within(all) : all;
  };
  return {
    week: new Span(plus(all.to, -6), all.to).within(all),
    month: months(1),
    quarter: months(3),
    year: months(12),
    all,
  };
}

/** Intervals that a sum of energy is shown by, and about how many days each has. */
export const SUMS = { hour: 1 / 24, day: 1, week: 7, month: 30, year: 365 };

/** The intervals, none shorter than so many seconds, that make one to so many bars of a span. */
export function possible(span, most, seconds = 0) {
  return Object.keys(SUMS).filter((name) => {
    const bars = span.days / SUMS[name];
    return bars <= most && bars >= 1 && SUMS[name] * 86_400 >= seconds;
  });
}

const FINENESS = { "15m": 96, "30m": 48, hour: 24, day: 1, week: 1 / 7, month: 1 / 30 };

/** The finest interval, not below so many seconds, that makes at most so many points of a span. */
export function fineness(span, most, seconds) {
  const own = 86_400 / seconds;
  const names = Object.keys(FINENESS);
  return names.find((name) => FINENESS[name] <= own && FINENESS[name] * span.days <= most)
    ?? names.at(-1);
}

/**
 * The longest interval of a meter's readings in a span, in seconds; null if one is not known.
 * getMeter tells the intervals like "3600 from 2019-01-01T00:00:00+01:00, unknown from ...".
 */
export function longest(intervals, span) {
  const parts = intervals.split(", ").map((text) => {
    const [seconds, from] = text.split(/ from /);
    return { seconds: seconds === "unknown" ? null : Number(seconds), from: from.slice(0, 19) };
  });
  const [start, end] = [span.from, span.end].map((day) => `${day}T00:00:00`);
  const within = parts.filter((part, index) =>
    (index === 0 || part.from < end) && !(parts[index + 1]?.from <= start));
  const lengths = within.map(({ seconds }) => seconds);
  return lengths.includes(null) ? null : Math.max(...lengths);
}

function lastOfMonth(day) {
  return plus(plusMonths(day, 1), -1);
}

function text(moment) {
  return new Date(moment).toISOString().slice(0, 10);
}
