"""Many objects of one kind as columns of numbers, so that a frame of them is short.

A view that holds `{"entities": {"e1": {"x": 3.14159, "y": 2.71828, "kind": "ship"}, ...}}` may declare

    Table("entities", x=0.1, y=0.1, kind=str)

Then viewers get the ids, once, and a column for each declared member, with x and y in tenths:

    {"ids": ["e1"], "columns": {"x": [31], "y": [27], "kind": ["ship"]}, "steps": {"x": 0.1, "y": 0.1}}

and with a delta the ids that are gone, the rows that are new, and of the columns what has changed: all of it,
`{"add": [1]}`, which is how many steps are to be added to each, or `{"rows": [0], "values": [32]}`. Rows keep
their order: what is gone is taken out, what is new comes last. Both clients give the objects back, as the
columns say them: `{"e1": {"x": 3.1, "y": 2.7, "kind": "ship"}}`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from django_livesim.protocol.delta import BadPatch
from django_livesim.protocol.errors import BadState

Packed = dict[str, Any]
"""A table as it is sent: `ids`, `columns` and, by column, what one step of its numbers is worth."""

KINDS = {str: "str", int: "int", float: "float", bool: "bool"}
SHARE = 0.5  # of a column's cells; where more have changed, all are sent
EXACT = 2**53  # steps, up to which every whole number is one of its own in every client


@dataclass(frozen=True)
class Column:
    """A member of each object: a number in steps, or a value of a kind as it is."""

    name: str
    step: float = 0.0
    """Numbers are sent as multiples of it; 0: as they are."""
    kind: str = "number"

    def tell(self) -> dict[str, Any]:
        """As `hello` tells of it."""
        return {"name": self.name, "step": self.step} if self.step else {"name": self.name, "kind": self.kind}

    def pack(self, table: str, rows: Mapping[str, Mapping[str, Any]]) -> list[Any]:
        """The cells of all rows, in order."""
        name, units = self.name, per_unit(self.step)
        if units:
            try:
                cells = [round(row[name] * units) for row in rows.values()]
                if not cells or -EXACT <= min(cells) <= max(cells) <= EXACT:
                    return cells
            except (KeyError, TypeError, ValueError, OverflowError):
                pass  # one is missing, null or not finite
        return [self._cell(table, key, row.get(name)) for key, row in rows.items()]

    def _cell(self, table: str, key: str, value: Any) -> Any:
        if value is None:
            return None
        try:
            return self._packed(value)
        except (TypeError, ValueError, OverflowError):
            expected = "a number" if self.step or self.kind == "float" else self.kind
            raise BadState(
                f"The view's {table}[{key!r}][{self.name!r}] is {value!r:.100}. Its Table expects {expected}."
            ) from None

    def _packed(self, value: Any) -> Any:
        if self.step or self.kind == "float":
            number = float(value)
            if not self.step:
                return number if math.isfinite(number) else None
            steps = number * (per_unit(self.step) or 1 / self.step)
            return round(steps) if abs(steps) <= EXACT else None
        if self.kind == "int":
            return int(value)
        if self.kind == "bool" and value in (True, False):
            return bool(value)
        if self.kind == "str" and isinstance(value, str):
            return str(value)
        raise TypeError(value)


def whole(body: bytes, packed: bytes) -> bytes:
    """The view as viewers have it, as JSON: what is in no table, with the objects of the tables."""
    if not packed:
        return body
    tables: Mapping[str, Packed] = orjson.loads(packed)
    return orjson.dumps(orjson.loads(body) | {name: unpack(table) for name, table in tables.items()})


def per_unit(step: float) -> int:
    """How many steps make 1, where that is a whole number; 0 where it is none."""
    whole = round(1 / step) if step else 0
    return whole if whole and abs(1 / step - whole) < 1e-9 * whole else 0


class Table:
    """Declares that a member of the view is an object of objects, of which viewers get these members.

    `Table("entities", x=0.1, hits=int, kind=str)`: a number says how precise the values are sent, and a type,
    of `str`, `int`, `float` and `bool`, that they are sent as they are. What is missing, null, not finite or
    beyond 2^53 steps is null. Raises TypeError and ValueError for anything else.
    """

    def __init__(self, name: str, /, **columns: float | type) -> None:
        self.name = name
        self.columns = tuple(_column(name, *each) for each in columns.items())
        if not self.columns:
            raise ValueError(f'Table("{name}") has no columns. Expected: one at least, as in x=0.1.')

    def tell(self) -> dict[str, Any]:
        """As `hello` tells of it."""
        return {"name": self.name, "columns": [column.tell() for column in self.columns]}

    def pack(self, rows: Mapping[str, Mapping[str, Any]]) -> Packed:
        """The table of these objects. Raises BadState where they, or a value, are not as was declared."""
        if not isinstance(rows, Mapping):
            raise self._unexpected("", rows, "a dict of dicts")
        for key, row in rows.items():
            if not isinstance(key, str):
                raise self._unexpected("", key, "ids that are str")
            if not isinstance(row, Mapping):
                raise self._unexpected(f"[{key!r:.100}]", row, "a dict")
        columns = {column.name: column.pack(self.name, rows) for column in self.columns}
        steps = {column.name: column.step for column in self.columns if column.step}
        return {"ids": list(rows), "columns": columns, "steps": steps}

    def _unexpected(self, at: str, value: Any, expected: str) -> BadState:
        what = f"{value!r:.100}, {type(value).__name__}"
        return BadState(f"The view's {self.name}{at} has {what}. Its Table expects {expected}.")


def _column(table: str, name: str, given: Any) -> Column:
    if isinstance(given, type) and given in KINDS:
        return Column(name, kind=KINDS[given])
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(
            f'Table("{table}", {name}={given!r}): expected a number or one of str, int, float, bool.'
        )
    if not (math.isfinite(given) and given > 0):
        raise ValueError(f'Table("{table}", {name}={given!r}): the precision is above 0, as in {name}=0.1.')
    return Column(name, step=float(given))


def unpack(packed: Packed) -> dict[str, dict[str, Any]]:
    """The objects of a table, by id."""
    names, steps = list(packed["columns"]), packed["steps"]
    values = zip(*(_values(steps.get(name, 0), packed["columns"][name]) for name in names), strict=True)
    return {key: dict(zip(names, row, strict=True)) for key, row in zip(packed["ids"], values, strict=True)}


def _values(step: float, cells: Iterable[Any]) -> list[Any]:
    if not step:
        return list(cells)
    if units := per_unit(step):
        return [None if cell is None else cell / units for cell in cells]
    return [None if cell is None else cell * step for cell in cells]


def may_follow(old: Packed, new: Packed) -> bool:
    """Whether a delta leads from one to the other: they have the same columns, of the same precision."""
    return old["steps"] == new["steps"] and old["columns"].keys() == new["columns"].keys()


def diff(old: Packed, new: Packed) -> tuple[dict[str, Any], Packed]:
    """What has changed, empty where nothing has; and `new` with its rows in the order that viewers have."""
    steps = new["steps"]
    if old["ids"] == new["ids"]:
        changed = _changed(old["columns"], new["columns"], steps)
        return ({"changed": changed} if changed else {}), new
    there, had = set(new["ids"]), set(old["ids"])
    removed = [key for key in old["ids"] if key not in there]
    kept = [key for key in old["ids"] if key in there]
    added = [key for key in new["ids"] if key not in had]
    place = {key: index for index, key in enumerate(new["ids"])}
    rows_kept, rows_added = [place[key] for key in kept], [place[key] for key in added]
    before = _taken(old, [index for index, key in enumerate(old["ids"]) if key in there])
    now = {name: [cells[row] for row in rows_kept] for name, cells in new["columns"].items()}
    fresh = {name: [cells[row] for row in rows_added] for name, cells in new["columns"].items()}
    found: dict[str, Any] = {"removed": removed} if removed else {}
    if changed := _changed(before["columns"], now, steps):
        found["changed"] = changed
    if added:
        found["added"] = {"ids": added, "columns": fresh}
    columns = {name: now[name] + fresh[name] for name in now}
    return found, {"ids": kept + added, "columns": columns, "steps": steps}


def _taken(table: Packed, rows: Sequence[int]) -> Packed:
    return {
        "ids": [table["ids"][row] for row in rows],
        "columns": {name: [cells[row] for row in rows] for name, cells in table["columns"].items()},
        "steps": table["steps"],
    }


def _changed(
    old: Mapping[str, list[Any]], new: Mapping[str, list[Any]], steps: Mapping[str, float]
) -> dict[str, Any]:
    """By column: all of its cells, what is to be added to them, or the rows and what is in them now."""
    found: dict[str, Any] = {}
    for name, cells in new.items():
        before = old[name]
        if before == cells:
            continue
        rows = [row for row, (was, now) in enumerate(zip(before, cells, strict=True)) if was != now]
        if len(rows) > SHARE * len(cells):
            found[name] = (_added(before, cells) if name in steps else None) or cells
        else:
            found[name] = {"rows": rows, "values": [cells[row] for row in rows]}
    return found


def _added(before: list[Any], cells: list[Any]) -> dict[str, list[int]] | None:
    """What leads from one to the other by addition, where that is shorter."""
    try:
        more = [now - was for was, now in zip(before, cells, strict=True)]
    except TypeError:  # one is null
        return None
    if not -EXACT <= min(more) <= max(more) <= EXACT or len(orjson.dumps(more)) >= len(orjson.dumps(cells)):
        return None
    return {"add": more}


def apply(table: Packed, delta: Mapping[str, Any]) -> Packed:
    """The table after the delta; `table` is not changed. Raises BadPatch where they do not fit."""
    try:
        return _applied(table, delta)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as exc:
        raise BadPatch(f"What has changed of a table does not fit it: {exc!r:.200}.") from exc


def _applied(table: Packed, delta: Mapping[str, Any]) -> Packed:
    if removed := set(delta.get("removed", ())):
        table = _taken(table, [row for row, key in enumerate(table["ids"]) if key not in removed])
    columns = dict(table["columns"])
    for name, change in delta.get("changed", {}).items():
        if isinstance(change, dict) and "add" in change:
            columns[name] = [was + more for was, more in zip(columns[name], change["add"], strict=True)]
        elif isinstance(change, dict):
            columns[name] = cells = list(columns[name])
            for row, value in zip(change["rows"], change["values"], strict=True):
                if not 0 <= row < len(cells):
                    raise IndexError(row)
                cells[row] = value
        elif len(change) != len(table["ids"]):
            raise ValueError(name)
        else:
            columns[name] = change
    ids = table["ids"]
    if added := delta.get("added"):
        ids = ids + added["ids"]
        columns = {name: cells + added["columns"][name] for name, cells in columns.items()}
    return {"ids": ids, "columns": columns, "steps": table["steps"]}
