/** The rules of the live page's scripts, without a page. Run: node --test */

import assert from "node:assert/strict";
import { test } from "node:test";

import { script } from "./modules.mjs";

globalThis.document = { getElementById: () => null, title: "" };

const { titled } = await script("title.js");
const { Rate } = await script("rate.js");
const { Figures, RoundTrips, Traffic } = await script("latency.js");
const { inBytes, inTime } = await script("latency_card.js");
const { differ } = await script("changes.js");
const { found } = await script("search.js");
const { written } = await script("copying.js");
const { nextSpeed } = await script("keys.js");

test("a title says how a run is", () => {
  assert.equal(titled("orbit", { status: "running" }), "orbit");
  assert.equal(titled("orbit", { status: "running", progress: 0.429 }), "42 % · orbit");
  assert.equal(titled("orbit", { status: "paused" }), "▮▮ orbit");
  assert.equal(titled("orbit", { status: "paused", progress: 0.5 }), "▮▮ 50 % · orbit");
  assert.equal(titled("orbit", { status: "finished", progress: 1 }), "✓ orbit");
  assert.equal(titled("orbit", { status: "failed", progress: 0.3 }), "✗ orbit");
  assert.equal(titled("orbit", { status: "running", isLost: true }), "(!) orbit");
  assert.equal(titled("orbit", { status: "running", progress: 0, isLost: true }), "(!) 0 % · orbit");
});

test("a rate is taken between live frames of one worker", () => {
  const rate = new Rate();
  assert.equal(rate.take({ epoch: 1, seq: 0, tick: 10 }, 0), undefined); // what was stored
  assert.equal(rate.take({ epoch: 1, seq: 7, tick: 20 }, 10), undefined);
  assert.equal(rate.take({ epoch: 1, seq: 8, tick: 21 }, 100), null);
  assert.equal(rate.take({ epoch: 1, seq: 9, tick: 31 }, 600), 20);
  assert.equal(rate.take({ epoch: 2, seq: 1, tick: 500 }, 700), undefined);
});

test("figures give the one that a share of them does not exceed", () => {
  const figures = new Figures();
  assert.equal(figures.quantile(0.5), null);
  for (let figure = 300; figure > 0; figure--) figures.note(figure);
  assert.equal(figures.count, 200); // the last ones: 200 to 1
  assert.equal(figures.quantile(0.5), 100);
  assert.equal(figures.quantile(0.99), 198);
  assert.equal(figures.quantile(1), 200);
});

test("a round trip is counted once, from when it was sent first", () => {
  const trips = new RoundTrips();
  trips.sent("a", 100);
  trips.sent("a", 150);
  trips.answered("a", 180);
  trips.answered("a", 190);
  trips.answered("not ours", 200);
  assert.equal(trips.figures.count, 1);
  assert.equal(trips.figures.quantile(0.5), 80);
  for (let n = 0; n < 150; n++) trips.sent(`b${n}`, 200);
  trips.answered("b0", 300); // of those that are never answered, the oldest are forgotten
  assert.equal(trips.figures.count, 1);
});

test("frames that were made and did not come are counted within an epoch", () => {
  const traffic = new Traffic();
  const come = (epoch, seq, prev) => traffic.frame({ epoch, seq, prev }, 0);
  come(1, 0);
  come(1, 5); // the first tells of none before it
  come(1, 6, 5);
  assert.equal(traffic.skipped, 0);
  come(1, 9);
  assert.equal(traffic.skipped, 2);
  come(2, 30); // another worker
  assert.equal(traffic.skipped, 2);
  traffic.begin(); // another connection
  come(2, 50);
  assert.equal(traffic.skipped, 2);
  come(2, 49); // late
  come(2, 51);
  assert.equal(traffic.skipped, 2);
});

test("where each role has frames of its own, those of others are not missed", () => {
  const traffic = new Traffic();
  const come = (seq, prev) => traffic.frame({ epoch: 1, seq, prev }, 0);
  come(3);
  come(6, 3);
  come(9, 6);
  assert.equal(traffic.skipped, 0);
  come(15); // whole, since 12 was passed over
  assert.equal(traffic.skipped, 1);
});

