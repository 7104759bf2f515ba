// The page: what is shown, and what becomes of it when the server or the login is gone.

import { Api, LoggedOut, Refused, Unreachable, request } from "./api.js";
import { Demand } from "./demand.js";
import { Energy } from "./energy.js";
import { Factor } from "./factor.js";
import { Figures } from "./figures.js";
import { Fleet } from "./fleet.js";
import { Group, GroupEnergy, GroupFigures, GroupMembers } from "./group.js";
import { Heat } from "./heat.js";
import { choose, chosen, preferred, spanName, speak, word } from "./locale.js";
import { login, speakLogin } from "./login.js";
import { Meters } from "./meters.js";
import { banner, notice } from "./notices.js";
import { Profile } from "./profile.js";
import { Quality } from "./quality.js";
import { save } from "./save.js";
import { BesideEnergy, BesideFigures, BesideProfile, Several } from "./several.js";
import { Span, isDay, lastDay, longest, presets } from "./span.js";
import { View, of } from "./view.js";

const FIRST_WAIT = 2;
const LONGEST_WAIT = 30;
const EMPTY_WAIT = 10;

const $ = (id) => document.getElementById(id);

/** What the panels share. */
const page = {
  api: new Api(),
  view: View.parse(location.hash),
  /** The span of all readings; null as long as it is not known. */
  all: null,
  /** What getMeter says of the meter. */
  meter: null,
  /** What /v1 says of the meters that are shown beside each other. */
  members: [],
  /** What /v1 says of the group. */
  group: null,
  /** The meters of which more is known than their ids: what they are called. */
  told: [],
  tell(known) {
    const ids = new Set(known.map(({ meter }) => meter));
    this.told = [...known, ...this.told.filter(({ meter }) => !ids.has(meter))];
  },

  /** The parameters for a span; the first and the last day are whole only as far as the data. */
  during(span) {
    const { meter, first_reading: first, end } = this.meter;
    return {
      meter,
      date: span.from === this.all.from ? local(first) : span.from,
      end_date: span.to === this.all.to && end ? local(end) : span.end,
      end: "exclusive",
    };
  },

  /** The longest interval of the readings shown, in seconds; null if one is not known. */
  get longest() {
    return longest(this.meter.intervals, this.view.span);
  },

  /** The parameters of every request for values. */
  get common() {
    return { quality: this.view.quality, values: "number" };
  },

  /** Shows something else; the browser's way back leads here. */
  go(changes) {
    const next = this.view.but(changes);
    if (next.hash === this.view.hash) return;
    this.view = next;
    history.pushState(null, "", next.hash);
    refresh();
  },

  say(text) {
    $("status").textContent = text;
  },

  title,

  /** What people call what is shown. */
  get name() {
    const { kind, group, meters: shown } = this.view;
    if (kind === "list") return word("meters");
    if (kind === "group") return (this.group?.id === group && this.group.name) || group;
    return kind === "several" ? word("several", shown.length) : meters.name;
  },

  nameOf: (meter) => meters.nameOf(meter),

  /** The name of a CSV file of what is shown. */
  file(name) {
    const { kind, group, meter, meters: shown, span: { from, to } } = this.view;
    const own = kind === "several" ? shown.join("+") : group ?? (meter && this.meter.meter);
    return `${[name, own, from, to].filter(Boolean).join("_")}.csv`;
  },

  /** The sums of energy that are drawn, for other parts to add up: they are asked for once. */
  sums: (quality) => energy.sumsOf(page.view.span, quality),

  /** The peaks that are marked. */
  peaks: () => demand.peaksAsked(),

  attempt,
};

const figures = new Figures(page);
const panels = [Energy, Demand, Heat, Profile, Factor, Quality].map((Kind) => new Kind(page));
const [energy, demand] = panels;
/** What is shown of one meter, of several, and of a group. */
const PARTS = {
  meter: [figures, ...panels],
  several: [BesideFigures, BesideEnergy, BesideProfile].map((Kind) => new Kind(page)),
  group: [GroupFigures, GroupEnergy, GroupMembers].map((Kind) => new Kind(page)),
};
const meters = new Meters(page);
const fleet = new Fleet(page);
/** What finds out of what is more than one meter from when to when it has readings. */
const subjects = { several: new Several(page), group: new Group(page) };
/** What `page.all` is of. */
let learnt = null;

