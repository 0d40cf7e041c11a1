/**
 * Finds keys and values in the state that a tree shows. The state is looked through in short slices, so that a large
 * one holds nothing up, and again while it changes.
 */

import { isBranch } from "./changes.js";
import { idOf, spell } from "./tree.js";
import { say } from "./words.js";

const MOST = 500; // hits that are kept
const OPENED = 20; // of them, those that are opened by themselves
const SLICE = 8; // ms in which the state is looked through at once
const LOT = 500; // members between two looks at the clock
const AGAIN = 1000; // ms until a state that has changed is looked through again
const TYPING = 150; // ms after the last key

/**
 * The paths of what has `text` in its key, or in its value as it is shown, in the order of the tree; upper and lower
 * case are the same, and the places in a list are no keys. Gives null now and then, so that one may pause.
 */
export function* found(value, text) {
  const wanted = text.toLowerCase();
  const has = (each) => each.toLowerCase().includes(wanted);
  const open = [level(value, null)];
  for (let looked = 1; open.length; looked++) {
    if (looked % LOT === 0) yield null;
    const top = open.at(-1);
    if (top.at === top.keys.length) {
      open.pop();
      continue;
    }
    const key = top.keys[top.at++];
    const each = top.value[key];
    const isHit = (!top.isList && has(key)) || (!isBranch(each) && has(typeof each === "string" ? each : spell(each)));
    if (isHit) yield [...open.slice(1).map((level) => level.key), key];
    if (isBranch(each)) open.push(level(each, key));
  }
}

function level(value, key) {
  return { value, key, keys: Object.keys(value), at: 0, isList: Array.isArray(value) };
}

export class Search {
  #text = "";
  #hits = [];
  #hasMore = false;
  #at = 0;
  #source = null;
  #timer = 0;
  #next = 0; // when it may be looked again
  #seen = undefined;
  #opened = new Set();

  /** `onFind(node)` is called with the node that is looked at. */
  constructor(tree, places, onFind) {
    Object.assign(this, { tree, onFind });
    this.field = places.part("find");
    this.count = places.part("found");
    this.steps = [places.part("find-previous"), places.part("find-next")];
    let typing = 0;
    this.field.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.#ask(this.field.value.trim()), TYPING);
    });
    this.field.addEventListener("keydown", (event) => this.#press(event));
    this.steps[0].addEventListener("click", () => this.#go(-1));
    this.steps[1].addEventListener("click", () => this.#go(1));
    this.#tell();
    this.#ask(this.field.value.trim()); // what was typed before
  }

  /** The state may have changed. */
  update() {
    if (!this.#text || this.#source || this.tree.value === this.#seen || performance.now() < this.#next) return;
    this.#look(false);
  }

  #press(event) {
    if (event.isComposing) return;
    if (event.key === "Escape" && this.field.value) {
      event.preventDefault();
      this.field.value = "";
      this.#ask("");
    } else if (event.key === "Enter") {
      event.preventDefault();
      const text = this.field.value.trim();
      if (text === this.#text) this.#go(event.shiftKey ? -1 : 1);
      else this.#ask(text);
    }
  }

  #ask(text) {
    if (text === this.#text) return;
    this.#text = text;
    this.#stop();
    this.#hits = [];
    this.#at = 0;
    if (text) this.#look(true);
    else this.#clear();
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#source = null;
  }

  #clear() {
    for (const node of this.#opened) node.fold();
    this.#opened.clear();
    this.#forgetReached(this.tree.members);
    this.tree.highlight(new Set(), null);
    this.#tell();
  }

  #forgetReached(members) {
    if (!members) return;
    members.forgetReached();
    for (const node of members.nodes.values()) this.#forgetReached(node.members);
  }

  #look(isNew) {
    if (this.tree.value === undefined) return;
    this.#seen = this.tree.value;
    this.#source = found(this.#seen, this.#text);
    this.#lookOn([], isNew);
  }

  #lookOn(hits, isNew) {
    const until = performance.now() + SLICE;
    do {
      const { value, done } = this.#source.next();
      if (value) hits.push(value);
      if (done || hits.length > MOST) return this.#take(hits, isNew);
    } while (performance.now() < until);
    this.#timer = setTimeout(() => this.#lookOn(hits, isNew));
  }

  #take(hits, isNew) {
    const before = this.#hits[this.#at];
    this.#stop();
    this.#next = performance.now() + AGAIN;
    this.#hasMore = hits.length > MOST;
    this.#hits = hits.slice(0, MOST);
    const same = before ? this.#hits.findIndex((path) => idOf(path) === idOf(before)) : 0;
    this.#at = same >= 0 ? same : Math.max(0, Math.min(this.#at, this.#hits.length - 1));
    if (isNew) for (const path of this.#hits.slice(0, OPENED)) this.#open(path);
    this.#show(isNew);
  }

  #open(path) {
    return this.tree.open(path, (node) => this.#opened.add(node));
  }

  #go(by) {
    if (this.#hits.length === 0) return;
    this.#at = (this.#at + by + this.#hits.length) % this.#hits.length;
    this.#show(true);
  }

  /** Mark what is found; `isWanted`: bring the one that is looked at into view. */
  #show(isWanted) {
    const path = this.#hits[this.#at];
    const node = path && isWanted ? this.#open(path) : null;
    this.tree.highlight(new Set(this.#hits.map(idOf)), path ? idOf(path) : null);
    this.#tell();
    if (!node) return;
    this.onFind(node);
    node.line.scrollIntoView({ block: "nearest" });
  }

  #tell() {
    const all = `${this.#hits.length}${this.#hasMore ? "+" : ""}`;
    const text = this.#hits.length ? say("found", { n: this.#at + 1, all }) : say("found_nothing");
    this.count.textContent = this.#text ? text : "";
    for (const step of this.steps) step.disabled = this.#hits.length === 0;
  }
}
