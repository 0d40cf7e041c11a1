"""Where two values of plain data first differ."""

from __future__ import annotations

from typing import Any

LONGEST = 80  # characters of a value that are shown


def difference(was: Any, now: Any, path: str) -> str | None:
    """The first difference in words, with its path in Python; None where there is none.

    The order of a dict's keys counts: it is iterated in it.
    """
    if type(was) is not type(now):
        return f"{path} is {shown(now)} where it was {shown(was)}"
    if isinstance(was, dict):
        return _of_dicts(was, now, path)
    if isinstance(was, list):
        return _of_lists(was, now, path)
    return None if was == now else f"{path} is {shown(now)} where it was {shown(was)}"


def _of_dicts(was: dict[str, Any], now: dict[str, Any], path: str) -> str | None:
    for key in was:
        if key not in now:
            return f"{path} has no {key!r}, which it had"
    for key in now:
        if key not in was:
            return f"{path} has {key!r}, which it had not"
    for key, value in was.items():
        if found := difference(value, now[key], f"{path}[{key!r}]".replace("'", '"')):
            return found
    if list(was) != list(now):
        return f"the keys of {path} come in the order {shown(list(now))} where it was {shown(list(was))}"
    return None


def _of_lists(was: list[Any], now: list[Any], path: str) -> str | None:
    for index, (before, after) in enumerate(zip(was, now, strict=False)):
        if found := difference(before, after, f"{path}[{index}]"):
            return found
    if len(was) != len(now):
        return f"{path} has {len(now)} items where it had {len(was)}"
    return None


def shown(value: Any) -> str:
    """`value` as Python writes it, cut short."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."
