"""How a file of the project gets lines, where it is one that is understood; all else is left to its author.

What `startproject` makes is understood, and what has been added to it since in the same manner.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from django_livesim import checks

IMPORT = re.compile(r"^from django\.urls import (\w+(?:, \w+)*)$", re.MULTILINE)
GET_ASGI = "from django.core.asgi import get_asgi_application\n"
BARE = "\napplication = get_asgi_application()\n"
APPLICATION = re.compile(r"^application\b", re.MULTILINE)


def read(file: Path) -> str:
    """The text of a file whose lines end as ours do. Raises ValueError for any other."""
    text = file.read_bytes().decode()
    if "\r" in text:
        raise ValueError(f"{file} has other ends of lines")
    return text


def appended(text: str, lines: str) -> str:
    """The text, an empty line, and the lines."""
    return parsed(text.rstrip("\n") + f"\n\n{lines}\n")


def with_urls(text: str) -> str | None:
    """The URLs with ours as the last of the list; None where they are not one plain list."""
    lists = [
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == ["urlpatterns"]
    ]
    imports = IMPORT.findall(text)
    if len(lists) != 1 or len(imports) != 1 or not isinstance(lists[0], ast.List):
        return None
    lines = text.splitlines(keepends=True)
    last = (lists[0].end_lineno or 0) - 1
    if lines[last].strip() != "]" or not _ends_with_comma(lists[0], lines):
        return None
    lines.insert(last, f"    {checks.URL_LINE},\n")
    names = sorted({"include", "path"} | {name.strip() for name in imports[0].split(",")})
    return parsed(IMPORT.sub(f"from django.urls import {', '.join(names)}", "".join(lines)))


def _ends_with_comma(urls: ast.List, lines: list[str]) -> bool:
    if not urls.elts:
        return True
    last = urls.elts[-1]
    after = lines[(last.end_lineno or 0) - 1].encode()[last.end_col_offset or 0 :]
    return after.startswith(b",")


def with_livesim(text: str) -> str | None:
    """The ASGI module with our application around Django's; None where another is there."""
    if text.count(GET_ASGI) != 1 or BARE not in text or len(APPLICATION.findall(text)) != 1:
        return None
    text = text.replace(GET_ASGI, f"{GET_ASGI}\nfrom django_livesim.routing import livesim_application\n")
    return parsed(text.replace(BARE, "\napplication = livesim_application(get_asgi_application())\n"))


def parsed(text: str) -> str:
    """The text. Raises SyntaxError where it is not Python."""
    ast.parse(text)
    return text
