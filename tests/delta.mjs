// Lines of [view, patch, nulls] in; what `apply` gives out, a line each.
import { createInterface } from "node:readline";

import { script } from "./browser/modules.mjs";

const { apply } = await script("delta.js");

for await (const line of createInterface({ input: process.stdin })) {
  let result;
  try {
    result = apply(...JSON.parse(line));
    if (({}).polluted !== undefined) throw new Error("polluted");
  } catch (error) {
    result = { raised: error.message };
  }
  console.log(JSON.stringify(result));
}
