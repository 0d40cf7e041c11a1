/** What is under the pointer, in words. All of it is text: whoever commands the run may have written it. */

import { reveal } from "../places.js";
import { say } from "../words.js";

const MOST = 8; // members that are shown
const LONGEST = 60; // characters of each

export const cut = (text, most = LONGEST) => (text.length > most ? `${text.slice(0, most)}…` : text);

/** A value on a short line. */
export function brief(value) {
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  if (typeof value === "string") return cut(value);
  if (Array.isArray(value)) {
    const isShort = value.length <= 4 && value.every((each) => typeof each === "number");
    return isShort ? `[${value.map(brief).join(", ")}]` : `[…] ${value.length}`;
  }
  if (typeof value === "object" && value !== null) return `{…} ${Object.keys(value).length}`;
  return String(value);
}

/** `[name, value]` of what an entry has, the first `MOST`; of one that has no members its value alone. */
export function members(entry) {
  if (entry === undefined) return [];
  if (typeof entry !== "object" || entry === null) return [["", brief(entry)]];
  const names = Object.keys(entry);
  const shown = names.slice(0, MOST).map((name) => [cut(name, 24), brief(entry[name])]);
  return names.length > MOST ? [...shown, ["…", ""]] : shown;
}

/** What was hit, by its id, or as the cell that it is. */
export function title({ id, column, row }) {
  return column === undefined ? cut(String(id)) : say("cell_at", { column, row });
}

export class Hover {
  #shown = "";

  /** `element` is laid over `stage`; `told` is read aloud. */
  constructor(stage, element, told) {
    Object.assign(this, { stage, element, told });
  }

  hide() {
    if (this.element) reveal(this.element, false);
  }

  /** Show what was hit, beside a place in CSS pixels. */
  show(found, x, y) {
    if (!this.element) return;
    const lines = members(found.entry);
    const text = JSON.stringify([title(found), lines]);
    if (text !== this.#shown) {
      this.#shown = text;
      this.element.replaceChildren(part("strong", title(found)), ...lines.map(([name, value]) => line(name, value)));
    }
    reveal(this.element, true);
    this.#place(x, y);
  }

  #place(x, y) {
    const { clientWidth, clientHeight } = this.stage;
    const { offsetWidth, offsetHeight } = this.element;
    const left = x + 14 + offsetWidth > clientWidth ? x - 14 - offsetWidth : x + 14;
    const top = y + 14 + offsetHeight > clientHeight ? y - 14 - offsetHeight : y + 14;
    this.element.style.left = `${Math.max(0, Math.min(left, clientWidth - offsetWidth))}px`;
    this.element.style.top = `${Math.max(0, top)}px`;
  }

  /** Say once what is at the crosshair. */
  tell(found) {
    if (!this.told) return;
    const lines = found ? members(found.entry).map((each) => each.filter(Boolean).join(" ")) : [];
    this.told.textContent = found ? [title(found), ...lines].join(", ") : "";
  }
}

function line(name, value) {
  const element = part("span", name ? `${name}: ${value}` : value);
  return element;
}

function part(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
