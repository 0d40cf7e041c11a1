/** A layer of marks: what is needed to draw them is read from each frame once, into arrays. */

import { Colours } from "./colours.js";
import { mark } from "./marks.js";
import { boundsOf, keysOf, number, reader } from "./paths.js";
import { Extent } from "./view.js";

const MOST = 20000; // marks
const MOST_LABELS = 300;
const LABEL = 24; // characters
const LATE = 0.7; // of the width, from which on labels are written to the left of their marks
const RADIUS = 4; // CSS pixels, of a mark without a size
const LEAST = 1; // CSS pixels, of one with a size
const NEAR = 10; // CSS pixels from a mark that count as hitting it
const SLOWEST = 1000; // ms from frame to frame, over which marks are moved at most

/** What is known of each mark, by its row. */
class Rows {
  constructor(size) {
    for (const name of ["x", "y", "fromX", "fromY", "size", "angle"]) this[name] = new Float64Array(size);
    for (const name of ["ids", "entries", "colours", "labels"]) this[name] = new Array(size).fill(null);
    this.room = size;
    this.count = 0;
  }
}

export class Points {
  #rows = new Rows(64);
  #places = new Map(); // of the ids, in `#rows`, where marks move from place to place
  #takenAt = -Infinity;
  #gap = 0;

  constructor(declared) {
    this.declared = declared;
    this.click = declared.click;
    this.colours = new Colours(declared);
    this.extent = new Extent();
    this.isSmooth = declared.smooth;
    const { path, x, y, id, color, size, label, heading } = declared;
    const isMember = Array.isArray(color);
    Object.assign(this, { hasSize: size !== null, hasColour: isMember, css: color?.css ?? null });
    this.read = {
      entries: reader(path),
      x: reader(x),
      y: reader(y),
      id: reader(id),
      colour: reader(color),
      size: typeof size === "number" ? () => size : reader(size),
      label: reader(label),
      heading: reader(heading),
    };
    this.labelsIds = label === true;
    this.hasLabels = this.labelsIds || Array.isArray(label);
  }

  get count() {
    return this.#rows.count;
  }

  /** Take a frame's view; `now` in ms. */
  take(state, now) {
    const moved = this.isSmooth ? this.#standing(now) : null;
    const rows = this.readAll(this.read.entries(state));
    this.placeAll(rows, state);
    this.#begin(rows, moved);
    this.#gap = Math.min(Math.max(now - this.#takenAt, 0), SLOWEST);
    this.#takenAt = now;
    this.fixed = boundsOf(this.declared.bounds, state);
    this.grow(rows);
  }

  /** What there is of each entry, but its place; entries that are none are passed over. */
  readAll(entries) {
    const keys = keysOf(entries);
    const count = keys === undefined ? 0 : Math.min((keys ?? entries).length, MOST);
    if (count > this.#rows.room) this.#rows = new Rows(Math.min(2 * count, MOST));
    const rows = this.#rows;
    const { read } = this;
    rows.count = count;
    for (let row = 0; row < count; row += 1) {
      const entry = keys ? entries[keys[row]] : entries[row];
      const own = read.id(entry);
      rows.ids[row] = typeof own === "string" || typeof own === "number" ? own : keys ? keys[row] : row;
      rows.entries[row] = entry;
      rows.size[row] = number(read.size(entry));
      rows.angle[row] = angleOf(read.heading(entry));
      const text = this.labelsIds ? rows.ids[row] : read.label(entry);
      rows.labels[row] = this.hasLabels ? labelOf(text) : null;
    }
    for (let row = count; row < rows.room && rows.entries[row] !== null; row += 1) rows.entries[row] = null;
    if (this.hasColour) this.#colour(rows);
    return rows;
  }

  #colour(rows) {
    for (let row = 0; row < rows.count; row += 1) this.colours.see(this.read.colour(rows.entries[row]));
    for (let row = 0; row < rows.count; row += 1) {
      rows.colours[row] = this.colours.of(this.read.colour(rows.entries[row]));
    }
  }

  placeAll(rows) {
    const { x, y } = this.read;
    for (let row = 0; row < rows.count; row += 1) {
      rows.x[row] = number(x(rows.entries[row]));
      rows.y[row] = number(y(rows.entries[row]));
    }
  }

