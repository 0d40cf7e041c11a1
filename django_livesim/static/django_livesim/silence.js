/**
 * A run that runs and shows nothing may be in one long step, or what it says gets lost. How long it took until
 * something new came is what is waited for the next, unless a reason was told for it.
 */

const PATIENCE = [3000, 30000]; // ms without news after which it is asked what is the matter: at first, at most
const PAUSES = 3; // times the last pause between two news that pass before one is missed

export class Silence {
  #timer = 0;
  #newsAt = 0;
  #newsOf = null;
  #pause = 0;
  #excused = false;

  /** `isDue()`: whether news are waited for. `onSilent(since)` is called ever again while none come, `onFresh()` once they do. */
  constructor({ isDue, onSilent, onFresh }) {
    Object.assign(this, { isDue, onSilent, onFresh });
  }

  /** The connection is new. */
  begin() {
    this.#newsAt = performance.now();
    this.#pause = 0;
    this.#excused = false;
    this.listen();
  }

  /** A frame has come, or how far a run is; what comes of one tick came at once. */
  news(tick) {
    const now = performance.now();
    if (this.#excused) this.#pause = 0;
    else if (tick !== this.#newsOf) this.#pause = now - this.#newsAt;
    this.#excused = false;
    this.#newsAt = now;
    this.#newsOf = tick;
    this.listen();
  }

  /** Whether there was news of this tick already. */
  knows(tick) {
    return tick === this.#newsOf;
  }

  /** The pause until the next news has a reason, and says nothing of the one after it. */
  excuse() {
    this.#excused = true;
  }

  /** Listen from now on. */
  listen() {
    this.onFresh();
    clearTimeout(this.#timer);
    const patience = Math.min(Math.max(PATIENCE[0], PAUSES * this.#pause), PATIENCE[1]);
    if (this.isDue()) this.#miss(patience);
  }

  /** Listen no more. */
  close() {
    clearTimeout(this.#timer);
  }

  #miss(delay) {
    this.#timer = setTimeout(() => {
      this.onSilent(this.#newsAt);
      this.#miss(Math.min(2 * delay, PATIENCE[1]));
    }, delay);
  }
}
