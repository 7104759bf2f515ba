// A chart over a row of times, drawn by uPlot, that the pointer and the keyboard can explore.

import uPlot from "/static/uplot/uPlot.esm.js";

import { onTouch } from "./drag.js";
import { ink, onScheme, type } from "./ink.js";
import { number, word } from "./locale.js";
import { ticks } from "./ticks.js";
import { hideTip, showTip, spoken } from "./tip.js";

const shown = new Map();
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) shown.get(target)?.fit();
});
onScheme(() => shown.forEach((plot) => plot.paint()));

export class Plot {
  #uplot = null;
  #at = null;

  /** `zoomed` is given the first and the last index that were chosen, where one may choose. */
  constructor(holder, { height = 260, zoomed = null } = {}) {
    this.holder = holder;
    this.height = height;
    this.zoomed = zoomed;
    holder.classList.add("plot");
    holder.tabIndex = 0;
    // Its own keys reach it then, past those of a screen reader; what is read stands in #readout.
    holder.setAttribute("role", "application");
    holder.addEventListener("keydown", (event) => this.#key(event));
    holder.addEventListener("blur", () => this.#leave());
    shown.set(holder, this);
    sizes.observe(holder);
  }

  /**
   * Draws columns of values over local times. `series` makes uPlot's series with the colours of
   * the moment, `describe` the title and the lines about an index, `mark` draws on top.
   */
  draw({ locals, columns, series, bands, unit, describe, mark, label, top, tickAt, finest }) {
    this.content = { locals, columns, series, bands, unit, describe, mark, top, tickAt, finest };
    this.holder.setAttribute("aria-roledescription", word("chart"));
    this.holder.setAttribute("aria-label", `${label} ${this.zoomed ? word("plot_keys") : ""}`);
    this.paint();
  }

  paint() {
    if (!this.content) return;
    this.#uplot?.destroy();
    this.#at = null;
    const { locals, columns } = this.content;
    const data = [locals.map((_, index) => index), ...columns];
    const plot = this.#uplot = new uPlot(this.#options(), data, this.holder);
    if (!this.zoomed) return;
    onTouch(plot.over, (from, to, isDone) => {
      const [left, right] = [Math.max(0, from), Math.min(plot.over.clientWidth, to)];
      const choice = { left, width: right - left, top: 0, height: plot.over.clientHeight };
      plot.setSelect(choice, isDone);
    }, () => plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false));
  }

  fit() {
    const width = this.holder.clientWidth;
    if (this.#uplot && width && width !== this.#uplot.width) {
      this.#uplot.setSize({ width, height: this.height });
    }
  }

  remove() {
    this.#uplot?.destroy();
    shown.delete(this.holder);
    sizes.unobserve(this.holder);
    this.holder.remove();
  }

  #options() {
    const { locals, series, bands, unit, mark, top, tickAt, finest } = this.content;
    const width = this.holder.clientWidth;
    const font = type(12);
    const stroke = () => ink("quiet");
    const grid = { stroke: () => ink("grid"), width: 1 };
    let labels = new Map();
    const splits = () => {
      const found = tickAt?.() ?? ticks(locals, Math.max(2, Math.floor(width / 56)), finest);
      labels = new Map(found);
      return [...labels.keys()];
    };
    return {
      width,
      height: this.height,
      padding: [24, 12, 0, 0],
      legend: { show: false },
      focus: { prox: 24 },
      cursor: {
        y: false,
        points: { size: 7, width: 2 },
        drag: { x: this.zoomed !== null, y: false, setScale: false },
        bind: { dblclick: () => null },
      },
      scales: {
        x: { time: false, range: () => [-0.5, Math.max(locals.length, 1) - 0.5] },
        y: {
          range: (_, low, high) => {
            const most = Math.max(top ?? 0, high ?? 0) || 1;
            return [low < 0 ? low * 1.05 : 0, most * 1.04];
          },
        },
      },
      axes: [
        {
          stroke,
          font,
          grid: { show: false },
          ticks: { stroke: () => ink("grid"), size: 4, width: 1 },
          size: 42,
          gap: 4,
          splits,
          values: (_, at) => at.map((index) => labels.get(index) ?? ""),
        },
        {
          stroke,
          font,
          grid,
          ticks: { show: false },
          gap: 6,
          space: 36,
          size: (_, values) => 16 + 7.2 * Math.max(2, ...(values ?? []).map((v) => v.length)),
          values: (_, at) => {
            const step = at.length > 1 ? at[1] - at[0] : 1;
            const digits = [0, 1, 2].find((count) => Number.isInteger(step * 10 ** count)) ?? 3;
            return at.map((value) => number(value, digits));
          },
        },
      ],
      series: [{}, ...series()],
      bands: bands?.() ?? [],
      hooks: {
        draw: [(plot) => this.#title(plot, unit), (plot) => mark?.(plot)],
        setCursor: [(plot) => this.#point(plot)],
        setSelect: [(plot) => this.#choose(plot)],
      },
    };
  }

  /** The unit stands above its axis. */
  #title(plot, unit) {
    const { ctx: pen, bbox } = plot;
    pen.save();
    pen.font = type(12 * devicePixelRatio);
    pen.fillStyle = ink("quiet");
    pen.textAlign = "right";
    pen.textBaseline = "bottom";
    pen.fillText(unit, bbox.left - 6 * devicePixelRatio, bbox.top - 9 * devicePixelRatio);
    pen.restore();
  }

  #point(plot) {
    const { idx: index, left, top } = plot.cursor;
    if (index === null || index === undefined || left < 0) {
      if (document.activeElement !== this.holder) hideTip();
      return;
    }
    const about = this.content.describe(index);
    const { left: x, top: y } = plot.over.getBoundingClientRect();
    showTip(...about, x + left, y + Math.max(0, top));
  }

  #choose(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    const last = this.content.locals.length - 1;
    const [from, to] = [left, left + width].map((place) =>
      Math.min(last, Math.max(0, Math.round(plot.posToVal(place, "x")))));
    hideTip();
    this.zoomed(from, to);
  }

  #key(event) {
    const last = this.content ? this.content.locals.length - 1 : -1;
    const at = this.#at;
    const moved = {
      ArrowRight: at === null ? 0 : at + 1,
      ArrowLeft: at === null ? last : at - 1,
      PageDown: (at ?? 0) + 10,
      PageUp: (at ?? 0) - 10,
      Home: 0,
      End: last,
    }[event.key];
    if (moved !== undefined && last >= 0) {
      event.preventDefault();
      this.#at = Math.min(last, Math.max(0, moved));
      const plot = this.#uplot;
      plot.setCursor({ left: plot.valToPos(this.#at, "x"), top: plot.over.clientHeight / 3 });
      document.getElementById("readout").textContent =
        spoken(...this.content.describe(this.#at));
    } else if (event.key === "Enter" && at !== null && this.zoomed) {
      hideTip();
      this.zoomed(at, at);
    } else if (event.key === "Escape") {
      this.#leave();
    }
  }

  #leave() {
    this.#at = null;
    this.#uplot?.setCursor({ left: -10, top: -10 });
    hideTip();
  }
}
