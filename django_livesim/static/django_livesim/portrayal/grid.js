/** A layer of cells: a picture of one pixel a cell is made of each frame, and drawn as large as it is wanted. */

import { Cells } from "./cells.js";
import { Colours } from "./colours.js";
import { boundsOf } from "./paths.js";

const LINES = 6; // CSS pixels a cell from which on there are gaps between cells

/** The colours that cells have, as the numbers that a picture is made of. */
class Inks {
  #numbers = new Map();
  #context = null;

  number(css) {
    let found = this.#numbers.get(css);
    if (found === undefined) {
      found = this.#mix(css);
      this.#numbers.set(css, found);
    }
    return found;
  }

  #mix(css) {
    this.#context ??= canvasOf(1, 1).getContext("2d", { willReadFrequently: true });
    this.#context.clearRect(0, 0, 1, 1);
    this.#context.fillStyle = css;
    this.#context.fillRect(0, 0, 1, 1);
    return new Uint32Array(this.#context.getImageData(0, 0, 1, 1).data.buffer)[0];
  }
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return canvas;
}

export class Grid {
  #inks = new Inks();
  #canvas = null;
  #image = null;

  constructor(declared) {
    this.declared = declared;
    this.click = declared.click;
    this.cells = new Cells(declared);
    this.colours = new Colours(declared);
    this.bounds = null;
  }

  get count() {
    return this.cells.width * this.cells.height;
  }

  take(state) {
    const { cells } = this;
    cells.take(state);
    this.fixed = boundsOf(this.declared.bounds, state);
    if (this.fixed) this.bounds = this.fixed;
    else if (this.count) this.bounds = [0, 0, cells.width, cells.height];
    if (this.count) this.#develop();
  }

  #develop() {
    const { width, height } = this.cells;
    if (this.#canvas?.width !== width || this.#canvas.height !== height) {
      this.#canvas = canvasOf(width, height);
      this.#image = this.#canvas.getContext("2d").createImageData(width, height);
    }
    this.#scale(width, height);
    const pixels = new Uint32Array(this.#image.data.buffer);
    let [last, ink] = [undefined, 0];
    for (let row = 0, at = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1, at += 1) {
        const value = this.cells.at(column, row);
        if (value !== last) {
          const colour = value === " " ? null : this.colours.of(value);
          ink = colour === null ? 0 : this.#inks.number(colour);
          last = value;
        }
        pixels[at] = ink;
      }
    }
    this.#canvas.getContext("2d").putImageData(this.#image, 0, 0);
  }

  #scale(width, height) {
    for (let row = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1) this.colours.see(this.cells.at(column, row));
    }
  }

  moves() {
    return false;
  }

  paint(context, view, { theme, scale }) {
    if (!this.count || !this.bounds) return;
    const [x0, y0, x1, y1] = this.bounds;
    const [left, top] = [view.x(x0), view.y(y0)];
    const [width, height] = [(x1 - x0) * view.k, (y1 - y0) * view.ky];
    context.save();
    context.translate(left, top);
    context.scale(width / this.cells.width, height / this.cells.height); // a cell is 1 by 1
    context.fillStyle = theme.line;
    context.globalAlpha = 0.35;
    context.fillRect(0, 0, this.cells.width, this.cells.height);
    context.globalAlpha = 1;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.#canvas, 0, 0);
    context.restore();
    if (width / this.cells.width >= LINES * scale) this.#rule(context, view, left, top, theme, scale);
  }

  /** Gaps between the cells that are seen. */
  #rule(context, view, left, top, theme, scale) {
    const [x0, y0, x1, y1] = this.bounds;
    const stepX = ((x1 - x0) * view.k) / this.cells.width;
    const stepY = ((y1 - y0) * view.ky) / this.cells.height;
    const right = left + stepX * this.cells.width;
    const bottom = top + stepY * this.cells.height;
    context.strokeStyle = theme.paper;
    context.lineWidth = scale;
    context.beginPath();
    for (let x = left, column = 0; column <= this.cells.width; column += 1, x = left + column * stepX) {
      if (x < 0 || x > view.width) continue;
      context.moveTo(x, top);
      context.lineTo(x, bottom);
    }
    for (let y = top, row = 0; row <= this.cells.height; row += 1, y = top + row * stepY) {
      if (y < 0 || y > view.height) continue;
      context.moveTo(left, y);
      context.lineTo(right, y);
    }
    context.stroke();
  }

  /** The cell at a pixel: `{id, entry, x, y, width, height}` in pixels, or null. */
  hit(px, py, view) {
    const cell = this.cellAt(view.unitX(px), view.unitY(py));
    if (!cell) return null;
    const [x0, y0, x1, y1] = this.bounds;
    const [width, height] = [(x1 - x0) / this.cells.width, (y1 - y0) / this.cells.height];
    return {
      ...cell,
      entry: this.colours.name(this.cells.at(cell.column, cell.row)),
      x: view.x(x0 + cell.column * width),
      y: view.y(y0 + cell.row * height),
      width: width * view.k,
      height: height * view.ky,
    };
  }

  cellAt(x, y) {
    if (!this.count || !this.bounds) return null;
    const [x0, y0, x1, y1] = this.bounds;
    const column = Math.floor(((x - x0) / (x1 - x0)) * this.cells.width);
    const row = Math.floor(((y - y0) / (y1 - y0)) * this.cells.height);
    if (!(column >= 0 && row >= 0 && column < this.cells.width && row < this.cells.height)) return null;
    return { column, row, id: row * this.cells.width + column };
  }

  /** What a click at a place of the picture sends of it. */
  placeAt(x, y) {
    const cell = this.cellAt(x, y);
    return cell && { x: cell.column, y: cell.row };
  }
}
