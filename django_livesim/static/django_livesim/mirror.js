/** What a client knows of a view: whole by a snapshot, kept up by deltas, by the numbers of the frames. */

import { apply } from "./delta.js";
import { applyTable, unpack } from "./tables.js";

export class Mirror {
  #rest = {};
  #tables = new Map();
  #objects = {};
  frame = null;

  /**
   * Take a snapshot or a delta: "shown", "old", or "missed" where a snapshot is needed to go on.
   * The frame's state shares objects with those of later frames: copy it before writing into it.
   */
  take(message) {
    const { epoch, seq, tick } = message;
    const last = this.frame;
    const isOld = last && (epoch < last.epoch || (epoch === last.epoch && seq < last.seq));
    if (isOld) return "old";
    if (message.type !== "snapshot") {
      if (epoch === last?.epoch && seq === last.seq) return "old";
      if (epoch !== last?.epoch || message.prev !== last.seq) return "missed";
    }
    if (!this.#takes(message)) return "missed";
    this.frame = { epoch, seq, tick, state: { ...this.#rest, ...this.#objects } };
    return "shown";
  }

  /** Whether it fits; where it does not, all is as before. */
  #takes({ type, state, patch, nulls, tables = {} }) {
    try {
      const isWhole = type === "snapshot";
      const packed = Object.entries(tables).map(([name, each]) => [
        name,
        isWhole ? each : applyTable(this.#tables.get(name), each),
      ]);
      const objects = packed.map(([name, table]) => [name, unpack(table)]);
      this.#rest = isWhole ? state : apply(this.#rest, patch, nulls);
      this.#tables = new Map([...(isWhole ? [] : this.#tables), ...packed]);
      this.#objects = { ...(isWhole ? {} : this.#objects), ...Object.fromEntries(objects) };
      return true;
    } catch {
      return false;
    }
  }
}
