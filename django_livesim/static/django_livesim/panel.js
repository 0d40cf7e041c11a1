/** The live page of one run: joins the socket to what the template laid out (elements with `data-ls`). */

import { JobCard } from "./job.js";
import { Log } from "./log.js";
import { LiveSocket } from "./socket.js";
import { Picture, point } from "./canvas.js";
import { Tree } from "./tree.js";
import { say } from "./words.js";

const TREE_EVERY = 100; // ms between two updates of the state tree
const RATE_OVER = 3000; // ms over which the measured rate is taken
const SILENCE = [3000, 30000]; // ms without a frame after which it is asked what is the matter: at first, at most
const PAUSES = 3; // times the last pause between two frames that pass before one is missed
const REMEMBERED = 100; // verdicts kept for forms whose answer comes later than the socket's
const ENDED = new Set(["stopped", "finished", "failed"]);
const CLOSED = { 4401: "no_right", 4403: "no_right", 4404: "no_right", 4410: "deleted", 4429: "too_many" };

export class Panel {
  #ticks = null;
  #epoch = null;
  #role = null;
  #verdicts = new Map();
  #countdown = 0;
  #silence = 0;
  #newsAt = 0;
  #newsOf = null;
  #pause = 0;
  #excused = false;
  #treeDue = 0;
  #wasAlive = false;
  #wasLost = false;

  constructor(root) {
    this.root = root;
    this.status = root.dataset.status;
    this.socket = new LiveSocket(absolute(root.dataset.socket));
    this.log = new Log(this.#part("log"));
    this.tree = new Tree(this.#part("state"), { more: say("more") });
    this.live = this.#handle();
    this.picture = this.#picture();
    this.job = this.#find("job") ? new JobCard(this.#find("job")) : null;
    this.#part("plain").hidden = true;
    this.#plot();
    this.#listen();
    this.socket.open();
  }

  #find(name) {
    return this.root.querySelector(`[data-ls="${name}"]`);
  }

  /** The same; where a host's template has left it out, one that is in no document. */
  #part(name) {
    return this.#find(name) ?? document.createElement("div");
  }

