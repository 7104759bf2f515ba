// Choosing a part of a chart by touch: a finger that moves sideways chooses, one that moves up or
// down scrolls the page, and two fingers enlarge it, as everywhere else.

const LEAST = 10;

/**
 * Calls `chosen(from, to, isDone)` with places in pixels from the left of an element while a finger
 * is drawn over it, and `givenUp()` where the browser takes the gesture for scrolling.
 */
export function onTouch(element, chosen, givenUp) {
  let start = null;
  element.style.touchAction = "pan-y pinch-zoom";
  const place = (event) => event.clientX - element.getBoundingClientRect().left;
  const forget = () => {
    if (start !== null) givenUp();
    start = null;
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") return;
    if (event.isPrimary) start = place(event);
    else forget();
  });
  element.addEventListener("pointermove", (event) => {
    if (start === null || !event.isPrimary) return;
    const now = place(event);
    if (Math.abs(now - start) >= LEAST) chosen(Math.min(start, now), Math.max(start, now), false);
  });
  element.addEventListener("pointerup", (event) => {
    if (start === null || !event.isPrimary) return;
    const [from, to] = [start, place(event)];
    start = null;
    if (Math.abs(to - from) >= LEAST) chosen(Math.min(from, to), Math.max(from, to), true);
  });
  element.addEventListener("pointercancel", forget);
}
