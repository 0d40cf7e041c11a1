/**
 * Draws what a simulation declares by `portray`, from the frames that come anyway.
 *
 * A layer reads a frame's view once (`take`) and is drawn from what it has read (`paint`) as often as the picture
 * moves: by a new frame, by whoever moves or zooms it, and while marks are on their way.
 */

import { argsOf } from "./portrayal/clicks.js";
import { Gestures } from "./portrayal/gestures.js";
import { Hover } from "./portrayal/hover.js";
import { Legend } from "./portrayal/legend.js";
import { View, union } from "./portrayal/view.js";

const KINDS = { // of which a page loads those that it draws
  points: async () => (await import("./portrayal/points.js")).Points,
  network: async () => (await import("./portrayal/network.js")).Network,
  grid: async () => (await import("./portrayal/grid.js")).Grid,
};
const MAY_COMMAND = new Set(["command", "control", "owner"]);
const TAKES_COMMANDS = new Set(["waiting", "running", "paused", "stopping"]);
const STEPS = 40; // of the crosshair, from one side to the other
const ZOOM = 1.5; // of one press of a button
const EMPTY = [0, 0, 1, 1];
const NARROWEST = 0.6; // width by height
const WIDEST = 2.5;

const portraits = new WeakMap(); // by their canvases: a page may have several

export async function setup(canvas, live) {
  const declared = JSON.parse(cardOf(canvas).querySelector('[data-portrayal="layers"]').textContent);
  const kinds = await Promise.all(declared.map(({ kind }) => KINDS[kind]()));
  portraits.set(canvas, new Portrait(canvas, live, declared, kinds));
}

export function draw(canvas, state) {
  portraits.get(canvas).draw(state);
}

function cardOf(canvas) {
  return canvas.closest('[data-ls="picture"]') ?? canvas.parentElement;
}

class Portrait {
  #state;
  #pointer = null; // in CSS pixels
  #cross = null; // the same
  #toTell = false;

  constructor(canvas, live, declared, kinds) {
    Object.assign(this, { canvas, live });
    this.context = canvas.getContext("2d");
    this.layers = declared.map((each, place) => new kinds[place](each));
    this.view = new View(declared.some((each) => each.upward));
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      for (const layer of this.layers) layer.isSmooth = false;
    }
    this.card = cardOf(canvas);
    this.hover = new Hover(canvas.parentElement, this.#element("hover"), this.#element("told"));
    this.legend = new Legend(this.#element("legend"), this.layers);
    this.gestures = new Gestures(canvas, this.#acts());
    this.#element("in")?.addEventListener("click", () => this.#change(() => this.view.zoom(ZOOM)));
    this.#element("out")?.addEventListener("click", () => this.#change(() => this.view.zoom(1 / ZOOM)));
    this.#element("fit")?.addEventListener("click", () => this.#fit());
  }

  #element(name) {
    return this.card.querySelector(`[data-portrayal="${name}"]`);
  }

  #change(act) {
    act();
    this.live.redraw();
  }

