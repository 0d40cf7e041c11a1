"""The tests of `socket.js` by itself, in node."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests import services


def test_the_socket_by_itself() -> None:
    node = services.executable("node")
    tests = Path(__file__).with_name("socket.test.mjs")
    done = subprocess.run([node, "--test", str(tests)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
