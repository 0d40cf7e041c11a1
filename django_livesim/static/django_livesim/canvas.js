/**
 * The picture of a run, drawn by the simulation's own module:
 *
 *   export function setup(canvas, live) {}         optional, once; what it promises is waited for
 *   export function draw(canvas, state, live) {}   for each new frame, at most once per animation frame
 *
 * `canvas.width` and `canvas.height` are device pixels. `live.redraw()` draws the newest frame again.
 */

export class Picture {
  #due = false;
  #state = undefined;
  #module = null;

  /** Draw on `canvas` with the module at `url`; `onerror(error)` hears what the module throws. */
  constructor(canvas, url, live, onerror) {
    Object.assign(this, { canvas, live, onerror });
    live.redraw = () => this.#later();
    this.#load(url);
  }

  update(state) {
    this.#state = state;
    this.#later();
  }

  async #load(url) {
    try {
      const module = await import(url);
      this.#size();
      await module.setup?.(this.canvas, this.live);
      this.#module = module;
    } catch (error) {
      this.onerror(error);
      return;
    }
    new ResizeObserver(() => this.#size()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#size());
    this.#later();
  }

  #size() {
    const scale = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.canvas.clientWidth * scale));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * scale));
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    this.live.scale = scale;
    this.live.theme = theme(this.canvas);
    this.#later();
  }

  #later() {
    if (this.#due || !this.#module || this.#state === undefined) return;
    this.#due = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#due = false;
    try {
      this.#module.draw(this.canvas, this.#state, this.live);
    } catch (error) {
      this.onerror(error);
    }
  }
}

/** Where a pointer event is on an element, from 0 to 1 each way. */
export function point(event) {
  const box = event.currentTarget.getBoundingClientRect();
  return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
}

/** The page's colours, light or dark, for pictures that want to match. */
function theme(element) {
  const style = getComputedStyle(element);
  const colours = {};
  for (const name of ["ink", "muted", "line", "accent", "paper"]) {
    colours[name] = style.getPropertyValue(`--ls-${name}`).trim();
  }
  return colours;
}
