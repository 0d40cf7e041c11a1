"""The wheel holds what an installed app needs, and nothing else."""

from __future__ import annotations

import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

BASE = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return archive.read(name).decode()


def test_every_file_of_the_package_that_git_knows_is_in_the_wheel(names):
    listed = subprocess.run(["git", "ls-files", "django_livesim"], cwd=BASE, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("git: not a checkout")
    source_only = re.compile(r"\.po$")
    expected = {name for name in listed.stdout.split() if not source_only.search(name)}
    assert expected
    assert expected - set(names) == set()


def test_only_the_package_is_installed(names):
    assert {name.split("/")[0].split("-")[0] for name in names} == {"django_livesim"}


def test_templates_scripts_and_the_typing_mark_are_there(names):
    endings = ["py.typed", ".html", ".js", ".css", "migrations/0001_initial.py"]
    missing = [ending for ending in endings if not any(name.endswith(ending) for name in names)]
    assert missing == []


def test_the_version_is_that_of_pyproject_and_the_licence_is_in(wheel, names):
    project = tomllib.loads((BASE / "pyproject.toml").read_text())["project"]
    assert f"\nVersion: {project['version']}\n" in metadata(wheel)
    assert "\nLicense-Expression: BSD-3-Clause\n" in metadata(wheel)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_makefile_installs_extras_that_exist():
    extras = tomllib.loads((BASE / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    makefile = (BASE / "Makefile").read_text()
    assert set(re.findall(r"\.venv/installed-(\w+)", makefile)) <= set(extras)