test("rates are those of the last three seconds", () => {
  const traffic = new Traffic();
  for (let now = 0; now < 6000; now += 100) {
    traffic.message(1000, now);
    traffic.frame({ epoch: 1, seq: now / 100 + 1 }, now);
  }
  assert.ok(Math.abs(traffic.frameRate(6000) - 10) < 0.5);
  assert.ok(Math.abs(traffic.byteRate(6000) - 10000) < 500);
  assert.equal(traffic.frameRate(20000), 0);
});

test("bytes and durations as people read them", () => {
  assert.deepEqual([12, 4200, 3_100_000].map(inBytes), ["12 B", "4.2 kB", "3.1 MB"]);
  assert.deepEqual([4200, 61_000, 7_300_000].map(inTime), ["4 s", "1 min 1 s", "2 h 1 min"]);
});

test("values differ where something in them does", () => {
  const differs = (one, other, left = 1000) => differ(one, other, { left });
  assert.ok(!differs({ a: [1, { b: null }] }, { a: [1, { b: null }] }));
  assert.ok(differs({ a: [1, { b: null }] }, { a: [1, { b: 0 }] }));
  assert.ok(differs({ a: 1 }, {}));
  assert.ok(differs({}, { a: 1 }));
  assert.ok(differs([], {}));
  assert.ok(differs({ a: 1 }, { b: 1 }));
  assert.ok(differs(JSON.parse('{"__proto__": 1}'), JSON.parse('{"__proto__": 2}')));
});

test("no more members are compared than is allowed", () => {
  const many = () => Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`m${n}`, { n }]));
  const allowance = { left: 500 };
  assert.equal(differ(many(), many(), allowance), false); // as far as was looked
  assert.ok(allowance.left < 0 && allowance.left > -10);
  const shared = many();
  assert.equal(differ(shared, shared, allowance), false);
});

const all = (value, text) => [...found(value, text)].filter(Boolean);

test("keys and values are found in the order of the tree", () => {
  const state = { Moon: { x: 1.25, name: "moon" }, marks: ["a moon", [true, null]], moons: { 7: { moon: {} } } };
  assert.deepEqual(all(state, "moon"), [
    ["Moon"],
    ["Moon", "name"],
    ["marks", "0"],
    ["moons"],
    ["moons", "7", "moon"],
  ]);
  assert.deepEqual(all(state, "1.2"), [["Moon", "x"]]);
  assert.deepEqual(all(state, "null"), [["marks", "1", "1"]]);
  assert.deepEqual(all(state, "0"), []); // a place in a list is no key
  assert.deepEqual(all(state, "nowhere"), []);
});

test("a search gives way now and then", () => {
  const state = Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`m${n}`, n]));
  const given = [...found(state, "nowhere")];
  assert.ok(given.length >= 3 && given.every((each) => each === null));
});

test("a path is written as one writes it", () => {
  const state = { members: { "no 1": { x: [[5]] } }, marks: [{ "7": 1 }] };
  assert.equal(written(["members", "no 1", "x", "0", "0"], state), 'members["no 1"].x[0][0]');
  assert.equal(written(["marks", "0", "7"], state), 'marks[0]["7"]');
});

test("the next speed is the nearest beyond the present one", () => {
  const options = ["0.25", "0.5", "1", "2", "max"];
  assert.equal(nextSpeed(options, 1, 1), "2");
  assert.equal(nextSpeed(options, 1, -1), "0.5");
  assert.equal(nextSpeed(options, 1.5, -1), "1");
  assert.equal(nextSpeed(options, 2, 1), "max");
  assert.equal(nextSpeed(options, "max", 1), null);
  assert.equal(nextSpeed(options, "max", -1), "2");
  assert.equal(nextSpeed(options, 0.1, -1), null);
});
