/** The tab's title says how a run is, for who looks at another tab. */

const MARKS = { paused: "▮▮", stopped: "■", finished: "✓", failed: "✗", quarantined: "▲" };
const DONE = new Set(["finished", "stopped", "failed"]);

/** The title `name` of a run with that status, progress (0 to 1, or null), and connection. */
export function titled(name, { status, progress = null, isLost = false }) {
  const marks = [];
  if (isLost) marks.push("(!)");
  if (MARKS[status]) marks.push(MARKS[status]);
  if (typeof progress !== "number" || DONE.has(status)) return [...marks, name].join(" ");
  return [...marks, `${Math.floor(100 * progress)} %`, "·", name].join(" ");
}

export class TabTitle {
  #facts = {};
  #name = document.title;

  /** Take in what is new of `status`, `progress` and `isLost`. */
  set(facts) {
    Object.assign(this.#facts, facts);
    const title = titled(this.#name, this.#facts);
    if (document.title !== title) document.title = title;
  }
}