  /** Show all that there is now. */
  #fit() {
    for (const layer of this.layers) layer.refit?.();
    this.#change(() => this.view.fit());
  }

  #acts() {
    const { view, live } = this;
    const pixels = (value) => (value === undefined ? undefined : value * live.scale);
    return {
      pan: (dx, dy) => this.#change(() => view.pan(pixels(dx), pixels(dy))),
      zoom: (factor, x = this.#cross?.[0], y = this.#cross?.[1]) =>
        this.#change(() => view.zoom(factor, pixels(x), pixels(y))),
      fit: () => this.#fit(),
      hover: (x, y) => this.#change(() => (this.#pointer = [x, y])),
      leave: () => this.#change(() => (this.#pointer = null)),
      click: (x, y) => this.#change(() => this.#press((this.#pointer = [x, y]))), // a finger shows what it touched
      arrow: (dx, dy, moves) => this.#change(() => this.#arrow(dx, dy, moves)),
      enter: () => this.#enter(),
      escape: () => this.#change(() => (this.#cross = null)),
    };
  }

  get scene() {
    return { theme: this.live.theme, scale: this.live.scale, now: performance.now() };
  }

  /** Draw it as it is now; `state` is the view of the newest frame. */
  draw(state) {
    const { view, context, canvas } = this;
    const { scene } = this;
    if (state !== this.#state) {
      this.#state = state;
      for (const layer of this.layers) layer.take(state, scene.now);
      this.legend.update();
    }
    for (const layer of this.layers) layer.advance?.();
    this.#shape();
    view.resize(canvas.width, canvas.height);
    view.show(union(this.layers.map((layer) => layer.bounds)) ?? EMPTY);
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (const layer of this.layers) {
      this.#frame(layer.fixed, scene);
      layer.paint(context, view, scene);
    }
    this.#point(scene);
    if (this.layers.some((layer) => layer.moves(scene.now))) this.live.redraw();
  }

  /** The canvas has the proportions of what is in it, where that is known from the start. */
  #shape() {
    const known = union(this.layers.map((layer) => (layer.cells ? layer.bounds : layer.fixed)));
    if (!known) return;
    const [x0, y0, x1, y1] = known;
    const proportion = Math.min(Math.max((x1 - x0) / (y1 - y0), NARROWEST), WIDEST).toFixed(2);
    const { style } = this.canvas.parentElement;
    if (style.getPropertyValue("--ls-proportion") !== proportion) style.setProperty("--ls-proportion", proportion);
  }

  /** The edge of declared bounds. */
  #frame(bounds, { theme, scale }) {
    if (!bounds) return;
    const { context, view } = this;
    const [x0, y0, x1, y1] = bounds;
    context.strokeStyle = theme.line;
    context.lineWidth = scale;
    context.strokeRect(view.x(x0), view.y(y0), (x1 - x0) * view.k, (y1 - y0) * view.ky);
  }

  /** Show where the pointer or the crosshair is, and what is there. */
  #point(scene) {
    const at = this.#cross ?? this.#pointer;
    const found = at && this.#hit(at, scene)?.found;
    this.canvas.style.cursor = this.#pointer && this.#offer(this.#pointer, scene) ? "crosshair" : "";
    if (found) this.#ring(found, scene);
    if (this.#cross) this.#crosshair(this.#cross, scene);
    if (found) this.hover.show(found, ...at);
    else this.hover.hide();
    if (this.#toTell) this.hover.tell(found);
    this.#toTell = false;
  }

  #ring({ x, y, radius, width, height }, { theme, scale }) {
    const { context } = this;
    context.strokeStyle = theme.ink;
    context.lineWidth = 2 * scale;
    context.beginPath();
    if (radius === undefined) context.rect(x, y, width, height);
    else context.arc(x, y, radius + 3 * scale, 0, 2 * Math.PI);
    context.stroke();
  }

  #crosshair([left, top], { theme, scale }) {
    const { context, canvas } = this;
    const [x, y] = [left * scale, top * scale];
    context.strokeStyle = theme.accent;
    context.lineWidth = scale;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, canvas.height);
    context.moveTo(0, y);
    context.lineTo(canvas.width, y);
    context.stroke();
  }

  /** What is at a place, in the uppermost layer that has something there. */
  #hit([x, y], scene) {
    const at = [x * scene.scale, y * scene.scale];
    for (let index = this.layers.length - 1; index >= 0; index -= 1) {
      const found = this.layers[index].hit(...at, this.view, scene);
      if (found) return { layer: this.layers[index], found };
    }
    return null;
  }

  /** The command that a click at a place sends, and its arguments; null where it sends none. */
  #offer([x, y], scene) {
    if (!MAY_COMMAND.has(this.live.role) || !TAKES_COMMANDS.has(this.live.status)) return null;
    const at = [x * scene.scale, y * scene.scale];
    const place = [this.view.unitX(at[0]), this.view.unitY(at[1])];
    for (let index = this.layers.length - 1; index >= 0; index -= 1) {
      const layer = this.layers[index];
      if (!layer.click) continue;
      const args = argsOf(layer.click, layer.hit(...at, this.view, scene), layer.placeAt(...place));
      if (args) return { command: layer.click.command, args };
    }
    return null;
  }

  /** Click at the crosshair; false where there is none. */
  #enter() {
    if (this.#cross) this.#press(this.#cross);
    return this.#cross !== null;
  }

  #press(at) {
    const offer = this.#offer(at, this.scene);
    if (offer) this.live.send(offer.command, offer.args);
  }

  #arrow(dx, dy, moves) {
    const { canvas, view, live } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (moves) return view.pan((-dx * width * live.scale) / 8, (-dy * height * live.scale) / 8);
    const { x, y } = this.#stride(width);
    const [left, top] = this.#cross ?? this.#start(width, height);
    const clamp = (value, most) => Math.min(Math.max(value, 1), most - 1);
    this.#cross = this.#cross ? [clamp(left + dx * x, width), clamp(top + dy * y, height)] : [left, top];
    this.#toTell = true;
    return undefined;
  }

  /** How far one arrow goes: a cell where there are cells, else a part of the picture. */
  #stride(width) {
    const { view, live } = this;
    const grid = this.layers.find((layer) => layer.cells && layer.count && layer.bounds);
    if (!grid) return { x: width / STEPS, y: width / STEPS };
    const [x0, y0, x1, y1] = grid.bounds;
    const pixels = view.k / live.scale;
    return { x: ((x1 - x0) / grid.cells.width) * pixels, y: ((y1 - y0) / grid.cells.height) * pixels };
  }

  /** The middle; of cells, that of the one that is there. */
  #start(width, height) {
    const middle = [width / 2, height / 2];
    const scene = this.scene;
    const found = this.#hit(middle, scene)?.found;
    if (found?.column === undefined) return middle;
    return [(found.x + found.width / 2) / scene.scale, (found.y + found.height / 2) / scene.scale];
  }
}
