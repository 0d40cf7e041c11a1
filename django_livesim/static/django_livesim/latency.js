/**
 * How fast what is seen here comes: the way of a command and back, frames, bytes, the connection. It is measured all the
 * time, and shown while its panel is open; how late the ticks are, only the server knows, and is asked meanwhile.
 */

import { load } from "./loading.js";

const KEPT = 200; // round trips that count
const OPEN = 100; // commands under way whose time is kept
const OVER = 3000; // ms over which rates are taken

/** Of the last `KEPT` figures, how large the share of them is at most. */
export class Figures {
  #kept = [];

  note(figure) {
    this.#kept.push(figure);
    if (this.#kept.length > KEPT) this.#kept.shift();
  }

  get count() {
    return this.#kept.length;
  }

  /** The figure that `share` of them, from 0 to 1, do not exceed; null where there is none. */
  quantile(share) {
    if (this.#kept.length === 0) return null;
    const sorted = [...this.#kept].sort((one, other) => one - other);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  }
}

/** Commands by their ids, from when they are sent to when it is known what became of them, in ms. */
export class RoundTrips {
  #sent = new Map();
  figures = new Figures();

  sent(id, now) {
    if (this.#sent.has(id)) return; // sent again
    this.#sent.set(id, now);
    if (this.#sent.size > OPEN) this.#sent.delete(this.#sent.keys().next().value);
  }

  answered(id, now) {
    if (!this.#sent.has(id)) return;
    this.figures.note(now - this.#sent.get(id));
    this.#sent.delete(id);
  }
}

/** Frames and bytes that came lately, and frames that were made and did not come to this viewer. */
export class Traffic {
  #frames = [];
  #sizes = [];
  #last = null;
  #step = 1; // between the numbers of two frames: where roles see different views, others have those between
  skipped = 0;

  /** A message of so many bytes has come. */
  message(size, now) {
    this.#sizes.push([now, size]);
    forget(this.#sizes, now);
  }

  /** A frame has come: `epoch`, `seq`, and of a delta `prev`. One with the number 0 is what was stored. */
  frame({ epoch, seq, prev }, now) {
    this.#frames.push([now, 1]);
    forget(this.#frames, now);
    if (seq === 0) return;
    if (prev !== undefined) this.#step = Math.max(1, seq - prev);
    const last = this.#last;
    if (last?.epoch === epoch && seq > last.seq) this.skipped += Math.max(0, Math.round((seq - last.seq) / this.#step) - 1);
    if (!last || epoch > last.epoch || seq > last.seq) this.#last = { epoch, seq };
  }

  /** What comes next is not the next of what came before. */
  begin() {
    this.#last = null;
  }

  frameRate(now) {
    return rate(this.#frames, now);
  }

  byteRate(now) {
    return rate(this.#sizes, now);
  }
}

function forget(entries, now) {
  let old = 0;
  while (old < entries.length && now - entries[old][0] > OVER) old++;
  if (old > 0) entries.splice(0, old);
}

function rate(entries, now) {
  forget(entries, now);
  return (1000 * entries.reduce((sum, [, each]) => sum + each, 0)) / OVER;
}

/** The panel: a `details` element with parts named by `data-latency`. */
export class Latency {
  trips = new RoundTrips();
  traffic = new Traffic();
  openedAt = null; // when the connection was opened, in ms
  opened = 0; // times that it was
  #card = null;

  constructor(element) {
    this.element = element;
    element.hidden = false;
    element.addEventListener("toggle", () => this.#toggle());
  }

  /** Measure what a socket says and hears. */
  listen(socket, signal) {
    signal?.addEventListener("abort", () => this.#card?.close());
    const on = (name, act) => socket.addEventListener(name, ({ detail }) => act(detail, performance.now()), { signal });
    on("sent", ({ id }, now) => this.trips.sent(id, now));
    on("verdict", ({ id }, now) => this.trips.answered(id, now));
    on("heard", ({ message, size }, now) => {
      this.traffic.message(size, now);
      if (message.type === "snapshot" || message.type === "delta") this.traffic.frame(message, now);
    });
    on("connection", ({ state }, now) => {
      if (state === "open") this.opened++;
      if (state === "open") this.traffic.begin();
      this.openedAt = state === "open" ? now : null;
    });
  }

  /** What writes the figures is loaded when they are looked at. */
  async #toggle() {
    const { LatencyCard } = await load(() => import("./latency_card.js"));
    this.#card ??= new LatencyCard(this);
    this.#card.turn(this.element.open);
  }
}