let running = new AbortController();
let waiting = 0;
let wait = FIRST_WAIT;
let pending = null;

/** Loads what the view asks for; a newer one replaces it. */
function refresh() {
  running.abort();
  running = new AbortController();
  clearTimeout(waiting);
  const { signal } = running;
  return attempt(() => load(signal), signal);
}

/** Does something, after a login or once the server is back if need be. */
async function attempt(action, signal = running.signal) {
  while (!signal.aborted) {
    try {
      if (!page.api.hasToken) throw new LoggedOut();
      await action();
      if (!signal.aborted) online();
      return;
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      if (error instanceof LoggedOut) {
        await loggedIn();
      } else if (error instanceof Unreachable) {
        offline(error.message !== "");
        return;
      } else if (error instanceof Refused) {
        // Nothing else that is asked for here can be unknown.
        const isUnknown = error.status === 404 && page.view.meter;
        banner(isUnknown ? word("no_meter", page.view.meter) : word("failed", error.message));
        return;
      } else {
        throw error;
      }
    }
  }
}

/** Returns once there is a login, which all who need one wait for together. */
function loggedIn() {
  const reason = page.api.hasToken ? "login_expired" : "login_first";
  page.api.forget();
  pending ??= login(page.api, reason).finally(() => {
    pending = null;
    $("logout").hidden = false;
  });
  return pending;
}

/** Loads all that the view needs, and says so meanwhile. */
async function load(signal) {
  page.say(word("loading"));
  document.body.classList.add("loading");
  try {
    await loaded(signal);
  } finally {
    if (!signal.aborted) document.body.classList.remove("loading");
  }
}

async function loaded(signal) {
  await offer(signal);
  const { kind } = page.view;
  if (kind === "list") {
    stage("list");
    await fleet.load(signal);
    title();
    page.say(`${$("fleet-count").textContent}. ${fleet.order}`);
    return;
  }
  const subject = JSON.stringify([kind, page.view.group ?? page.view.meters]);
  if (!page.all || (subject !== learnt && !page.view.isOpen)) {
    await learn(signal);
    learnt = subject;
  }
  stage(kind);
  if (!page.all) {
    empty();
    return;
  }
  const { span } = page.view;
  const asked = span?.overlaps(page.all) ? span.within(page.all) : span ?? presets(page.all).month;
  if (!span?.equals(asked)) {
    page.view = page.view.but({ span: asked });
    history.replaceState(null, "", page.view.hash);
  }
  tools();
  if (!page.view.span.overlaps(page.all)) {
    none();
    return;
  }
  $("empty").hidden = true;
  $("charts").hidden = false;
  const parts = PARTS[kind];
  for (const part of parts) part.element.setAttribute("aria-busy", "true");
  // Each part is shown as soon as its own answers are there; a browser has some requests under way
  // and queues the others, so that what stands above comes first.
  const loads = parts.map((part) => part.load(signal));
  if (kind === "meter" && await figures.isEmpty(signal)) {
    await Promise.allSettled(loads);
    none();
    return;
  }
  await settled(parts, loads);
  if (kind !== "meter") title();
  page.say(word("loaded", spanName(page.view.span)));
}

/** Makes room for the list, one meter or several. */
function stage(kind) {
  $("main").hidden = false;
  $("fleet").hidden = kind !== "list";
  if (kind === "list") {
    for (const id of ["tools", "empty", "charts"]) $(id).hidden = true;
    return;
  }
  fleet.hide();
  $("figures").hidden = kind !== "meter";
  $("readings").hidden = kind !== "meter";
  for (const part of document.querySelectorAll(".panels")) part.hidden = part.dataset.kind !== kind;
}

