// Lines of [function, ...arguments] in; what it gives out, a line each.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const source = readFileSync(new URL("../django_livesim/static/django_livesim/tables.js", import.meta.url));
const functions = await import(`data:text/javascript;base64,${source.toString("base64")}`);

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
