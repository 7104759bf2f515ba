// A canvas of cells: a column for each day or longer, a row for each hour or kind.

import { onTouch } from "./drag.js";
import { onScheme } from "./ink.js";
import { word } from "./locale.js";
import { hideTip, showTip, spoken } from "./tip.js";

const shown = new Map();
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) shown.get(target)?.paint();
});
onScheme(() => shown.forEach((grid) => grid.paint()));

export class Grid {
  #at = null;
  #from = null;

  /** `zoomed` is given the first and the last column that were chosen. */
  constructor(holder, { zoomed }) {
    this.holder = holder;
    this.zoomed = zoomed;
    holder.classList.add("plot", "grid");
    holder.tabIndex = 0;
    holder.setAttribute("role", "application");
    this.canvas = document.createElement("canvas");
    this.frame = document.createElement("div");
    this.frame.className = "frame";
    holder.append(this.canvas, this.frame);
    holder.addEventListener("pointerdown", (event) => this.#press(event));
    holder.addEventListener("pointermove", (event) => this.#move(event));
    holder.addEventListener("pointerup", (event) => this.#release(event));
    holder.addEventListener("pointerleave", () => this.#leave());
    onTouch(holder, (from, to, isDone) => this.#touched(from, to, isDone), () => this.#leave());
    holder.addEventListener("keydown", (event) => this.#key(event));
    holder.addEventListener("blur", () => this.#leave());
    shown.set(holder, this);
    sizes.observe(holder);
  }

  /**
   * Draws `columns` times `rows` cells. `colour(column, row)` is null where nothing is drawn;
   * `margins(width)` and `edge(pen, place)` are for what stands around them.
   */
  draw(content, label) {
    this.content = content;
    this.holder.setAttribute("aria-roledescription", word("chart"));
    this.holder.setAttribute("aria-label", `${label} ${word("plot_keys")}`);
    this.#leave();
    this.paint();
  }

  paint() {
    if (!this.content) return;
    const { columns, rows, rowHeight, gap, colour, edge } = this.content;
    const width = this.holder.clientWidth;
    const margins = this.content.margins(width);
    const height = margins.top + rows * rowHeight + margins.bottom;
    const scale = devicePixelRatio;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const inner = width - margins.left - margins.right;
    this.place = {
      x: (column) => margins.left + (column * inner) / columns,
      y: (row) => margins.top + row * rowHeight,
      columnAt: (x) => Math.floor(((x - margins.left) / inner) * columns),
      rowAt: (y) => Math.floor((y - margins.top) / rowHeight),
      width,
      height,
    };
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const between = inner / columns > 6 ? gap : 0;
    const lines = between || rows < 5 ? gap : 0;
    const snap = (value) => Math.round(value * scale) / scale;
    for (let column = 0; column < columns; column += 1) {
      const left = snap(this.place.x(column));
      const right = snap(this.place.x(column + 1));
      for (let row = 0; row < rows; row += 1) {
        const fill = colour(column, row, pen);
        if (fill === null) continue;
        const top = this.place.y(row);
        pen.fillStyle = fill;
        pen.fillRect(left, top, Math.max(right - left - between, 1 / scale), rowHeight - lines);
      }
    }
    edge(pen, this.place);
  }

  #cell(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const column = this.place.columnAt(event.clientX - left);
    const row = this.place.rowAt(event.clientY - top);
    const { columns, rows } = this.content;
    return column >= 0 && column < columns && row >= 0 && row < rows ? [column, row] : null;
  }

  #press(event) {
    if (!this.content || event.button !== 0) return;
    const cell = this.#cell(event);
    if (event.pointerType !== "touch") {
      this.#from = cell?.[0] ?? null;
    } else if (cell) {
      this.#outline([cell[0], cell[0]], cell[1]);
      showTip(...this.content.describe(...cell), event.clientX, event.clientY);
    }
  }

  #touched(from, to, isDone) {
    if (!this.content) return;
    const last = this.content.columns - 1;
    const [first, end] = [from, to].map((x) =>
      Math.min(last, Math.max(0, this.place.columnAt(x))));
    hideTip();
    this.#outline([first, end]);
    if (!isDone) return;
    this.#leave();
    this.zoomed(first, end);
  }

  #move(event) {
    if (!this.content || event.pointerType === "touch") return;
    const cell = this.#cell(event);
    if (!cell) {
      hideTip();
      return;
    }
    if (this.#from === null || this.#from === cell[0]) this.#outline([cell[0], cell[0]], cell[1]);
    else this.#outline([this.#from, cell[0]].sort((a, b) => a - b));
    showTip(...this.content.describe(...cell), event.clientX, event.clientY);
  }

  #release(event) {
    const to = this.content ? this.#cell(event)?.[0] ?? null : null;
    const from = this.#from;
    this.#from = null;
    if (from === null || to === null || from === to) return;
    this.#leave();
    this.zoomed(Math.min(from, to), Math.max(from, to));
  }

  #outline([first, last], row = null) {
    const { x, y } = this.place;
    const { rows, rowHeight, gap } = this.content;
    const top = row === null ? y(0) : y(row);
    const height = (row === null ? rows * rowHeight : rowHeight) - gap;
    Object.assign(this.frame.style, {
      display: "block",
      transform: `translate(${x(first)}px, ${top}px)`,
      width: `${Math.max(3, x(last + 1) - x(first))}px`,
      height: `${height}px`,
    });
    this.frame.classList.toggle("chosen", row === null);
  }

  #key(event) {
    if (!this.content?.columns) return;
    const { columns, rows, describe } = this.content;
    const [column, row] = this.#at ?? [-1, 0];
    const moved = {
      ArrowRight: [column + 1, row],
      ArrowLeft: [this.#at ? column - 1 : columns - 1, row],
      ArrowDown: [Math.max(column, 0), this.#at ? row + 1 : 0],
      ArrowUp: [Math.max(column, 0), this.#at ? row - 1 : rows - 1],
      Home: [0, row],
      End: [columns - 1, row],
    }[event.key];
    if (moved) {
      event.preventDefault();
      this.#at = [
        Math.min(columns - 1, Math.max(0, moved[0])),
        Math.min(rows - 1, Math.max(0, moved[1])),
      ];
      this.#outline([this.#at[0], this.#at[0]], this.#at[1]);
      const { left, top } = this.canvas.getBoundingClientRect();
      const about = describe(...this.#at);
      showTip(...about, left + this.place.x(this.#at[0]), top + this.place.y(this.#at[1]));
      document.getElementById("readout").textContent = spoken(...about);
    } else if (event.key === "Enter" && this.#at) {
      const at = this.#at[0];
      this.#leave();
      this.zoomed(at, at);
    } else if (event.key === "Escape") {
      this.#leave();
    }
  }

  #leave() {
    this.#at = null;
    this.#from = null;
    this.frame.style.display = "none";
    hideTip();
  }
}