/**
 * Returns once all have ended. What one part alone lacks is said there; where none has anything,
 * or the login is gone, the reason is raised.
 */
async function settled(parts, loads) {
  const ended = await Promise.allSettled(loads);
  const reasons = ended.map(({ reason }) => reason);
  const isLocal = (reason) => reason instanceof Unreachable && reason.message !== "";
  const general = reasons.find((reason) => reason && !isLocal(reason))
    ?? (reasons.every(Boolean) ? reasons[0] : null);
  if (general) throw general;
  reasons.forEach((reason, index) => {
    if (reason) parts[index].lacks(reason.message, refresh);
  });
}

/** Offers the meters. Where there are several, the view names what it is of. */
async function offer(signal) {
  await meters.load(signal);
  let changes = null;
  if (page.view.isOpen && meters.isChoice) {
    changes = meters.first ? of.meter(meters.first) : of.list();
  } else if (page.view.kind === "list" && !meters.isChoice) {
    changes = of.meters([]);
  }
  if (changes) {
    page.view = page.view.but(changes);
    history.replaceState(null, "", page.view.hash);
  }
  meters.show();
}

/** Finds out which meters these are, and from when to when they have readings. */
async function learn(signal) {
  const { kind } = page.view;
  try {
    page.all = kind === "meter" ? await learnMeter(signal) : await subjects[kind].learn(signal);
  } catch (error) {
    // What is shown is of something else.
    if (error instanceof Refused) $("main").hidden = true;
    throw error;
  }
  meters.show();
}

async function learnMeter(signal) {
  const { meter } = page.view;
  const asked = request("getMeter", { ...(meter && { meter }), values: "number" });
  const { records: [found] } = await page.api.values(asked, signal);
  page.meter = found ?? null;
  if (found?.meter) page.tell([found]);
  // Where the last reading ends is not known without its interval.
  return found ? new Span(
    found.first_reading.slice(0, 10),
    found.end ? lastDay(found.end) : found.last_reading.slice(0, 10),
  ) : null;
}

/** A time of an answer as a parameter: a whole day by its date alone. */
function local(time) {
  const clock = time.slice(11, 19);
  return clock === "00:00:00" ? time.slice(0, 10) : `${time.slice(0, 10)} ${clock}`;
}

function empty() {
  const own = page.view.meter ? `--meter ${page.view.meter} ` : "";
  const command = `elecdata load ${own}Monitoring_report.csv`;
  notice(word("empty_title"), word("empty_text"), word("empty_action"), again, command);
  $("tools").hidden = true;
  title();
  page.say(word("empty_title"));
  waiting = setTimeout(again, EMPTY_WAIT * 1000);
}

/** Looks again whether there are meters and readings. */
function again() {
  meters.renew();
  refresh();
}

/** The controls show what the view is. */
function tools() {
  const { view, all } = page;
  const named = presets(all);
  $("tools").hidden = false;
  for (const button of $("presets").children) {
    button.setAttribute("aria-pressed", String(named[button.value].equals(view.span)));
    button.hidden = button.value !== "all" && named[button.value].equals(all);
  }
  for (const button of $("quality-choice").children) {
    button.setAttribute("aria-pressed", String(button.value === view.quality));
  }
  for (const name of ["from", "to"]) {
    $(name).value = view.span[name];
    $(name).min = all.from;
    $(name).max = all.to;
    $(name).setCustomValidity("");
  }
  $("earlier").disabled = !view.span.beside(-1).overlaps(all);
  $("later").disabled = !view.span.beside(1).overlaps(all);
  $("wider").disabled = view.span.within(all).equals(all);
  const whole = spanName(all);
  const isOne = view.kind === "meter";
  const zone = isOne ? page.meter.timezone : subjects[view.kind].zone;
  $("foot").textContent = zone ? word(isOne ? "foot" : "foot_zone", whole, zone)
    : word(isOne ? "foot_plain" : "foot_zones", whole);
}

