// A group of meters: its sums with the members stacked, the members ranked, and what they lack.

import uPlot from "/static/uplot/uPlot.esm.js";

import { Refused, v1 } from "./api.js";
import { figure } from "./figures.js";
import { ink } from "./ink.js";
import { amount, counted, dayAndTime, number, percent, spanName, word } from "./locale.js";
import { Panel } from "./panel.js";
import { COLOURS, EnergyOverTime, during } from "./several.js";
import { Span, lastDay } from "./span.js";
import { RANKS, of } from "./view.js";

/** Members that have a colour of their own; the others are one. */
const STACKED = COLOURS - 1;
/** Members in the list; the CSV has all. */
const LISTED = 100;
const UNITS = { energy: "kWh", energy_per_m2: "kWh/m²", maximeter: "kW" };

/** What is known of the group. */
export class Group {
  constructor(page) {
    this.page = page;
  }

  get zone() {
    return this.page.group?.timezone ?? null;
  }

  /** Returns from when to when it has readings; null without any. */
  async learn(signal) {
    const { page } = this;
    page.group = (await page.api.values(v1(`groups/${page.view.group}`), signal)).data;
    const { first_reading: first, end } = page.group;
    return first === null ? null : new Span(first.slice(0, 10), lastDay(end));
  }
}

/** The question for a part of the group. */
function part({ group }, name, params) {
  return v1(`groups/${group}/${name}`, params);
}

/** A member's name for people. */
const called = ({ name, meter }) => name ?? meter;

export class GroupFigures {
  #shown = null;
  #lacks = "";

  constructor(page) {
    this.page = page;
    this.element = document.getElementById("group-figures");
  }

  async load(signal) {
    const { view } = this.page;
    this.#shown = await this.page.api.values(part(view, "summary", during(view)), signal);
    this.#lacks = "";
    this.element.removeAttribute("aria-busy");
    this.page.title();
    this.speak();
  }

  /** The figures cannot be had now. */
  lacks(reason) {
    this.#lacks = reason;
    this.element.removeAttribute("aria-busy");
    this.speak();
  }