  #write(name, text) {
    const element = this.#find(name);
    if (element && element.textContent !== text) element.textContent = text;
  }

  /** What the simulation's own module may use. */
  #handle() {
    const { socket } = this;
    return {
      run: this.root.dataset.livesimRun,
      status: this.status,
      role: this.root.dataset.role,
      tick: 0,
      scale: 1,
      theme: {},
      point,
      send(name, args) {
        const promise = socket.send(name, args);
        promise.catch(() => {}); // the log tells it; who wants to know more awaits it
        return promise;
      },
    };
  }

  #picture() {
    const canvas = this.#find("canvas");
    if (!canvas) return null;
    this.#part("picture").hidden = false;
    return new Picture(canvas, canvas.dataset.script, this.live, (error) => {
      console.error(error);
      const note = this.#part("canvas-error");
      note.textContent = say("picture_failed", { error });
      note.hidden = false;
    });
  }

  /** Its plots, where it has figures: what draws them is large. */
  async #plot() {
    const card = this.#find("figures");
    if (!card) return;
    const { Plots } = await import("./plots.js");
    new Plots(card, this.socket);
  }

  #listen() {
    const on = (name, act) => this.socket.addEventListener(name, ({ detail }) => act(detail));
    on("connection", (detail) => this.#connection(detail));
    on("hello", (detail) => this.#hello(detail));
    on("frame", (frame) => this.#frame(frame));
    on("status", (detail) => this.#status(detail));
    on("verdict", (detail) => this.#verdict(detail));
    on("failed", (detail) => this.#verdict({ ...detail, type: "error", tick: null }));
    on("event", ({ name, data, tick }) => this.log.add("event", tick, data == null ? name : `${name} ${brief(data)}`));
    on("presence", ({ viewers }) => this.#write("viewers", String(viewers)));
    on("end", (detail) => this.#end(detail));
    this.#part("reconnect").addEventListener("click", () => this.socket.reconnect());
    this.root.addEventListener("htmx:load", () => this.#fillAnswers());
    document.addEventListener("DOMContentLoaded", () => this.#handOut()); // to modules that were loaded after the frame
    addEventListener("online", () => this.socket.reconnect());
    document.addEventListener("visibilitychange", () => document.hidden || this.#comeBack());
    addEventListener("pagehide", () => this.socket.close());
    addEventListener("pageshow", ({ persisted }) => persisted && this.socket.open());
  }

  /** The page is looked at again: what was not asked for while it was hidden is asked for now. */
  #comeBack() {
    this.socket.reconnect();
    this.#announce();
  }

  #connection({ state, delay, code }) {
    clearInterval(this.#countdown);
    const strip = this.#part("lost");
    this.root.dataset.connection = state;
    this.#write("connection", say(`socket_${state}`));
    if (state === "open") {
      strip.hidden = true;
      this.#gone(null);
    }
    if (state === "connecting" && this.#wasLost) this.#write("lost-count", say("trying"));
    if (state === "waiting") this.#lost(strip, delay);
    if (state === "closed" && CLOSED[code]) this.#closed(strip, CLOSED[code]);
    if (state === "waiting" && !this.#wasLost) {
      this.#wasLost = true;
      this.log.add("status", null, say("lost"));
    }
  }

  #lost(strip, delay) {
    const until = performance.now() + delay;
    const count = () => {
      const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      this.#write("lost-count", say("reconnecting", { seconds }));
    };
    this.#write("lost-text", say("lost"));
    this.#part("reconnect").hidden = false;
    strip.hidden = false;
    count();
    this.#countdown = setInterval(count, 250);
  }

  #closed(strip, reason) {
    if (reason !== "too_many") this.#gone(reason);
    this.#write("lost-text", say(reason));
    this.#write("lost-count", "");
    this.#part("reconnect").hidden = true;
    strip.hidden = false;
  }

  /** There is no run here any more for who looks: what the page could do is taken off it, and the list offered. */
  #gone(reason) {
    if (reason) this.root.dataset.gone = reason;
    else delete this.root.dataset.gone;
    this.#part("all-runs").hidden = !reason;
  }

  #hello({ status, role }) {
    if (this.#role !== null && role !== this.#role) return location.reload(); // the controls are the server's
    this.#role = this.live.role = role;
    this.#ticks = null;
    if (this.#wasLost) {
      this.#wasLost = false;
      this.log.add("status", null, say("back"));
      this.#announce();
    }
    this.#become(status);
    this.#newsAt = performance.now();
    this.#pause = 0;
    this.#excused = false;
    this.#listenForSilence();
  }

  /**
   * Something new has come: a frame, or how far a run is. How long it took is what is waited for the next,
   * unless a reason was told for it; what comes of one tick came at once.
   */
  #news(tick) {
    const now = performance.now();
    if (this.#excused) this.#pause = 0;
    else if (tick !== this.#newsOf) this.#pause = now - this.#newsAt;
    this.#excused = false;
    this.#newsAt = now;
    this.#newsOf = tick;
    this.#listenForSilence();
  }

  #frame({ epoch, seq, tick, state }) {
    this.#write("tick", String(tick));
    this.#news(tick);
    this.#measure(epoch, seq, tick);
    this.live.tick = tick;
    this.picture?.update(state);
    this.job?.update(state);
    this.#handOut();
    if (!this.#treeDue) this.#treeDue = setTimeout(() => this.#updateTree(), TREE_EVERY);
  }

  /** Tell modules of the host's own of the newest frame. */
  #handOut() {
    if (!this.socket.frame) return;
    const { state, tick } = this.socket.frame;
    document.body.dispatchEvent(new CustomEvent("livesim:frame", { detail: { state, tick, live: this.live } }));
  }

  /** A run that runs and shows nothing may be in one long step, or what it says gets lost: the server is asked. */
  #listenForSilence() {
    this.#growFresh();
    clearTimeout(this.#silence);
    const patience = Math.min(Math.max(SILENCE[0], PAUSES * this.#pause), SILENCE[1]);
    if (this.status === "running") this.#missFrames(patience);
  }

  #missFrames(delay) {
    this.#silence = setTimeout(() => {
      this.#growOld();
      document.body.dispatchEvent(new CustomEvent("livesim:silent"));
      this.#missFrames(Math.min(2 * delay, SILENCE[1]));
    }, delay);
  }

  /** The connection is there, and yet what is shown is old: that is said, with its age. */
  #growOld() {
    if (this.root.dataset.connection !== "open") return;
    this.root.dataset.connection = "silent";
    this.#write("rate", "–");
    const count = () => {
      const seconds = Math.round((performance.now() - this.#newsAt) / 1000);
      this.#write("connection", say("socket_silent", { seconds }));
    };
    count();
    this.#countdown = setInterval(count, 1000);
  }

  #growFresh() {
    if (this.root.dataset.connection !== "silent") return;
    clearInterval(this.#countdown);
    this.root.dataset.connection = "open";
    this.#write("connection", say("socket_open"));
  }

  #updateTree() {
    requestAnimationFrame(() => {
      this.#treeDue = 0;
      if (this.socket.frame) this.tree.update(this.socket.frame.state);
    });
  }

  /**
   * The measured rate, between live frames: one with the number 0 is what was stored, and the first of a worker,
   * or after a change, may show what was there before we looked.
   */
  #measure(epoch, seq, tick) {
    const now = performance.now();
    if (seq === 0 || epoch !== this.#epoch) this.#ticks = null;
    if (this.#epoch !== null && epoch !== this.#epoch) this.#announce(); // another worker has it
    this.#epoch = epoch;
    if (seq === 0) return;
    if (this.#ticks === null) {
      this.#ticks = [];
      return;
    }
    this.#ticks.push([now, tick]);
    while (this.#ticks.length > 2 && now - this.#ticks[0][0] > RATE_OVER) this.#ticks.shift();
    const [since, from] = this.#ticks[0];
    const moving = this.status === "running" && now - since > 400;
    this.#write("rate", moving ? ((1000 * (tick - from)) / (now - since)).toFixed(1) : "–");
  }

  #status({ status, tick, progress, speed, reason }) {
    if (tick > (this.socket.frame?.tick ?? -1)) this.#write("tick", String(tick));
    if (speed != null) this.#write("speed", speed > 0 ? `×${speed}` : say("max"));
    const counts = typeof progress === "number";
    const why = reason && reason !== status ? reason : "";
    if (counts && tick !== this.#newsOf) this.#news(tick);
    else if (why || this.#part("reason").textContent) this.#excused = true;
    this.#progress(progress);
    this.#reason(why, counts);
    this.#become(status);
  }

  #progress(progress) {
    const bar = this.#find("progress");
    if (!bar) return;
    const hidden = typeof progress !== "number";
    if (hidden !== bar.hidden) this.#announce();
    bar.hidden = hidden;
    if (hidden) return;
    bar.value = progress;
    this.#ticks = null;
    this.#write("rate", "–"); // what moves is history
  }

  /** A new reason without a new status, as after a strike, is a new fact; how far history is played is none. */
  #reason(reason, counts) {
    const element = this.#part("reason");
    if (!counts && reason !== element.textContent && !(element.hidden && reason === "")) this.#announce();
    element.hidden = reason === "";
    this.#write("reason", reason);
  }

  #become(status) {
    if (!status) return;
    this.#wasAlive ||= !ENDED.has(status);
    if (status === this.status && this.root.dataset.status === status) return;
    this.status = this.live.status = this.root.dataset.status = status;
    this.#ticks = null;
    const pill = this.#part("pill");
    pill.dataset.status = status;
    pill.textContent = say(status);
    if (status !== "running") this.#write("rate", "–");
    this.#listenForSilence();
    for (const element of this.root.querySelectorAll("[data-show]")) {
      element.hidden = !element.dataset.show.split(" ").includes(status);
    }
    for (const element of this.root.querySelectorAll("[data-when]")) {
      element.disabled = !element.dataset.when.split(" ").includes(status);
    }
    this.log.add("status", null, say(status));
    this.#announce();
  }

  /** Let the parts that the server renders ask for themselves again. */
  #announce() {
    document.body.dispatchEvent(new CustomEvent("livesim:status"));
  }

  #verdict(verdict) {
    const { type, id, tick, command, message, code } = verdict;
    if (id) {
      this.#verdicts.set(id, verdict);
      if (this.#verdicts.size > REMEMBERED) this.#verdicts.delete(this.#verdicts.keys().next().value);
      this.#fillAnswers();
    }
    const why = message || code;
    const text = say(type === "applied" ? "log_applied" : command ? "log_refused" : "refused", { command, why });
    this.log.add(type === "error" ? "refused" : type, tick, text);
    document.body.dispatchEvent(new CustomEvent("livesim:verdict", { detail: verdict })); // what waits for later may have changed
  }

  #fillAnswers() {
    for (const waiting of this.root.querySelectorAll('[data-command-id][data-outcome=""]')) {
      const verdict = this.#verdicts.get(waiting.dataset.commandId);
      if (verdict) waiting.replaceWith(answer(verdict));
    }
  }

  #end({ status, next }) {
    const follow = next && (this.#wasAlive || next !== this.root.dataset.successor);
    this.#become(status);
    if (!follow) return;
    this.log.add("status", null, say("restarted"));
    location.assign(this.root.dataset.next.replace("00000000-0000-0000-0000-000000000000", next));
  }
}

/** What became of a command, as the server's own fragment shows it. */
function answer({ type, tick, result, message, code }) {
  const element = document.createElement("p");
  element.className = "ls-answer";
  element.dataset.outcome = type === "applied" ? "applied" : "refused";
  if (type === "applied") {
    const text = say("applied", { tick });
    element.textContent = result == null ? text : `${text} → ${brief(result)}`;
  } else {
    element.textContent = say("refused", { why: message || code });
  }
  return element;
}

function brief(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

function absolute(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