/** Names what is shown, once it is. */
function title() {
  const span = page.all && page.view.span && page.view.kind !== "list"
    ? spanName(page.view.span) : "";
  $("span-name").textContent = span;
  document.title = [span, page.name, word("title")].filter(Boolean).join(" – ");
}

/** The span has no readings. */
function none() {
  const { month } = presets(page.all);
  const near = month.equals(page.view.span) ? page.all : month;
  notice(
    word("none_title"),
    word("none_text", spanName(page.view.span), spanName(page.all)),
    word("none_action", spanName(near)),
    () => page.go({ span: near }),
  );
  title();
  page.say(word("none_title"));
}

function online() {
  wait = FIRST_WAIT;
  if (banner("")) page.say(word("back"));
}

function offline(isThere) {
  let left = wait;
  wait = Math.min(LONGEST_WAIT, wait * 2);
  const tick = () => {
    if (left <= 0) {
      banner(word("trying"));
      refresh();
      return;
    }
    banner(word(isThere ? "away_database" : "away", left));
    left -= 1;
    waiting = setTimeout(tick, 1000);
  };
  clearTimeout(waiting);
  tick();
}

function speakAll() {
  speak(document);
  speakLogin();
  meters.speak();
  fleet.speak();
  for (const button of document.querySelectorAll(".language button")) {
    button.setAttribute("aria-pressed", String(button.value === chosen()));
  }
  document.title = word("title");
}

/** The address has changed: by the browser's ways back and forth, or by hand. */
function follow() {
  const next = View.parse(location.hash);
  const lang = next.lang ?? preferred();
  page.view = next;
  if (lang !== chosen()) speakIn(lang);
  if (page.api.hasToken) refresh();
}

function speakIn(lang) {
  choose(lang);
  speakAll();
  if (page.view.kind === "list") {
    title();
    return;
  }
  if (!page.all) {
    if (page.api.hasToken) refresh();
    return;
  }
  tools();
  title();
  meters.show();
  for (const part of PARTS[page.view.kind]) part.speak();
}

function typed() {
  const [from, to] = [$("from").value, $("to").value];
  if (!isDay(from) || !isDay(to)) return;
  if (from > to) {
    page.go({ span: new Span(to, from) });
    return;
  }
  page.go({ span: new Span(from, to) });
}

choose(page.view.lang ?? preferred());
speakAll();

addEventListener("popstate", follow);
$("tools").addEventListener("submit", (event) => event.preventDefault());
$("presets").addEventListener("click", ({ target }) => {
  if (target.value) page.go({ span: presets(page.all)[target.value] });
});
$("quality-choice").addEventListener("click", ({ target }) => {
  if (target.value) page.go({ quality: target.value });
});
for (const group of document.querySelectorAll(".language")) {
  group.addEventListener("click", ({ target }) => {
    if (!target.value || target.value === chosen()) return;
    page.view = page.view.but({ lang: target.value });
    history.replaceState(null, "", page.view.hash);
    speakIn(target.value);
  });
}
for (const name of ["from", "to"]) $(name).addEventListener("change", typed);
$("earlier").addEventListener("click", () => page.go({ span: page.view.span.beside(-1) }));
$("later").addEventListener("click", () => page.go({ span: page.view.span.beside(1) }));
$("wider").addEventListener("click", () => page.go({ span: page.view.span.wider(page.all) }));
$("banner").querySelector("button").addEventListener("click", () => {
  banner(word("trying"));
  refresh();
});
$("readings").addEventListener("click", () => attempt(async () => {
  const { span, quality } = page.view;
  const asked = request("getDataByRange", { ...page.during(span), quality });
  save(await page.api.csv(asked), page.file("readings"));
}));
$("logout").addEventListener("click", () => {
  page.api.logout();
  $("main").hidden = true;
  // The next user is to see nothing that this one was shown.
  location.reload();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  if (page.view.kind === "list") $("fleet-title").focus();
  else $({ meter: "figures", group: "group-figures" }[page.view.kind] ?? "span-name").focus();
});

refresh();
