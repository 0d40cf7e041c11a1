/** The card of a run's figures: history from the server, what comes from the socket, and a plot for each figure. */

import { Plot } from "./plot.js";
import { put, reveal } from "./places.js";
import { Series } from "./series.js";
import { say } from "./words.js";

const AT_FIRST = 20; // plots that are shown before more are asked for
const AT_ONCE = 3; // plots that are drawn in one animation frame: the picture wants its time, too
const DRAW_EVERY = 1000; // ms between two drawings of all plots, while samples come
const GAP = 5; // seconds between two samples after which it is asked whether there were others; three times the last
const AGAIN = [5000, 60000]; // ms after which a history that could not be read is asked for again: at first, at most

export class Plots {
  #series = new Series();
  #plots = new Map();
  #most = AT_FIRST;
  #held = null; // the last tick shown, while the plots are held
  #view = null; // from and to, where that is not all
  #follows = false; // whether what is shown moves on with the newest
  #due = false;
  #timer = 0;
  #drawnAt = -Infinity;
  #loading = false;
  #next = Infinity; // the tick after which is asked next
  #usual = 0; // seconds between the last two samples
  #wait = AGAIN[0];
  #retry = 0;
  #shared;

  /** `root` has parts with `data-figures`, and `data-figure` where one alone is shown; `socket` is the page's. */
  constructor(root, socket, signal) {
    Object.assign(this, { root, signal });
    this.parts = new Map([...root.querySelectorAll("[data-figures]")].map((part) => [part.dataset.figures, part]));
    this.#shared = {
      key: `ls-figures-${root.dataset.series}`,
      view: null,
      byTime: false,
      zoom: (from, to) => this.#show([from, to]),
      whole: () => this.#show(null),
    };
    this.seen = new IntersectionObserver((changes) => this.#see(changes), { rootMargin: "100px" });
    new ResizeObserver(() => this.#fit()).observe(this.#of("plots"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#renew(), { signal });
    this.#listen(socket);
    this.#of("tools").hidden = false;
    this.#load();
  }

  /** A part; where a host's template has left it out, one that is in no document. */
  #of(name) {
    if (!this.parts.has(name)) this.parts.set(name, document.createElement("div"));
    return this.parts.get(name);
  }

