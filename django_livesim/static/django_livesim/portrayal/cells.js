/** The cells of a view: rows that are texts or lists, or one of either, of so many cells a row. */

import { number, reader } from "./paths.js";

const MOST = 4096; // rows, and cells in one

const isRow = (value) => typeof value === "string" || Array.isArray(value);

export class Cells {
  #rows = [];
  #flat = null;
  width = 0;
  height = 0;

  constructor({ path, width }) {
    this.read = reader(path);
    this.readWidth = typeof width === "number" ? () => width : Array.isArray(width) ? reader(width) : null;
  }

  take(state) {
    const found = this.read(state);
    this.#rows = [];
    this.#flat = null;
    this.width = this.height = 0;
    if (this.readWidth) this.#takeFlat(found, Math.floor(number(this.readWidth(state))));
    else if (Array.isArray(found)) this.#takeRows(found);
  }

  #takeFlat(found, width) {
    if (!isRow(found) || !(width > 0 && width <= MOST)) return;
    this.#flat = found;
    this.width = width;
    this.height = Math.min(Math.ceil(found.length / width), MOST);
  }

  /** A row that is none is empty. */
  #takeRows(found) {
    this.#rows = found.slice(0, MOST).map((row) => (isRow(row) ? row : ""));
    this.height = this.#rows.length;
    for (const row of this.#rows) this.width = Math.max(this.width, Math.min(row.length, MOST));
  }

  /** The value of a cell; undefined where there is none. */
  at(column, row) {
    if (this.#flat !== null) return this.#flat[row * this.width + column];
    return this.#rows[row]?.[column];
  }
}
