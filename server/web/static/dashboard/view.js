// What is shown; the address after # holds it, so that a link shows the same.

import { preferred } from "./locale.js";
import { SUMS, Span, isDay } from "./span.js";
import { LANGUAGES } from "./words.js";

export class View {
  constructor({
    meter = null, span = null, sums = null, quality = "clean", split = "type", lang = null,
  } = {}) {
    this.meter = meter;
    this.span = span;
    this.sums = sums;
    this.quality = quality;
    this.split = split;
    this.lang = lang;
  }

  but(changes) {
    return new View({ ...this, ...changes });
  }

  /** The view that an address describes; what it can't mean is left at its default. */
  static parse(hash) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const [from, to] = [given.get("from"), given.get("to")];
    return new View({
      meter: given.get("meter") || null,
      span: isDay(from) && isDay(to) && from <= to ? new Span(from, to) : null,
      sums: given.get("by") in SUMS ? given.get("by") : null,
      quality: given.get("quality") === "raw" ? "raw" : "clean",
      split: given.get("split") === "weekday" ? "weekday" : "type",
      lang: given.get("lang") in LANGUAGES ? given.get("lang") : null,
    });
  }

  get hash() {
    const told = new URLSearchParams();
    if (this.meter) told.set("meter", this.meter);
    if (this.span) {
      told.set("from", this.span.from);
      told.set("to", this.span.to);
    }
    if (this.sums) told.set("by", this.sums);
    if (this.quality === "raw") told.set("quality", "raw");
    if (this.split === "weekday") told.set("split", "weekday");
    if (this.lang && this.lang !== preferred()) told.set("lang", this.lang);
    return `#${told}`;
  }
}
