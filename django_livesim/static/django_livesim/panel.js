/** The live page of one run: joins the socket to what the template laid out (elements with `data-ls`). */

import { Answers, argsOf, brief } from "./answers.js";
import { Connection } from "./connection.js";
import { listen } from "./htmx.js";
import { Keys } from "./keys.js";
import { Latency } from "./latency.js";
import { load } from "./loading.js";
import { Log } from "./log.js";
import { Places } from "./places.js";
import { Rate } from "./rate.js";
import { Silence } from "./silence.js";
import { join, leave, toldBy } from "./sockets.js";
import { LiveError } from "./socket.js";
import { Picture, point } from "./canvas.js";
import { TabTitle } from "./title.js";
import { say } from "./words.js";

const ENDED = new Set(["stopped", "finished", "failed"]);

export class Panel {
  #epoch = null;
  #role = null;
  #wasAlive = false;
  #acted = null; // the form that was sent last
  #over = new AbortController();

  constructor(root) {
    this.root = root;
    this.isEmbedded = "livesimPrefix" in root.dataset; // in a page that is not ours
    this.status = root.dataset.status;
    const { signal } = this.#over;
    this.places = new Places(root);
    this.socket = join(root.dataset.socket, this);
    this.title = this.isEmbedded ? { set() {} } : new TabTitle();
    this.rate = new Rate();
    this.connection = new Connection(this.places, (text) => this.#connected(text));
    this.silence = this.#silence();
    this.log = new Log(this.#part("log"), this.#part("log-filter"));
    this.answers = new Answers(root, this.log);
    this.state = null;
    this.live = this.#handle();
    this.picture = this.#picture();
    this.job = this.#find("job");
    this.card = this.job ? this.#jobCard(this.job) : null;
    this.keys = new Keys(root, this.places, { isEmbedded: this.isEmbedded, signal });
    this.latency = new Latency(this.#part("latency"));
    this.#part("plain").hidden = true;
    this.#plot();
    this.#showState();
    this.#listen();
    this.latency.listen(this.socket, signal);
    this.socket.open();
    this.#catchUp();
  }

  /** Its element is in the page no more. */
  close() {
    this.#over.abort();
    this.silence.close();
    this.connection.close();
    leave(this.socket, this);
  }

  /** What a socket has told before, where it was open for another place of the page. */
  #catchUp() {
    const { socket } = this;
    if (socket.state !== "open" || !socket.hello) return;
    this.connection.take({ state: "open" });
    this.#hello(socket.hello);
    if (socket.frame) this.#frame(socket.frame);
    for (const [name, message] of toldBy(socket)) {
      if (name === "status") this.#status(message);
      else this.#presence(message.viewers);
    }
  }

  #find(name) {
    return this.places.find(name);
  }

  #part(name) {
    return this.places.part(name);
  }