  #listen(socket) {
    const { signal } = this;
    socket.addEventListener("metrics", ({ detail }) => this.#take(detail), { signal });
    socket.addEventListener("hello", () => this.#load(), { signal });
    const click = (name, act) => this.#of(name).addEventListener("click", act);
    click("hold", () => this.#hold());
    click("axis", () => this.#turn());
    click("whole", () => this.#show(null));
    click("nearer", () => this.#nearer());
    click("more", () => {
      this.#most = Infinity;
      this.#arrange();
    });
  }

  // what comes

  #take({ tick, at, values, problem }) {
    this.#say(problem ? say("no_figures", { why: problem }) : "");
    if (problem) return;
    const gap = at - (this.#series.at.at(-1) ?? at);
    const last = this.#series.ticks.at(-1);
    if (!this.#series.add(tick, at, values)) {
      this.#series.clear(); // what was beyond is lost: another has gone on from before it
      this.#series.add(tick, at, values);
      this.#load(-Infinity);
    } else if (gap > Math.max(GAP, 3 * this.#usual)) {
      this.#load(last);
    }
    this.#usual = gap;
    this.#arrange();
  }

  #say(text) {
    const note = this.#of("problem");
    put(note, text);
    reveal(note, Boolean(text));
  }

  /** Ask for what is stored after that tick, or after what was heard last; one question at a time. */
  async #load(since = this.#series.ticks.at(-1) ?? -Infinity) {
    if (this.#loading) {
      this.#next = Math.min(this.#next, since);
      return;
    }
    this.#loading = true;
    const found = await this.#ask(since);
    this.#loading = false;
    if (found) {
      this.#wait = AGAIN[0];
      this.#series.merge(found);
      this.#say("");
      this.#arrange();
    }
    const next = this.#next;
    this.#next = Infinity;
    if (next < Infinity) this.#load(next);
  }

  /** What is stored after that tick; null where it cannot be read, and then it is asked for again later. */
  async #ask(since) {
    const url = new URL(this.root.dataset.series, location.href);
    const only = this.#only;
    if (only !== undefined) url.searchParams.set("name", only);
    if (since > -Infinity) url.searchParams.set("since", since);
    try {
      const answer = await fetch(url, { headers: { Accept: "application/json" } });
      if (answer.status < 500) return answer.ok ? await answer.json() : null; // where it is refused, the socket says why
    } catch {
      // the server is away, which the page says
    }
    if (!this.#series.length) this.#say(say("figures_lost"));
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.signal?.aborted || this.#load(since), this.#wait);
    this.#wait = Math.min(2 * this.#wait, AGAIN[1]);
    return null;
  }

  // what is shown

  /** The one figure that is shown here; undefined where all are. */
  get #only() {
    return this.root.dataset.figure;
  }

  /** The figures that are shown, in alphabetical order. */
  get #names() {
    const names = [...this.#series.columns].filter(([name, values]) => this.#only === undefined || (name === this.#only && values.some((each) => each !== null)));
    return names.map(([name]) => name).sort((one, other) => one.localeCompare(other));
  }

  /** Have a plot for each figure, and draw what is new. */
  #arrange() {
    const names = this.#names;
    const shown = names.slice(0, this.#most);
    if (shown.some((name) => !this.#plots.has(name))) {
      for (const name of shown) {
        if (!this.#plots.has(name)) this.#plots.set(name, new Plot(name, this.#shared));
        const { element } = this.#plots.get(name);
        this.#of("plots").append(element);
        this.seen.observe(element);
      }
    }
    reveal(this.#of("rest"), shown.length < names.length);
    put(this.#of("more"), say("figures_more", { n: names.length - shown.length }));
    reveal(this.#of("table"), names.length === 0);
    this.#later(); // those that are new
    this.#soon();
  }

  /** What came is drawn at once, and what comes in the next second at its end. */
  #soon() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#drawnAt = performance.now();
      if (this.#held === null) this.#restale();
    }, this.#drawnAt + DRAW_EVERY - performance.now());
  }

  #see(changes) {
    const plots = new Map([...this.#plots.values()].map((plot) => [plot.element, plot]));
    for (const { target, isIntersecting } of changes) plots.get(target).visible = isIntersecting;
    this.#later();
  }

  #later() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#due = false;
    const series = this.#series;
    const rows = this.#held === null ? series.length : series.until(this.#held);
    const ticks = series.ticks.slice(0, rows);
    const xs = this.#shared.byTime ? series.at.slice(0, rows) : ticks;
    this.#follow(xs);
    let left = AT_ONCE;
    for (const plot of this.#plots.values()) {
      if (!plot.stale) continue;
      if (plot.visible && left-- === 0) return this.#later();
      plot.tell({ ticks, xs, values: (series.columns.get(plot.name) ?? []).slice(0, rows) });
      if (plot.visible) plot.draw();
    }
    return undefined;
  }

  #follow(xs) {
    if (this.#view && this.#follows && xs.length) {
      const width = this.#view[1] - this.#view[0];
      this.#view = [xs.at(-1) - width, xs.at(-1)];
    }
    this.#shared.view = this.#view;
  }

  #fit() {
    for (const plot of this.#plots.values()) plot.fit();
  }

  #renew() {
    for (const plot of this.#plots.values()) plot.renew();
    this.#later();
  }

  #restale() {
    for (const plot of this.#plots.values()) plot.stale = true;
    this.#later();
  }

  // what people do

  #show(view, follows = false) {
    this.#view = view;
    this.#follows = follows;
    reveal(this.#of("whole"), view !== null);
    this.#restale();
  }

  /** The newer half of what is shown. */
  #nearer() {
    const xs = this.#shared.byTime ? this.#series.at : this.#series.ticks;
    const [from, to] = this.#view ?? [xs[0], xs.at(-1)];
    if (to > from) this.#show([(from + to) / 2, to], this.#view === null || this.#follows);
  }

  #hold() {
    this.#held = this.#held === null ? (this.#series.ticks.at(-1) ?? -1) : null;
    press(this.#of("hold"), this.#held !== null);
    this.#restale();
  }

  #turn() {
    this.#shared.byTime = !this.#shared.byTime;
    press(this.#of("axis"), this.#shared.byTime);
    this.#show(null);
    this.#renew();
  }
}

function press(button, pressed) {
  button.setAttribute("aria-pressed", String(pressed));
}
