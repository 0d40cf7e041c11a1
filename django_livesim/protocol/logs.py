"""Text from outside, as a log may hold it."""

from __future__ import annotations

LENGTH = 200  # characters


def cut(text: str) -> str:
    """One line of at most `LENGTH` characters, without anything that moves a cursor or forges a line."""
    shown = text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}…"
    return "".join(character if character.isprintable() else " " for character in shown)
