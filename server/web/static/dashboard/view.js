// What is shown; the address after # holds it, so that a link shows the same.

import { preferred } from "./locale.js";
import { SUMS, Span, isDay } from "./span.js";
import { LANGUAGES } from "./words.js";

/** What members of a group are ranked by. */
export const RANKS = ["energy", "energy_per_m2", "maximeter"];

/** What the list can be sorted by, each with the order that is looked for first. */
export const SORTS = {
  name: "name", energy: "-energy", coverage: "coverage", newest: "newest", warnings: "-warnings",
};

/** Which meters the list can be of. */
export const WARNINGS = ["any", "stale", "gaps", "low-coverage", "implausible"];

/** More meters can't be told apart in one chart. */
export const MOST_BESIDE = 8;

const NOTHING = { meters: [], group: null, list: null };

/** What a view can be of, as changes of another view. */
export const of = {
  meter: (meter) => ({ ...NOTHING, meters: [meter] }),
  meters: (meters) => ({ ...NOTHING, meters }),
  group: (group) => ({ ...NOTHING, group }),
  /** The meters, or those with a text. */
  list: (search = "") => ({ ...NOTHING, list: search }),
};

export class View {
  constructor({
    meters = [], group = null, list = null, span = null, sums = null, quality = "clean",
    split = "type", rank = RANKS[0], sort = null, warning = null, lang = null,
  } = {}) {
    this.meters = meters;
    this.group = group;
    this.list = list;
    this.span = span;
    this.sums = sums;
    this.quality = quality;
    this.split = split;
    this.rank = rank;
    /** What the list is sorted by, descending with a minus; null for the order of ids. */
    this.sort = sort;
    /** Which warning the meters of the list have; null for all meters. */
    this.warning = warning;
    this.lang = lang;
  }

  /** The meter, where it is of one. */
  get meter() {
    return this.meters.length === 1 ? this.meters[0] : null;
  }

  /** What it is of: a list, a group, several meters, or one meter, which may be left open. */
  get kind() {
    if (this.list !== null) return "list";
    if (this.group) return "group";
    return this.meters.length > 1 ? "several" : "meter";
  }

  /** Whether it leaves open what it is of. */
  get isOpen() {
    return this.kind === "meter" && !this.meter;
  }

  but(changes) {
    return new View({ ...this, ...changes });
  }

  /** The view that an address describes; what it can't mean is left at its default. */
  static parse(hash) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const [from, to] = [given.get("from"), given.get("to")];
    return new View({
      meters: named(given.get("meter")),
      group: given.get("group") || null,
      list: given.get("list"),
      span: isDay(from) && isDay(to) && from <= to ? new Span(from, to) : null,
      sums: given.get("by") in SUMS ? given.get("by") : null,
      quality: given.get("quality") === "raw" ? "raw" : "clean",
      split: given.get("split") === "weekday" ? "weekday" : "type",
      rank: RANKS.includes(given.get("rank")) ? given.get("rank") : RANKS[0],
      sort: given.get("sort")?.replace(/^-/, "") in SORTS ? given.get("sort") : null,
      warning: WARNINGS.includes(given.get("warning")) ? given.get("warning") : null,
      lang: given.get("lang") in LANGUAGES ? given.get("lang") : null,
    });
  }

  get hash() {
    const told = new URLSearchParams();
    if (this.list !== null) told.set("list", this.list);
    else if (this.group) told.set("group", this.group);
    else if (this.meters.length) told.set("meter", this.meters.join(","));
    if (this.span) {
      told.set("from", this.span.from);
      told.set("to", this.span.to);
    }
    if (this.sums) told.set("by", this.sums);
    if (this.quality === "raw") told.set("quality", "raw");
    if (this.split === "weekday") told.set("split", "weekday");
    if (this.rank !== RANKS[0]) told.set("rank", this.rank);
    if (this.kind === "list" && this.sort) told.set("sort", this.sort);
    if (this.kind === "list" && this.warning) told.set("warning", this.warning);
    if (this.lang && this.lang !== preferred()) told.set("lang", this.lang);
    // A comma needs no code behind #.
    return `#${String(told).replaceAll("%2C", ",")}`;
  }
}

/** The meters of a text like a,b: each once, and no more than can be shown. */
function named(text) {
  return [...new Set((text ?? "").split(",").filter(Boolean))].slice(0, MOST_BESIDE);
}
