"""The quickstart's project, made once by its own first lines."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.services import free_port
from tests.acceptance.walking import Terminal, Walk, newcomer, sections
from tests.distribution import Environment

PASSWORD = "pond-side"
ANSWERS = {
    "'): ": "admin",
    "Email address: ": "admin@example.org",
    "Password: ": PASSWORD,
    "Password (again): ": PASSWORD,
}


@pytest.fixture(scope="session")
def walk(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Somebody who has followed the first part of the quickstart: an environment, a project, an app."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(source, folder / "django-livesim")
    (folder / "work").mkdir()
    port = f"127.0.0.1:{free_port()}"
    walk = Walk(
        terminal=newcomer(folder / "work"),
        logs=folder,
        replaced={"runserver": f"runserver {port}"},
        answers=ANSWERS,
        site=f"http://{port}",
    )
    walk.follow(sections("docs/quickstart.md")["A new project"])
    yield walk
    walk.close()


@pytest.fixture(scope="session")
def environment(walk: Walk) -> Environment:
    """The environment that the quickstart has installed."""
    return Environment(Path(walk.terminal.env["VIRTUAL_ENV"]))


@pytest.fixture
def second_terminal(walk: Walk) -> Terminal:
    return newcomer(Path(walk.terminal.env["VIRTUAL_ENV"]).parent)
