/** Writes how fast what is seen comes into its panel, while that is open. */

import { put } from "./places.js";
import { say } from "./words.js";

const EVERY = 1000; // ms between two looks at the figures
const ASK = 3; // looks between two questions to the server

/** Bytes as people read them. */
export function inBytes(count) {
  if (count < 1000) return `${Math.round(count)} B`;
  return count < 1e6 ? `${(count / 1000).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

/** A duration of so many ms in its largest unit, and the one below it. */
export function inTime(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const inMs = (figure) => (figure === null ? "–" : `${Math.round(figure)} ms`);

/** A `details` element with parts named by `data-latency`. */
export class LatencyCard {
  #looks = 0;
  #timer = 0;

  constructor(latency) {
    this.latency = latency;
  }

  /** Begin, or end. */
  turn(isOpen) {
    this.close();
    if (!isOpen) return;
    this.#looks = 0;
    this.#look();
    this.#timer = setInterval(() => document.hidden || this.#look(), EVERY);
  }

  close() {
    clearInterval(this.#timer);
  }

  #look() {
    if (this.#looks++ % ASK === 0) this.#figure("server")?.dispatchEvent(new CustomEvent("livesim:latency"));
    const now = performance.now();
    const { trips, traffic, openedAt, opened } = this.latency;
    const { figures } = trips;
    this.#put("half", inMs(figures.quantile(0.5)));
    this.#put("most", figures.count ? say("latency_of", { time: inMs(figures.quantile(0.99)), n: figures.count }) : "–");
    this.#put("frames", traffic.frameRate(now).toFixed(1));
    this.#put("skipped", String(traffic.skipped));
    this.#put("bytes", say("per_second", { amount: inBytes(traffic.byteRate(now)) }));
    this.#put("age", openedAt === null ? "–" : inTime(now - openedAt));
    this.#put("again", String(Math.max(0, opened - 1)));
  }

  #figure(name) {
    return this.latency.element.querySelector(`[data-latency="${name}"]`);
  }

  #put(name, text) {
    const part = this.#figure(name);
    if (part) put(part, text);
  }
}
