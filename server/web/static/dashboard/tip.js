// What stands beside the pointer: a title and some values.

const box = document.createElement("div");
box.className = "tip";
box.hidden = true;
box.setAttribute("aria-hidden", "true");
document.body.append(box);

/** Shows lines of [label, value, name of a colour] near a place of the window. */
export function showTip(title, lines, x, y) {
  const heading = document.createElement("b");
  heading.textContent = title;
  const list = document.createElement("dl");
  for (const [label, value, colour] of lines) {
    const term = document.createElement("dt");
    term.textContent = label;
    if (colour) term.dataset.ink = colour;
    const content = document.createElement("dd");
    content.textContent = value;
    list.append(term, content);
  }
  box.replaceChildren(heading, list);
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  const left = x + 16 + width > innerWidth ? Math.max(8, x - 16 - width) : x + 16;
  const top = Math.min(Math.max(8, y - height / 2), innerHeight - height - 8);
  box.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
}

export function hideTip() {
  box.hidden = true;
}

/** The same lines as one sentence, for who hears them. */
export function spoken(title, lines) {
  return [title, ...lines.map(([label, value]) => `${label}: ${value}`)].join(". ");
}
