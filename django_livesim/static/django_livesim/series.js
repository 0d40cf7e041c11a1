/**
 * The figures of a run over its ticks: rows of what a page has heard, as columns that a plot can draw.
 *
 * There may be thousands, and a page stays open for days: of more than `MOST` rows the older half is thinned, as the
 * server thins what it stores. So the oldest stay, and are the wider apart the older they are.
 */

const MOST = 4000;
const NAMES = 100; // figures that are kept, where a simulation names them after things that come and go

export class Series {
  /** Ticks, which only grow; seconds since 1970, which never go back; by name, a value for each tick, or null. */
  ticks = [];
  at = [];
  columns = new Map();

  get length() {
    return this.ticks.length;
  }

  /** Put a row at the end, in place of one of the same tick. False, and nothing, where there are later ones. */
  add(tick, at, values) {
    const last = this.ticks.at(-1);
    if (tick < last) return false;
    if (tick === last) this.#cut(this.length - 1);
    const row = this.length;
    this.ticks.push(tick);
    this.at.push(Math.max(at, this.at.at(-1) ?? -Infinity));
    for (const column of this.columns.values()) column.push(null);
    for (const [name, value] of Object.entries(values)) this.#column(name, row)[row] = value;
    if (this.length > MOST) this.#thin();
    if (this.columns.size > NAMES) this.#forget(values);
    return true;
  }

  /** Take in what is stored, as the server gives it, before, between and after the rows that there are. */
  merge({ ticks, at, series }) {
    const mine = this.#rows();
    const known = new Set(this.ticks);
    const theirs = ticks.map((tick, row) => [tick, at[row], pick(series, row)]);
    const rows = [...theirs.filter(([tick]) => !known.has(tick)), ...mine].sort(([one], [other]) => one - other);
    this.#cut(0);
    for (const name of Object.keys(series)) this.#column(name, 0);
    for (const row of rows) this.add(...row);
  }

  clear() {
    this.#cut(0);
  }

  /** How many rows have a tick of at most this. */
  until(tick) {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ticks[middle] <= tick) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #rows() {
    const names = Object.fromEntries(this.columns);
    return this.ticks.map((tick, row) => [tick, this.at[row], pick(names, row)]);
  }

  #column(name, length) {
    let column = this.columns.get(name);
    if (!column) this.columns.set(name, (column = new Array(length).fill(null)));
    return column;
  }

  /** Those that came first and are not in the newest row. */
  #forget(values) {
    for (const name of [...this.columns.keys()]) {
      if (this.columns.size <= NAMES) return;
      if (!(name in values)) this.columns.delete(name);
    }
  }

  #cut(length) {
    for (const column of [this.ticks, this.at, ...this.columns.values()]) column.length = length;
  }

  #thin() {
    const half = MOST / 2;
    const gone = superfluous(this.ticks.slice(0, half + 1), this.ticks.at(-1), half / 2);
    const keep = (column) => column.filter((_value, row) => !gone.has(row));
    this.ticks = keep(this.ticks);
    this.at = keep(this.at);
    for (const [name, column] of this.columns) this.columns.set(name, keep(column));
  }
}

function pick(columns, row) {
  return Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[row] ?? null]));
}

/** Places of so many ticks as leave the smallest gap for their age; `figures.superfluous` in Python says more. */
export function superfluous(ticks, newest, number) {
  const gone = new Set();
  let kept = ticks.map((_tick, place) => place);
  while (gone.size < number && kept.length > 2) {
    const most = Math.min(number - gone.size, Math.max(1, kept.length >> 2));
    const gap = (i) => (ticks[kept[i + 1]] - ticks[kept[i - 1]]) / Math.sqrt(1 + newest - ticks[kept[i]]);
    const inner = kept.slice(1, -1).map((_place, i) => [gap(i + 1), i + 1]);
    const taken = new Set();
    for (const [, i] of inner.sort(([one], [other]) => one - other)) {
      if (taken.has(i - 1) || taken.has(i + 1)) continue;
      taken.add(i);
      if (taken.size === most) break;
    }
    for (const i of taken) gone.add(kept[i]);
    kept = kept.filter((_place, i) => !taken.has(i));
  }
  return gone;
}
