"""The commands that docs/promises.md names start in a shell that knows nothing of Django."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.documents import BASE


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["faults", "nonsense"], 2, "Expected sqlite, postgres or both; got nonsense."),
        (["simulate", "--seeds", "1"], 0, "worlds in which a promise was broken"),
        (["chaos", "--help"], 0, "--kills N"),
    ],
)
def test_a_command_starts_without_settings(arguments: list[str], status: int, said: str) -> None:
    module, *rest = arguments
    done = subprocess.run(
        [sys.executable, "-m", f"tests.reliability.{module}", *rest],
        cwd=BASE,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stderr
