"""Log lines that speak of a run say which, alike everywhere, so that one search finds them all."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_livesim.protocol.logs import cut

PACKAGE = Path(__file__).resolve().parent.parent / "django_livesim"
ROOMS = ("runtime", "store", "worker", "bus")
LEVELS = {"debug", "info", "warning", "error", "exception"}
OF_A_RUN = re.compile(r"\b(run|loop|checkpoint|command)\b")


def calls() -> Iterator[tuple[str, ast.Call]]:
    for room in ROOMS:
        for path in sorted((PACKAGE / room).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    owner = ast.unparse(node.func.value)
                    if node.func.attr in LEVELS and owner in ("logger", "seldom"):
                        yield f"{room}/{path.name}:{node.lineno}", node


def texts() -> Iterator[tuple[str, str, list[str]]]:
    """Where, the message, and the arguments as they are written."""
    for place, call in calls():
        message = call.args[0]
        if isinstance(message, ast.Constant):
            yield place, message.value, [ast.unparse(each) for each in call.args[1:]]


def test_messages_are_filled_in_by_logging_alone():
    assert [place for place, call in calls() if isinstance(call.args[0], ast.JoinedStr | ast.BinOp)] == []
    assert len(list(calls())) > 25, "the source is read"


def test_a_line_that_speaks_of_a_run_says_which():
    silent = [(place, text) for place, text, _ in texts() if OF_A_RUN.search(text) and "run=%s" not in text]
    assert silent == []


def test_a_line_that_is_given_a_run_names_it_so():
    ids = re.compile(r"\brun\b|\brun_id\b|\.run\.id\b")
    unnamed = [
        (place, text)
        for place, text, given in texts()
        if any(ids.search(each) for each in given) and "run=%s" not in text
    ]
    assert unnamed == []


def test_the_runtime_says_in_which_holding():
    without = [
        (place, text)
        for place, text, _ in texts()
        if place.startswith("runtime/") and "run=%s" in text and "epoch=%s" not in text
    ]
    assert without == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("as it is", "as it is"),
        ("two\nlines\r\n", "two lines  "),
        ("\x1b[2Jred\u2028", " [2Jred "),
        ("y" * 201, "y" * 199 + "…"),
        ("größe", "größe"),
    ],
)
def test_text_from_outside_is_one_short_line(text, line):
    assert cut(text) == line
