// What is said in place of the charts, or above them.

const empty = document.getElementById("empty");
const charts = document.getElementById("charts");
const bar = document.getElementById("banner");

/** Says why there are no charts, and what to do, perhaps by a command in a terminal. */
export function notice(title, text, action, act, command = "") {
  empty.querySelector("h2").textContent = title;
  empty.querySelector("p").textContent = text;
  empty.querySelector("code").textContent = command;
  empty.querySelector("pre").hidden = !command;
  const button = empty.querySelector("button");
  button.textContent = action;
  button.onclick = act;
  empty.hidden = false;
  charts.hidden = true;
}

/** Says something above all; nothing, where the text is empty. True if it said something before. */
export function banner(text) {
  const before = !bar.hidden;
  bar.querySelector("p").textContent = text;
  bar.hidden = !text;
  return before;
}
