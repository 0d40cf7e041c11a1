"""What is written, all of it or nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from django.core.management import CommandError, call_command
from django.template import Context, Engine

from django_livesim.cli.errors import NotDone
from django_livesim.cli.scaffold.naming import Place, shown
from django_livesim.protocol.errors import Code, Refused

TEMPLATE = Path(__file__).parent / "template"


def rendered(place: Place) -> dict[Path, str]:
    """The text of each file, by where it goes."""
    names = {
        "app": place.app,
        "camel_case_app_name": place.camel_case,
        "stock": place.stock,
        "tasks": place.tasks,
    }
    return {path: _render(f"{path.name}-tpl", names) for path in (place.simulations, place.tests)}


def _render(template: str, names: dict[str, str]) -> str:
    text = (TEMPLATE / template).read_text(encoding="utf-8")
    return Engine().from_string(text).render(Context(names, autoescape=False))


def new_app(place: Place, texts: dict[Path, str]) -> Callable[[Path], None]:
    """What makes the app of Django's own `startapp`, and these files, in a folder that is empty."""

    def make(folder: Path) -> None:
        try:
            call_command("startapp", place.app, str(folder))
        except CommandError as exc:
            raise Refused(str(exc)) from exc
        for path, text in texts.items():
            (folder / path.relative_to(place.folder)).write_text(text, encoding="utf-8")

    return make


class Changes(AbstractContextManager["Changes"]):
    """Files that are made and edited; at the end of the block all is undone, unless it was to be kept.

    One process owns it, for one call. Where the process is killed, what was written by then is there: a
    new app's folder appears whole, and each file that is replaced is the old one or the new one.
    """

    def __init__(self) -> None:
        self.created: list[Path] = []
        self._undo = contextlib.ExitStack()

    def add_folder(self, folder: Path, make: Callable[[Path], None]) -> None:
        """Have it made beside its place, and put there when it is whole."""
        with _told(folder), tempfile.TemporaryDirectory(prefix=".scaffold-", dir=folder.parent) as beside:
            made = Path(beside) / folder.name
            made.mkdir()
            make(made)
            made.rename(folder)
        self._undo.callback(shutil.rmtree, folder, ignore_errors=True)
        self.created += sorted(path for path in folder.rglob("*") if path.is_file())

    def add_file(self, path: Path, text: str) -> None:
        """A file that must not be there."""
        with _told(path), path.open("x", encoding="utf-8") as file:
            self._undo.callback(path.unlink, missing_ok=True)
            file.write(text)
        self.created.append(path)

    def replace(self, path: Path, text: str) -> None:
        """Another text for a file that is there; its permissions stay, and a link to it is one still."""
        path = path.resolve()
        before = path.read_bytes()
        self._undo.callback(_put, path, before)
        with _told(path):
            _put(path, text.encode())

    def keep(self) -> None:
        self._undo.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()


def _put(path: Path, data: bytes) -> None:
    """Have a file hold that from one moment to the next: written beside it, and then put in its place."""
    with path.open("r+b") as file:  # which may not be, as for one that is read-only
        if file.read() == data:
            return
        there = os.fstat(file.fileno())
    number, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(number)
        if hasattr(os, "chown"):
            with contextlib.suppress(PermissionError):  # it is somebody else's, who shares it
                os.chown(beside, there.st_uid, there.st_gid)
        beside.chmod(stat.S_IMODE(there.st_mode))
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the disk says of it, in words."""
    try:
        yield
    except FileExistsError as exc:
        raise Refused(f"{shown(path)} is there already, and nothing is written over it") from exc
    except OSError as exc:
        problem = f"{shown(path)} cannot be written: {exc.strerror or exc}. Nothing is changed"
        raise NotDone(str(Code.ERROR), problem) from exc
