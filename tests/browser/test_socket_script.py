"""The tests of `socket.js` and of `series.js` by themselves, in node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import services


@pytest.mark.parametrize("name", ["socket", "series"])
def test_a_script_by_itself(name: str) -> None:
    node = services.executable("node")
    tests = Path(__file__).with_name(f"{name}.test.mjs")
    done = subprocess.run([node, "--test", str(tests)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
