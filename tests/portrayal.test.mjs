/** What draws pictures, by itself: paths, colours, the view, marks, cells, clicks and the layout. Run: node --test */

import assert from "node:assert/strict";
import { test } from "node:test";

import { script } from "./browser/modules.mjs";

globalThis.document = { getElementById: () => ({ textContent: '{"cell_at": "column {column}, row {row}"}' }) };

const { boundsOf, keysOf, reader } = await script("portrayal/paths.js");
const { Colours, ramp } = await script("portrayal/colours.js");
const { Extent, View, union } = await script("portrayal/view.js");
const { Points } = await script("portrayal/points.js");
const { Network } = await script("portrayal/network.js");
const { Layout } = await script("portrayal/layout.js");
const { Cells } = await script("portrayal/cells.js");
const { argsOf } = await script("portrayal/clicks.js");
const { brief, members, title } = await script("portrayal/hover.js");

const GARBAGE = [undefined, null, 0, "", "text", true, [], {}, [null], { a: null }, [[["deep"]]], 1e308];
const LAYER = { colors: null, range: null, palette: null, legend: null, bounds: null, click: null };
const MARKS = { id: null, color: null, size: null, label: null, shape: "circle", heading: null, upward: false };
const POINTS = { ...LAYER, ...MARKS, kind: "points", path: ["ships"], x: ["x"], y: ["y"], smooth: false };
const NETWORK = {
  ...POINTS,
  kind: "network",
  nodes: ["nodes"],
  links: ["links"],
  source: ["0"],
  target: ["1"],
  x: null,
  y: null,
};
const SCENE = { scale: 1, now: 0, theme: { ink: "ink", muted: "muted", line: "line", accent: "accent", paper: "paper" } };

/** A canvas' context that notes what is drawn, and where. */
function notes() {
  const seen = [];
  const context = { seen };
  for (const name of ["arc", "fillRect", "moveTo", "lineTo", "rect", "fillText"]) {
    context[name] = (...where) => seen.push([name, ...where, context.fillStyle]);
  }
  for (const name of ["beginPath", "fill", "stroke"]) context[name] = () => {};
  return context;
}

function seenOf(layer, state, now = 0) {
  layer.take(state, now);
  return paintedAt(layer, now);
}

function paintedAt(layer, now) {
  const view = new View();
  view.resize(100, 100);
  const context = notes();
  Object.assign(view, { k: 1, ox: 0, oy: 0 });
  layer.paint(context, view, { ...SCENE, now });
  return context.seen;
}

test("a path names what is there, and nothing where there is nothing", () => {
  const value = { a: { b: [1, { c: 2 }] }, "": 3 };
  assert.equal(reader([])(value), value);
  assert.deepEqual(reader(["a", "b"])(value), [1, { c: 2 }]);
  assert.equal(reader(["a", "b", "1", "c"])(value), 2);
  for (const path of [["x"], ["a", "x"], ["a", "b", "9", "c"], ["a", "b", "0", "c", "d"]]) {
    assert.equal(reader(path)(value), undefined);
  }
});

test("a path finds own members alone", () => {
  for (const name of ["__proto__", "constructor", "toString"]) assert.equal(reader([name])({}), undefined);
  const owning = JSON.parse('{"__proto__": {"x": 1}}');
  assert.equal(reader(["__proto__", "x"])(owning), 1);
});

test("no path fails for whatever it is given", () => {
  for (const value of GARBAGE) {
    for (const path of [[], ["a"], ["a", "b"], ["0", "0", "0"]]) reader(path)(value);
    keysOf(value);
  }
});

test("bounds are fixed, or read from the view, and else none", () => {
  assert.deepEqual(boundsOf({ fixed: [0, 0, 1, 2] }, {}), [0, 0, 1, 2]);
  assert.deepEqual(boundsOf(["box"], { box: [0, 0, 3, 4] }), [0, 0, 3, 4]);
  for (const box of [[0, 0, 0, 1], [0, 0, 1], [0, 0, NaN, 1], "abcd", null]) assert.equal(boundsOf(["box"], { box }), null);
  assert.equal(boundsOf(null, {}), null);
});

