// Lines of messages in, null for a new mirror; what became of each, and what is shown then, a line each.
import { createInterface } from "node:readline";

import { script } from "./browser/modules.mjs";

const { Mirror } = await script("mirror.js");
let mirror = new Mirror();

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message === null) mirror = new Mirror();
  const fate = message && mirror.take(message);
  console.log(JSON.stringify({ fate, frame: mirror.frame }));
}
