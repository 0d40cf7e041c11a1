/** One figure over ticks or time: a caption with its newest value, and a plot of uPlot's below. */

import uPlot from "./vendor/uplot/uPlot.esm.min.js";
import { put } from "./places.js";
import { say } from "./words.js";

const FONT = "12px system-ui, sans-serif";
const language = document.documentElement.lang || undefined;
const numbers = new Intl.NumberFormat(language, { maximumSignificantDigits: 6 });
const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
const steps = uPlot.paths.stepped({ align: 1 });
const lines = uPlot.paths.linear();
const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const times = [
  [MINUTE, new Intl.DateTimeFormat(language, { ...clock, second: "2-digit" })],
  [DAY, new Intl.DateTimeFormat(language, clock)],
  [Infinity, new Intl.DateTimeFormat(language, { month: "short", day: "numeric" })],
];
/** How far two labels may be apart: seconds along time, where uPlot would skip from one minute to five; and of counts. */
const APART = [
  ...[1, 2, 5, 10, 15, 20, 30],
  ...[1, 2, 3, 5, 10, 15, 20, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 4, 6, 8, 12].map((n) => n * HOUR),
  ...[1, 2, 3, 5, 7, 10, 15, 30, 60, 90, 180, 365, 730, 1825].map((n) => n * DAY),
];
const WHOLE = Array.from({ length: 32 }, (_, exponent) => [1, 2, 2.5, 5].map((n) => n * 10 ** exponent)).flat().filter(Number.isInteger);
const moments = new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: "medium" });

export class Plot {
  #figure = element("figure", "ls-plot");
  #value = element("span", "ls-plot-value");
  #at = element("span", "ls-plot-at");
  #area = element("div", "ls-plot-area");
  #uplot = null;
  #rows = { ticks: [], xs: [], values: [] };
  #counts = false; // whether what is drawn are whole numbers, which hold until the next
  stale = true;
  visible = false;