test("numbers have the colours of a scale, from the lowest to the highest", () => {
  const scale = ramp(["#000000", "#ffffff"], 3);
  assert.deepEqual(scale, ["#000000", "#808080", "#ffffff"]);
  const fixed = new Colours({ ...LAYER, range: [0, 10], palette: ["#000000", "#ffffff"] });
  assert.deepEqual([-5, 0, 10, 99].map((each) => fixed.of(each)), ["#000000", "#000000", "#ffffff", "#ffffff"]);
  assert.equal(fixed.of(NaN), null);
  const seen = new Colours({ ...LAYER, palette: ["#000000", "#ffffff"] });
  for (const each of [3, 5, NaN, "9", null]) seen.see(each);
  assert.deepEqual([3, 5].map((each) => seen.of(each)), ["#000000", "#ffffff"]);
});

test("texts have colours of their own, which stay theirs", () => {
  const colours = new Colours(LAYER);
  const first = ["well", "ill", "immune"].map((each) => colours.of(each));
  assert.equal(new Set(first).size, 3);
  for (let more = 0; more < 100; more += 1) colours.of(`kind ${more}`);
  assert.deepEqual(["well", "ill", "immune"].map((each) => colours.of(each)), first);
  assert.equal(colours.of("#12ab34"), "#12ab34");
});

test("declared colours are for values of any kind, and others have none", () => {
  const colours = new Colours({ ...LAYER, colors: { "#": "green", 1: "red", true: "teal", null: "navy" } });
  assert.deepEqual(["#", 1, true, null, "x", false].map((each) => colours.of(each)), ["green", "red", "teal", "navy", null, null]);
  assert.equal(colours.of("toString"), null);
});

test("values are called by their names, in a legend too", () => {
  const colours = new Colours({ ...LAYER, colors: { "#": "green", 1: "red" }, names: { "#": "alive", 0: "none" } });
  assert.deepEqual(["#", 0, 1, "toString", [1]].map((each) => colours.name(each)), ["alive", "none", 1, "toString", [1]]);
  assert.deepEqual(colours.meaning().values, [["1", "red"], ["alive", "green"]]);
});

test("what the colours mean is told of what was seen", () => {
  const given = new Colours({ ...LAYER, colors: { a: "red", 2: "blue" } });
  assert.deepEqual(given.meaning(), { values: [["2", "blue"], ["a", "red"]], scale: null });
  const seen = new Colours(LAYER);
  const blue = seen.of("well");
  assert.deepEqual(seen.meaning(), { values: [["well", blue]], scale: null });
  for (const each of [3, 5]) seen.see(each);
  seen.of(4);
  const { low, high, colours } = seen.meaning().scale;
  assert.deepEqual([low, high, colours.length], [3, 5, 64]);
  for (let more = 0; more < 100; more += 1) seen.of(`kind ${more}`);
  assert.equal(seen.meaning().values.length, 12);
});

test("a view shows all there is, until somebody looks closer", () => {
  const view = new View();
  view.resize(200, 100);
  view.show([0, 0, 10, 10]);
  assert.deepEqual([view.x(5), view.y(5)], [100, 50]);
  assert.ok(view.y(0) > 0 && view.y(10) < 100);
  view.zoom(2, 100, 50);
  assert.deepEqual([view.x(5), view.y(5)], [100, 50]);
  const k = view.k;
  view.show([0, 0, 20, 20]);
  assert.equal(view.k, k);
  view.fit();
  assert.ok(view.x(20) < 200 && view.y(20) < 100);
});

test("what is under the pointer stays under it when somebody zooms, up or down", () => {
  for (const upward of [false, true]) {
    const view = new View(upward);
    view.resize(300, 200);
    view.show([-5, -5, 5, 5]);
    const before = [view.unitX(40), view.unitY(150)];
    view.zoom(3, 40, 150);
    assert.ok(Math.abs(view.unitX(40) - before[0]) < 1e-9 && Math.abs(view.unitY(150) - before[1]) < 1e-9);
    view.pan(10, -20);
    assert.ok(Math.abs(view.unitX(50) - before[0]) < 1e-9 && Math.abs(view.unitY(130) - before[1]) < 1e-9);
    assert.equal(view.y(1) > view.y(0), !upward);
  }
});

