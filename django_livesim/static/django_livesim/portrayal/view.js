/** Which part of a picture is seen: from its own units to device pixels and back. */

const MARGIN = 0.03; // of the canvas, on each side
const NEAREST = 400; // times as large as fitted, at most
const FARTHEST = 0.1;
const GROWTH = 0.1; // of its size that a picture grows by where something comes to its edge

export class View {
  #fitted = 1; // pixels a unit, where all is seen
  #centre = [0.5, 0.5];
  #bounds = null;

  /** `upward`: y grows upward. */
  constructor(upward = false) {
    this.sign = upward ? -1 : 1;
    this.isFitted = true;
    this.width = this.height = 1;
    this.k = 1; // pixels a unit
    this.ox = this.oy = 0; // a place is at [x * k + ox, y * ky + oy]
  }

  get ky() {
    return this.k * this.sign;
  }

  /** Take the size of the canvas, in device pixels: what was in the middle stays there. */
  resize(width, height) {
    if (width === this.width && height === this.height) return;
    const ratio = Math.min(width, height) / Math.min(this.width, this.height);
    Object.assign(this, { width, height });
    this.k *= ratio;
    this.#measure();
    if (this.isFitted) this.fit();
    else this.#place();
  }

  /** Take what there is to be seen, `[x0, y0, x1, y1]`. */
  show(bounds) {
    this.#bounds = bounds;
    this.#measure();
    if (this.isFitted) this.fit();
  }

  #measure() {
    if (!this.#bounds) return;
    const [x0, y0, x1, y1] = this.#bounds;
    const room = 1 - 2 * MARGIN;
    this.#fitted = Math.min((this.width * room) / (x1 - x0), (this.height * room) / (y1 - y0));
  }

  /** Show all there is, and go on to. */
  fit() {
    this.isFitted = true;
    if (!this.#bounds) return;
    const [x0, y0, x1, y1] = this.#bounds;
    this.#centre = [(x0 + x1) / 2, (y0 + y1) / 2];
    this.k = this.#fitted;
    this.#place();
  }

  pan(dx, dy) {
    this.isFitted = false;
    this.#centre = [this.#centre[0] - dx / this.k, this.#centre[1] - dy / this.ky];
    this.#place();
  }

  /** Make it larger by a factor: what is at the pixel (x, y) stays there. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const k = Math.min(Math.max(this.k * factor, this.#fitted * FARTHEST), this.#fitted * NEAREST);
    const [wx, wy] = [this.unitX(x), this.unitY(y)];
    this.isFitted = false;
    this.k = k;
    this.#centre = [wx + (this.width / 2 - x) / k, wy + (this.height / 2 - y) / this.ky];
    this.#place();
  }

  #place() {
    this.ox = this.width / 2 - this.#centre[0] * this.k;
    this.oy = this.height / 2 - this.#centre[1] * this.ky;
  }

  x(x) {
    return x * this.k + this.ox;
  }

  y(y) {
    return y * this.ky + this.oy;
  }

  unitX(x) {
    return (x - this.ox) / this.k;
  }

  unitY(y) {
    return (y - this.oy) / this.ky;
  }
}

/** The extent of what was seen so far: it grows, a tenth at a time, and never shrinks. */
export class Extent {
  bounds = null;

  /** Take in a rectangle; nothing where its sides are not finite. */
  add(x0, y0, x1, y1) {
    if (!(Number.isFinite(x1 - x0) && Number.isFinite(y1 - y0) && x0 <= x1 && y0 <= y1)) return;
    if (!this.bounds) {
      const [width, height] = [x1 - x0, y1 - y0];
      const least = Math.max(width, height) / 10 || 1;
      const [mx, my] = [Math.max(0, least - width) / 2, Math.max(0, least - height) / 2];
      this.bounds = [x0 - mx, y0 - my, x1 + mx, y1 + my];
      return;
    }
    const bounds = this.bounds;
    const margins = [GROWTH * (bounds[2] - bounds[0]), GROWTH * (bounds[3] - bounds[1])];
    if (x0 < bounds[0]) bounds[0] = x0 - margins[0];
    if (y0 < bounds[1]) bounds[1] = y0 - margins[1];
    if (x1 > bounds[2]) bounds[2] = x1 + margins[0];
    if (y1 > bounds[3]) bounds[3] = y1 + margins[1];
  }
}

/** What holds all of these rectangles; nulls are passed over. */
export function union(rectangles) {
  const known = rectangles.filter(Boolean);
  if (!known.length) return null;
  const side = (pick, at) => pick(...known.map((each) => each[at]));
  return [side(Math.min, 0), side(Math.min, 1), side(Math.max, 2), side(Math.max, 3)];
}
