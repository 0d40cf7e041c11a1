/** The member of a state that was clicked, found or reached by keyboard: its path, and its path or value to copy. */

import { copy } from "./clipboard.js";

const PLAIN = /^[A-Za-z_$][\w$]*$/;

/** A path of keys as one writes it: `members["no 1"].x`, `marks[0]`; `value` is the state. */
export function written(path, value) {
  let text = "";
  for (const key of path) {
    if (Array.isArray(value)) text += `[${key}]`;
    else if (PLAIN.test(key)) text += text ? `.${key}` : key;
    else text += `[${JSON.stringify(key)}]`;
    value = value?.[key];
  }
  return text;
}

export class Copying {
  #node = null;

  constructor(tree, places) {
    Object.assign(this, { tree, places });
    const choose = ({ target }) => this.choose(tree.nodeAt(target));
    tree.root.addEventListener("click", choose);
    tree.root.addEventListener("focusin", choose);
    places.part("copy-path").addEventListener("click", () => this.#copy(this.#path()));
    places.part("copy-value").addEventListener("click", () => this.#copy(this.#value()));
  }

  /** Show the path of a node. */
  choose(node) {
    if (!node || node === this.#node) return;
    this.#node = node;
    this.places.part("chosen").hidden = false;
    this.places.part("copy").hidden = !navigator.clipboard; // which only an address that is secure has
    this.places.write("chosen-path", this.#path());
    this.places.write("copied", "");
  }

  #path() {
    return written(this.#node.path, this.tree.value);
  }

  #value() {
    const { value } = this.#node;
    return typeof value === "string" ? value : JSON.stringify(value);
  }

  async #copy(text) {
    this.places.write("copied", "");
    this.places.write("copied", await copy(text));
  }
}