test("nobody zooms into nothing or out of sight", () => {
  const view = new View();
  view.resize(100, 100);
  view.show([0, 0, 1, 1]);
  const k = view.k;
  for (let turn = 0; turn < 100; turn += 1) view.zoom(5);
  assert.ok(view.k <= 400 * k * 1.001);
  for (let turn = 0; turn < 200; turn += 1) view.zoom(0.2);
  assert.ok(view.k >= 0.1 * k * 0.999);
});

test("an extent grows and never shrinks, and a single point has room", () => {
  const extent = new Extent();
  extent.add(3, 3, 3, 3);
  assert.deepEqual(extent.bounds, [2.5, 2.5, 3.5, 3.5]);
  extent.add(0, 3, 10, 3);
  const grown = [...extent.bounds];
  assert.ok(grown[0] < 0 && grown[2] > 10);
  extent.add(4, 3, 5, 3);
  extent.add(NaN, 0, 1, 1);
  extent.add(Infinity, 0, -Infinity, 0);
  extent.add(-1e308, 0, 1e308, 0);
  assert.deepEqual(extent.bounds, grown);
  assert.deepEqual(union([null, [0, 0, 1, 1], [-1, 0.5, 0, 3]]), [-1, 0, 1, 3]);
  assert.equal(union([null]), null);
});

test("a mark is drawn for each entry of a list or an object, at its place", () => {
  const layer = new Points({ ...POINTS, color: { css: "teal" } });
  const seen = seenOf(layer, { ships: [{ x: 10, y: 20 }, { x: 30, y: 40 }] });
  assert.deepEqual(seen.map(([, x, y]) => [x, y]), [[10, 20], [30, 40]]);
  assert.deepEqual(seenOf(layer, { ships: { a: { x: 1, y: 2 } } }), [["arc", 1, 2, 4, 0, 2 * Math.PI, "teal"]]);
});

test("what cannot be drawn is not drawn, and nothing fails", () => {
  const good = { x: 5, y: 6 };
  const layers = [POINTS, { ...POINTS, color: ["c"], size: ["s"], label: ["l"], heading: ["h"], smooth: true, id: ["i"] }];
  for (const declared of layers) {
    for (const shape of ["circle", "square", "triangle", "arrow"]) {
      const layer = new Points({ ...declared, shape });
      for (const ships of GARBAGE) seenOf(layer, { ships });
      for (const bad of GARBAGE) {
        const entry = { ...good, c: bad, s: bad, l: bad, h: bad, i: bad };
        assert.ok(seenOf(layer, { ships: [bad, { x: bad, y: 1 }, entry] }).length > 0);
      }
      for (const state of GARBAGE) seenOf(layer, state);
      assert.equal(seenOf(layer, {}).length, 0);
    }
  }
  for (const x of [NaN, Infinity, null, "5", [5], { x: 5 }, true]) assert.equal(seenOf(new Points(POINTS), { ships: [{ x, y: 1 }] }).length, 0);
});

test("what is out of sight is not drawn", () => {
  const ships = [{ x: 50, y: 50 }, { x: 500, y: 50 }, { x: 50, y: -500 }];
  assert.equal(seenOf(new Points(POINTS), { ships }).length, 1);
});

test("marks have the sizes and colours of their members, and labels are cut", () => {
  const layer = new Points({ ...POINTS, size: ["size"], color: ["kind"], colors: { a: "red" }, label: true });
  const seen = seenOf(layer, { ships: { [`long ${"x".repeat(50)}`]: { x: 10, y: 10, size: 12, kind: "a" }, b: { x: 20, y: 20 } } });
  const marks = seen.filter(([name]) => name === "arc");
  assert.deepEqual(marks.map((each) => [each[3], each[6]]), [[6, "red"], [4, "muted"]]);
  const texts = seen.filter(([name]) => name === "fillText").map((each) => each[1]);
  assert.deepEqual(texts, [`long ${"x".repeat(19)}…`, "b"]);
});

