/** What a client knows of a view: whole by a snapshot, kept up by deltas, by the numbers of the frames. */

import { apply } from "./delta.js";
import { applyTable, unpack } from "./tables.js";

export class Mirror {
  #columns;
  #rest = {};
  #tables = {};
  #objects = {};

  /** `tables` as `hello` tells of them. */
  constructor(tables = []) {
    this.#columns = new Map(tables.map(({ name, columns }) => [name, columns]));
    this.frame = null;
  }

  /** Take a snapshot or a delta: "shown", "old", or "missed" where a snapshot is needed to go on. */
  take(message) {
    const { epoch, seq, tick } = message;
    const last = this.frame;
    const isOld = last && (epoch < last.epoch || (epoch === last.epoch && seq < last.seq));
    if (isOld) return "old";
    if (message.type === "snapshot") this.#set(message.state, message.tables ?? {});
    else if (!last || epoch !== last.epoch || message.prev !== last.seq) return last?.seq === seq ? "old" : "missed";
    else if (!this.#change(message)) return "missed";
    this.frame = { epoch, seq, tick, state: { ...this.#rest, ...this.#objects } };
    return "shown";
  }

  #set(rest, tables) {
    this.#rest = rest;
    this.#tables = {};
    this.#objects = {};
    for (const name of Object.keys(tables)) this.#keep(name, tables[name]);
  }

  #keep(name, table) {
    this.#tables[name] = table;
    this.#objects[name] = unpack(this.#columns.get(name) ?? [], table);
  }

  /** Whether it fits; where it does not, all is as before. */
  #change({ patch, nulls, tables = {} }) {
    try {
      const changed = Object.keys(tables).map((name) => [name, applyTable(this.#tables[name], tables[name])]);
      this.#rest = apply(this.#rest, patch, nulls);
      for (const [name, table] of changed) this.#keep(name, table);
      return true;
    } catch {
      return false;
    }
  }
}
