// Many viewers of one server, who read and do no more: how many frames came, how old they were, how large.
//
//   node crowd.mjs '{"host": "127.0.0.1", "port": 8000, "path": "/", "viewers": 1000, "warm": 2, "seconds": 10}'
//
// It looks into the frames of one viewer in `every` alone, for the moment at which each was sent. `dialect` is
// one of dialects.mjs, `deflate` offers compression; the first `frozen` of them do not read while it is measured,
// and are woken then. Measuring begins between two frames, of which there are `rate` a second. Prints one line
// of JSON; it fails where no frames come at all, be they as slow as they like.
import { setTimeout as sleep } from "node:timers/promises";

import { dialects } from "./dialects.mjs";
import { Viewer } from "./viewer.mjs";

const options = {
  host: "127.0.0.1",
  path: "/",
  viewers: 100,
  warm: 2,
  seconds: 10,
  every: 20,
  rate: 20,
  dialect: "json",
  deflate: false,
  frozen: 0,
  ...JSON.parse(process.argv[2]),
};
const AT_ONCE = 50; // connections that are made
const LIMIT = 60; // seconds until all are there, and until a frame comes
const WAKE = 3; // seconds that the woken have
const now = () => performance.timeOrigin + performance.now();
const dialect = dialects[options.dialect];
const count = { frames: 0, bytes: 0 };
const ages = [];
const woken = new Map();
let [measuring, wokenAt, came] = [false, 0, () => {}];

function heard(payload, size, viewer) {
  if (payload && !dialect.isFrame(payload)) return;
  if (measuring) {
    count.frames++;
    count.bytes += size;
    viewer.frames++;
  }
  if (!viewer.looks || !payload) return;
  came();
  const sent = dialect.sentIn(payload);
  if (sent === null) return;
  if (measuring && !viewer.frozen) ages.push(now() - sent);
  if (wokenAt && viewer.frozen && sent >= wokenAt && !woken.has(viewer)) woken.set(viewer, now() - wokenAt);
}

async function connectAll() {
  const viewers = [];
  const paths = options.path.split(" ");
  const until = now() + LIMIT * 1000;
  for (let number = 0; number < options.viewers; number++) {
    const viewer = new Viewer(options, dialect, heard, paths[number % paths.length]);
    viewer.frozen = number < options.frozen;
    viewer.looks = viewer.frozen || number % options.every === 0;
    viewers.push(viewer);
    await viewer.connect();
    if (number % AT_ONCE === AT_ONCE - 1) await sleep(20);
  }
  while (viewers.some((each) => !each.open)) {
    if (now() > until) throw new Error(`not all ${options.viewers} are connected`);
    await sleep(50);
  }
  if (dialect.first) viewers[0].say(dialect.first);
  return viewers;
}

/** Until one comes, or for so many milliseconds: whether one came. */
async function frame(limit) {
  const timer = new AbortController();
  const one = new Promise((resolve) => (came = () => resolve(true)));
  const found = await Promise.race([one, sleep(limit, false, { signal: timer.signal })]);
  timer.abort();
  came = () => {};
  return found;
}

async function frameAtLast() {
  if (!(await frame(LIMIT * 1000))) throw new Error(`no frame came within ${LIMIT} seconds`);
}

const viewers = await connectAll();
const others = viewers.filter((each) => !each.frozen);
const frozen = viewers.filter((each) => each.frozen);
process.stderr.write("connected\n");
await frameAtLast();
await sleep(options.warm * 1000);
// Between two frames, so that a window of whole seconds has as many as it should.
await frame(2000);
await sleep(500 / options.rate);
for (const viewer of frozen) viewer.socket.pause();
process.stderr.write("measuring\n");
const [used, began] = [process.cpuUsage(), performance.now()];
measuring = true;
await sleep(options.seconds * 1000);
measuring = false;
const seconds = (performance.now() - began) / 1000;
const spent = process.cpuUsage(used);
process.stderr.write("measured\n");
if (frozen.length) {
  wokenAt = now();
  for (const viewer of frozen) viewer.socket.resume();
  await sleep(WAKE * 1000);
}
// What is slow gives some in the end, what is broken does not.
if (!count.frames) await frameAtLast();
ages.sort((a, b) => a - b);
const [p50, p99] = [0.5, 0.99].map((share) => ages[Math.ceil(share * ages.length) - 1] ?? null);
console.log(
  JSON.stringify({
    seconds,
    frames: count.frames,
    bytes: count.bytes,
    offered: others.length * options.rate * options.seconds,
    of_others: others.reduce((sum, each) => sum + each.frames, 0),
    fewest: Math.min(...others.map((each) => each.frames)),
    closed: viewers.filter((each) => each.closed).length,
    cpu: (spent.user + spent.system) / 1e6 / seconds,
    p50,
    p99,
    frozen: frozen.length,
    woken: [...woken.values()].map(Math.round),
  }),
);
process.exit(0);
