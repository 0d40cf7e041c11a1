"""What the command line prints: readable lines and tables, or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO, cast

import orjson
from django.core.management.base import OutputWrapper


class Output:
    """Where a verb says what it did; `as_json` is what `--json` asks for."""

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper, *, as_json: bool) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.as_json = as_json

    @property
    def on_terminal(self) -> bool:
        """Whether a person looks at it."""
        return bool(self.stdout.isatty())

    @property
    def terminal(self) -> TextIO:
        """The stream itself, for what draws on it."""
        return cast(TextIO, self.stdout._out)

    def json(self, value: Any) -> None:
        """One JSON value on one line."""
        self._write(compact(value))

    def line(self, text: str = "") -> None:
        """One line or more, in which nothing can steer the terminal."""
        self._write(harmless(text))

    def hint(self, text: str) -> None:
        """What to do next; on stderr, so that what is piped stays clean."""
        self.stderr.write(f"{harmless(text)}\n")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Columns as wide as their widest cell, the last one as long as it is."""
        cells = [[printable(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
        for row in [list(headers), *cells]:
            self.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def pairs(self, values: Mapping[str, Any]) -> None:
        """One `name  value` a line."""
        width = max(map(len, values))
        for name, value in values.items():
            self.line(f"{name.ljust(width)}  {printable(value)}".rstrip())

    def _write(self, text: str) -> None:
        self.stdout.write(f"{text}\n")
        self.stdout.flush()


def printable(value: Any) -> str:
    """A value in a table: None is empty, and nothing in it can steer the terminal."""
    if value is None:
        return ""
    text = compact(value) if isinstance(value, dict | list) else str(value)
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def harmless(text: str) -> str:
    """Lines of text, each as `printable` has it."""
    return "\n".join(map(printable, text.split("\n")))


def compact(value: Any) -> str:
    """Plain data as JSON."""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def shortened(text: str, width: int) -> str:
    """At most `width` characters, an ellipsis where some are left out."""
    return text if len(text) <= width else text[: width - 1] + "…"
