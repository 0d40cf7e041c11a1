"""Data as text for people, cut before it costs too much to make, to send or to read."""

from __future__ import annotations

from json import JSONEncoder
from typing import Any

MAX_SHOWN = 20_000
"""Characters of one value that a page shows."""

MARK = "…"


def cut_json(value: Any, limit: int = MAX_SHOWN, *, indent: int | None = 2) -> tuple[str, bool]:
    """Data as JSON of at most `limit` characters and a mark, and whether that is not all of it.

    Only what is shown is encoded, so that megabytes cost no more than the
    limit. `indent` None is one line.
    """
    pieces: list[str] = []
    size = 0
    for piece in JSONEncoder(indent=indent, ensure_ascii=False, default=str).iterencode(value):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            mark = MARK if indent is None else f"\n{MARK}"
            return f"{''.join(pieces)[:limit]}{mark}", True
    return "".join(pieces), False


def brief(value: Any, limit: int = 300) -> str:
    """A value on one line of at most `limit` characters and a mark, as `brief` in answers.js writes it.

    A text stands without quotes, JSON without spaces, and a whole number without a point.
    """
    if isinstance(value, str):
        return value if len(value) <= limit else f"{value[:limit]}{MARK}"
    pieces: list[str] = []
    size = 0
    encoder = JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str)
    for piece in encoder.iterencode(value):
        pieces.append(piece.removesuffix(".0"))
        size += len(piece)
        if size > 2 * limit:
            break
    text = "".join(pieces)
    return text if len(text) <= limit else f"{text[:limit]}{MARK}"


def cut(text: str, limit: int) -> str:
    """A text of at most `limit` characters, with a mark where it was longer."""
    return text if len(text) <= limit else f"{text[: limit - 1]}{MARK}"
