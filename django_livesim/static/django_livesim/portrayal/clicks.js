/** What a click sends. */

const DIGITS = 8; // of a place

/**
 * The arguments of a command, by the names that are declared: of what was hit, or null, and of the place `{x, y}`, or
 * null. Null where something is missing that they need.
 */
export function argsOf(click, found, place) {
  const args = { ...click.args };
  if (click.id !== null) {
    if (!found) return null;
    args[click.id] = found.id;
  }
  for (const axis of ["x", "y"]) {
    if (click[axis] === null) continue;
    if (!place) return null;
    args[click[axis]] = click.whole ? Math.round(place[axis]) : Number(place[axis].toPrecision(DIGITS));
  }
  return args;
}
