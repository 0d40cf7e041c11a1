/** How far a job is, in words; its bar is the page's own. What a job's view does not say is left out. */

import { say } from "./words.js";

const UNITS = [[3600, "hours_left"], [60, "minutes_left"], [1, "seconds_left"]];

export class JobCard {
  #lines = "";

  /** `root` has parts with `data-job`: text, percent, left, attempt, lines. */
  constructor(root) {
    this.parts = new Map([...root.querySelectorAll("[data-job]")].map((part) => [part.dataset.job, part]));
  }

  update({ progress, text, left, attempt, attempts, lines }) {
    this.#put("text", text);
    this.#put("percent", typeof progress === "number" ? `${Math.floor(100 * progress)} %` : "");
    this.#put("left", typeof left === "number" ? inWords(left) : "");
    this.#put("attempt", attempts > 1 ? say("attempt", { attempt, attempts }) : "");
    if (Array.isArray(lines)) this.#show(lines.join("\n"));
  }

  #put(name, text) {
    const part = this.parts.get(name);
    if (!part || part.textContent === (text ?? "")) return;
    part.textContent = text ?? "";
    part.hidden = !text;
  }

  /** New lines come into view where the last ones were in view before. */
  #show(lines) {
    const part = this.parts.get("lines");
    if (!part || lines === this.#lines) return;
    const follows = part.scrollHeight - part.scrollTop - part.clientHeight < 24;
    part.textContent = this.#lines = lines;
    part.hidden = lines === "";
    if (follows) part.scrollTop = part.scrollHeight;
  }
}

function inWords(seconds) {
  const [unit, name] = UNITS.find(([unit]) => seconds >= 2 * unit) ?? UNITS.at(-1);
  return say(name, { n: Math.ceil(seconds / unit) });
}
