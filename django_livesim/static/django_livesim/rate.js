/**
 * The measured ticks a second, between live frames: one with the number 0 is what was stored, and the first of a
 * worker, or after a change, may show what was there before we looked.
 */

const OVER = 3000; // ms over which it is taken
const LEAST = 400; // ms before there is one

export class Rate {
  #ticks = null;
  #epoch = null;

  /** Begin anew with the next frame. */
  forget() {
    this.#ticks = null;
  }

  /** Take a frame at the time `now`, in ms: ticks a second, null where they are not known, undefined where that is as it was. */
  take({ epoch, seq, tick }, now) {
    if (seq === 0 || epoch !== this.#epoch) this.#ticks = null;
    this.#epoch = epoch;
    if (seq === 0) return undefined;
    if (this.#ticks === null) {
      this.#ticks = [];
      return undefined;
    }
    this.#ticks.push([now, tick]);
    while (this.#ticks.length > 2 && now - this.#ticks[0][0] > OVER) this.#ticks.shift();
    const [since, from] = this.#ticks[0];
    return now - since > LEAST ? (1000 * (tick - from)) / (now - since) : null;
  }
}
