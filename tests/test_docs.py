"""The documents say what is true: code compiles, and what they name is there."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management.base import CommandParser

from django_livesim import checks, conf, permissions
from django_livesim.cli.arguments import add_verbs
from django_livesim.management.commands import livesim_worker
from django_livesim.models import Run
from django_livesim.protocol.records import RunInfo
from django_livesim.simulation import OPTIONS, Host
from tests.documents import BASE, Block, block, blocks, documents, prose

NAMES = [str(path.relative_to(BASE)) for path in documents()]
CODE = [each for name in NAMES for each in blocks(name)]
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
DEFINED = re.compile(r"^ *(?:async )?def (\w+)", re.MULTILINE)
TEST = re.compile(r"(?:tests|sandbox)/[\w/]+\.py(?:::\w+)+")
SETTING = re.compile(r'LIVESIM\["([A-Z_]+)"\]')
CHECK = re.compile(r"livesim\.([EW]\d{3})")
FILE = re.compile(r"`((?:docs|tests|sandbox|scripts|django_livesim)/[\w./]+)`")
PERMISSION = re.compile(r"`livesim\.(\w+_run)`")


def texts(name: str) -> str:
    return (BASE / name).read_text()


def of_language(language: str) -> list[Any]:
    return [pytest.param(each, id=str(each)) for each in CODE if each.language == language]


@pytest.mark.parametrize("code", of_language("python"))
def test_code_is_python_that_compiles(code: Block) -> None:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    compile(code.text, str(code), "exec", flags=flags, dont_inherit=True)


@pytest.mark.parametrize("code", of_language("json"))
def test_json_is_json(code: Block) -> None:
    lines = code.text.strip()
    try:
        json.loads(lines)
    except ValueError:
        for line in lines.splitlines():  # or one value a line
            json.loads(line)


@pytest.mark.parametrize("code", of_language("python"))
def test_what_is_imported_from_the_package_is_there(code: Block) -> None:
    for node in ast.walk(ast.parse(code.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django_livesim"):
            module = __import__(node.module or "", fromlist=["*"])
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    for target in LINK.findall(prose(BASE / name)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (BASE / name).parent / path if path else BASE / name
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def test_pictures_that_are_shown_are_there_and_said_in_words() -> None:
    shown = [(BASE / name, *each) for name in NAMES for each in PICTURE.findall(prose(BASE / name))]
    assert len(shown) >= 5
    assert [picture for path, _, picture in shown if not (path.parent / picture).exists()] == []
    assert [picture for _, words, picture in shown if len(words) < 10] == []


def test_pictures_are_small_enough_for_a_repository() -> None:
    sizes = {path.name: path.stat().st_size for path in (BASE / "docs" / "pictures").iterdir()}
    assert sum(sizes.values()) <= 1_500_000
    assert sizes["live.png"] <= 800_000


def anchors(path: Path) -> set[str]:
    """Of each heading, the name that a Markdown page gives it."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_tests_and_files_that_are_named_exist(name: str) -> None:
    text = texts(name)
    assert [each for each in TEST.findall(text) if each.split("::")[-1] not in functions(each)] == []
    assert [each for each in FILE.findall(text) if not (BASE / each).exists()] == []


@cache
def defined(path: Path) -> frozenset[str]:
    return frozenset(DEFINED.findall(path.read_text()))  # many files: ast.parse is slow


def functions(test: str) -> frozenset[str]:
    path = BASE / test.split("::")[0]
    return defined(path) if path.exists() else frozenset()


def test_every_row_of_the_features_has_a_test_or_says_that_it_is_not_there() -> None:
    rows = [line for line in texts("docs/features.md").splitlines() if line.startswith("| S")]
    assert len(rows) >= 21
    assert [row for row in rows if not TEST.search(row) and "not there yet" not in row] == []
    named = {row.split("|")[1].strip() for row in rows}
    wanted = {f"S0.{number}" for number in range(1, 18)} | {"S2.5", "S2.6", "S2.7", "S3.6"}
    assert {row for row in wanted if not any(name.startswith(row) for name in named)} == set()


@pytest.mark.parametrize("name", NAMES)
def test_settings_checks_and_permissions_that_are_named_exist(name: str) -> None:
    text = texts(name)
    assert set(SETTING.findall(text)) - conf.DEFAULTS.keys() == set()
    assert [each for each in CHECK.findall(text) if each not in Path(checks.__file__).read_text()] == []
    known = {codename for _, codename in permissions.PERMISSIONS}
    known |= {f"livesim.{codename}" for codename, _ in Run._meta.permissions}
    assert [each for each in PERMISSION.findall(text) if f"livesim.{each}" not in known] == []


@pytest.mark.parametrize("code", of_language("console"))
def test_commands_that_are_shown_are_understood(code: Block) -> None:
    livesim, worker = CommandParser(), CommandParser()
    add_verbs(livesim)
    livesim_worker.Command().add_arguments(worker)
    for line in code.text.splitlines():
        words = line.removeprefix("$ ").replace("'", "").split()
        words = words[2:] if words[:2] == ["python", "manage.py"] else words
        if not line.startswith("$ ") or words[0] not in ("livesim", "livesim_worker"):
            continue
        (livesim if words[0] == "livesim" else worker).parse_args(words[1:])


def test_the_authors_reference_has_every_option_and_its_default() -> None:
    from django_livesim import Simulation

    text = texts("docs/authoring.md")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE))
    rows = {option: default for option, default in rows.items() if option in OPTIONS}
    assert rows.keys() == set(OPTIONS)
    for option in rows.keys() - {"name", "label"}:
        written = rows[option].strip("`")
        assert ast.literal_eval(written) == getattr(Simulation, option), option


def test_the_authors_reference_shows_a_test_that_passes() -> None:
    names: dict[str, Any] = {"__name__": "tests.app.simulations"}
    source = block("docs/authoring.md", "class Tank").replace("@register\n", "")
    exec(compile(source, "authoring", "exec", dont_inherit=True), names)
    shown = block("docs/authoring.md", "tank = Trial(")
    exec(compile(shown, "authoring", "exec", dont_inherit=True), names)


def test_the_readmes_simulation_takes_fifteen_lines_and_works() -> None:
    source = block("README.md", "class Pond").strip()
    assert len([line for line in source.splitlines() if line.strip()]) <= 17
    names: dict[str, Any] = {"__name__": "tests.app.simulations"}
    exec(compile(source.replace("@register\n", ""), "README", "exec", dont_inherit=True), names)
    pond = names["Pond"]()
    pond._host = Host(run=RunInfo(id=uuid4(), simulation="pond", seed=1))
    pond.setup(frogs=2)
    pond.step(0.1)
    pond.add("Kermit")
    with pytest.raises(names["Refused"], match="in the pond already"):
        pond.add("Kermit")
    assert len(pond.state["frogs"]) == 3
