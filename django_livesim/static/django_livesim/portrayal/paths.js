/** What paths name in a view, which may hold anything: where nothing is there, undefined. */

export function member(value, name) {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** A function that reads what `path`, a list of names and indices, names; one that reads nothing without a path. */
export function reader(path) {
  if (!Array.isArray(path)) return () => undefined;
  const [first, second] = path;
  if (path.length === 0) return (value) => value;
  if (path.length === 1) return (value) => member(value, first);
  if (path.length === 2) return (value) => member(member(value, first), second);
  return (value) => path.reduce(member, value);
}

/** A finite number, or NaN. */
export const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : NaN);

/** The keys of an object of entries; null for a list, whose indices they are; undefined where it is neither. */
export function keysOf(entries) {
  if (Array.isArray(entries)) return null;
  return typeof entries === "object" && entries !== null ? Object.keys(entries) : undefined;
}

/** `[x0, y0, x1, y1]` as a layer declares it, null where it does not or the view has none. */
export function boundsOf(declared, state) {
  const found = Array.isArray(declared) ? reader(declared)(state) : declared?.fixed;
  if (!Array.isArray(found) || found.length !== 4 || !found.every(Number.isFinite)) return null;
  return found[0] < found[2] && found[1] < found[3] ? found : null;
}
