"""What the project's own files lack for the app, the lines to add, and how they are added."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string

from django_livesim import checks, conf
from django_livesim.cli.scaffold import editing
from django_livesim.cli.scaffold.naming import Place, of_the_project, shown
from django_livesim.cli.scaffold.writing import Changes

CHECK_SECONDS = 60.0
SQLITE_LINES = """DATABASES["%s"]["OPTIONS"] %s {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL;",
}"""

URL_LINES = f"from django.urls import include, path\n\nurlpatterns += [{checks.URL_LINE}]"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Lines that a file of the project lacks."""

    module: str
    lines: str
    edited: Callable[[str], str | None]
    """From the file's text, the text with them in; None where that is for a person to do."""
    says: str = "Add at the end of"

    @property
    def file(self) -> Path | None:
        """The module's source."""
        try:
            spec = importlib.util.find_spec(self.module)
        except (ImportError, ValueError):
            return None
        return Path(spec.origin) if spec and spec.origin else None

    @property
    def place(self) -> str:
        return shown(self.file) if self.file else self.module


def missing(place: Place) -> list[Piece]:
    """In the order in which a person would add them."""
    return [*_settings(place), *_urls(), *_asgi()]


def wire(pieces: list[Piece], changes: Changes) -> list[Piece]:
    """Add those that can be added with certainty; gives them."""
    return [piece for piece in pieces if _wired(piece, changes)]


def _wired(piece: Piece, changes: Changes) -> bool:
    file = piece.file
    if file is None or file.suffix != ".py" or not of_the_project(file):
        return False
    try:
        text = piece.edited(editing.read(file))
    except (OSError, SyntaxError, ValueError):  # whatever a host's file may hold
        return False
    if text is None:
        return False
    changes.replace(file, text)
    return True


def complaint() -> str:
    """What `check` says against the project as it is on the disk now; empty where all is well."""
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, "-m", "django", "check", "--no-color"]
    try:
        done = subprocess.run(  # noqa: S603  (this Python, and nothing that was typed)
            command,
            env=env,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"nothing within {CHECK_SECONDS:g} s"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip() or f"nothing, and ends with status {done.returncode}"
    return (said.splitlines()[-1] if said.startswith("Traceback") else said).rstrip(".")


def is_of_what_is_left(said: str) -> bool:
    """Whether all that `check` finds are checks of ours, which tell of pieces that are missing."""
    found = re.findall(r"\((\w+)\.\w+\d\) ", said)
    return set(found) == {"livesim"}


def _settings(place: Place) -> Iterator[Piece]:
    named = {name: apps.is_installed(name) for name in ("daphne", "channels", "django_htmx")}
    named[place.app] = place.is_installed
    lacking = [name for name, there in named.items() if not there]
    if "daphne" in lacking and importlib.util.find_spec("daphne") is None:
        lacking.remove("daphne")  # `check` says what to install
    if lacking:
        names = "".join(f'"{name}", ' for name in lacking)
        yield _setting(f"INSTALLED_APPS = [{names}*INSTALLED_APPS]", "INSTALLED_APPS")
    if not getattr(settings, "ASGI_APPLICATION", None):
        yield _setting(f'ASGI_APPLICATION = "{_asgi_path()}"')
    if checks.check_sqlite():
        alias = conf.settings.DATABASE
        there = settings.DATABASES[alias].get("OPTIONS")
        yield _setting(SQLITE_LINES % (alias, "|=" if there else "="), "DATABASES")


def _setting(lines: str, name: str = "") -> Piece:
    """Lines at the end of the settings, which use what stands there under `name`."""

    def edited(text: str) -> str | None:
        module: ModuleType | None = sys.modules.get(settings.SETTINGS_MODULE)
        if name and getattr(module, name, None) != getattr(settings, name):
            return None  # made elsewhere
        return editing.appended(text, lines)

    return Piece(module=settings.SETTINGS_MODULE, lines=lines, edited=edited)


def _urls() -> Iterator[Piece]:
    if checks.check_urls():
        yield Piece(module=settings.ROOT_URLCONF, lines=URL_LINES, edited=editing.with_urls)


def _asgi_path() -> str:
    package = str(settings.ROOT_URLCONF).rpartition(".")[0] or "<project>"
    return getattr(settings, "ASGI_APPLICATION", None) or f"{package}.asgi.application"


def _asgi() -> Iterator[Piece]:
    path = _asgi_path()
    try:
        if checks.routes_to(import_string(path), checks.WEBSOCKET_PATH) is not False:
            return
    except Exception:  # noqa: S110  whatever the host's module does on import
        pass
    yield Piece(
        module=path.rpartition(".")[0],
        lines=checks.ASGI_LINES % settings.SETTINGS_MODULE,
        edited=editing.with_livesim,
        says="Have this in",
    )
