"""Which room may know which: the table of docs/architecture.md, held by reading imports.

What is imported for type checkers alone does not count.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

BASE = Path(__file__).resolve().parent.parent
PACKAGE = "django_livesim"

ROOMS: dict[str, tuple[str, ...]] = {
    "protocol": ("protocol",),
    "authoring": (
        "simulation",
        "portrayal",
        "jobs",
        "streaming",
        "background",
        "registry",
        "params",
        "declarations",
    ),
    "runtime": ("runtime",),
    "conf": ("conf",),
    "rows": ("models", "store", "signals", "routers"),
    "bus": ("bus",),
    "gateway": ("permissions", "gateway"),
    "web": (
        "views",
        "consumers",
        "forms",
        "admin",
        "urls",
        "templatetags",
        "origins",
        "nonces",
        "embedding",
        "logins",
        "words",
    ),
    "cli": ("cli", "management.commands.livesim"),
    "assembly": (
        "worker",
        "embedded",
        "routing",
        "apps",
        "checks",
        "testing",
        "management.commands.livesim_worker",
    ),
    "contrib": ("contrib",),
}
"""Each room and its modules, by the longest name that fits."""

MAY_IMPORT: dict[str, set[str]] = {
    "protocol": set(),
    "authoring": {"protocol"},
    "runtime": {"protocol", "authoring"},
    "conf": set(),
    "rows": {"protocol", "conf"},
    "bus": {"protocol", "conf"},
    "gateway": {"protocol", "conf", "authoring", "rows", "bus"},
    "web": {"protocol", "conf", "authoring", "rows", "bus", "gateway"},
    "cli": {"protocol", "conf", "authoring", "rows", "bus", "gateway", "assembly"},
    "assembly": set(ROOMS),
    "contrib": {"protocol", "conf", "bus", "gateway"},
}

OUTSIDE: dict[str, set[str]] = {
    "protocol": {"orjson"},
    "runtime": {"orjson"},
    "simulation": {"orjson"},
    "portrayal": {"orjson"},
}
"""What these may import beside the standard library and the package."""


@dataclass(frozen=True, kw_only=True)
class Import:
    importer: str
    """Dotted name within the package."""
    imported: str
    """Dotted name: within the package where `ours`, else of another."""
    ours: bool
    lazy: bool
    """Inside a function, so not when the module is imported."""
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((BASE / PACKAGE).rglob("*.py")):
        parts = path.relative_to(BASE / PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        found[".".join(parts)] = path
    return found


@cache
def imports() -> tuple[Import, ...]:
    known = modules()
    return tuple(each for name, path in known.items() for each in read(name, path, known))


def read(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    tree = ast.parse(path.read_text())
    for node, lazy in visit(tree, lazy=False):
        for target in targets(node):
            ours = target.split(".")[0] == PACKAGE
            imported = target.removeprefix(PACKAGE).lstrip(".") if ours else target
            if ours and imported not in known:
                imported = imported.rpartition(".")[0]  # a name within a module
            yield Import(importer=name, imported=imported, ours=ours, lazy=lazy, line=node.lineno)


def visit(node: ast.AST, *, lazy: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """Every import statement, but those for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, lazy
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            deeper = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from visit(child, lazy=deeper)


def targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert isinstance(node, ast.ImportFrom)
    assert node.level == 0, "imports are absolute"
    return [f"{node.module}.{alias.name}" for alias in node.names]


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def room_of(name: str) -> str | None:
    fitting = [
        (prefix, room) for room, prefixes in ROOMS.items() for prefix in prefixes if within(name, prefix)
    ]
    return max(fitting, key=lambda pair: len(pair[0]))[1] if fitting else None


def test_every_module_has_a_room():
    shared = {"", "cli", "management", "management.commands"}  # packages without code, and the public names
    homeless = [name for name in modules() if room_of(name) is None and name not in shared]
    assert [name for name in homeless if not within(name, "migrations")] == []


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "assembly"])
def test_a_room_imports_only_what_it_may(room):
    broken = []
    for each in imports():
        if not each.ours or room_of(each.importer) != room:
            continue
        target = room_of(each.imported)
        if target is not None and target != room and target not in MAY_IMPORT[room]:
            broken.append(str(each))
    assert broken == []


def test_assembly_is_imported_by_nobody_when_modules_are_loaded():
    broken = [
        str(each)
        for each in imports()
        if each.ours
        and not each.lazy
        and room_of(each.imported) == "assembly"
        and room_of(each.importer) not in ("assembly", "cli")
    ]
    assert broken == []


@pytest.mark.parametrize("place", OUTSIDE)
def test_the_pure_rooms_need_the_standard_library_and_orjson_alone(place):
    broken = [
        str(each)
        for each in imports()
        if within(each.importer, place)
        and not each.ours
        and each.imported.split(".")[0] not in OUTSIDE[place] | set(sys.stdlib_module_names)
    ]
    assert broken == []


def test_the_runtime_runs_where_django_is_not_loaded():
    code = "import sys, django_livesim.runtime.supervisor; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=BASE).returncode == 0


@pytest.mark.parametrize("name", ["store", "bus.doorbells", "bus.publisher"])
def test_pages_and_sockets_act_through_the_gateway_alone(name):
    """They read rows and join hubs; writing, ringing and publishing are not theirs."""
    broken = [
        str(each)
        for each in imports()
        if each.ours and room_of(each.importer) == "web" and within(each.imported, name)
    ]
    assert broken == []


def test_only_params_knows_djangos_forms_among_what_authors_use():
    broken = [
        str(each)
        for each in imports()
        if room_of(each.importer) == "authoring"
        and not within(each.importer, "params")
        and within(each.imported, "django.forms")
    ]
    assert broken == []
