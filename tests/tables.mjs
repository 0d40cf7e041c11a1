// Lines of [function, ...arguments] in; what it gives out, a line each.
import { createInterface } from "node:readline";

import { script } from "./browser/modules.mjs";

const functions = await script("tables.js");

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...rest] = JSON.parse(line);
  let result;
  try {
    result = functions[name](...rest);
  } catch (error) {
    result = { raised: error.message };
  }
  console.log(JSON.stringify(result));
}
