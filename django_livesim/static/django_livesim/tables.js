/** Tables as they are sent, and the objects that they stand for; see docs/protocol.md. */

const decoder = (step) => {
  if (!step) return (cell) => cell;
  const whole = Math.round(1 / step);
  const isWhole = whole && Math.abs(1 / step - whole) < 1e-9 * whole;
  return (cell) => (cell === null ? null : isWhole ? cell / whole : cell * step);
};

/** The objects of a table, by id. */
export function unpack({ ids, columns, steps }) {
  const decode = Object.entries(columns).map(([name, cells]) => [
    name,
    cells,
    decoder(Object.hasOwn(steps, name) && steps[name]),
  ]);
  return Object.fromEntries(
    ids.map((id, row) => [id, Object.fromEntries(decode.map(([name, cells, value]) => [name, value(cells[row])]))]),
  );
}

const misfit = () => new Error("What has changed of a table does not fit it");

/** The table after a delta; `table` is not changed. Throws where they do not fit. */
export function applyTable(table, { removed = [], changed = {}, added = null }) {
  let { ids, columns, steps } = table;
  columns = { ...columns };
  if (removed.length) {
    const gone = new Set(removed);
    const kept = ids.map((id) => !gone.has(id));
    ids = ids.filter((_, row) => kept[row]);
    for (const name in columns) columns[name] = columns[name].filter((_, row) => kept[row]);
  }
  for (const [name, change] of Object.entries(changed)) {
    if (!Object.hasOwn(columns, name)) throw misfit();
    if (Array.isArray(change)) {
      if (change.length !== ids.length) throw misfit();
      columns[name] = change;
    } else if (change.add) {
      if (change.add.length !== ids.length) throw misfit();
      columns[name] = columns[name].map((cell, row) => {
        if (!Number.isInteger(cell) || !Number.isInteger(change.add[row])) throw misfit();
        return cell + change.add[row];
      });
    } else {
      columns[name] = [...columns[name]];
      change.rows.forEach((row, index) => {
        if (!(row >= 0 && row < ids.length)) throw misfit();
        columns[name][row] = change.values[index];
      });
    }
  }
  if (added) {
    ids = [...ids, ...added.ids];
    for (const name in columns) columns[name] = [...columns[name], ...added.columns[name]];
  }
  return { ids, columns, steps };
}