  #write(name, text) {
    this.places.write(name, text);
  }

  /** What the simulation's own module may use. */
  #handle() {
    const { socket } = this;
    const isReadOnly = "readOnly" in this.root.dataset;
    return {
      run: this.root.dataset.livesimRun,
      status: this.status,
      role: this.root.dataset.role,
      tick: 0,
      scale: 1,
      theme: {},
      point,
      send: (name, args) => {
        const promise = isReadOnly ? Promise.reject(new LiveError({ code: "forbidden" })) : socket.send(name, args);
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

  /** What a job says of itself. */
  async #jobCard(card) {
    const { JobCard } = await load(() => import("./job.js"));
    return new JobCard(card);
  }

  /** Its plots, where it has figures: what draws them is large, and loaded when they come near. */
  async #plot() {
    const card = this.#find("figures");
    if (!card) return;
    await near(card);
    const { Plots } = await load(() => import("./plots.js"));
    if (!this.#over.signal.aborted) new Plots(card, this.socket, this.#over.signal);
  }

  /** Its state, likewise. */
  async #showState() {
    const place = this.#find("state");
    if (!place) return;
    await near(place);
    const { StateCard } = await load(() => import("./state.js"));
    if (!this.#over.signal.aborted) this.state = new StateCard(this.places, () => this.socket.frame);
  }

  /** A run that runs and shows nothing is old: that is said, with its age, and the server is asked. */
  #silence() {
    return new Silence({
      isDue: () => this.status === "running",
      onSilent: (since) => {
        if (this.root.dataset.connection === "open") this.#write("rate", "–");
        this.connection.silent(since);
        this.#tell("livesim:silent");
      },
      onFresh: () => this.connection.fresh(),
    });
  }

  #listen() {
    const { signal } = this.#over;
    const on = (name, act) => this.socket.addEventListener(name, ({ detail }) => act(detail), { signal });
    on("connection", (detail) => this.connection.take(detail));
    on("hello", (detail) => this.#hello(detail));
    on("frame", (frame) => this.#frame(frame));
    on("status", (detail) => this.#status(detail));
    on("sent", ({ id, name, action, args }) => this.answers.sent(id, args, name ?? action));
    on("verdict", (detail) => this.#verdict(detail));
    on("failed", (detail) => this.#verdict({ ...detail, type: "error", tick: null }));
    on("event", ({ name, data, tick }) => this.#event(name, data, tick));
    on("presence", ({ viewers }) => this.#presence(viewers));
    on("end", (detail) => this.#end(detail));
    this.#part("reconnect").addEventListener("click", () => this.socket.reconnect());
    listen(this.root, "begin", ({ source }) => this.#posted(source), { signal });
    document.addEventListener("DOMContentLoaded", () => this.#handOut(), { signal }); // to modules that were loaded after the frame
    addEventListener("online", () => this.#retry(), { signal });
    addEventListener("offline", () => this.socket.doubt(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#comeBack(), { signal });
    addEventListener("pagehide", () => this.socket.close(), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && this.socket.open(), { signal });
  }

  #retry() {
    this.socket.reconnect();
    this.socket.doubt();
  }

  /** The page is looked at again: what was not asked for while it was hidden is asked for now. */
  #comeBack() {
    this.#retry();
    this.#announce();
  }

  /** A form was sent: what with, and when, the page knows best. */
  #posted(form) {
    const id = form.elements?.livesim_id?.value;
    if (!id) return; // a part that asks for itself again
    this.#acted = form;
    this.answers.sent(id, argsOf(form));
    this.latency.trips.sent(id, performance.now());
  }

  /** The connection is lost, over or back. */
  #connected(text) {
    const { isLost } = this.connection;
    this.title.set({ isLost });
    this.log.add("status", null, { what: text });
    if (!isLost) this.#announce();
  }

  #hello({ status, role, commands }) {
    if (this.#role !== null && role !== this.#role) return this.#changeRole();
    this.#role = role;
    if (!("readOnly" in this.root.dataset)) this.live.role = role;
    this.answers.learn(commands);
    this.rate.forget();
    this.#become(status);
    this.silence.begin();
  }

  /** What can be done here is the server's to say; a page that is not ours is not loaded anew by us. */
  #changeRole() {
    if (!this.isEmbedded) return location.reload();
    this.#write("lost-text", say("rights_changed"));
    this.#part("reconnect").hidden = true;
    this.#part("lost").hidden = false;
  }

  #frame({ epoch, seq, tick, state }) {
    this.#write("tick", String(tick));
    this.silence.news(tick);
    this.#measure({ epoch, seq, tick });
    this.live.tick = tick;
    this.picture?.update(state);
    this.card?.then((card) => card.update(this.socket.frame.state));
    this.#handOut();
    if (this.job) this.title.set({ progress: state.progress });
    this.state?.renew();
  }

  /** Tell modules of the host's own of the newest frame. */
  #handOut() {
    if (!this.socket.frame) return;
    const { state, tick } = this.socket.frame;
    this.#tell("livesim:frame", { state, tick, live: this.live });
  }

  /** Tell the parts that the server renders and that wait for it, and whoever listens on the page. */
  #tell(name, detail) {
    for (const part of this.root.querySelectorAll(`[data-ls-renews~="${name}"]`)) part.dispatchEvent(new CustomEvent(name));
    this.root.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  }

  #measure(frame) {
    if (this.#epoch !== null && frame.epoch !== this.#epoch) this.#announce(); // another worker has it
    this.#epoch = frame.epoch;
    const rate = this.rate.take(frame, performance.now());
    if (rate === undefined) return;
    this.#write("rate", rate !== null && this.status === "running" ? rate.toFixed(1) : "–");
  }

  #status({ status, tick, progress, speed, reason }) {
    if (tick > (this.socket.frame?.tick ?? -1)) this.#write("tick", String(tick));
    if (speed != null) {
      this.#write("speed", speed > 0 ? `×${speed}` : say("max"));
      this.keys.told(speed);
    }
    const counts = typeof progress === "number";
    const why = reason && reason !== status ? reason : "";
    if (counts && !this.silence.knows(tick)) this.silence.news(tick);
    else if (why || this.#part("reason").textContent) this.silence.excuse();
    this.#progress(progress);
    this.#reason(why, counts);
    this.#become(status);
  }

  #progress(progress) {
    const counts = typeof progress === "number";
    if (counts || !this.job) this.title.set({ progress });
    const bar = this.#find("progress");
    if (!bar) return;
    if (counts === bar.hidden) this.#announce();
    bar.hidden = !counts;
    if (!counts) return;
    bar.value = progress;
    this.rate.forget();
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
    this.title.set({ status });
    this.connection.end(ENDED.has(status));
    if (status === this.status && this.root.dataset.status === status) return;
    this.status = this.live.status = this.root.dataset.status = status;
    this.rate.forget();
    const pill = this.#part("pill");
    pill.dataset.status = status;
    pill.textContent = say(status);
    if (status !== "running") this.#write("rate", "–");
    this.silence.listen();
    const left = document.activeElement?.closest("form[data-show]");
    for (const element of this.root.querySelectorAll("[data-show]")) {
      element.hidden = !element.dataset.show.split(" ").includes(status);
    }
    for (const element of this.root.querySelectorAll("[data-when]")) {
      element.disabled = !element.dataset.when.split(" ").includes(status);
    }
    if (left?.hidden && left === this.#acted) this.root.querySelector(`[data-key="${left.dataset.key}"]:not([hidden]) button`)?.focus();
    this.log.add("status", null, { what: say(status) });
    this.#announce();
  }

  /** Let the parts that the server renders ask for themselves again. */
  #announce() {
    this.#tell("livesim:status");
  }

  #verdict(verdict) {
    this.answers.take(verdict);
    this.#tell("livesim:verdict", verdict); // what waits for later may have changed
  }

  #event(name, data, tick) {
    this.log.add("event", tick, { what: brief(name), data: data == null ? "" : brief(data) });
  }

  #presence(viewers) {
    this.#write("viewers", String(viewers));
    const others = viewers - 1;
    const text = say(others > 1 ? "others" : others === 1 ? "one_other" : "alone", { n: others });
    this.#write("others", text);
    const place = this.#find("viewers")?.parentElement;
    if (place) place.title = text;
  }

  #end({ status, next }) {
    const follow = next && (this.#wasAlive || next !== this.root.dataset.successor);
    this.#become(status);
    if (!follow || !this.root.dataset.next) return;
    this.log.add("status", null, { what: say("restarted") });
    location.assign(this.root.dataset.next.replace("00000000-0000-0000-0000-000000000000", next));
  }
}

/** Until an element is nearly in view. */
function near(element) {
  return new Promise((resolve) => {
    const seen = new IntersectionObserver(([{ isIntersecting }]) => {
      if (!isIntersecting) return;
      seen.disconnect();
      resolve();
    }, { rootMargin: "200px" });
    seen.observe(element);
  });
}
