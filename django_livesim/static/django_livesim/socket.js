/**
 * A socket to one run: connects, says hello, keeps the newest frame, and gives every command one answer.
 *
 *   const socket = new LiveSocket(url);
 *   socket.addEventListener("frame", (event) => event.detail.state);
 *   socket.open();
 *   const { tick, result } = await socket.send("add_entity", { entity_id: "moon", entity_data: {} });
 *
 * A connection that is lost is made again, ever more slowly; commands that had no answer are then sent again
 * under the same id, so that each takes effect once. At most 100 wait for an answer; one that could not be sent
 * for ten seconds is refused as `stale`, since nobody wants it done by surprise. While the page is hidden a frame
 * comes every two seconds, or as `new LiveSocket(url, { hiddenRate })` says: so many a second, Infinity for no fewer
 * than ever. Events, each with a `detail`:
 *   connection {state: "connecting" | "open" | "waiting" | "closed", delay, code}   delay in ms, while waiting
 *   hello, status, event, metrics, presence, end   the server's message
 *   sent     {id, type, name | action, args}: a command is on its way, or will be
 *   heard    {message, size}: any message, of so many characters, before what is made of it
 *   frame    {epoch, seq, tick, state}, never older than the one before it on the same connection
 *   accepted {id, command}
 *   verdict  {type: "applied" | "refused", id, command, tick, result | code, message}; id is null for others' commands
 *   failed   {id, code, message, fields}: not accepted
 */

import { Mirror } from "./mirror.js";

const FATAL = { 4401: "forbidden", 4403: "forbidden", 4404: "forbidden", 4410: "deleted", 4429: "too_many" };
const TOO_LARGE = 1009;
const RESTARTING = 1012;
const MOST_PENDING = 100;
const STALE = 10000; // ms unsent after which a command is not sent any more
const FIRST_DELAY = 500; // ms
const LAST_DELAY = 15000;
const SETTLED = 10000; // ms open after which the next loss counts as the first
const QUIET = 20000; // ms without a word after which we ask
const DEAD = 30000; // ms without a word after which the connection counts as lost
const DOUBT = 4000; // the same, where there is a reason to doubt it
const ALL = 1000; // frames a second: as many as there are
const HIDDEN = 0.5; // frames a second that a hidden page asks for; soon enough for none to be missed

/** A command that was refused, or never accepted; `code` is one of the protocol's. */
export class LiveError extends Error {
  constructor({ code = "error", message = "", fields = {}, tick = null }) {
    super(message || code);
    this.name = "LiveError";
    Object.assign(this, { code, fields, tick });
  }
}

