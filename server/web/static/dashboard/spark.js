// A small chart of the energy of some days: a bar for each day, a dot for one without readings.

const SVG = "http://www.w3.org/2000/svg";
const STEP = 4;
const HEIGHT = 28;

/** The chart of values, null where there is none; `label` says the same in words. */
export function spark(values, days, label) {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(0, ...known), Math.max(0, ...known)];
  const scale = (HEIGHT - 1) / (high - low || 1);
  const place = (value) => Math.round((high - value) * scale * 10) / 10 + 0.5;
  // The newest day is at the right, however many there are.
  const left = (days - values.length) * STEP + STEP / 2;
  let [bars, gaps] = ["", ""];
  for (const [index, value] of values.entries()) {
    const x = left + index * STEP;
    if (value === null) gaps += `M${x} ${HEIGHT - 2}v2`;
    else bars += `M${x} ${place(0)}V${place(value) - (value >= 0 ? 0.5 : -0.5)}`;
  }
  const chart = document.createElementNS(SVG, "svg");
  chart.setAttribute("class", "spark");
  chart.setAttribute("viewBox", `0 0 ${days * STEP} ${HEIGHT}`);
  chart.setAttribute("preserveAspectRatio", "none");
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", label);
  for (const [name, path] of [["bars", bars], ["gaps", gaps]]) {
    const drawn = document.createElementNS(SVG, "path");
    drawn.setAttribute("class", name);
    drawn.setAttribute("d", path);
    chart.append(drawn);
  }
  return chart;
}
