/** The columns behind the plots: what comes twice, late, or goes back, and what is thinned. Run: node --test */

import assert from "node:assert/strict";
import { test } from "node:test";

import { script } from "./modules.mjs";

const { Series, superfluous } = await script("series.js");

function filled(...rows) {
  const series = new Series();
  for (const row of rows) series.add(...row);
  return series;
}

const told = (series) => ({ ticks: series.ticks, at: series.at, ...Object.fromEntries(series.columns) });

test("a figure that comes later has no values before, and one that stays away none after", () => {
  const series = filled([1, 10, { a: 1 }], [2, 11, { a: 2, b: 5 }], [3, 12, { b: 6 }]);
  assert.deepEqual(told(series), { ticks: [1, 2, 3], at: [10, 11, 12], a: [1, 2, null], b: [null, 5, 6] });
});

test("of a tick the newest values stay", () => {
  const series = filled([1, 10, { a: 1 }], [1, 11, { b: 2 }]);
  assert.deepEqual(told(series), { ticks: [1], at: [11], a: [null], b: [2] });
});

test("an earlier tick than the last is not taken", () => {
  const series = filled([5, 10, { a: 1 }]);
  assert.equal(series.add(4, 11, { a: 2 }), false);
  assert.deepEqual(told(series), { ticks: [5], at: [10], a: [1] });
});

test("time never goes back, whatever the clocks of two workers say", () => {
  assert.deepEqual(filled([1, 10, {}], [2, 8, {}], [3, 11, {}]).at, [10, 10, 11]);
});

test("what is stored comes before, between and after what was heard", () => {
  const series = filled([4, 14, { a: 4 }], [6, 16, { a: 6 }]);
  series.merge({ ticks: [1, 4, 5, 9], at: [11, 0, 15, 19], series: { a: [1, 99, 5, 9], b: [null, 1, 2, 3] } });
  assert.deepEqual(told(series), {
    ticks: [1, 4, 5, 6, 9],
    at: [11, 14, 15, 16, 19],
    a: [1, 4, 5, 6, 9],
    b: [null, null, 2, null, 3],
  });
});

test("a figure that was stored and never had a value has its plot, too", () => {
  const series = filled();
  series.merge({ ticks: [1], at: [1], series: { a: [null] } });
  assert.deepEqual([...series.columns], [["a", [null]]]);
});

test("what was cleared begins anew with the same figures", () => {
  const series = filled([5, 10, { a: 1 }]);
  series.clear();
  assert.equal(series.add(1, 1, { a: 7 }), true);
  assert.deepEqual(told(series), { ticks: [1], at: [1], a: [7] });
});

test("how far it was at a tick", () => {
  const series = filled([1, 1, {}], [3, 2, {}], [5, 3, {}]);
  assert.deepEqual([0, 1, 2, 5, 9].map((tick) => series.until(tick)), [0, 1, 1, 3, 3]);
});

test("of a hundred thousand rows some thousands are left, the newest whole and the oldest still there", () => {
  const series = new Series();
  for (let tick = 0; tick < 100_000; tick++) series.add(tick, tick, { a: -tick });
  assert.ok(series.length <= 4000 && series.length >= 3000);
  assert.equal(series.ticks[0], 0);
  assert.deepEqual(series.ticks.slice(-2000), Array.from({ length: 2000 }, (_, i) => 98_000 + i));
  assert.deepEqual(series.columns.get("a"), series.ticks.map((tick) => -tick));
  assert.deepEqual(series.at, series.ticks);
  const quarter = (n) => series.ticks.filter((tick) => tick >= 25_000 * n && tick < 25_000 * (n + 1)).length;
  assert.ok(quarter(0) > 100 && quarter(0) < quarter(2), `${[0, 1, 2].map(quarter)}`);
});

test("it spares what the server spares", () => {
  assert.deepEqual([...superfluous([1, 2, 3], 9, 5)], [1]);
  assert.equal(superfluous([1], 9, 5).size, 0);
  const ticks = Array.from({ length: 500 }, (_, i) => 2 * i);
  const gone = superfluous(ticks, 1500, 250);
  assert.equal(gone.size, 250);
  assert.ok(!gone.has(0) && !gone.has(499));
});