  /** `shared` is what all plots of the card have in common: `key`, `view`, `byTime`, `zoom`, `whole`. */
  constructor(name, shared) {
    Object.assign(this, { name, shared });
    const title = element("span", "ls-plot-name");
    title.textContent = title.title = name;
    const save = element("button", "ls-link");
    save.type = "button";
    save.textContent = "PNG";
    save.setAttribute("aria-label", say("figure_save", { name }));
    save.addEventListener("click", () => this.save());
    const caption = element("figcaption", "");
    caption.append(title, this.#value, this.#at, save);
    this.#area.setAttribute("role", "img");
    this.#figure.append(caption, this.#area);
  }

  get element() {
    return this.#figure;
  }

  /** Say the newest of these rows: `ticks`, `xs` along the plot, and a value or null for each. */
  tell(rows) {
    this.#rows = rows;
    this.#tell(this.#uplot?.cursor.idx);
  }

  /** Plot them. */
  draw() {
    const data = [this.#rows.xs, this.#rows.values];
    const counts = counted(this.#rows.values);
    if (counts !== this.#counts) this.renew();
    this.#counts = counts;
    this.stale = false;
    if (this.#uplot) this.#uplot.setData(data);
    else this.#uplot = new uPlot(this.#options(), data, this.#area);
  }

  /** Make it anew at the next draw: in other colours, or along another axis. */
  renew() {
    this.#uplot?.destroy();
    this.#uplot = null;
    this.stale = true;
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.#area;
    const plot = this.#uplot;
    if (plot && width && (plot.width !== width || plot.height !== height)) plot.setSize({ width, height });
  }

  /** The value at that place, or the newest one. */
  #tell(place) {
    const { ticks, values } = this.#rows;
    const { name } = this;
    const last = values.findLastIndex((value) => value !== null);
    put(this.#value, written(values[place ?? last]));
    put(this.#at, place == null ? "" : this.#where(place));
    const value = written(values[last]);
    const label = last < 0 ? say("figure_none", { name }) : say("figure_now", { name, value, tick: ticks[last] });
    if (this.#area.ariaLabel !== label) this.#area.ariaLabel = label;
  }

  #where(place) {
    const tick = say("figures_tick", { tick: whole.format(this.#rows.ticks[place]) });
    return this.shared.byTime ? `${tick}, ${moments.format(new Date(1000 * this.#rows.xs[place]))}` : tick;
  }

  #options() {
    const { shared } = this;
    const counts = this.#counts;
    const [ink, muted, line] = ["accent", "muted", "line"].map((name) => colour(this.#area, name));
    const axis = { stroke: muted, font: FONT, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
    return {
      width: this.#area.clientWidth || 300,
      height: this.#area.clientHeight || 140,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: shared.byTime, range: (_plot, min, max) => shared.view ?? wide(min ?? 0, max ?? 1) },
      },
      axes: [
        { ...axis, size: 26, ...(shared.byTime ? time() : ticks()), labelFont: FONT, labelSize: 16, labelGap: 0 },
        { ...axis, size: 56, space: 26, values: (_plot, splits) => splits.map(short), ...(counts && { incrs: WHOLE }) },
      ],
      series: [{}, { label: this.name, stroke: ink, width: 1.5, paths: counts ? steps : lines, spanGaps: false, points: { show: false, size: 5 } }],
      cursor: {
        y: false,
        sync: { key: shared.key, filters: { pub: passes } },
        drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => shared.whole() },
      },
      hooks: {
        setCursor: [(plot) => this.#tell(plot.cursor.idx)],
        setSelect: [(plot) => this.#zoom(plot)],
      },
    };
  }

  #zoom(plot) {
    const { left, width } = plot.select;
    if (width < 3) return;
    const from = plot.posToVal(left, "x");
    const to = plot.posToVal(left + width, "x");
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.shared.zoom(from, to);
  }

  /** The plot with its name above, on the page's ground, as a file. */
  save() {
    const from = this.#uplot?.ctx.canvas;
    if (!from) return;
    const scale = devicePixelRatio || 1;
    const head = Math.round(28 * scale);
    const canvas = Object.assign(document.createElement("canvas"), { width: from.width, height: from.height + head });
    const context = canvas.getContext("2d");
    context.fillStyle = colour(this.#area, "paper");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = colour(this.#area, "ink");
    context.font = `600 ${Math.round(14 * scale)}px system-ui, sans-serif`;
    context.fillText(this.name, Math.round(10 * scale), Math.round(19 * scale), canvas.width - Math.round(20 * scale));
    context.drawImage(from, 0, head);
    canvas.toBlob((blob) => blob && download(blob, `${fileName(this.name)}.png`), "image/png");
  }
}

/** The cursor is one for all plots; what is dragged over, each plot says for all by itself. */
function passes(type) {
  return type !== "mousedown" && type !== "mouseup" && type !== "dblclick";
}

/** From and to, which must not be one. */
function wide(min, max) {
  return min < max ? [min, max] : [min - 1, max + 1];
}

function element(tag, className) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  return made;
}

function colour(of, name) {
  return getComputedStyle(of).getPropertyValue(`--ls-${name}`).trim();
}

function written(value) {
  if (typeof value !== "number") return "–";
  const size = Math.abs(value);
  return size && (size >= 1e9 || size < 1e-4) ? value.toExponential(3) : numbers.format(value);
}

/** A number beside an axis, where there is little room. */
function short(value) {
  if (value === null) return "";
  const size = Math.abs(value);
  return size >= 1e6 || (size && size < 1e-3) ? String(Number(value.toPrecision(3))).replace("e+", "e") : numbers.format(value);
}

/** What the axis along ticks differs in, and the one along time. */
const ticks = () => ({ label: say("figures_ticks"), space: 80, incrs: WHOLE, values: (_plot, splits) => splits.map(short) });
const time = () => ({ label: say("figures_time"), space: 72, incrs: APART, values: timed });

/** Whether there are values, and all are whole numbers. */
function counted(values) {
  return values.some((value) => value !== null) && values.every((value) => value === null || Number.isInteger(value));
}

/** Moments along an axis, as exact as they are apart. */
function timed(_plot, splits, _axis, _space, apart) {
  const [, format] = times.find(([below]) => apart < below);
  return splits.map((seconds) => format.format(new Date(1000 * seconds)));
}

function fileName(name) {
  return name.normalize("NFKD").replace(/[^\w.-]+/g, "-").replace(/^[-.]+|-+$/g, "") || "plot";
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
