"""Plain data: what equals its own stored and reloaded form.

Dicts with string keys, lists, strings, booleans, None, integers within
2^53 and finite floats. orjson turns tuples, enums, dataclasses, UUIDs and
NaN into other things without a word; here that is found and named.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Any

import orjson

from django_livesim.protocol.errors import LivesimError

MAX_INTEGER = 2**53
MAX_DEPTH = 200

_LEAVES = (str, bool, type(None))


def encode(value: Any) -> bytes:
    """`value` as JSON bytes. Raises ValueError that names the path of what JSON cannot hold."""
    try:
        return orjson.dumps(value)
    except TypeError as exc:
        raise ValueError(first_difference(value) or str(exc)) from exc


def encode_answer(value: Any) -> bytes:
    """As `encode`, for what goes into a JSON column: PostgreSQL's cannot hold the character NUL.

    Raises `LivesimError`, whose message may be told to whoever waits for the answer.
    """
    try:
        data = encode(value)
    except ValueError as exc:
        raise LivesimError(f"The answer is not plain JSON: {exc}.".replace("state", "it", 1)) from exc
    if b"\\u0000" in data:
        raise LivesimError("The answer holds the character NUL, which the database cannot store.")
    return data


def storable(text: str) -> str:
    """`text` with what a text column cannot hold, NUL and lone surrogates, written as escapes."""
    return text.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")


def digest(data: bytes) -> str:
    """The hash of stored bytes, 32 hexadecimal digits. Key order counts: a dict iterates in it."""
    return blake2b(data, digest_size=16).hexdigest()


def first_difference(value: Any, path: str = "state") -> str | None:
    """Where `value` first differs from its stored form, said in words, or None where it is plain.

    The path is Python: `state["bodies"][3]`.
    """
    return _difference(value, path, 0)


def _difference(value: Any, path: str, depth: int) -> str | None:
    kind = type(value)
    if kind in _LEAVES:
        return _text_difference(value, path) if kind is str else None
    if kind is int:
        return None if -MAX_INTEGER <= value <= MAX_INTEGER else f"{path} is {value}, an integer beyond 2^53"
    if kind is float:
        return None if math.isfinite(value) else f"{path} is {value}, which JSON has no word for"
    if depth > MAX_DEPTH:
        return f"{path} is nested more than {MAX_DEPTH} deep (or holds itself)"
    if kind is dict:
        return _dict_difference(value, path, depth)
    if kind is list:
        for index, item in enumerate(value):
            if found := _difference(item, f"{path}[{index}]", depth + 1):
                return found
        return None
    return (
        f"{path} is of type {kind.__module__}.{kind.__qualname__}"
        "; only dict, list, str, int, float, bool and None come back as they were stored"
    ).replace("builtins.", "")


def _text_difference(value: str, path: str) -> str | None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"{path} is text with a lone surrogate, which UTF-8 cannot hold"
    return None


def _dict_difference(value: dict[Any, Any], path: str, depth: int) -> str | None:
    for key, item in value.items():
        if type(key) is not str:
            return f"{path} has the key {key!r} of type {type(key).__name__}; keys are strings"
        if found := _text_difference(key, f"the key {key!r} of {path}"):
            return found
        if found := _difference(item, f"{path}[{key!r}]".replace("'", '"'), depth + 1):
            return found
    return None
