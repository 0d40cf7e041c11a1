"""The package as it is given away: built from a clean copy, installed in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent
MADE_HERE = shutil.ignore_patterns(
    ".git", ".venv", ".tox", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "build", "dist", "var"
)


def tracked() -> list[str] | None:
    """The files that git knows and that are there; None outside a checkout, as in an unpacked sdist."""
    if not (BASE / ".git").exists():
        return None
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=BASE, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (BASE / name).is_file()]


def clean_copy(target: Path) -> Path:
    """The sources and nothing that was made beside them, in `target`."""
    names = tracked()
    if names is None:
        return Path(shutil.copytree(BASE, target, ignore=MADE_HERE))
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BASE / name, target / name)
    return target


def build(source: Path, target: Path, *options: str) -> Path:
    """What `python -m build` makes of `source`: without options an sdist, and from that a wheel."""
    command = [sys.executable, "-m", "build", *options, "--outdir", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def only(folder: Path, pattern: str) -> Path:
    """The one file in `folder` of this pattern."""
    (found,) = folder.glob(pattern)
    return found


@dataclass(frozen=True)
class Environment:
    """A virtual environment; its programs see nothing of the one that runs the tests."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of whoever works in it."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {"PYTHONUNBUFFERED": "1"}

    def run(self, *arguments: str, cwd: Path, **variables: str) -> str:
        """What this Python prints to stdout and stderr; fails where its status is not 0."""
        command = [str(self.python), *arguments]
        env = self.variables | variables
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def installed(folder: Path, requirement: str) -> Environment:
    """A new environment with this and what it requires."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-compile", requirement], check=True)
    return Environment(folder)
