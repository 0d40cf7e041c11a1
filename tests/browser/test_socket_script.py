"""The tests of the page's scripts by themselves, in node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import services


@pytest.mark.parametrize("name", ["socket", "series", "page"])
def test_the_scripts_by_themselves(name: str) -> None:
    node = services.executable("node")
    tests = Path(__file__).with_name(f"{name}.test.mjs")
    done = subprocess.run([node, "--test", str(tests)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
