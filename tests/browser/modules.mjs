/** Our scripts by name, as they stand, for a node that takes files named .js for something else. */

import { readFileSync } from "node:fs";

const folder = new URL("../../django_livesim/static/django_livesim/", import.meta.url);

function address(name, base = folder) {
  const url = new URL(name, base);
  const source = readFileSync(url, "utf8").replaceAll(
    /(from\s+)"(\.\.?\/[\w./]+)"/g,
    (_, from, other) => `${from}"${address(other, url)}"`,
  );
  return `data:text/javascript;base64,${Buffer.from(source).toString("base64")}`;
}

export const script = (name) => import(address(name));
