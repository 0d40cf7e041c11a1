/** LiveSocket with a socket of paper and a clock that is set by hand. Run: node --test */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { script } from "./modules.mjs";

let ws;
let sent = [];
globalThis.WebSocket = class {
  constructor() {
    ws = this;
  }
  send(text) {
    sent.push(JSON.parse(text));
  }
  close() {}
};
let now = 0;
performance.now = () => now;
globalThis.CustomEvent ??= class extends Event {
  constructor(name, { detail }) {
    super(name);
    this.detail = detail;
  }
};

const { LiveSocket } = await script("socket.js");

const hear = (message) => ws.onmessage({ data: JSON.stringify(message) });
const hello = (role = "owner") => hear({ type: "hello", status: "running", role });
const busy = (id) => hear({ type: "error", id, code: "busy", message: "", fields: {}, retry: 0.3 });

function pass(ms) {
  for (const until = now + ms; now < until; ) {
    now += 10;
    mock.timers.tick(10);
  }
}

function opened() {
  const socket = new LiveSocket("ws://x/");
  socket.open();
  hello();
  return socket;
}

/** The code with which a command ends, once it has. */
function fate(promise) {
  const found = {};
  promise.then(
    () => (found.code = "applied"),
    ({ code }) => (found.code = code),
  );
  return found;
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

function hide(hidden) {
  document.hidden = hidden;
  document.dispatchEvent(new Event("visibilitychange"));
}

/** What was asked for since this was last looked at, in frames a second. */
const rates = () => sent.splice(0).filter(({ type }) => type === "rate").map(({ fps }) => fps);

beforeEach(() => {
  globalThis.document = Object.assign(new EventTarget(), { hidden: false });
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  mock.method(Math, "random", () => 0.5);
  sent = [];
});

test("a command that is put off has one timer, however often the connection is made again", () => {
  const socket = opened();
  fate(socket.send("add", {}, { id: "a" }));
  for (let i = 0; i < 4; i++) {
    busy("a");
    ws.onclose({ code: 1006 });
    socket.reconnect();
    hello();
  }
  sent = [];
  busy("a");
  pass(30000);
  assert.equal(sent.filter(({ type }) => type === "command").length, 1);
});

test("each time it is put off it waits twice as long, at most 15 s and a half", () => {
  const socket = opened();
  fate(socket.send("add", {}, { id: "a" }));
  const times = [];
  for (let i = 0; i < 8; i++) {
    const before = now;
    sent = [];
    busy("a");
    while (!sent.some(({ type }) => type === "command")) pass(10);
    hear({ type: "pong" });
    times.push(now - before);
  }
  assert.deepEqual(times, [380, 750, 1500, 3000, 6000, 12000, 18750, 18750]);
});

test("no more than a hundred wait", async () => {
  const socket = opened();
  const fates = Array.from({ length: 101 }, (_, x) => fate(socket.send("move", { x })));
  await settled();
  assert.deepEqual([fates[99].code, fates[100].code], [undefined, "too_many"]);
  assert.equal(sent.length, 100);
});

test("what could not be sent for ten seconds is stale; what was sent is sent again", async () => {
  const socket = opened();
  const asked = fate(socket.send("add", {}, { id: "sent" }));
  ws.onclose({ code: 1006 });
  const old = fate(socket.send("add", {}, { id: "old" }));
  pass(9000);
  const fresh = fate(socket.send("add", {}, { id: "fresh" }));
  pass(1500);
  sent = [];
  hello();
  await settled();
  assert.deepEqual([asked.code, old.code, fresh.code], [undefined, "stale", undefined]);
  assert.deepEqual(sent.map(({ id }) => id), ["sent", "fresh"]);
});

test("a second hello tells of other rights and sends nothing again", () => {
  const socket = opened();
  const heard = [];
  socket.addEventListener("hello", ({ detail }) => heard.push(detail.role));
  fate(socket.send("add", {}, { id: "a" }));
  sent = [];
  hello("view");
  assert.deepEqual([heard, sent], [["view"], []]);
});

test("after a restart of the server all come back over some seconds", () => {
  const socket = opened();
  const delays = [];
  socket.addEventListener("connection", ({ detail }) => detail.delay && delays.push(detail.delay));
  for (const random of [0, 0.999]) {
    mock.method(Math, "random", () => random);
    pass(11000);
    ws.onclose({ code: 1012 });
    socket.reconnect();
    hello();
  }
  assert.deepEqual(delays.map(Math.round), [500, 4996]);
});

for (const [code, said] of [[4403, "forbidden"], [4410, "deleted"], [4429, "too_many"]]) {
  test(`what waits when the connection ends with ${code} is refused as ${said}`, async () => {
    const asked = fate(opened().send("add"));
    ws.onclose({ code });
    await settled();
    assert.equal(asked.code, said);
  });
}

test("frames: a delta changes the one before it, and what was missed is asked for once", () => {
  const socket = opened();
  const states = [];
  socket.addEventListener("frame", ({ detail }) => states.push([detail.seq, detail.state]));
  const delta = (prev, seq, patch, more = {}) =>
    hear({ type: "delta", epoch: 1, prev, seq, tick: seq, patch, nulls: [], ...more });
  hear({ type: "snapshot", epoch: 1, seq: 1, tick: 1, state: { a: 1, b: 2 } });
  delta(1, 2, { a: 3 });
  sent = [];
  delta(5, 6, { a: 4 });
  delta(6, 7, { a: 5 });
  assert.deepEqual(
    sent.map(({ type }) => type),
    ["ack", "resync"],
  );
  hear({ type: "snapshot", epoch: 1, seq: 7, tick: 7, state: { a: 5, b: 2 } });
  delta(7, 8, { b: null }, { nulls: ["/c"] });
  delta(5, 6, { a: 4 });
  assert.deepEqual(states, [
    [1, { a: 1, b: 2 }],
    [2, { a: 3, b: 2 }],
    [7, { a: 5, b: 2 }],
    [8, { a: 5, c: null }],
  ]);
});

test("frames: tables come as the objects they stand for", () => {
  const socket = opened();
  hear({
    type: "hello",
    status: "running",
    role: "owner",
    tables: [{ name: "ships", columns: [{ name: "x", step: 0.1 }, { name: "kind", kind: "str" }] }],
  });
  hear({
    type: "snapshot",
    epoch: 1,
    seq: 1,
    tick: 1,
    state: { more: 1 },
    tables: { ships: { ids: ["a", "b"], columns: { x: [31, null], kind: ["tug", "sub"] }, steps: { x: 0.1 } } },
  });
  assert.deepEqual(socket.frame.state, { more: 1, ships: { a: { x: 3.1, kind: "tug" }, b: { x: null, kind: "sub" } } });
  const before = socket.frame.state;
  const changed = { ships: { removed: ["b"], changed: { x: { rows: [0], values: [32] } } } };
  hear({ type: "delta", epoch: 1, prev: 1, seq: 2, tick: 2, patch: {}, nulls: [], tables: changed });
  assert.deepEqual(socket.frame.state, { more: 1, ships: { a: { x: 3.2, kind: "tug" } } });
  assert.equal(before.ships.a.x, 3.1);
  sent = [];
  hear({ type: "delta", epoch: 1, prev: 2, seq: 3, tick: 3, patch: {}, nulls: [], tables: { boats: {} } });
  assert.deepEqual(
    sent.map(({ type }) => type),
    ["ack", "resync"],
  );
});

test("a hidden page asks for fewer frames, and for what it wanted before when it is looked at again", () => {
  const socket = opened();
  assert.deepEqual(rates(), []);
  hide(true);
  hide(true);
  assert.deepEqual(rates(), [0.5]);
  hide(false);
  assert.deepEqual(rates(), [1000]);
  socket.rate(5);
  hide(true);
  hide(false);
  assert.deepEqual(rates(), [5, 0.5, 5]);
  hide(true);
  socket.rate(0.2);
  hide(false);
  assert.deepEqual(rates(), [0.5, 0.2]);
  socket.close();
  hide(true);
  assert.deepEqual(rates(), []);
});

test("what a page wants is asked for again on a new connection", () => {
  const socket = new LiveSocket("ws://x/");
  socket.rate(5);
  socket.open();
  assert.deepEqual(rates(), []);
  hello();
  assert.deepEqual(rates(), [5]);
  ws.onclose({ code: 1006 });
  hide(true);
  socket.reconnect();
  hello();
  assert.deepEqual(rates(), [0.5]);
  hide(false);
  assert.deepEqual(rates(), [5]);
  socket.close();
});

test("a page may say how many frames it wants while it is hidden", () => {
  for (const [hiddenRate, asked] of [[10, [10, 1000]], [0, [0, 1000]], [Infinity, []]]) {
    const socket = new LiveSocket("ws://x/", { hiddenRate });
    socket.open();
    hello();
    hide(true);
    hide(false);
    assert.deepEqual(rates(), asked);
    socket.close();
  }
});

test("a connection that is doubted and does not answer is made again", () => {
  const socket = opened();
  const states = [];
  socket.addEventListener("connection", ({ detail }) => states.push(detail.state));
  socket.doubt();
  assert.deepEqual(sent.pop(), { type: "ping" });
  pass(5000);
  assert.deepEqual(states.slice(0, 2), ["waiting", "connecting"]);
  socket.close();
});

test("one that answers stays", () => {
  const socket = opened();
  socket.doubt();
  pass(1000);
  hear({ type: "pong" });
  pass(5000);
  assert.equal(socket.state, "open");
  socket.close();
});

test("what is sent and heard is told", () => {
  const socket = opened();
  const told = [];
  socket.addEventListener("sent", ({ detail }) => told.push([detail.id, detail.name ?? detail.action]));
  socket.addEventListener("heard", ({ detail }) => told.push([detail.message.type, detail.size]));
  fate(socket.send("add", {}, { id: "a" }));
  fate(socket.control("pause", {}, { id: "b" }));
  hear({ type: "pong" });
  assert.deepEqual(told, [["a", "add"], ["b", "pause"], ["pong", '{"type":"pong"}'.length]]);
  socket.close();
});
