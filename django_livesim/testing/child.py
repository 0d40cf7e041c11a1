"""A run played once more, in a process with another order of sets."""

from __future__ import annotations

import importlib
import json
import operator
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django_livesim.testing.playing import Command, Player, Positions

START = """
import json, sys
job = json.load(sys.stdin)
sys.path[:] = job["path"]
from django_livesim.testing.child import main
main(job)
"""


def play_elsewhere(
    simulation: Any,
    params: Mapping[str, Any],
    seed: int,
    steps: int,
    commands: Iterable[Command],
    *,
    hash_seeds: Iterable[str],
) -> list[Positions]:
    """The positions of the same run in a new process for each PYTHONHASHSEED, all at once."""
    job = {
        "path": sys.path,
        "module": simulation.__module__,
        "name": simulation.__qualname__,
        "params": dict(params),
        "seed": seed,
        "steps": steps,
        "commands": list(commands),
    }
    _check_importable(simulation)
    with TemporaryDirectory() as folder:
        targets = [Path(folder, hash_seed) for hash_seed in hash_seeds]
        processes = [_start(job | {"target": str(target)}, target) for target in targets]
        errors = [process.communicate()[1] for process in processes]
        for process, error in zip(processes, errors, strict=True):
            if process.returncode:
                raise RuntimeError(f"The run could not be played in a new process:\n{error}")
        return [_read(target) for target in targets]


def _check_importable(simulation: Any) -> None:
    module = sys.modules.get(simulation.__module__)
    try:
        found = operator.attrgetter(simulation.__qualname__)(module)
    except AttributeError:
        found = None
    if found is not simulation or simulation.__module__ == "__main__":
        raise ValueError(
            f"{simulation.__module__}.{simulation.__qualname__} cannot be imported by a new process."
            " Define it at the top of a module, or leave new_process out."
        )


def _start(job: dict[str, Any], target: Path) -> subprocess.Popen[str]:
    asked = target.with_suffix(".job")
    asked.write_text(json.dumps(job))
    with asked.open() as stdin:
        return subprocess.Popen(  # noqa: S603  (this interpreter, and a constant)
            [sys.executable, "-c", START],
            env=os.environ | {"PYTHONHASHSEED": target.name},
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


def _read(target: Path) -> Positions:
    return {int(tick): position.encode() for tick, position in json.loads(target.read_text()).items()}


def main(job: dict[str, Any]) -> None:
    """What the new process does."""
    if "DJANGO_SETTINGS_MODULE" in os.environ:
        import django

        django.setup()
    simulation = operator.attrgetter(job["name"])(importlib.import_module(job["module"]))
    player = Player(simulation, job["params"], job["seed"], [tuple(each) for each in job["commands"]])
    player.play(job["steps"])
    positions = {tick: position.decode() for tick, position in player.positions.items()}
    Path(job["target"]).write_text(json.dumps(positions))
