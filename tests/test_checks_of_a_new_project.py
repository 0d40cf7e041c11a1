"""A new project that knows only our name: each check tells the line to add, and these lines suffice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


class Project:
    """What `startproject` makes, with `django_livesim` among its apps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        django_admin = [sys.executable, "-m", "django", "startproject", "mysite", "."]
        kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        self.env = kept | {"PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run(django_admin, cwd=folder, env=self.env, check=True)
        self.add("settings", 'INSTALLED_APPS += ["django_livesim"]')

    def add(self, module: str, text: str) -> None:
        with (self.folder / "mysite" / f"{module}.py").open("a") as file:
            file.write(f"\n{text}\n")

    def check(self) -> str:
        """What `check` says."""
        command = [sys.executable, "manage.py", "check"]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True)
        return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def ids(said):
    return sorted(re.findall(r"livesim\.[EW]\d+", said))


def line(said, pattern):
    (found,) = re.findall(pattern, said, re.DOTALL)
    return found


def test_the_lines_that_the_checks_tell_make_a_new_project_work(project):
    said = project.check()
    assert ids(said) == [
        *["livesim.E005", "livesim.E005", "livesim.E006"],
        *["livesim.W002", "livesim.W003", "livesim.W004"],
    ]
    for app in re.findall(r"Add: (INSTALLED_APPS \+= .*)", said):
        project.add("settings", app)
    project.add("settings", line(said, r'Add: (ASGI_APPLICATION = "mysite.asgi.application")'))
    asgi = line(said, r"Make mysite.asgi say:\n(.*?get_asgi_application\(\)\))")
    project.add("settings", line(said, r'Set (DATABASES\["default"\].*?)\n'))
    url = line(said, r"Add to mysite.urls: (.*?)\n")
    project.add("urls", f"from django.urls import include\nurlpatterns += [{url}]")
    said = project.check()
    assert ids(said) == ["livesim.E007", "livesim.W002"]
    assert line(said, r"Make mysite.asgi say:\n(.*?get_asgi_application\(\)\))") == asgi
    assert 'Install daphne and put it first: INSTALLED_APPS = ["daphne", ...]' in said
    project.add("asgi", re.sub(r"^\s+", "", asgi, flags=re.MULTILINE))
    project.add("settings", 'INSTALLED_APPS = ["daphne", *INSTALLED_APPS]')
    assert "no issues" in project.check()

    project.add("settings", "DEBUG = False")
    said = project.check()
    assert ids(said) == ["livesim.E003"]
    project.add("settings", line(said, r"and set:\n\s*(CHANNEL_LAYERS = .*?\n\s*\}\})"))
    assert "no issues" in project.check()


def test_another_alias_of_the_layer_and_another_database_are_told_by_their_names(project):
    project.add("settings", 'LIVESIM = {"CHANNEL_LAYER": "sims", "DATABASE": "sims"}')
    said = project.check()
    assert "LIVESIM[\"CHANNEL_LAYER\"] is 'sims'. Expected: an alias in CHANNEL_LAYERS." in said
    assert "LIVESIM[\"DATABASE\"] is 'sims'. Expected: an alias in DATABASES." in said
    project.add("settings", 'DATABASES["sims"] = {**DATABASES["default"], "NAME": BASE_DIR / "sims.sqlite3"}')
    project.add("settings", 'CHANNEL_LAYERS = {"sims": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}')
    project.add("settings", "DEBUG = False")
    said = project.check()
    assert {"livesim.E003", "livesim.E009"} <= set(ids(said))
    assert 'CHANNEL_LAYERS = {"sims": {' in said
    project.add("settings", line(said, r'(DATABASE_ROUTERS = \["django_livesim.routers.LivesimRouter"\])'))
    assert "livesim.E009" not in ids(project.check())
