"""Runs the whole suite as `make test` does; arguments go on to every pytest call.

1. Everything but the browser, on SQLite.
2. What touches the database, again on PostgreSQL.
3. The browser, a call of its own: Playwright's sync API holds an event loop
   that pytest-asyncio and the ORM would stumble over.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest"]
ON_POSTGRES = [sys.executable, "-m", "scripts.services", "postgres", "--"]
CALLS = {
    "SQLite": [*PYTEST, "--ignore=tests/browser"],
    "PostgreSQL": [*ON_POSTGRES, *PYTEST, "--ignore=tests/browser", "-m", "database"],
    "browser": [*PYTEST, "-p", "no:asyncio", "tests/browser"],
}
NOTHING_SELECTED = 5  # pytest's status
BROWSER_ENV = {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"}


def main(arguments: list[str]) -> int:
    """The worst status of the calls."""
    worst = 0
    for name, command in CALLS.items():
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        env = os.environ | (BROWSER_ENV if name == "browser" else {})
        status = subprocess.run([*command, *arguments], cwd=BASE, env=env, check=False).returncode
        print(f"== {name}: {'passed' if status == 0 else 'FAILED'} in {time.monotonic() - began:.0f} s")
        if not (arguments and status == NOTHING_SELECTED):
            worst = worst or status
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
