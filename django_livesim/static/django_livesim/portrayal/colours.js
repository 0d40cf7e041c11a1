/** Which colour a value has: the same for the same value, as long as a page is open. */

const LEVELS = 64;
// Viridis without its ends, of which one is not seen on white, and the other not on black.
const SCALE = ["#414487", "#355f8d", "#2a788e", "#21918c", "#22a884", "#44bf70", "#7ad151", "#bddf26"];
const CATEGORIES = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#8c8c8c"]; // Okabe and Ito
const MOST_NAMED = 12; // values in a legend
const HEX = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i;

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** So many colours from the first to the last of `stops`, as strings. */
export function ramp(stops, levels = LEVELS) {
  const known = stops.map(channels);
  return Array.from({ length: levels }, (_, level) => {
    const place = (level / (levels - 1)) * (known.length - 1);
    const left = Math.min(Math.floor(place), known.length - 2);
    const mixed = known[left].map((value, at) => Math.round(value + (known[left + 1][at] - value) * (place - left)));
    return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
  });
}

/** A number that stays with a text. */
export function hash(text) {
  let value = 2166136261;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 16777619);
  value = Math.imul(value ^ (value >>> 15), 2246822507);
  return (value ^ (value >>> 13)) >>> 0;
}

export class Colours {
  #known;
  #names;
  #scale;
  #categories;
  #given = new Map();
  #low;
  #high;
  #isFixed;
  #scaled = false; // some number had a colour of the scale

  constructor({ colors, range, palette, names }) {
    this.#names = new Map(Object.entries(names ?? {}));
    this.#known = colors ? new Map(Object.entries(colors)) : null;
    this.#scale = ramp(palette ?? SCALE);
    this.#categories = palette ?? CATEGORIES;
    this.#isFixed = Boolean(range);
    [this.#low, this.#high] = range ?? [Infinity, -Infinity];
  }

  /** A CSS colour; null for what has none. */
  of(value) {
    const kind = typeof value;
    if (this.#known) {
      const found = this.#known.get(kind === "string" ? value : String(value));
      if (found) return found;
    }
    if (kind === "number") return this.#ofNumber(value);
    if (kind === "boolean") return this.#known ? null : this.#ofText(String(value));
    if (kind !== "string") return null;
    if (HEX.test(value)) return value;
    return this.#known ? null : this.#ofText(value);
  }

  /** What people call a value, where that is declared; else the value. */
  name(value) {
    return this.#names.get(String(value)) ?? value;
  }

  /** Let a number count for where the scale begins and ends, where that is not declared. */
  see(value) {
    if (this.#isFixed || typeof value !== "number" || !Number.isFinite(value)) return;
    if (value < this.#low) this.#low = value;
    if (value > this.#high) this.#high = value;
  }

  /** What the colours mean, so far: `[value, colour]` of values, and the colours from the lowest to the highest. */
  meaning() {
    const values = [...(this.#known ?? this.#given)].slice(0, MOST_NAMED).map(([value, colour]) => [this.name(value), colour]);
    const isScale = this.#scaled && this.#low <= this.#high;
    return { values, scale: isScale ? { low: this.#low, high: this.#high, colours: this.#scale } : null };
  }

  #ofNumber(value) {
    if (!Number.isFinite(value)) return null;
    this.#scaled = true;
    const span = this.#high - this.#low;
    const share = span > 0 ? (value - this.#low) / span : 0.5;
    return this.#scale[Math.round(Math.min(Math.max(share, 0), 1) * (LEVELS - 1))];
  }

  /** By the text itself; the next that is free where two would have the same and there are others left. */
  #ofText(text) {
    let found = this.#given.get(text);
    if (found !== undefined) return found;
    const count = this.#categories.length;
    const taken = new Set(this.#given.values());
    let at = hash(text) % count;
    for (let tried = 0; tried < count && taken.has(this.#categories[at]); tried += 1) at = (at + 1) % count;
    found = this.#categories[at];
    if (this.#given.size < 1000) this.#given.set(text, found);
    return found;
  }
}
