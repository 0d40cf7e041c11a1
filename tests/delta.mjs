// Lines of [view, patch, nulls] in; what `apply` gives out, a line each.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const source = readFileSync(new URL("../django_livesim/static/django_livesim/delta.js", import.meta.url));
const { apply } = await import(`data:text/javascript;base64,${source.toString("base64")}`);

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
