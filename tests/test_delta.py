"""Merge patches between views, in Python and in JavaScript."""

from __future__ import annotations

import copy
import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_livesim.protocol import delta
from tests import services

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
)
names = st.sampled_from(["", "a", "b", "c", "a/b", "~", "~1", "toString", "1"]) | st.text(max_size=2)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
views = st.dictionaries(names, values, max_size=4)


def plain(value: Any) -> str:
    """JSON by which values can be compared: numbers that are equal are alike, true is not 1."""

    def number(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: number(member) for name, member in value.items()}
        if isinstance(value, list):
            return [number(member) for member in value]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return int(value) if abs(value) <= 2**53 and value == math.floor(value) else float(value)

    return json.dumps(number(value), sort_keys=True)


@given(views, views)
def test_the_patch_makes_the_new_view_of_the_old(old, new):
    before = plain(old), plain(new)
    patch, nulls = delta.diff(old, new)
    assert plain(delta.apply(old, patch, nulls)) == plain(new)
    assert (plain(old), plain(new)) == before


@given(views)
def test_between_a_view_and_itself_there_is_nothing(view):
    assert delta.diff(view, copy.deepcopy(view)) == ({}, [])


@given(views, views)
def test_without_truths_it_is_the_same(old, new):
    text = plain([old, new])
    if "true" not in text and "false" not in text:
        assert plain(delta.diff(old, new, truths=False)) == plain(delta.diff(old, new))


@given(views, views)
def test_a_patch_follows_the_rfc(old, new):
    patch, nulls = delta.diff(old, new)
    assert plain(delta.apply(old, patch)) == plain(rfc_7396(old, patch))
    assert len(set(nulls)) == len(nulls)


def rfc_7396(target: Any, patch: Any) -> Any:
    """The algorithm of its section 2."""
    if not isinstance(patch, dict):
        return patch
    result = copy.deepcopy(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = rfc_7396(result.get(name), value)
    return result


@pytest.mark.parametrize(
    ("old", "new", "patch", "nulls"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, {"b": 2}, []),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}, []),
        ({"a": 1}, {"a": None}, {}, ["/a"]),
        ({}, {"a": {"b": None, "c": {"d": None}}}, {"a": {"c": {}}}, ["/a/b", "/a/c/d"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {}}, {"a": {"b": None, "c": None}}, []),
        ({"a": {"b": 1}}, {"a": [1]}, {"a": [1]}, []),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}, 2]}, {"a": [1, {"b": None}, 2]}, []),
        ({"a": 1}, {"a": True}, {"a": True}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": True, "c": 2}}, {"a": {"b": True}}, []),
        ({"a": {"b": True}}, {"a": {"b": 1.0}}, {"a": {"b": 1.0}}, []),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": True}}}, {"a": {"b": {"c": True}}}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}}, {"a": {"d": 3, "c": None}}, ["/a/b"]),
        ({"a": [1]}, {"a": [True]}, {"a": [True]}, []),
        ({"a": 1}, {"a": 1.0}, {}, []),
        ({"a/b": {"~c": 1}}, {"a/b": {"~c": None}}, {}, ["/a~1b/~0c"]),
    ],
)
def test_a_patch_says_what_has_changed_and_no_more(old, new, patch, nulls):
    found = delta.diff(old, new)
    assert json.dumps(found) == json.dumps([patch, nulls])


@pytest.mark.parametrize("pointer", ["", "a", "/a/b", "/b/c"])
def test_a_null_that_does_not_fit_is_said(pointer):
    with pytest.raises(delta.BadPatch, match="A null is to be at"):
        delta.apply({"a": 1}, {}, [pointer])


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    """`delta.js` in a node of its own: a list goes in, what `apply` gives comes out."""
    command = [services.executable("node"), str(Path(__file__).with_name("delta.mjs"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def call(*arguments: Any) -> Any:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(arguments) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield call
        process.kill()


@given(old=views, new=views)
def test_in_javascript_it_is_the_same(script, old, new):
    patch, nulls = delta.diff(old, new)
    assert plain(script(old, patch, nulls)) == plain(new)


@pytest.mark.parametrize("pointer", ["", "a", "/a/b", "/b/c"])
def test_in_javascript_a_null_that_does_not_fit_is_said(script, pointer):
    assert script({"a": 1}, {}, [pointer]) == {"raised": "A null does not fit"}


def test_in_javascript_no_name_reaches_a_prototype(script):
    view = script({}, {"constructor": {"x": 1}}, ["/constructor/y"])
    assert view == {"constructor": {"x": 1, "y": None}}
    hostile = json.loads('{"__proto__": {"polluted": 1}}')
    assert script({}, hostile, []) == hostile
    assert script({}, {}, []) == {}