test("the nearest mark is hit, of two at one place the upper, and beside all none", () => {
  const layer = new Points(POINTS);
  layer.take({ ships: { a: { x: 10, y: 10 }, b: { x: 18, y: 10 }, c: { x: 18, y: 10 }, d: { x: NaN, y: 0 } } }, 0);
  const view = { k: 1, x: (x) => x, y: (y) => y };
  assert.equal(layer.hit(11, 10, view, SCENE).id, "a");
  assert.deepEqual(layer.hit(17, 12, view, SCENE), { id: "c", entry: { x: 18, y: 10 }, x: 18, y: 10, radius: 4 });
  assert.equal(layer.hit(60, 60, view, SCENE), null);
});

test("smooth marks move evenly from frame to frame, by their ids", () => {
  const layer = new Points({ ...POINTS, smooth: true });
  const at = (...ids) => ({ ships: Object.fromEntries(ids) });
  layer.take(at(["a", { x: 0, y: 0 }]), 0);
  layer.take(at(["b", { x: 50, y: 50 }], ["a", { x: 10, y: 20 }]), 100);
  const seen = (now) => paintedAt(layer, now).map(([, x, y]) => [x, y]);
  assert.deepEqual(seen(100), [[50, 50], [0, 0]]);
  assert.deepEqual(seen(150), [[50, 50], [5, 10]]);
  layer.take(at(["a", { x: 25, y: 10 }]), 150);
  assert.deepEqual(seen(150), [[5, 10]]);
  assert.deepEqual([seen(175), seen(999)], [[[15, 10]], [[25, 10]]]);
  assert.deepEqual([layer.moves(175), layer.moves(999)], [true, false]);
});

test("more marks come into the same arrays, which grow", () => {
  const layer = new Points(POINTS);
  for (const count of [3, 1000, 10, 0, 70]) {
    const ships = Array.from({ length: count }, (_, at) => ({ x: at % 100, y: 50 }));
    assert.equal(seenOf(layer, { ships }).length, count);
    assert.equal(layer.count, count);
  }
});

test("links join the nodes that are there, whatever else is named", () => {
  const layer = new Network({ ...NETWORK, x: ["x"], y: ["y"] });
  const nodes = { a: { x: 1, y: 2 }, 7: { x: 30, y: 40 }, lost: {} };
  const links = [["a", 7], ["a", "7"], ["a", "gone"], ["a", "a"], ["a", "lost"], [{}, []], null, "ab", {}];
  const lines = seenOf(layer, { nodes, links }).filter(([name]) => name === "lineTo");
  assert.deepEqual(lines.map(([, x, y]) => [x, y]), [[30, 40], [30, 40]]);
  for (const garbage of GARBAGE) {
    seenOf(layer, { nodes: garbage, links: garbage });
    seenOf(new Network(NETWORK), { nodes: garbage, links: garbage });
  }
});

const still = () => 0;

function settled(steps) {
  const layout = new Layout();
  for (const [ids, links] of steps) {
    layout.set(ids, links);
    while (layout.step(1, still));
  }
  return layout;
}

test("the same network comes to the same places, however it is sliced", () => {
  const ids = Array.from({ length: 40 }, (_, at) => `n${at}`);
  const links = ids.slice(1).flatMap((_, at) => [at + 1, Math.floor(at / 2)]);
  const [one, other] = [settled([[ids, links]]), new Layout()];
  other.set(ids, links);
  let now = 0;
  while (other.step(0.5, () => (now += 1))); // one slice each time
  assert.deepEqual([...one.x], [...other.x]);
  assert.deepEqual([...one.y], [...other.y]);
});

test("linked nodes come near each other, and others apart", () => {
  const layout = settled([[["a", "b", "c", "d"], [0, 1, 2, 3]]]);
  const apart = (one, two) => Math.hypot(layout.x[one] - layout.x[two], layout.y[one] - layout.y[two]);
  assert.ok(apart(0, 1) > 5 && apart(0, 1) < 16, String(apart(0, 1)));
  assert.ok(apart(0, 2) > 5);
});

