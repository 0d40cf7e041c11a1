"""A language that marks every text of the package that can be translated: `Start` is `⟦Start⟧` in it."""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation.template import templatize

PACKAGE = Path(__file__).resolve().parents[2] / "django_livesim"
ASKS = {"_", "gettext", "gettext_lazy"}
IN_TEMPLATES = re.compile(r"""\b(?:_|gettext)\(u?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\)""")


def messages() -> Iterator[str]:
    """Every text that templates and code ask gettext for."""
    for path in PACKAGE.rglob("*.html"):
        for found in IN_TEMPLATES.findall(templatize(path.read_text())):
            yield ast.literal_eval(found)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ASKS:
                yield from (text.value for text in node.args[:1] if isinstance(text, ast.Constant))


def write(folder: Path, language: str) -> None:
    """The catalogue of that language, in `folder`, as gettext reads it."""
    catalogue = {text: f"⟦{text}⟧" for text in messages()} | {"": "Content-Type: text/plain; charset=UTF-8\n"}
    target = folder / language / "LC_MESSAGES" / "django.mo"
    target.parent.mkdir(parents=True)
    target.write_bytes(compiled(catalogue))


def compiled(catalogue: dict[str, str]) -> bytes:
    """The binary form; see "The Format of GNU MO Files" in the manual of gettext."""
    pairs = sorted((key.encode(), value.encode()) for key, value in catalogue.items())
    header = 7 * 4
    place = header + 2 * 8 * len(pairs)
    tables, texts = [b"", b""], b""
    for column in (0, 1):
        for pair in pairs:
            tables[column] += struct.pack("<II", len(pair[column]), place + len(texts))
            texts += pair[column] + b"\0"
    numbers = (0x950412DE, 0, len(pairs), header, header + 8 * len(pairs), 0, 0)
    return struct.pack("<7I", *numbers) + tables[0] + tables[1] + texts
