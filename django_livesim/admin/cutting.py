"""Data as text for people, cut before it costs too much to make, to send or to read."""

from __future__ import annotations

from json import JSONEncoder
from typing import Any

from django.utils.html import format_html

MAX_SHOWN = 20_000
"""Characters of one value that a page shows."""

MARK = "…"


def cut_json(value: Any, limit: int = MAX_SHOWN) -> tuple[str, bool]:
    """Data as indented JSON of at most `limit` characters, and whether that is not all of it.

    Only what is shown is encoded, so that megabytes cost no more than the limit.
    """
    pieces: list[str] = []
    size = 0
    for piece in JSONEncoder(indent=2, ensure_ascii=False, default=str).iterencode(value):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return f"{''.join(pieces)[:limit]}\n{MARK}", True
    return "".join(pieces), False


def cut(text: str, limit: int) -> str:
    """A text of at most `limit` characters, with a mark where it was longer."""
    return text if len(text) <= limit else f"{text[: limit - 1]}{MARK}"


def as_block(value: Any) -> str:
    """Data as indented JSON for a page, cut."""
    return format_html('<pre class="livesim-data" tabindex="0">{}</pre>', cut_json(value)[0])
