/** What has changed from one update to the next, found and marked at a bounded cost. */

const MARKED = 1000; // ms for which what has changed is marked
const MOST = 500; // elements marked at once
const SWEEP = 250; // ms

export const isBranch = (value) => typeof value === "object" && value !== null;

/**
 * Whether two values differ, as far as it is found by looking at `allowance.left` members, which is counted down.
 * What two frames share needs no looking at.
 */
export function differ(one, other, allowance) {
  if (one === other) return false;
  if (!isBranch(one) || !isBranch(other) || Array.isArray(one) !== Array.isArray(other)) return true;
  let count = 0;
  for (const name in other) {
    if (allowance.left-- <= 0) return false;
    if (!Object.hasOwn(one, name) || differ(one[name], other[name], allowance)) return true;
    count++;
  }
  for (const _ in one) if (--count < 0) return true;
  return false;
}

/** Elements that have a class for a moment. */
export class Marks {
  #until = new Map();
  #timer = 0;

  constructor(name) {
    this.name = name;
  }

  add(element) {
    if (!this.#until.has(element)) {
      if (this.#until.size >= MOST) return;
      element.classList.add(this.name);
    }
    this.#until.set(element, performance.now() + MARKED);
    this.#timer ||= setInterval(() => this.#sweep(), SWEEP);
  }

  #sweep() {
    const now = performance.now();
    for (const [element, until] of this.#until) {
      if (until > now) continue;
      element.classList.remove(this.name);
      this.#until.delete(element);
    }
    if (this.#until.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = 0;
  }
}
