"""Tables: what is sent of many objects, and what viewers make of it, in Python and in JavaScript."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_livesim.protocol import tables
from django_livesim.protocol.delta import BadPatch
from django_livesim.protocol.errors import BadState
from django_livesim.protocol.tables import Table
from tests import services

SHIPS = Table("ships", x=0.1, y=0.25, far=0.3, hits=int, exact=float, up=bool, kind=str)
numbers = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.05, math.nan, math.inf, 5])
ship = st.fixed_dictionaries(
    {},
    optional={
        "x": numbers,
        "y": numbers,
        "far": numbers,
        "exact": numbers,
        "hits": st.none() | st.integers(-(2**53), 2**53),
        "up": st.none() | st.booleans(),
        "kind": st.none() | st.text(max_size=3),
        "unseen": st.integers(),
    },
)
ships = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "__proto__", "1", ""]), ship)


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    """`tables.js` in a node of its own: the name of a function and its arguments go in."""
    command = [services.executable("node"), str(Path(__file__).with_name("tables.mjs"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def call(*arguments: Any) -> Any:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(arguments) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield call
        process.kill()


def sent(table: Any) -> Any:
    return orjson.loads(orjson.dumps(table))


@given(ships)
def test_viewers_get_the_objects_back_as_precise_as_was_declared(rows):
    back = tables.unpack(sent(SHIPS.pack(rows)))
    assert list(back) == list(rows)
    for key, row in rows.items():
        for column in SHIPS.columns:
            value, shown = row.get(column.name), back[key][column.name]
            if value is None or (isinstance(value, float) and not math.isfinite(value)):
                assert shown is None
            elif column.step:
                assert shown == pytest.approx(value, rel=1e-9, abs=column.step / 2 + 1e-9)
            else:
                assert shown == value
        assert len(back[key]) == len(SHIPS.columns)


@given(st.lists(ships, min_size=1, max_size=4))
def test_a_chain_of_deltas_ends_with_what_there_is(script, views):
    mirror = SHIPS.pack(views[0])
    there = in_javascript = sent(mirror)
    for rows in views[1:]:
        new = SHIPS.pack(rows)
        delta, mirror = tables.diff(mirror, new)
        there = tables.apply(there, sent(delta))
        in_javascript = script("applyTable", in_javascript, sent(delta))
        assert there == mirror == in_javascript
        assert tables.unpack(there) == tables.unpack(new)
    assert script("unpack", in_javascript) == tables.unpack(there)


COORDINATES = (
    st.none() | st.sampled_from([0.0, 9.9, -99999.9, 2.0**53, -(2.0**53) / 10]) | st.floats(-1e5, 1e5)
)


@given(st.lists(st.lists(COORDINATES, min_size=6, max_size=6), min_size=2, max_size=5))
def test_so_does_one_of_what_is_added(script, moments):
    table = Table("t", x=0.1)
    views = [table.pack({f"e{n}": {"x": x} for n, x in enumerate(moment)}) for moment in moments]
    mirror = there = in_javascript = sent(views[0])
    for new in views[1:]:
        delta, mirror = tables.diff(mirror, new)
        there = tables.apply(there, sent(delta))
        in_javascript = script("applyTable", in_javascript, sent(delta))
        assert there == mirror == new == in_javascript


def test_with_nothing_changed_there_is_nothing_to_say():
    table = SHIPS.pack({"a": {"x": 1.0}, "b": {}})
    assert tables.diff(table, SHIPS.pack({"a": {"x": 1.01}, "b": {}})) == ({}, table)


def test_a_delta_says_what_has_changed_and_no_more():
    table = Table("t", x=0.1)
    old = table.pack({"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}})
    assert tables.diff(old, table.pack({"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 4}}))[0] == {
        "changed": {"x": {"rows": [2], "values": [40]}}
    }
    assert tables.diff(old, table.pack({"a": {"x": 2}, "b": {"x": 3}, "c": {"x": 3}}))[0] == {
        "changed": {"x": {"add": [10, 10, 0]}}
    }
    assert tables.diff(old, table.pack({"a": {"x": 0}, "b": {"x": 0}, "c": {"x": 3}}))[0] == {
        "changed": {"x": [0, 0, 30]}
    }
    assert tables.diff(old, table.pack({"a": {"x": 2}, "b": {"x": 3}, "c": {}}))[0] == {
        "changed": {"x": [20, 30, None]}
    }
    delta, mirror = tables.diff(old, table.pack({"d": {"x": 5}, "c": {"x": 3}, "a": {"x": 1}}))
    assert delta == {"removed": ["b"], "added": {"ids": ["d"], "columns": {"x": [50]}}}
    assert mirror == {"ids": ["a", "c", "d"], "columns": {"x": [10, 30, 50]}, "steps": {"x": 0.1}}


@pytest.mark.parametrize(
    ("columns", "error", "said"),
    [
        ({}, ValueError, "has no columns"),
        ({"x": 0}, ValueError, "above 0"),
        ({"x": math.nan}, ValueError, "above 0"),
        ({"x": True}, TypeError, "expected a number or one of"),
        ({"x": list}, TypeError, "expected a number or one of"),
    ],
)
def test_a_wrong_declaration_is_refused(columns, error, said):
    with pytest.raises(error, match=said):
        Table("t", **columns)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([1], "ships has .*, list. Its Table expects a dict of dicts"),
        ({"a": None}, r"ships\['a'\] has None, NoneType. Its Table expects a dict"),
        ({1: {}}, "ships has 1, int. Its Table expects ids that are str"),
        ({"a": {"exact": "1e3 m"}}, "expects a number"),
        ({"a": {"x": "far"}}, r"ships\['a'\]\['x'\] is 'far'. Its Table expects a number"),
        ({"a": {"kind": 3}}, "is 3. Its Table expects str"),
        ({"a": {"up": "yes"}}, "expects bool"),
        ({"a": {"hits": "many"}}, "expects int"),
    ],
)
def test_a_view_that_is_no_such_table_is_said(rows, said):
    with pytest.raises(BadState, match=said):
        SHIPS.pack(rows)


def test_what_is_too_large_for_its_steps_is_null_and_the_rest_is_there():
    far = {"a": {"x": 1e19, "exact": 1e19}, "b": {"x": 1.7e308}, "c": {"x": 2.5}, "d": {"far": -1e300}}
    back = tables.unpack(SHIPS.pack(far))
    assert [back[key]["x"] for key in far] == [None, None, 2.5, None]
    assert back["a"]["exact"] == 1e19
    assert back["d"]["far"] is None


def test_the_columns_may_have_any_name_of_python(script):
    odd = Table("t", constructor=str, __proto__=0.5, toString=int)
    packed = sent(odd.pack({"a": {"constructor": "x", "__proto__": 1.5, "toString": 3}}))
    assert script("unpack", packed) == tables.unpack(packed)


MISFITS = [
    {"changed": {"x": [1, 2]}},
    {"changed": {"x": {"rows": [5], "values": [1]}}},
    {"changed": {"x": {"add": [1, 2]}}},
    {"changed": {"x": {"add": [1, 2, 3, 4]}}},
    {"changed": {"x": {"add": [1, 2, None]}}},
    {"changed": {"x": {"add": [1, 2, "3"]}}},
    {"changed": {"x": {"add": 5}}},
    {"changed": {"x": {"rows": [-1], "values": [1]}}},
    {"changed": {"z": {"rows": [0], "values": [1]}}},
    {"added": {"ids": ["b"], "columns": {}}},
]


@pytest.mark.parametrize("delta", MISFITS, ids=str)
def test_a_delta_that_does_not_fit_is_said(script, delta):
    table = {"ids": ["a"], "columns": {"x": [1]}, "steps": {}}
    with pytest.raises(BadPatch, match="does not fit"):
        tables.apply(table, delta)
    assert "raised" in script("applyTable", table, delta)


def test_a_hundred_moving_things_are_short():
    things = Table("entities", x=0.1, y=0.1)
    rows = {f"e{number}": {"x": 7.3 * number, "y": 900 - 6.1 * number} for number in range(100)}
    moved = {key: {name: value + 1.7 for name, value in row.items()} for key, row in rows.items()}
    delta, _ = tables.diff(things.pack(rows), things.pack(moved))
    assert len(orjson.dumps(things.pack(rows))) < 1700
    assert len(orjson.dumps(delta)) < 650
