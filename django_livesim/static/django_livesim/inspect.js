/** The admin's look into a run: renews itself while somebody looks, and shows the state as a tree that keeps its folds. */

import { Tree } from "./tree.js";

const EVERY = 2000; // milliseconds from one answer to the next question

class Inspection {
  constructor(now, status, button, state) {
    Object.assign(this, { now, status, button, state });
    this.tree = new Tree(state, { more: status.dataset.more });
    this.held = this.asking = this.failed = false;
    button.hidden = !this.#live();
    button.addEventListener("click", () => this.#hold(!this.held));
    document.addEventListener("visibilitychange", () => this.#plan(0));
    document.body.addEventListener("htmx:beforeSwap", ({ detail }) => this.#guard(detail));
    document.body.addEventListener("htmx:afterRequest", ({ detail }) => detail.target === now && this.#answered(detail));
    this.#showState();
    this.#plan(EVERY);
  }

  /** A page to log in, say, is no answer. */
  #guard(detail) {
    if (detail.target !== this.now) return;
    detail.shouldSwap &&= detail.xhr.getResponseHeader("Livesim-Fragment") !== null;
  }

  #answered({ xhr }) {
    this.asking = false;
    this.failed = xhr.status !== 200 || xhr.getResponseHeader("Livesim-Fragment") === null;
    if (!this.failed) this.#showState();
    this.#plan(EVERY);
  }

  #showState() {
    const given = JSON.parse(document.getElementById("livesim-whole").textContent);
    if (given.value) return this.tree.update(given.value);
    if (given.text) this.state.replaceChildren(Object.assign(document.createElement("pre"), { className: "livesim-data", textContent: given.text }));
    this.tree = new Tree(this.state, this.tree.words);
  }

  #live() {
    return this.now.firstElementChild?.dataset.live === "true";
  }

  #hold(held) {
    this.held = held;
    this.button.setAttribute("aria-pressed", held);
    this.#plan(0);
  }

  /** One question at a time, and none that nobody would see answered. */
  #plan(wait) {
    clearTimeout(this.timer);
    const rests = !this.#live() ? "over" : this.held ? "held" : document.hidden ? "hidden" : "";
    this.button.hidden = rests === "over";
    this.#say(rests || (this.failed ? "failed" : "live"));
    if (rests || this.asking) return;
    this.timer = setTimeout(() => this.#ask(), wait);
  }

  #ask() {
    this.asking = true;
    this.now.dispatchEvent(new Event("livesim:renew"));
  }

  #say(name) {
    const text = this.failed && name !== "over" ? this.status.dataset.failed : this.status.dataset[name];
    this.status.classList.toggle("errornote", this.failed);
    if (this.status.textContent !== text) this.status.textContent = text;
  }
}

const [now, status, button, state] = ["now", "renewal", "hold", "state"].map((name) => document.getElementById(`livesim-${name}`));
new Inspection(now, status, button, state);
