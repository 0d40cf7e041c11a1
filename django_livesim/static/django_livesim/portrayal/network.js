/** A layer of nodes and links. Nodes without places get them here. */

import { Layout } from "./layout.js";
import { keysOf, reader } from "./paths.js";
import { Points } from "./points.js";

const MOST = 40000; // links
const SLICE = 5; // ms of each drawing that looking for places may take
const FIRST = 30; // the same, before anything was seen

export class Network extends Points {
  #links = []; // rows of nodes, two for each link
  #known = new Map();

  constructor(declared) {
    super({ ...declared, path: declared.nodes });
    this.readLinks = reader(declared.links);
    this.source = reader(declared.source);
    this.target = reader(declared.target);
    this.layout = declared.x === null ? new Layout() : null;
  }

  placeAll(rows, state) {
    this.#known.clear();
    for (let row = 0; row < rows.count; row += 1) this.#known.set(String(rows.ids[row]), row);
    this.#links = this.#join(this.readLinks(state));
    this.rows = rows;
    if (!this.layout) return super.placeAll(rows);
    const wasEmpty = this.layout.ids.length === 0;
    this.layout.set(rows.ids.slice(0, rows.count), this.#links);
    if (wasEmpty) this.layout.step(FIRST);
    this.#copy();
  }

  /** Links whose two nodes are there. */
  #join(links) {
    const found = [];
    const keys = keysOf(links);
    if (keys === undefined) return found;
    const count = Math.min((keys ?? links).length, MOST);
    for (let at = 0; at < count; at += 1) {
      const link = keys ? links[keys[at]] : links[at];
      const from = this.#row(this.source(link));
      const to = this.#row(this.target(link));
      if (from !== undefined && to !== undefined && from !== to) found.push(from, to);
    }
    return found;
  }

  #row(id) {
    return typeof id === "string" || typeof id === "number" ? this.#known.get(String(id)) : undefined;
  }

  #copy() {
    const { rows, layout } = this;
    for (let row = 0; row < rows.count; row += 1) {
      rows.x[row] = rows.fromX[row] = layout.x[row];
      rows.y[row] = rows.fromY[row] = layout.y[row];
    }
  }

  /** All of it is seen while its places are looked for; then it stays as large as it was. */
  grow(rows) {
    if (this.layout?.isWarm) this.extent.bounds = null;
    super.grow(rows);
  }

  moves(now) {
    return super.moves(now) || Boolean(this.layout?.isWarm);
  }

  /** Look for better places, for a few milliseconds. */
  advance() {
    if (!this.layout?.isWarm || !this.rows) return;
    this.layout.step(SLICE);
    this.#copy();
    this.grow(this.rows);
  }

  paint(context, view, scene) {
    this.#draw(context, view, scene);
    super.paint(context, view, scene);
  }

  #draw(context, view, { theme, scale, now }) {
    const { rows } = this;
    if (!rows || !this.#links.length) return;
    const share = this.share(now);
    context.strokeStyle = theme.muted;
    context.globalAlpha = 0.45;
    context.lineWidth = scale;
    context.beginPath();
    for (let at = 0; at < this.#links.length; at += 2) {
      const from = this.#links[at];
      const to = this.#links[at + 1];
      const x = view.x(rows.fromX[from] + (rows.x[from] - rows.fromX[from]) * share);
      const y = view.y(rows.fromY[from] + (rows.y[from] - rows.fromY[from]) * share);
      const u = view.x(rows.fromX[to] + (rows.x[to] - rows.fromX[to]) * share);
      const v = view.y(rows.fromY[to] + (rows.y[to] - rows.fromY[to]) * share);
      if (!(x + y + u + v === x + y + u + v)) continue; // one of them has no place
      context.moveTo(x, y);
      context.lineTo(u, v);
    }
    context.stroke();
    context.globalAlpha = 1;
  }
}
