"""The Markdown documents and the code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(\w*)[^\n`]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: where it begins, its language, and the text."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[Path]:
    """Those beside the package, and everything in docs/."""
    return [*sorted(BASE.glob("*.md")), *sorted((BASE / "docs").glob("*.md"))]


def blocks(name: str, language: str = "") -> list[Block]:
    """The fenced blocks of a document, in order; of one language, where it is named."""
    text = (BASE / name).read_text()
    found = [
        Block(document=name, line=text.count("\n", 0, match.start()) + 1, language=match[1], text=match[2])
        for match in FENCE.finditer(text)
    ]
    return [block for block in found if not language or block.language == language]


def block(name: str, holding: str) -> str:
    """The first Python block of a document that holds these words."""
    return next(block.text for block in blocks(name, "python") if holding in block.text)


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    return FENCE.sub("", path.read_text())