  /** The extent of what is seen, where it is not declared. */
  grow(rows) {
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let row = 0; row < rows.count; row += 1) {
      const x = rows.x[row];
      const y = rows.y[row];
      if (!(x === x && y === y)) continue;
      if (x < x0) x0 = x;
      if (x > x1) x1 = x;
      if (y < y0) y0 = y;
      if (y > y1) y1 = y;
    }
    this.extent.add(x0, y0, x1, y1);
  }

  /** The same, of what is there now alone. */
  refit() {
    this.extent.bounds = null;
    this.grow(this.#rows);
  }

  get bounds() {
    return this.fixed ?? this.extent.bounds;
  }

  /** Where the marks are shown now, by their ids. */
  #standing(now) {
    const rows = this.#rows;
    const share = this.share(now);
    this.#places.clear();
    for (let row = 0; row < rows.count; row += 1) {
      rows.fromX[row] += (rows.x[row] - rows.fromX[row]) * share;
      rows.fromY[row] += (rows.y[row] - rows.fromY[row]) * share;
      this.#places.set(rows.ids[row], row);
    }
    return { x: rows.fromX.slice(0, rows.count), y: rows.fromY.slice(0, rows.count) };
  }

  /** Each mark sets out from where it is shown; what is new is where it is. */
  #begin(rows, moved) {
    for (let row = 0; row < rows.count; row += 1) {
      const before = moved ? this.#places.get(rows.ids[row]) : undefined;
      const known = before !== undefined && moved.x[before] === moved.x[before];
      rows.fromX[row] = known ? moved.x[before] : rows.x[row];
      rows.fromY[row] = known ? moved.y[before] : rows.y[row];
    }
  }

  /** How far marks have come from frame to frame, 0 to 1. */
  share(now) {
    if (!this.isSmooth || !(this.#gap > 0)) return 1;
    return Math.min(Math.max((now - this.#takenAt) / this.#gap, 0), 1);
  }

  /** Whether it has to be drawn again though no frame has come. */
  moves(now) {
    return this.share(now) < 1;
  }

  paint(context, view, { theme, scale, now }) {
    const rows = this.#rows;
    const share = this.share(now);
    const { k, ky, ox, oy, width, height, sign } = view;
    const { shape } = this.declared;
    const usual = RADIUS * scale;
    let last = null;
    for (let row = 0; row < rows.count; row += 1) {
      const x = (rows.fromX[row] + (rows.x[row] - rows.fromX[row]) * share) * k + ox;
      const y = (rows.fromY[row] + (rows.y[row] - rows.fromY[row]) * share) * ky + oy;
      const radius = this.radius(rows, row, k, scale, usual);
      const reach = 4 * radius;
      if (!(x > -reach && y > -reach && x < width + reach && y < height + reach)) continue;
      const colour = this.hasColour ? (rows.colours[row] ?? theme.muted) : (this.css ?? theme.accent);
      if (colour !== last) context.fillStyle = last = colour;
      mark(context, shape, x, y, radius, rows.angle[row] * sign);
    }
    if (this.hasLabels && rows.count <= MOST_LABELS) this.#write(context, view, share, theme, scale);
  }

  /** In device pixels. */
  radius(rows, row, k, scale, usual) {
    if (!this.hasSize) return usual;
    const size = rows.size[row];
    return size > 0 ? Math.max((size * k) / 2, LEAST * scale) : usual;
  }

  #write(context, view, share, theme, scale) {
    const rows = this.#rows;
    context.font = `${12 * scale}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    context.fillStyle = theme.ink;
    for (let row = 0; row < rows.count; row += 1) {
      if (!rows.labels[row]) continue;
      const [x, y] = this.#at(rows, row, view, share);
      if (!(x > 0 && y > 0 && x < view.width && y < view.height)) continue;
      const beside = this.radius(rows, row, view.k, scale, RADIUS * scale) + 3 * scale;
      const isLate = x > LATE * view.width;
      context.textAlign = isLate ? "right" : "left";
      context.fillText(rows.labels[row], isLate ? x - beside : x + beside, y);
    }
  }

  #at(rows, row, view, share) {
    const x = rows.fromX[row] + (rows.x[row] - rows.fromX[row]) * share;
    const y = rows.fromY[row] + (rows.y[row] - rows.fromY[row]) * share;
    return [view.x(x), view.y(y)];
  }

  /** The entry whose mark is at a pixel, or nearest to it: `{id, entry, x, y, radius}` in pixels, or null. */
  hit(px, py, view, { scale, now }) {
    const rows = this.#rows;
    const share = this.share(now);
    let [best, nearest] = [-1, Infinity];
    for (let row = 0; row < rows.count; row += 1) {
      const dx = view.x(rows.fromX[row] + (rows.x[row] - rows.fromX[row]) * share) - px;
      const dy = view.y(rows.fromY[row] + (rows.y[row] - rows.fromY[row]) * share) - py;
      const distance = Math.hypot(dx, dy);
      const reach = Math.max(this.radius(rows, row, view.k, scale, RADIUS * scale), NEAR * scale);
      if (!(distance <= reach && distance <= nearest)) continue; // of two at one place, the upper
      [best, nearest] = [row, distance];
    }
    if (best < 0) return null;
    const [x, y] = this.#at(rows, best, view, share);
    const radius = this.radius(rows, best, view.k, scale, RADIUS * scale);
    return { id: rows.ids[best], entry: rows.entries[best], x, y, radius };
  }

  /** What a click at a place of the picture sends of it; null beside declared bounds. */
  placeAt(x, y) {
    const { fixed } = this;
    return fixed && !(x >= fixed[0] && y >= fixed[1] && x <= fixed[2] && y <= fixed[3]) ? null : { x, y };
  }
}

function angleOf(heading) {
  if (typeof heading === "number") return number(heading);
  if (!Array.isArray(heading)) return NaN;
  const [dx, dy] = heading;
  if (!(Number.isFinite(dx) && Number.isFinite(dy)) || (dx === 0 && dy === 0)) return NaN;
  return Math.atan2(dy, dx);
}

function labelOf(value) {
  if (typeof value === "number") return String(Math.round(value * 1000) / 1000);
  if (typeof value !== "string") return null;
  return value.length > LABEL ? `${value.slice(0, LABEL)}…` : value;
}
