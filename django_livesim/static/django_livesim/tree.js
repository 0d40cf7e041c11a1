/**
 * A state as a folding tree. Only what is open is in the document, and an update touches only what changed,
 * so that a state of many thousand members costs what is seen of it. Texts are only ever text.
 */

const PAGE = 100; // members shown of one node until more are asked for
const LONG = 400; // characters shown of one text

export class Tree {
  /** Show values inside `root`; `words` has `more`: "show {n} more". */
  constructor(root, words) {
    this.words = words;
    this.root = root;
    this.members = null;
  }

  /** Show this value, keeping what is folded as it is. */
  update(value) {
    const shown = isBranch(value) ? value : { "": value };
    if (!this.members) {
      this.members = new Members(this, 0);
      this.root.replaceChildren(this.members.element);
    }
    this.members.update(shown);
  }
}

class Members {
  constructor(tree, depth) {
    this.tree = tree;
    this.depth = depth;
    this.limit = PAGE;
    this.nodes = new Map();
    this.element = make("ul", "ls-tree");
    this.more = null;
  }

  update(value) {
    this.value = value;
    const keys = Object.keys(value);
    const shown = keys.length > this.limit ? keys.slice(0, this.limit) : keys;
    this.#forget(shown);
    let at = this.element.firstChild;
    for (const key of shown) {
      let node = this.nodes.get(key);
      if (!node || node.branch !== isBranch(value[key])) {
        if (node?.element === at) at = at.nextSibling;
        node?.element.remove();
        node = isBranch(value[key]) ? new Branch(this.tree, key, this.depth) : new Leaf(key);
        this.nodes.set(key, node);
      }
      if (node.element === at) at = at.nextSibling;
      else this.element.insertBefore(node.element, at);
      node.update(value[key]);
    }
    this.#offerMore(keys.length - shown.length);
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
      button.addEventListener("click", () => {
        this.limit += 10 * PAGE;
        this.update(this.value);
      });
      this.more.append(button);
    }
    write(this.more.firstChild, this.tree.words.more.replace("{n}", hidden));
    if (this.more !== this.element.lastChild) this.element.append(this.more);
  }
}

class Leaf {
  branch = false;

  constructor(key) {
    this.element = make("li");
    this.text = make("span");
    if (key !== "") this.element.append(keyed(key), " ");
    this.element.append(this.text);
  }

  update(value) {
    if (this.value === value && this.kind) return;
    this.value = value;
    const kind = value === null ? "null" : typeof value;
    if (kind !== this.kind) {
      this.kind = kind;
      this.text.className = `ls-${kind}`;
    }
    write(this.text, spell(value));
  }
}

class Branch {
  branch = true;

  constructor(tree, key, depth) {
    this.members = null;
    this.element = make("li");
    this.details = make("details");
    this.count = make("span", "ls-count");
    const summary = make("summary");
    summary.append(keyed(key), " ", this.count);
    this.details.append(summary);
    this.element.append(this.details);
    this.details.addEventListener("toggle", () => this.#toggle(tree, depth));
    this.details.open = depth === 0;
  }

  update(value) {
    this.value = value;
    const size = Array.isArray(value) ? value.length : Object.keys(value).length;
    write(this.count, Array.isArray(value) ? `[${size}]` : `{${size}}`);
    this.members?.update(value);
  }

  #toggle(tree, depth) {
    if (!this.details.open) {
      this.members?.element.remove();
      this.members = null;
    } else if (!this.members) {
      this.members = new Members(tree, depth + 1);
      this.members.update(this.value);
      this.details.append(this.members.element);
    }
  }
}

function isBranch(value) {
  return typeof value === "object" && value !== null;
}

/** A value on one line: numbers to eight figures, long texts cut. */
function spell(value) {
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

/** Set a text only where it differs: an untouched node costs no layout. */
function write(element, text) {
  if (element.firstChild?.data !== text) element.textContent = text;
}
