// The colours and the type of the style sheet, for what is drawn on a canvas.

const style = getComputedStyle(document.documentElement);

/** The value of a custom property: `--energy` for "energy". */
export function ink(name) {
  return style.getPropertyValue(`--${name}`).trim();
}

/** The page's type in a size of pixels. */
export function type(size, weight = 400) {
  return `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
}

const patterns = new Map();

/** Slanted lines in a colour, for what is incomplete. */
export function hatched(context, colour) {
  const key = `${colour} ${devicePixelRatio}`;
  if (!patterns.has(key)) patterns.set(key, pattern(context, colour));
  return patterns.get(key);
}

function pattern(context, colour) {
  const tile = document.createElement("canvas");
  const size = Math.round(6 * devicePixelRatio);
  tile.width = tile.height = size;
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour;
  pen.lineWidth = size / 3.5;
  for (const shift of [-size, 0, size]) {
    pen.beginPath();
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
    pen.stroke();
  }
  return context.createPattern(tile, "repeat");
}

/** Calls back when the reader's system turns dark or light. */
export function onScheme(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}
