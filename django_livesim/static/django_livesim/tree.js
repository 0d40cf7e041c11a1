/**
 * A state as a folding tree. Only what is open is in the document, and an update touches only what changed,
 * so that a state of many thousand members costs what is seen of it. What has changed is marked for a moment, a
 * folded branch where something in it has. Texts are only ever text. Tab reaches one of its lines, arrow keys the others.
 */

import { Marks, differ, isBranch } from "./changes.js";
import { put } from "./places.js";

const PAGE = 100; // members shown of one node until more are asked for
const LONG = 400; // characters shown of one text
const COMPARED = 5000; // members that one update looks at to tell whether what is folded has changed
const LINES = "[tabindex]"; // what can have the focus: summaries, leaves and what offers more

export class Tree {
  #nodes = new WeakMap(); // by their elements
  #stop = null; // the line that Tab reaches

  /** Show values inside `root`; `words` has `more`: "show {n} more". */
  constructor(root, words) {
    this.words = words;
    this.root = root;
    this.members = null;
    this.value = undefined;
    this.changed = new Marks("ls-changed");
    this.allowance = { left: 0 };
    this.hits = new Set(); // the ids of what is found
    this.now = null; // the id of the one that is looked at
  }

  /** Show this value, keeping what is folded as it is. */
  update(value) {
    this.value = isBranch(value) ? value : { "": value };
    this.allowance.left = COMPARED;
    const before = this.root.contains(document.activeElement) ? document.activeElement : null;
    if (!this.members) this.#begin();
    this.members.update(this.value);
    this.settle();
    if (before && (before === this.root || !before.isConnected)) this.#stop?.focus({ preventScroll: true });
  }

  #begin() {
    this.members = new Members(this, null, 0);
    const { element } = this.members;
    element.addEventListener("keydown", (event) => this.#press(event));
    element.addEventListener("focusin", ({ target }) => this.stopAt(target));
    this.root.replaceChildren(element);
    this.root.removeAttribute("tabindex");
  }

  /** Let Tab reach this line, and no other. */
  stopAt(line) {
    if (this.#stop) this.#stop.tabIndex = -1;
    if (line) line.tabIndex = 0;
    this.#stop = line;
  }

  /** Where the line that Tab reaches is there no more, let it reach the one in its place, or else above it. */
  settle() {
    if (this.#stop?.isConnected) return;
    let node = this.#stop && this.nodeAt(this.#stop);
    while (node && !node.element.isConnected) {
      const other = node.within.nodes.get(node.key);
      node = other?.element.isConnected ? other : node.within.owner;
    }
    this.stopAt(node?.line ?? this.root.querySelector(LINES));
  }

  #press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (!["ArrowUp", "ArrowDown", "ArrowRight", "ArrowLeft", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    this.#from(event.target, event.key)?.focus();
  }

  /** The line that a key leads to; the key may fold, or unfold, instead. */
  #from(line, key) {
    const lines = [...this.root.querySelectorAll(LINES)];
    const at = lines.indexOf(line);
    const branch = line.localName === "summary" ? line.parentElement : null;
    if (key === "Home") return lines[0];
    if (key === "End") return lines.at(-1);
    if (key === "ArrowUp") return lines[at - 1];
    if (key === "ArrowDown") return lines[at + 1];
    const isRight = key === "ArrowRight";
    if (branch && branch.open !== isRight) this.nodeAt(line)[isRight ? "unfold" : "fold"]();
    else if (!isRight) return line.closest("ul").closest("details")?.firstChild;
    else if (branch?.contains(lines[at + 1])) return lines[at + 1];
  }

  /** The node whose line an element is in; null where that is none. */
  nodeAt(element) {
    return this.#nodes.get(element.closest("li")) ?? null;
  }

  /** The node of a path of keys, with what is above it unfolded; null where there is none. Tells `onOpen` of each. */
  open(path, onOpen = () => {}) {
    let members = this.members;
    let node = null;
    for (const key of path) {
      if (node) {
        if (!node.branch) return null;
        if (!node.members) onOpen(node);
        members = node.unfold();
      }
      node = members?.reach(key) ?? null;
      if (!node) return null;
    }
    return node;
  }

  /** Mark the nodes with these ids, as far as they are in the document, and the one that is looked at. */
  highlight(ids, now) {
    this.hits = ids;
    this.now = now;
    this.members?.highlight();
  }

  adopt(node) {
    this.#nodes.set(node.element, node);
    if (this.hits.size) node.highlight();
  }
}

/** What tells a path of keys from others. */
export const idOf = (path) => JSON.stringify(path);

class Members {
  constructor(tree, owner, depth) {
    this.tree = tree;
    this.owner = owner;
    this.depth = depth;
    this.limit = PAGE;
    this.reached = new Set(); // keys that are shown though they come later
    this.nodes = new Map();
    this.element = make("ul", "ls-tree");
    this.more = null;
    this.value = undefined;
  }

  update(value) {
    if (value === this.value) return;
    const isNew = this.value !== undefined;
    this.value = value;
    this.#show(isNew);
  }

  /** The node of a key, shown now if it was not; null where there is no such member. */
  reach(key) {
    if (!Object.hasOwn(this.value, key)) return null;
    if (!this.nodes.has(key)) {
      this.reached.add(key);
      this.#show(false);
    }
    return this.nodes.get(key);
  }

  /** Show no more than was asked for. */
  forgetReached() {
    if (this.reached.size === 0) return;
    this.reached.clear();
    this.#show(false);
  }

  highlight() {
    for (const node of this.nodes.values()) {
      node.highlight();
      node.members?.highlight();
    }
  }

