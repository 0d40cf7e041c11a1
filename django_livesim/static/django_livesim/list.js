/**
 * The list of runs: asks for its rows as soon as the server says that they have changed, and keeps what is chosen
 * while they are renewed. htmx gives the focus back by ids. Without a socket the poll in the rows is all there is.
 */

import { listen } from "./htmx.js";

const GAP = 250; // ms between two times that the rows are asked for, at least
const SPREAD = 400; // ms over which those who are told at once ask
const FIRST_DELAY = 1000; // ms before the socket is opened again
const LAST_DELAY = 30000;
const HOPELESS = 3; // times that it may fail to open before it is known that there is none
const FATAL = new Set([4401, 4403, 4404, 4429]);

export class RunList {
  #chosen = new Set();
  #busy = false;
  #due = false;
  #askedAt = -GAP;
  #timer = 0;

  constructor(root) {
    this.root = root;
    this.all = root.querySelector("#ls-all");
    const apply = root.querySelector('[data-ls="apply"]');
    if (apply) apply.hidden = true; // what is chosen there takes effect at once
    root.addEventListener("change", ({ target }) => this.#changed(target));
    this.#listen();
    this.#show();
    this.bell = new Bell(absolute(root.dataset.livesimList), () => this.#ring());
  }

  #listen() {
    const rows = (name, act) => listen(document, name, ({ target }) => target?.id === "ls-runs" && act());
    rows("send", () => this.#begin());
    rows("end", () => this.#end());
    rows("shown", () => this.#show());
    listen(document, "end", ({ target, isDone }) => target?.id === "ls-bulk-answer" && isDone && this.#clear());
    document.addEventListener("visibilitychange", () => document.hidden || this.#ring());
  }

  // asking

  #begin() {
    this.#busy = true;
    this.#askedAt = performance.now();
  }

  #end() {
    this.#busy = false;
    if (this.#due) this.#ring();
  }

  /** Ask for the rows now, when those under way have come, or a moment after the last time. */
  #ring() {
    this.#due = true;
    if (this.#busy || document.hidden) return;
    clearTimeout(this.#timer);
    const spread = SPREAD * Math.random(); // all who look are told in one moment
    this.#timer = setTimeout(() => this.#ask(), Math.max(0, this.#askedAt + GAP - performance.now()) + spread);
  }

  #ask() {
    if (this.#busy) return;
    this.#due = false;
    document.body.dispatchEvent(new CustomEvent("livesim:list"));
  }

  // choosing

  get #boxes() {
    return [...this.root.querySelectorAll('#ls-runs input[name="run"]')];
  }

  #changed(target) {
    if (target === this.all) for (const box of this.#boxes) this.#choose(box.value, target.checked);
    else if (target.name === "run") this.#choose(target.value, target.checked);
    else return;
    this.#show();
  }

  #choose(run, chosen) {
    if (chosen) this.#chosen.add(run);
    else this.#chosen.delete(run);
  }

  #clear() {
    this.#chosen.clear();
    this.#show();
  }

  /** Make the page say what is chosen. What is on it no more is not. */
  #show() {
    const boxes = this.#boxes;
    const there = new Set(boxes.map((box) => box.value));
    for (const run of this.#chosen) if (!there.has(run)) this.#chosen.delete(run);
    for (const box of boxes) {
      box.checked = this.#chosen.has(box.value);
      box.closest("tr").toggleAttribute("data-chosen", box.checked);
    }
    this.#showBar(this.#chosen.size, boxes.length);
  }

  #showBar(chosen, of) {
    if (!this.all) return;
    this.all.checked = chosen > 0 && chosen === of;
    this.all.indeterminate = chosen > 0 && chosen < of;
    this.all.closest("label").hidden = false;
    const count = this.root.querySelector('[data-ls="chosen"]');
    const text = chosen ? count.dataset.some.replace("{n}", chosen) : count.dataset.none;
    if (count.textContent !== text) count.textContent = text;
    const buttons = [...this.root.querySelectorAll("#ls-bulk button")];
    if (!chosen && buttons.includes(document.activeElement)) this.all.focus(); // it would be lost with the button
    for (const button of buttons) ask(button, chosen);
  }
}

/** What a button asks before it acts on so many runs; on none it does not act. */
function ask(button, count) {
  button.disabled = !count;
  const { askOne, askMany } = button.dataset;
  if (askMany) button.setAttribute("hx-confirm", count === 1 ? askOne : askMany.replace("{n}", count));
}

/** A socket that says only that there may be something new; where there is none, it is given up after a while. */
class Bell {
  #ws = null;
  #failures = 0;
  #wasOpen = false;
  #timer = 0;

  constructor(url, ring) {
    this.url = url;
    this.ring = ring;
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#open());
    this.#open();
  }

  #open() {
    const ws = (this.#ws = new WebSocket(this.url));
    ws.onopen = () => {
      this.#wasOpen = true;
      this.#failures = 0;
    };
    ws.onmessage = ({ data }) => JSON.parse(data).type === "changed" && this.ring();
    ws.onclose = ({ code }) => this.#lost(code);
  }

  #close() {
    clearTimeout(this.#timer);
    if (!this.#ws) return;
    this.#ws.onclose = this.#ws.onmessage = null;
    this.#ws.close();
    this.#ws = null;
  }

  #lost(code) {
    this.#ws = null;
    this.#failures += 1;
    if (FATAL.has(code) || (!this.#wasOpen && this.#failures >= HOPELESS)) return;
    const delay = Math.min(LAST_DELAY, FIRST_DELAY * 2 ** (this.#failures - 1));
    this.#timer = setTimeout(() => this.#open(), delay * (0.5 + Math.random() / 2));
  }
}

function absolute(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
