// The state that the peers show, as benchmarks/live/app/simulations.py has it; and their packages.
import { createRequire } from "node:module";
import { join } from "node:path";

export const [port, count, rate, packages] = [...process.argv.slice(2, 5).map(Number), process.argv[5]];
export const load = createRequire(join(packages, "package.json"));
const among = (low, high) => low + Math.random() * (high - low);

/** About 120 bytes of JSON each. */
export function entities() {
  const made = {};
  for (let number = 0; number < count; number++) {
    made[`entity${number}`] = {
      position: [among(0, 1000), among(0, 1000)],
      velocity: [among(-1, 1), among(-1, 1)],
      kind: "ship",
    };
  }
  return made;
}

/** Call it so often, by the clock and not after one another. */
export function each(act) {
  let due = performance.now();
  const next = () => {
    act();
    due = Math.max(due + 1000 / rate, performance.now());
    setTimeout(next, due - performance.now());
  };
  next();
}
