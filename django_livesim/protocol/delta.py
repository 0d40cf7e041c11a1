"""What has changed between two views, as a JSON merge patch (RFC 7396).

A merge patch cannot set a member to null, which for it means to remove it, and drops the nulls of an object
that is new. So beside it stand `nulls`, the JSON pointers (RFC 6901) of what is null after it:

>>> diff({"a": {"x": 1, "y": 2}}, {"a": {"x": None, "y": 2}, "b": 3})
({'b': 3}, ['/a/x'])

A list is one value. Two patches do not make one: whoever has missed one needs the whole view.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from django_livesim.protocol.errors import LivesimError

View = dict[str, Any]

_SORTED = orjson.OPT_SORT_KEYS


class BadPatch(LivesimError):
    """A patch that does not fit the view it is for. Ask for the whole view."""


def diff(old: View, new: View, *, truths: bool = True) -> tuple[View, list[str]]:
    """The patch and the nulls that make `new` of `old`; both empty where they are the same.

    Both are JSON as `orjson.loads` gives it, and neither is changed. Numbers are the same where they are
    equal, so 1 is 1.0. The order of members is none. The patch may hold parts of `new`.
    Without `truths` neither holds true or false, which for Python are 1 and 0: that is quicker.
    """
    nulls: list[str] = []
    return _diff(old, new, None, nulls, truths), nulls


_At = tuple[Any, str] | None
"""A place: that of the object around it, None for the view itself, and the member's name."""


def _diff(old: View, new: View, at: _At, nulls: list[str], truths: bool) -> View:
    if next(iter(new.values()), None).__class__ is dict:
        return _diff_entries(old, new, at, nulls, truths)
    select = _doubtful if truths else _changed
    try:
        patch = select(old, new)
        removed = len(old) > len(new)
    except KeyError:  # a member is new
        patch = select(defaultdict(_Missing, old), new)
        removed = not old.keys() <= new.keys()
    for value in patch.values():
        if value is None or value.__class__ is dict:
            patch = _patch(old, patch, at, nulls, truths)
            break
    if removed:
        patch |= {name: None for name in old if name not in new}
    return patch


def _diff_entries(old: View, new: View, at: _At, nulls: list[str], truths: bool) -> View:
    """`_diff` of an object of objects, in one loop.

    Where one has changed the next one most likely has, too, and is not compared as a whole first.
    """
    patch: View = {}
    changing = truths
    added = 0
    for name, value in new.items():
        before = old.get(name, _MISSING)
        if value.__class__ is dict and before.__class__ is dict:
            if changing or before != value:
                inner = _flat(before, value, truths)
                if inner is None:
                    inner = _diff(before, value, (at, name), nulls, truths)
                if inner:
                    patch[name] = inner
                changing = truths or bool(inner)
            continue
        added += before is _MISSING
        if before != value or (truths and not _is_same(before, value)):
            patch |= _patch(old, {name: value}, at, nulls, truths)
    if len(old) + added > len(new):
        patch |= {name: None for name in old if name not in new}
    return patch


class _Missing:
    """What no value is equal to."""


_MISSING = _Missing()


def _changed(old: View, new: View) -> View:
    """The members of `new` that differ. Raises KeyError for one that `old` has not."""
    return {name: value for name, value in new.items() if old[name] != value}


def _doubtful(old: View, new: View) -> View:
    """As `_changed`, where what is equal for Python may differ, or hold what does."""
    return {
        name: value
        for name, value in new.items()
        if (before := old[name]) != value
        or (
            (before.__class__ is not value.__class__ or value.__class__ in _HOLDING)
            and not _is_same(before, value)
        )
    }


_HOLDING = frozenset({list, dict})


def _is_same(before: Any, value: Any) -> bool:
    """Whether what is equal is the same."""
    if value.__class__ in _HOLDING:
        return orjson.dumps(before, option=_SORTED) == orjson.dumps(value, option=_SORTED)
    return (before.__class__ is bool) is (value.__class__ is bool)


def _patch(old: View, changed: View, at: _At, nulls: list[str], truths: bool) -> View:
    """The patch of those members, of which some are objects or null."""
    patch: View = {}
    for name, value in changed.items():
        if value.__class__ is dict:
            before = old.get(name)
            if before.__class__ is not dict:
                patch[name] = _without_nulls(value, (at, name), nulls)
            elif (inner := _flat(before, value, truths)) is None:
                if inner := _diff(before, value, (at, name), nulls, truths):
                    patch[name] = inner
            elif inner:
                patch[name] = inner
        elif value is None:
            nulls.append(_pointer((at, name)))
        else:
            patch[name] = value
    return patch


def _flat(old: View, new: View, truths: bool) -> View | None:
    """`_diff` of an object with as many members as before, of which no object and no null has changed.

    None for any other. One loop is quicker than a comprehension and a look at what it has found.
    """
    if len(old) != len(new):
        return None
    patch: View = {}
    try:
        for name, value in new.items():
            before = old[name]
            if before != value:
                if value.__class__ is float or (value is not None and value.__class__ is not dict):
                    patch[name] = value
                else:
                    return None
            elif (
                not truths
                or before is value
                or (before.__class__ is value.__class__ and value.__class__ not in _HOLDING)
            ):
                continue
            elif not _is_same(before, value):
                if value.__class__ is dict:
                    return None
                patch[name] = value
    except KeyError:
        return None
    return patch


def _without_nulls(value: View, at: _At, nulls: list[str]) -> View:
    """A new object as a patch sets it; its nulls are added."""
    kept: View = {}
    for name, member in value.items():
        if member is None:
            nulls.append(_pointer((at, name)))
        else:
            kept[name] = _without_nulls(member, (at, name), nulls) if type(member) is dict else member
    return kept


def _pointer(at: _At) -> str:
    names = []
    while at is not None:
        at, name = at
        names.append(name.replace("~", "~0").replace("/", "~1") if "~" in name or "/" in name else name)
    return "/" + "/".join(reversed(names))


def apply(view: View, patch: Mapping[str, Any], nulls: Sequence[str] = ()) -> View:
    """The view after the patch. `view` is not changed; what stays the same is shared with it.

    Raises BadPatch where a null is to be set in something that is no object.
    """
    result = _merged(view, patch)
    for pointer in nulls:
        _set_null(result, pointer)
    return result


def _merged(target: Any, patch: Mapping[str, Any]) -> View:
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = _merged(result.get(name), value)
        else:
            result[name] = value
    return result


def _set_null(view: View, pointer: str) -> None:
    """Set it in a view whose outermost object is a copy; what is on the way is copied."""
    if not pointer.startswith("/"):
        raise BadPatch(f"A null is to be at {pointer!r}, which is no JSON pointer to a member.")
    *names, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
    for name in names:
        inner = view.get(name)
        if not isinstance(inner, dict):
            raise BadPatch(f"A null is to be at {pointer!r}, and there is no object around it.")
        view[name] = view = dict(inner)
    view[last] = None