  /** `isNew`: whether members that were not here before are news. */
  #show(isNew) {
    const { value } = this;
    const keys = Object.keys(value);
    const shown = this.#shown(keys);
    this.#forget(shown);
    let at = this.element.firstChild;
    for (const key of shown) {
      let node = this.nodes.get(key);
      const isThere = node && node.branch === isBranch(value[key]);
      if (!isThere) {
        if (node?.element === at) at = at.nextSibling;
        node?.element.remove();
        node = isBranch(value[key]) ? new Branch(this, key) : new Leaf(this, key);
        this.nodes.set(key, node);
      }
      if (node.element === at) at = at.nextSibling;
      else this.element.insertBefore(node.element, at);
      node.update(value[key]);
      if (!isThere) this.tree.adopt(node);
      if (!isThere && isNew) node.mark();
    }
    this.#offerMore(keys.length - shown.length);
  }

  #shown(keys) {
    if (keys.length <= this.limit) return keys;
    const shown = keys.slice(0, this.limit);
    if (this.reached.size === 0) return shown;
    const first = new Set(shown);
    return [...shown, ...[...this.reached].filter((key) => !first.has(key) && Object.hasOwn(this.value, key))];
  }

  #forget(shown) {
    if (this.nodes.size === 0) return;
    const keep = new Set(shown);
    for (const [key, node] of this.nodes) {
      if (keep.has(key)) continue;
      node.element.remove();
      this.nodes.delete(key);
    }
  }

  #offerMore(hidden) {
    if (hidden <= 0) {
      this.more?.remove();
      this.more = null;
      return;
    }
    if (!this.more) {
      this.more = make("li");
      const button = make("button", "ls-link");
      button.type = "button";
      button.tabIndex = -1;
      button.addEventListener("click", () => {
        const before = new Set(this.nodes.values());
        this.limit += 10 * PAGE;
        this.#show(false);
        [...this.nodes.values()].find((node) => !before.has(node))?.line.focus();
      });
      this.more.append(button);
    }
    put(this.more.firstChild, this.tree.words.more.replace("{n}", hidden));
    if (this.more !== this.element.lastChild) this.element.append(this.more);
  }
}

class Member {
  constructor(members, key) {
    this.within = members;
    this.key = key;
    this.element = make("li");
  }

  get tree() {
    return this.within.tree;
  }

  /** The keys that lead here. */
  get path() {
    const above = this.within.owner;
    return above ? [...above.path, this.key] : [this.key];
  }

  highlight() {
    const { hits, now } = this.tree;
    const id = hits.size ? idOf(this.path) : "";
    this.element.classList.toggle("ls-hit", hits.has(id));
    this.element.classList.toggle("ls-hit-now", id !== "" && id === now);
  }
}

class Leaf extends Member {
  branch = false;

  constructor(members, key) {
    super(members, key);
    this.line = this.element;
    this.line.tabIndex = -1;
    this.text = make("span");
    if (key !== "") this.element.append(keyed(key), " ");
    this.element.append(this.text);
  }

  update(value) {
    if (this.value === value && this.kind) return;
    this.value = value;
    if (this.kind) this.mark();
    const kind = value === null ? "null" : typeof value;
    if (kind !== this.kind) {
      if (this.kind) this.text.classList.remove(`ls-${this.kind}`);
      this.kind = kind;
      this.text.classList.add(`ls-${kind}`);
    }
    put(this.text, spell(value));
  }

  mark() {
    this.tree.changed.add(this.text);
  }
}

class Branch extends Member {
  branch = true;

  constructor(members, key) {
    super(members, key);
    this.members = null;
    this.value = undefined;
    this.details = make("details");
    this.count = make("span", "ls-count");
    this.line = make("summary");
    this.line.tabIndex = -1;
    this.line.append(keyed(key), " ", this.count);
    this.details.append(this.line);
    this.element.append(this.details);
    this.details.addEventListener("toggle", () => (this.details.open ? this.unfold() : this.#fold()));
    this.details.open = members.depth === 0;
  }

  update(value) {
    const before = this.value;
    if (value === before) return; // both frames have the same one
    this.value = value;
    const size = Array.isArray(value) ? `[${value.length}]` : `{${Object.keys(value).length}}`;
    const isOther = this.#write(size) || !this.members;
    if (before !== undefined && isOther && differ(before, value, this.tree.allowance)) this.mark();
    this.members?.update(value);
  }

  mark() {
    this.tree.changed.add(this.count);
  }

  /** Whether the text is another than before. */
  #write(text) {
    const isOther = this.count.textContent !== text;
    if (isOther) put(this.count, text);
    return isOther;
  }

  /** Its members, shown from now on. */
  unfold() {
    if (!this.details.open) this.details.open = true;
    if (!this.members) {
      this.members = new Members(this.tree, this, this.within.depth + 1);
      this.members.update(this.value);
      this.details.append(this.members.element);
    }
    return this.members;
  }

  fold() {
    this.details.open = false;
    this.#fold();
  }

  #fold() {
    this.members?.element.remove();
    this.members = null;
    this.tree.settle();
  }
}

/** A value on one line: numbers to eight figures, long texts cut. */
export function spell(value) {
  if (typeof value === "number") return String(Number.isInteger(value) ? value : Number(value.toPrecision(8)));
  if (typeof value !== "string") return String(value);
  return value.length > LONG ? `${value.slice(0, LONG)}… (${value.length})` : value;
}

function keyed(key) {
  const element = make("span", "ls-key");
  element.textContent = key.length > LONG ? `${key.slice(0, LONG)}…:` : `${key}:`;
  return element;
}

function make(tag, className = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  return element;
}