  speak() {
    if (!this.#shown && !this.#lacks) return;
    const record = this.#lacks ? null : this.#shown.data;
    const { days } = this.page.view.span;
    const none = [word("no_value"), [this.#lacks]];
    const isKnown = record && record.energy !== null;
    const box = (name, value, notes) => figure(name, value, notes, `group-${name}`);
    this.element.replaceChildren(
      box("energy", ...(record ? [amount(record.energy, "kWh"), [
        isKnown && days > 1 && word("per_day", amount(record.energy / days, "kWh")),
        word(this.#shown.meta.quality),
      ]] : none)),
      box("members", ...(record ? [number(record.members), [word("members_means")]] : none)),
      box("coverage", ...(record ? [
        record.coverage === null ? word("no_value")
          : percent(Math.floor(record.coverage * 1000) / 1000, 1),
        [word("present_of", number(record.present), number(record.expected ?? 0))],
      ] : none)),
      box("members_lacking", ...(record ? [
        number(record.members_lacking), [lacking(record, this.page)],
      ] : none)),
    );
  }
}

/** Which members a record says lack readings, by their names. */
function lacking({ members_lacking: count, lacking: ids }, page) {
  if (!count) return word("none_lack");
  const named = ids.split(" ").map((id) => page.nameOf(id));
  const more = count - named.length;
  return named.join(", ") + (more > 0 ? ` ${word("and_others", number(more))}` : "");
}

export class GroupEnergy extends EnergyOverTime {
  constructor(page) {
    super("group-energy", page);
  }

  /** The members with the most energy are asked for after they are known. */
  async requests(signal) {
    const { api } = this.page;
    const sums = part(this.view, "aggregates", this.asked);
    const ranked = part(this.view, "members", { limit: STACKED, ...during(this.view) });
    const [{ data }, { data: members }] = await Promise.all(
      [sums, ranked].map((request) => api.values(request, signal)));
    this.page.tell(members);
    this.members = [];
    if (!data.length) return [sums];
    const asked = {
      ...this.asked,
      from: data[0].start,
      to: data.at(-1).end,
      timezone: this.page.group.timezone,
    };
    const found = await Promise.all(members.map(async (member) => {
      const request = v1(`meters/${member.meter}/aggregates`, asked);
      try {
        return [member, request, (await api.values(request, signal)).data];
      } catch (error) {
        if (error instanceof Refused) return null; // it is among the others
        throw error;
      }
    }));
    // A member that is counted at times only, or subtracted, adds other energy than it has.
    const whole = found.filter((each) => each && isWhole(...each));
    this.members = whole.map(([member]) => member);
    return [sums, ...whole.map(([, request]) => request)];
  }

  /** The sums, and which members lack readings. */
  csv([sums]) {
    return this.page.api.csv(sums);
  }

  show([{ data, meta }, ...answers]) {
    this.records = data;
    const own = answers.map(({ data: records }) =>
      new Map(records.map(({ start, energy }) => [start, energy])));
    this.parts = data.map(({ start }) => own.map((energies) => energies.get(start) ?? null));
    this.others = data.map(({ energy }, index) => (energy === null ? null
      : this.parts[index].reduce((rest, value) => rest - (value ?? 0), energy)));
    const slight = (value, whole) => Math.abs(value) <= 1e-6 * Math.max(1, Math.abs(whole));
    this.others = this.others.map((rest, index) => (slight(rest, data[index].energy) ? 0 : rest));
    // Less than nothing can't be stacked.
    this.isStacked = this.others.every((rest) => rest === null || rest >= 0)
      && this.parts.flat().every((value) => value === null || value >= 0);
    if (!this.isStacked) this.members = [];
    const hasOthers = this.members.length === 0 || this.others.some((rest) => rest);
    const colour = (place) => `series-${place % COLOURS}`;
    const rest = this.members.length ? "earlier" : "energy";
    this.head();
    this.note(this.#notes(meta));
    this.legend([
      ...this.members.map((member, place) => [called(member), colour(place), "bar"]),
      ...(hasOthers ? [[word(this.members.length ? "others" : "energy"), rest, "bar"]] : []),
      ...(data.some(({ members_lacking: count }) => count)
        ? [[word("members_lacking"), "peak", "mark"]] : []),
    ]);
    // The bar of all is drawn first, over it that of all but the last, and so on.
    const stacks = this.members.map((_, place) => this.parts.map((values) =>
      values.slice(0, place + 1).reduce((sum, value) => sum + (value ?? 0), 0)));
    const bars = uPlot.paths.bars({ size: [0.8, 80] });
    const bar = (fill) => ({ paths: bars, fill, width: 0, points: { show: false } });
    this.plot.draw({
      locals: data.map(({ start }) => start),
      columns: [data.map(({ energy }) => energy), ...stacks.toReversed()],
      series: () => [
        bar(ink(rest)), ...stacks.map((_, place) => bar(ink(colour(place)))).toReversed(),
      ],
      finest: this.finest,
      unit: "kWh",
      describe: (index) => this.#describe(index),
      mark: (plot) => this.#mark(plot),
      label: word("group_summary", word("units")[this.sums], spanName(this.view.span),
        this.page.name),
    });
  }

  table() {
    const named = this.members.map(called);
    const heads = [
      word("date"), word("energy"), ...named, ...(named.length ? [word("others")] : []),
      word("present"), word("members_lacking"),
    ];
    const rows = this.records.map((record, index) => [
      this.when(record),
      amount(record.energy, "kWh"),
      ...this.members.map((_, place) => amount(this.parts[index][place], "kWh")),
      ...(named.length ? [amount(this.others[index], "kWh")] : []),
      `${record.present} / ${record.expected ?? "?"}`,
      record.members_lacking ? lacking(record, this.page) : "",
    ]);
    return { heads, rows };
  }

  at(index) {
    return this.records[index];
  }

  #describe(index) {
    const record = this.records[index];
    const lines = [[word("energy"), amount(record.energy, "kWh")]];
    for (const [place, member] of this.members.entries()) {
      const energy = amount(this.parts[index][place], "kWh");
      lines.push([called(member), energy, `series-${place % COLOURS}`]);
    }
    if (this.members.length && this.others[index]) {
      lines.push([word("others"), amount(this.others[index], "kWh"), "earlier"]);
    }
    if (record.members_lacking) {
      lines.push([
        word("members_lacking"), `${number(record.members_lacking)}: ${lacking(record, this.page)}`,
      ]);
    }
    return [this.when(record), lines];
  }

  /** A triangle over each bar in which members lack readings. */
  #mark(plot) {
    const { ctx: pen } = plot;
    const size = 4 * devicePixelRatio;
    pen.save();
    pen.fillStyle = ink("peak");
    for (const [index, { energy, members_lacking: count }] of this.records.entries()) {
      if (!count) continue;
      const x = plot.valToPos(index, "x", true);
      const y = plot.valToPos(Math.max(0, energy ?? 0), "y", true) - size / 2;
      pen.beginPath();
      pen.moveTo(x - size, y - size * 1.6);
      pen.lineTo(x + size, y - size * 1.6);
      pen.lineTo(x, y);
      pen.fill();
    }
    pen.restore();
  }

  /** What is to be known of the members to read the sums. */
  #notes(meta) {
    const listed = (notes) => (typeof notes === "string" ? notes
      : Object.entries(notes).map(([id, text]) => `${this.page.nameOf(id)}: ${text}`).join(", "));
    return [
      !this.isStacked && word("not_stacked"),
      meta.other_timezones && word("other_timezones", listed(meta.other_timezones)),
      meta.other_intervals && word("other_intervals", listed(meta.other_intervals)),
      meta.counted_repeatedly && word("counted_repeatedly", listed(meta.counted_repeatedly)),
    ].filter(Boolean).join(" ");
  }
}

/** Whether the energy that a group counts of a member is all that the member has. */
function isWhole({ energy }, _, records) {
  const own = records.reduce((sum, record) => sum + (record.energy ?? 0), 0);
  return energy !== null && Math.abs(own - energy) <= 1e-6 * Math.max(1, Math.abs(energy));
}

export class GroupMembers extends Panel {
  constructor(page) {
    super("group-members", page);
  }

  requests() {
    const { rank } = this.view;
    return [part(this.view, "members", { by: rank, limit: LISTED, ...during(this.view) })];
  }

  /** All members, also those beyond the list. */
  csv([{ route, params: { limit, ...params } }]) {
    return this.page.api.csv({ route, params });
  }

  show([{ data, meta }]) {
    const { rank } = this.view;
    this.page.tell(data);
    this.name(word("group_members"), spanName(this.view.span));
    this.choice(
      word("rank"), RANKS.map((name) => [name, word("ranks")[name]]), rank,
      (name) => this.page.go({ rank: name }),
    );
    const more = Number(meta.members ?? data.length) - data.length;
    this.note([
      more > 0 && word("members_more", number(more)),
      rank === "energy_per_m2" && data.some(({ area }) => area === null) && word("no_area"),
    ].filter(Boolean).join(" "));
    const most = Math.max(0, ...data.map((member) => member[rank] ?? 0));
    const list = document.createElement("ol");
    list.className = "ranks";
    list.setAttribute("aria-label", word("ranks")[rank]);
    for (const member of data) list.append(this.#item(member, rank, most));
    this.body.replaceChildren(list);
  }

  table([{ data }]) {
    const heads = [
      word("meter"), ...RANKS.map((name) => word("ranks")[name]), word("share"), word("coverage"),
      word("members_missing"),
    ];
    const rows = data.map((member) => [
      called(member),
      ...RANKS.map((name) => amount(member[name], UNITS[name])),
      member.share === null ? word("no_value") : percent(member.share, 1),
      member.coverage === null ? word("no_value")
        : percent(Math.floor(member.coverage * 1000) / 1000, 1),
      number(Math.max(0, (member.expected ?? 0) - member.present)),
    ]);
    return { heads, rows };
  }

  #item(member, rank, most) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = this.view.but(of.meter(member.meter)).hash;
    link.textContent = called(member);
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.style.width = `${most > 0 ? Math.max(0, (member[rank] ?? 0) / most * 100) : 0}%`;
    const track = document.createElement("span");
    track.className = "track";
    track.append(bar);
    const value = document.createElement("span");
    value.className = "value";
    value.textContent = amount(member[rank], UNITS[rank]);
    const notes = document.createElement("span");
    notes.className = "notes";
    const missing = (member.expected ?? 0) - member.present;
    notes.textContent = [
      rank === "energy" && member.share !== null && percent(member.share, 1),
      rank === "maximeter" && member.maximeter_date && dayAndTime(member.maximeter_date),
      missing > 0 && counted("readings_missing", missing),
    ].filter(Boolean).join(", ");
    item.append(link, track, value, notes);
    return item;
  }
}
