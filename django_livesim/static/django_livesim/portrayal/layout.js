/**
 * Places for the nodes of a network, by forces: nodes push each other away, links pull theirs together.
 *
 * The same changes in the same order come to the same places: no chance is in it. Nodes that stay keep theirs
 * when others come and go. The work is done in slices, so that it never holds up a page for long.
 */

import { hash } from "./colours.js";

const LENGTH = 10; // of a link
const PUSH = 8;
const PULL_TO_CENTRE = 0.05;
const FRICTION = 0.6;
const COOLING = 0.977;
const COLD = 0.002;
const WARMED = 0.4; // by a change
const SLICE = 8; // nodes between two looks at the clock

export class Layout {
  ids = [];
  links = [];
  x = new Float64Array(0);
  y = new Float64Array(0);
  #vx = new Float64Array(0);
  #vy = new Float64Array(0);
  #degrees = new Float64Array(0);
  #heat = 0;
  #cursor = 0;

  /** Whether it is still moving. */
  get isWarm() {
    return this.#heat > COLD;
  }

  /** Take the nodes, by their ids, and the links: rows of nodes, two for each. Nothing happens where they are as before. */
  set(ids, links) {
    if (same(ids, this.ids) && same(links, this.links)) return;
    const before = new Map(this.ids.map((id, row) => [id, [this.x[row], this.y[row], this.#vx[row], this.#vy[row]]]));
    const wasEmpty = this.ids.length === 0;
    Object.assign(this, { ids: [...ids], links: [...links] });
    this.x = new Float64Array(ids.length);
    this.y = new Float64Array(ids.length);
    this.#vx = new Float64Array(ids.length);
    this.#vy = new Float64Array(ids.length);
    this.#count();
    this.#settle(before);
    this.#heat = wasEmpty ? 1 : Math.max(this.#heat, WARMED);
    this.#cursor = 0;
  }

  #count() {
    this.#degrees = new Float64Array(this.ids.length);
    for (const row of this.links) this.#degrees[row] += 1;
  }

  /** Known nodes stay where they are; a new one begins near those that it is linked to, else where its id says. */
  #settle(before) {
    const known = this.ids.map((id, row) => {
      const place = before.get(id);
      if (place) [this.x[row], this.y[row], this.#vx[row], this.#vy[row]] = place;
      return Boolean(place);
    });
    const sums = new Map();
    for (let at = 0; at < this.links.length; at += 2) {
      const pair = [this.links[at], this.links[at + 1]];
      for (const [from, to] of [pair, [pair[1], pair[0]]]) {
        if (known[from] || !known[to]) continue;
        const [x, y, count] = sums.get(from) ?? [0, 0, 0];
        sums.set(from, [x + this.x[to], y + this.y[to], count + 1]);
      }
    }
    const radius = LENGTH * Math.sqrt(this.ids.length || 1) * 0.6;
    this.ids.forEach((id, row) => {
      if (known[row]) return;
      const number = hash(String(id));
      const angle = ((number & 0xffff) / 0x10000) * 2 * Math.PI;
      const share = Math.sqrt(((number >>> 16) + 1) / 0x10000);
      const [sumX, sumY, count] = sums.get(row) ?? [0, 0, 0];
      const reach = count ? LENGTH * (0.5 + share / 2) : radius * share;
      this.x[row] = (count ? sumX / count : 0) + reach * Math.cos(angle);
      this.y[row] = (count ? sumY / count : 0) + reach * Math.sin(angle);
    });
  }

  /** Go on for `budget` ms at most, by `clock`; whether it is still moving. */
  step(budget, clock = () => performance.now()) {
    const until = clock() + budget;
    while (this.isWarm) {
      while (this.#cursor < this.ids.length) {
        this.#push(this.#cursor);
        this.#cursor += 1;
        if (this.#cursor % SLICE === 0 && clock() > until) return true;
      }
      this.#move();
      this.#cursor = 0;
      if (clock() > until) break;
    }
    return this.isWarm;
  }

  #push(row) {
    const { x, y } = this;
    const vx = this.#vx;
    const vy = this.#vy;
    const strength = PUSH * this.#heat;
    for (let other = row + 1; other < x.length; other += 1) {
      let dx = x[other] - x[row];
      let dy = y[other] - y[row];
      if (dx === 0 && dy === 0) {
        dx = 0.01 * (1 + (other % 7)); // two at one place are parted, each time in the same way
        dy = 0.01 * (1 + (row % 5));
      }
      const force = strength / Math.max(dx * dx + dy * dy, 1);
      vx[row] -= dx * force;
      vy[row] -= dy * force;
      vx[other] += dx * force;
      vy[other] += dy * force;
    }
  }

  #move() {
    this.#pull();
    const centre = PULL_TO_CENTRE * this.#heat;
    for (let row = 0; row < this.x.length; row += 1) {
      this.#vx[row] = (this.#vx[row] - this.x[row] * centre) * FRICTION;
      this.#vy[row] = (this.#vy[row] - this.y[row] * centre) * FRICTION;
      this.x[row] += this.#vx[row];
      this.y[row] += this.#vy[row];
    }
    this.#heat *= COOLING;
  }

  #pull() {
    const { x, y, links } = this;
    const vx = this.#vx;
    const vy = this.#vy;
    for (let at = 0; at < links.length; at += 2) {
      const from = links[at];
      const to = links[at + 1];
      const dx = x[to] + vx[to] - x[from] - vx[from];
      const dy = y[to] + vy[to] - y[from] - vy[from];
      const distance = Math.hypot(dx, dy) || 1;
      const [a, b] = [this.#degrees[from], this.#degrees[to]];
      const force = (((distance - LENGTH) / distance) * this.#heat) / Math.min(a, b);
      vx[to] -= (dx * force * a) / (a + b);
      vy[to] -= (dy * force * a) / (a + b);
      vx[from] += (dx * force * b) / (a + b);
      vy[from] += (dy * force * b) / (a + b);
    }
  }
}

function same(one, other) {
  return one.length === other.length && one.every((each, at) => each === other[at]);
}
