"""A language that marks every text of the package that can be translated: `Start` is `⟦Start⟧` in it."""

from __future__ import annotations

import ast
import gettext
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import django
from django.utils.translation.template import templatize

DJANGO = Path(django.__file__).parent
PACKAGE = Path(__file__).resolve().parents[2] / "django_livesim"
ASKS = {"_", "gettext", "gettext_lazy"}
ASKS_WITH_NUMBER = {"ngettext", "ngettext_lazy"}
TEXT = r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
IN_TEMPLATES = re.compile(rf"\b(?:_|gettext)\(u?{TEXT}\)")
PLURAL_IN_TEMPLATES = re.compile(rf"\bngettext\(u?{TEXT}, *u?{TEXT}")


def in_templates(folder: Path) -> Iterator[str]:
    """Every text that the templates below a folder ask gettext for."""
    for path in folder.rglob("*.html"):
        for found in IN_TEMPLATES.findall(templatize(path.read_text())):
            yield ast.literal_eval(found)


def messages(folder: Path = PACKAGE) -> Iterator[str]:
    """Every text that templates and code below a folder ask gettext for."""
    yield from in_templates(folder)
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ASKS:
                yield from (text.value for text in node.args[:1] if isinstance(text, ast.Constant))


def plurals() -> Iterator[tuple[str, str]]:
    """Every text that they ask for with a number: for one, and for many."""
    for path in PACKAGE.rglob("*.html"):
        for one, many in PLURAL_IN_TEMPLATES.findall(templatize(path.read_text())):
            yield ast.literal_eval(one), ast.literal_eval(many)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id in ASKS_WITH_NUMBER:
                one, many = (text.value for text in node.args[:2] if isinstance(text, ast.Constant))
                yield one, many


def of_django(language: str) -> dict[str, str]:
    """Django's own texts and its admin's, marked in the same way; new ones may have no translation yet."""
    folders = DJANGO / "contrib" / "admin", DJANGO / "db" / "models"
    found = {text: f"⟦{text}⟧" for folder in folders for text in messages(folder)}
    for app in ("conf", "contrib/admin", "contrib/auth", "contrib/contenttypes"):
        with (DJANGO / app / "locale" / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
            keys = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]  # else nobody lists them
        for key in filter(None, keys):
            one = key if isinstance(key, str) else key[0]
            marked = f"⟦{one.rpartition(chr(4))[2]}⟧"  # what is before that character is a context
            found |= {one: marked} if isinstance(key, str) else {f"{one}\0{one}": f"{marked}\0{marked}"}
    return found


HEADER = "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n != 1);\n"


def write(folder: Path, language: str, *, with_django: bool = False) -> None:
    """The catalogue of that language, in `folder`, as gettext reads it."""
    catalogue = of_django(language) if with_django else {}
    catalogue |= {text: f"⟦{text}⟧" for text in messages()}
    catalogue |= {f"{one}\0{many}": f"⟦{one}⟧\0⟦{many}⟧" for one, many in plurals()}
    catalogue[""] = HEADER
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
