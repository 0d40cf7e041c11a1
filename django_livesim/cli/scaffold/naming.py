"""Which app is meant, where it is or will be, and what in it will be called how."""

from __future__ import annotations

import keyword
import os
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from django.apps import AppConfig, apps

from django_livesim import registry
from django_livesim.protocol.errors import BadArgs, Refused
from django_livesim.simulation import snake_case


@dataclass(frozen=True, kw_only=True)
class Place:
    """An app and its folder."""

    app: str
    """Its dotted name, as INSTALLED_APPS and imports have it."""
    folder: Path
    is_new: bool
    is_installed: bool

    @property
    def name(self) -> str:
        return self.app.rpartition(".")[2]

    @property
    def camel_case(self) -> str:
        """As `startapp` makes it for the class of `apps.py`."""
        return "".join(char for char in self.name.title() if char != "_")

    @property
    def stock(self) -> str:
        """The name under which the class is registered."""
        return snake_case(f"{self.camel_case}Stock")

    @property
    def tasks(self) -> str:
        """The name of the loop, and of its function."""
        return f"{self.name.lower()}_tasks"

    @property
    def simulations(self) -> Path:
        return self.folder / "simulations.py"

    @property
    def tests(self) -> Path:
        """Beside a `tests.py`, which is left as it is; in a package of tests where there is one."""
        package = self.folder / "tests"
        return (package if (package / "__init__.py").exists() else self.folder) / "test_simulations.py"


def find_place(named: str) -> Place:
    """The app of that label or name: one that is installed, one in this folder, or one to be made there.

    Raises BadArgs or Refused where nothing can be written for it.
    """
    place = _installed(named) or _to_be_installed(named)
    _check_folders(place)
    for path in (place.simulations, place.folder / "simulations", place.tests):
        if path.exists():
            raise Refused(
                f"{shown(path)} is there already, and nothing is written over it. Move it away, or give"
                " another app; what the project still lacks is told by: python manage.py check"
            )
    _check_names(place)
    return place


def _installed(named: str) -> Place | None:
    found: list[AppConfig] = [
        config for config in apps.get_app_configs() if named in (config.label, config.name)
    ]
    if not found:
        return None
    folder = Path(found[0].path)
    if not of_the_project(folder):
        raise Refused(
            f"{named} is {found[0].name} in {folder}, which is not in this project. Expected: the name of an"
            " app of yours, or of a new one; type this in the folder of manage.py"
        )
    return Place(app=found[0].name, folder=folder, is_new=False, is_installed=True)


def _to_be_installed(named: str) -> Place:
    """An app that is in this folder and not yet in INSTALLED_APPS, else a new one."""
    if not (named.isidentifier() and named.isascii()) or keyword.iskeyword(named):
        raise BadArgs(
            f"{named!r} is no name for an app. Expected: letters, digits and _, a letter first, no word of"
            " Python, as in: livesim scaffold bakery"
        )
    folder = Path.cwd() / named
    is_app = all((folder / file).is_file() for file in ("__init__.py", "apps.py"))
    if not is_app and (os.path.lexists(folder) or _is_module(named)):
        raise Refused(
            f"there is a module or folder {named!r} already, and it is no app. Give the app another name"
        )
    return Place(app=named, folder=folder, is_new=not is_app, is_installed=False)


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # as for __main__, which is there and has none
        return True


def _check_folders(place: Place) -> None:
    """A link may lead anywhere."""
    for folder in (place.folder, place.tests.parent):
        if not of_the_project(folder):
            raise Refused(
                f"{shown(folder)} is {folder.resolve()}, which is not in this project. Type this in the"
                " folder of manage.py of the project it is in, or give another app"
            )


def _check_names(place: Place) -> None:
    """Two apps that share a name have both renamed, and runs with them that are there.

    A name with two underscores first is another within a class; one of underscores alone leaves none.
    """
    if place.name.startswith("_"):
        raise BadArgs(
            f"{place.name!r} is no name for an app with simulations: within a class, what begins with _ may"
            " mean something else. Expected: a letter first, as in: livesim scaffold bakery"
        )
    for target in registry.all():
        if target.name in (place.stock, place.tasks):
            raise Refused(
                f"there is a simulation {target.name!r} already, in {target.__module__}."
                " Give the app another name"
            )


def of_the_project(path: Path) -> bool:
    """Whether it is in this folder, and nothing that pip has installed there."""
    path = path.resolve()
    installed = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")]
    return path.is_relative_to(Path.cwd().resolve()) and not any(map(path.is_relative_to, installed))


def shown(path: Path) -> str:
    """The path as somebody in this folder types it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
