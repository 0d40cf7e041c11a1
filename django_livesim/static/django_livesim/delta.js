/** What a view becomes by a merge patch (RFC 7396) and the JSON pointers of what is null after it. */

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

// A member named __proto__ is one like any other.
function set(object, name, value) {
  if (name === "__proto__") {
    Object.defineProperty(object, name, { value, configurable: true, enumerable: true, writable: true });
  } else object[name] = value;
}

const get = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);

function copied(object) {
  const copy = {};
  for (const name of Object.keys(object)) set(copy, name, object[name]);
  return copy;
}

function merged(target, patch) {
  const result = isObject(target) ? copied(target) : {};
  for (const name of Object.keys(patch)) {
    const value = patch[name];
    if (value === null) delete result[name];
    else set(result, name, isObject(value) ? merged(get(result, name), value) : value);
  }
  return result;
}

/** `view` is not changed; what stays the same is shared with it. Throws where a null does not fit. */
export function apply(view, patch, nulls = []) {
  const result = merged(view, patch);
  for (const pointer of nulls) {
    const [start, ...names] = pointer.split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = names.pop();
    if (start !== "" || last === undefined) throw new Error("A null does not fit");
    let object = result;
    for (const name of names) {
      const inner = get(object, name);
      if (!isObject(inner)) throw new Error("A null does not fit");
      set(object, name, copied(inner));
      object = object[name];
    }
    set(object, last, null);
  }
  return result;
}