export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class LiveSocket extends EventTarget {
  #ws = null;
  #wanted = false;
  #attempt = 0;
  #retry = 0;
  #pulse = 0;
  #heard = 0;
  #openedAt = 0;
  #pending = new Map();
  #mirror = new Mirror();
  #taken = 0;
  #asked = false; // for a snapshot that has not come
  #wish = ALL; // frames a second
  #told = ALL; // to the server, on this connection
  #hiddenRate;
  #onVisibility = () => this.#tellRate();

  constructor(url, { hiddenRate = HIDDEN } = {}) {
    super();
    this.url = url;
    this.#hiddenRate = hiddenRate;
    this.state = "closed";
    this.hello = null;
    this.frame = null;
  }

  open() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#attempt = 0;
    this.#pulse = setInterval(() => this.#check(), 5000);
    globalThis.document?.addEventListener("visibilitychange", this.#onVisibility);
    this.#connect();
  }

  /** Close for good; `open` begins again. Commands without an answer stay so. */
  close() {
    this.#unwant();
    clearTimeout(this.#retry);
    this.#drop();
    this.#become("closed", { code: 1000 });
  }

  /** Try now instead of after the delay. */
  reconnect() {
    if (this.state !== "waiting") return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  /** The network may be another, or none: ask whether the connection still is one, and soon take silence for no. */
  doubt() {
    if (this.state !== "open" || !this.#write({ type: "ping" })) return;
    const ws = this.#ws;
    const asked = performance.now();
    setTimeout(() => ws === this.#ws && this.#heard <= asked && this.#die(), DOUBT);
  }

  /** Send a command: a promise of {tick, result}, rejected with LiveError. Options: id, atTick, delay (seconds). */
  send(name, args = {}, { id = newId(), atTick, delay } = {}) {
    const message = { type: "command", id, name, args };
    if (atTick !== undefined) message.at_tick = atTick;
    if (delay !== undefined) message.delay = delay;
    return this.#ask(message);
  }

  /** Send a control, e.g. control("step", {n: 5}); a promise like that of `send`. */
  control(action, args = {}, { id = newId() } = {}) {
    return this.#ask({ type: "control", id, action, ...args });
  }

  /** Ask for a whole snapshot. */
  resync() {
    this.#write({ type: "resync" });
  }

  /** Ask for at most so many frames a second, now and after each reconnection; 1000: as many as there are. */
  rate(fps) {
    this.#wish = Math.min(fps, ALL);
    this.#tellRate();
  }

  #tellRate() {
    const fps = globalThis.document?.hidden ? Math.min(this.#wish, this.#hiddenRate) : this.#wish;
    if (fps !== this.#told && this.#write({ type: "rate", fps })) this.#told = fps;
  }

  #ask(message) {
    if (this.#pending.size >= MOST_PENDING) return Promise.reject(new LiveError({ code: "too_many" }));
    const promise = new Promise((resolve, reject) => {
      const entry = { message, resolve, reject, sent: false, since: performance.now(), timer: 0, wait: 0 };
      this.#pending.set(message.id, entry);
    });
    this.#tell("sent", message);
    this.#transmit(this.#pending.get(message.id));
    return promise;
  }

  #transmit(entry) {
    clearTimeout(entry.timer);
    if (this.#write(entry.message)) entry.sent = true;
  }

  /** Send again later: after what the server asks for, doubled each time, and not when all others do. */
  #transmitLater(entry, least) {
    entry.wait = Math.min(LAST_DELAY, Math.max(least, 2 * entry.wait));
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => this.#transmit(entry), entry.wait * (1 + Math.random() / 2));
  }

  #refuseStale() {
    const now = performance.now();
    for (const [id, entry] of this.#pending) {
      if (!entry.sent && now - entry.since > STALE) this.#fail({ id, code: "stale", message: "", fields: {} });
    }
  }

  #write(message) {
    if (this.state !== "open") return false;
    this.#ws.send(JSON.stringify(message));
    return true;
  }

  #connect() {
    this.#become("connecting");
    const ws = new WebSocket(this.url);
    this.#ws = ws;
    this.#heard = performance.now();
    ws.onmessage = ({ data }) => this.#read(data);
    ws.onclose = ({ code }) => this.#lost(code);
  }

  #drop() {
    if (!this.#ws) return;
    this.#ws.onmessage = this.#ws.onclose = null;
    this.#ws.close();
    this.#ws = null;
  }

  #lost(code) {
    if (this.#openedAt && performance.now() - this.#openedAt > SETTLED) this.#attempt = 0;
    this.#openedAt = 0;
    this.#ws = null;
    if (code === TOO_LARGE) this.#refuseSent("too_large");
    if (code in FATAL) {
      this.#unwant();
      this.#refuseAll(FATAL[code]);
      this.#become("closed", { code });
      return;
    }
    const delay = this.#nextDelay(code);
    this.#retry = setTimeout(() => this.#connect(), delay);
    this.#become("waiting", { delay, code });
  }

  #unwant() {
    this.#wanted = false;
    clearInterval(this.#pulse);
    globalThis.document?.removeEventListener("visibilitychange", this.#onVisibility);
  }

  /** In ms. A server that restarts closes everybody at once: they come back over some seconds. */
  #nextDelay(code) {
    const attempt = this.#attempt++;
    if (code === RESTARTING && attempt === 0) return FIRST_DELAY + Math.random() * 9 * FIRST_DELAY;
    return Math.min(LAST_DELAY, FIRST_DELAY * 2 ** attempt) * (0.5 + Math.random() / 2);
  }

  #check() {
    this.#refuseStale();
    if (this.state !== "open" && this.state !== "connecting") return;
    const quiet = performance.now() - this.#heard;
    if (quiet > DEAD) this.#die();
    else if (quiet > QUIET) this.#write({ type: "ping" });
  }

  #die() {
    this.#drop();
    this.#lost(1006);
  }

  #become(state, detail = {}) {
    this.state = state;
    this.#tell("connection", { state, ...detail });
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #read(text) {
    this.#heard = performance.now();
    const message = JSON.parse(text);
    this.#tell("heard", { message, size: text.length });
    switch (message.type) {
      case "hello":
        return this.#greet(message);
      case "snapshot":
      case "delta":
        return this.#show(message);
      case "accepted":
        return this.#tell("accepted", message);
      case "applied":
        this.#settle(message.id, (entry) => entry.resolve({ tick: message.tick, result: message.result }));
        return this.#tell("verdict", message);
      case "refused":
        this.#settle(message.id, (entry) => entry.reject(new LiveError(message)));
        return this.#tell("verdict", message);
      case "error":
        return this.#fail(message);
      case "status":
      case "event":
      case "metrics":
      case "presence":
      case "end":
        return this.#tell(message.type, message);
    }
  }

  /** A second hello on a connection tells of other rights; what was sent needs no sending again. */
  #greet(message) {
    const first = this.state !== "open";
    this.hello = message;
    this.#mirror = new Mirror();
    this.#asked = false;
    this.frame = null;
    if (first) {
      this.#openedAt = performance.now();
      this.#told = ALL;
      this.#taken = 0;
      this.#become("open");
      this.#tellRate();
    }
    this.#tell("hello", message);
    if (!first) return;
    this.#refuseStale();
    for (const entry of this.#pending.values()) this.#transmit(entry);
  }

  #show(message) {
    // Two may be under way, so it is enough to say so of every second one.
    if (++this.#taken % 2) this.#write({ type: "ack", epoch: message.epoch, seq: message.seq });
    if (message.type === "snapshot") this.#asked = false;
    const fate = this.#mirror.take(message);
    if (fate === "missed" && !this.#asked) {
      this.#asked = true;
      this.resync();
    }
    if (fate !== "shown") return;
    this.frame = this.#mirror.frame;
    this.#tell("frame", this.frame);
  }

  #fail(message) {
    const entry = this.#pending.get(message.id);
    if (entry && typeof message.retry === "number") {
      this.#transmitLater(entry, message.retry * 1000);
      return;
    }
    this.#settle(message.id, ({ reject }) => reject(new LiveError(message)));
    this.#tell("failed", message);
  }

  #settle(id, act) {
    const entry = this.#pending.get(id);
    if (!entry) return;
    clearTimeout(entry.timer);
    this.#pending.delete(id);
    act(entry);
  }

  #refuseSent(code) {
    for (const [id, entry] of this.#pending) {
      if (entry.sent) this.#settle(id, ({ reject }) => reject(new LiveError({ code })));
    }
  }

  #refuseAll(code) {
    for (const id of [...this.#pending.keys()]) this.#settle(id, ({ reject }) => reject(new LiveError({ code })));
  }
}
