/**
 * What a person is told of the connection: live, ended, nothing new for so long, reconnecting in so many seconds,
 * offline, or over for a reason. `data-connection` of the page has the state, by which what is old is greyed.
 */

import { say } from "./words.js";

const OVER = { 4401: "no_right", 4403: "no_right", 4404: "no_right", 4410: "deleted", 4429: "too_many" };
const RESTARTING = 1012;

export class Connection {
  #timer = 0;
  #isEnded = false;

  /** Whether it was lost and is not back. */
  isLost = false;

  /** `onChange(text)` is called when it is lost, or over, and when it is back. */
  constructor(places, onChange) {
    Object.assign(this, { places, onChange });
  }

  /** What the socket tells of itself: `state`, `delay` in ms, the `code` with which it was closed. */
  take({ state, delay, code }) {
    clearInterval(this.#timer);
    if (state === "open") this.#open();
    else if (state === "waiting") this.#lose(delay, code);
    else if (state === "connecting" && this.isLost) this.places.write("lost-count", say("trying"));
    else if (state === "closed" && OVER[code]) this.#close(OVER[code]);
    else this.#show(state, say(`socket_${state}`));
  }

  /** The run has ended, or goes on: nothing new is to be expected, or is. */
  end(isEnded) {
    this.#isEnded = isEnded;
    if (["open", "ended"].includes(this.#state)) this.#live();
  }

  /** The connection is there, and yet what is shown is old: that is said, with its age. */
  silent(since) {
    if (this.#state !== "open") return;
    this.#repeat(() => {
      const seconds = Math.round((performance.now() - since) / 1000);
      this.#show("silent", say("socket_silent", { seconds }));
    });
  }

  fresh() {
    if (this.#state !== "silent") return;
    clearInterval(this.#timer);
    this.#live();
  }

  /** Tell nothing more. */
  close() {
    clearInterval(this.#timer);
  }

  get #state() {
    return this.places.root.dataset.connection;
  }

  #show(state, text) {
    if (this.#state !== state) this.places.root.dataset.connection = state;
    this.places.write("connection", text);
  }

  #live() {
    const state = this.#isEnded ? "ended" : "open";
    this.#show(state, say(`socket_${state}`));
  }

  #open() {
    this.places.part("lost").hidden = true;
    this.#gone(null);
    this.#live();
    this.#become(false, say("back"));
  }

  /** Come back by itself: in so many ms; sooner, where the browser is offline, when it is no more. */
  #lose(delay, code) {
    const until = performance.now() + delay;
    this.places.part("reconnect").hidden = false;
    this.places.part("lost").hidden = false;
    this.#repeat(() => {
      const isOffline = navigator.onLine === false;
      const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      this.places.write("lost-text", say(isOffline ? "offline" : code === RESTARTING ? "restarting" : "lost"));
      this.places.write("lost-count", say(isOffline ? "when_online" : "reconnecting", { seconds }));
      const state = isOffline ? "offline" : "waiting";
      this.#show(state, say(`socket_${state}`));
    });
    this.#become(true, this.places.part("lost-text").textContent);
  }

  #close(reason) {
    if (reason !== "too_many") this.#gone(reason);
    this.places.write("lost-text", say(reason));
    this.places.write("lost-count", "");
    this.places.part("reconnect").hidden = true;
    this.places.part("lost").hidden = false;
    this.#show("closed", say(`socket_${reason}`));
    this.#become(true, say(reason));
  }

  /** There is no run here any more for who looks: what the page could do is taken off it, and the list offered. */
  #gone(reason) {
    if (reason) this.places.root.dataset.gone = reason;
    else delete this.places.root.dataset.gone;
    this.places.part("all-runs").hidden = !reason;
  }

  #repeat(act) {
    clearInterval(this.#timer);
    act();
    this.#timer = setInterval(act, 250);
  }

  #become(isLost, text) {
    if (isLost === this.isLost) return;
    this.isLost = isLost;
    this.onChange(text);
  }
}
