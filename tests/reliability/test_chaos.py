"""The short form of `make chaos`: some deaths of each kind on SQLite, in half a minute."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.services import dies_with_us


@pytest.mark.timeout(300)
def test_workers_that_are_killed_stopped_and_drained_lose_double_and_mix_nothing(
    redis_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.reliability.chaos", "--short", "--only", "legs"]
    command += ["--database", "sqlite", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=dies_with_us())
    assert file.exists(), done.stdout + done.stderr
    figures = json.loads(file.read_text())["SQLite"]
    # How soon runs are taken over is measured where nothing else is done: by `make chaos`.
    missed = [each for each in figures["missed"] if not each.endswith("too late")]
    assert missed == [], done.stdout + done.stderr
    assert figures["kills"] >= 5 and figures["stops"] == figures["drains"] == 1
    assert figures["acknowledged"] == figures["sent"] > 100
    assert figures["frames seen"] > 100 and figures["checkpoints compared"] > 10
    assert set(figures["found"].values()) == {0}