test("nodes stay where they are when others come and go", () => {
  const ids = Array.from({ length: 30 }, (_, at) => `n${at}`);
  const links = ids.slice(1).flatMap((_, at) => [at + 1, at]);
  const layout = settled([[ids, links]]);
  const before = Object.fromEntries(ids.map((id, at) => [id, [layout.x[at], layout.y[at]]]));
  layout.set([...ids], [...links]);
  assert.equal(layout.isWarm, false);
  const fewer = ["new", ...ids.slice(1)];
  layout.set(fewer, [0, 1, ...links.map((row) => row).slice(2)]);
  const moved = fewer.slice(1).map((id, at) => Math.hypot(layout.x[at + 1] - before[id][0], layout.y[at + 1] - before[id][1]));
  assert.equal(Math.max(...moved), 0);
  assert.ok(Math.hypot(layout.x[0] - layout.x[1], layout.y[0] - layout.y[1]) <= 10);
  while (layout.step(1, still));
  const drift = fewer.slice(1).map((id, at) => Math.hypot(layout.x[at + 1] - before[id][0], layout.y[at + 1] - before[id][1]));
  assert.ok(Math.max(...drift) < 15, String(Math.max(...drift)));
});

test("a layout keeps to its time, however large the network is", () => {
  const ids = Array.from({ length: 3000 }, (_, at) => at);
  const layout = new Layout();
  layout.set(ids, []);
  let looks = 0;
  assert.equal(layout.step(5, () => looks++ * 2), true);
  assert.ok(looks <= 5);
});

test("many nodes at one place are parted", () => {
  const layout = settled([[["a", "a", "a"], []]]);
  assert.equal(new Set(layout.x).size, 3);
  assert.ok([...layout.x, ...layout.y].every(Number.isFinite));
});

test("cells are rows of texts or lists, or one of them and a width", () => {
  const read = (declared, state) => {
    const cells = new Cells({ path: ["rows"], width: null, ...declared });
    cells.take(state);
    return [cells.width, cells.height, cells.at(1, 1)];
  };
  assert.deepEqual(read({}, { rows: ["ab", "cd"] }), [2, 2, "d"]);
  assert.deepEqual(read({}, { rows: [[1, 2, 3], [4, 5]] }), [3, 2, 5]);
  assert.deepEqual(read({ width: 2 }, { rows: "abcd" }), [2, 2, "d"]);
  assert.deepEqual(read({ width: ["wide"] }, { rows: [1, 2, 3, 4, 5], wide: 3 }), [3, 2, 5]);
  assert.deepEqual(read({}, { rows: [null, 3, "ab"] }), [2, 3, undefined]);
  for (const rows of GARBAGE) for (const width of [null, 3, ["wide"]]) for (const wide of GARBAGE) read({ width }, { rows, wide });
  assert.deepEqual(read({}, { rows: Array.from({ length: 9999 }, () => "x".repeat(9999)) }).slice(0, 2), [4096, 4096]);
});

test("a click sends what is declared, where all of it is there", () => {
  const click = { command: "c", x: "x", y: "y", id: null, args: { kind: "red" }, whole: false };
  assert.deepEqual(argsOf(click, null, { x: 1 / 3, y: 2 }), { kind: "red", x: 0.33333333, y: 2 });
  assert.deepEqual(argsOf({ ...click, whole: true }, null, { x: 1.6, y: -0.2 }), { kind: "red", x: 2, y: -0 });
  assert.equal(argsOf(click, null, null), null);
  const named = { ...click, x: null, y: null, id: "who" };
  assert.deepEqual(argsOf(named, { id: "a" }, null), { kind: "red", who: "a" });
  assert.equal(argsOf(named, null, { x: 1, y: 1 }), null);
});

test("what is under the pointer is told in few words, whatever it is", () => {
  const entry = Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`m${at}`, at]));
  assert.equal(members(entry).length, 9);
  assert.deepEqual(members({ v: [1.23456789, 2], t: "x".repeat(100), o: { a: 1 }, l: [1, 2, 3, 4, 5], n: null }), [
    ["v", "[1.23457, 2]"],
    ["t", `${"x".repeat(60)}…`],
    ["o", "{…} 1"],
    ["l", "[…] 5"],
    ["n", "null"],
  ]);
  assert.deepEqual(members("well"), [["", "well"]]);
  for (const value of GARBAGE) [members(value), brief(value)].toString();
  assert.equal(title({ id: 3, column: 1, row: 2 }), "column 1, row 2");
  assert.equal(title({ id: "<b>" }), "<b>");
});
