"""Runs the suite as `make test` does; arguments go on to every pytest call.

Five lanes side by side, since most of a test here is waiting for another process:

1. Everything in folders on SQLite, but what the other lanes have, and what installs
   packages (`make matrix` has it).
2. The same of the files beside them.
3. What asks the database, again on PostgreSQL (all that touches it there: `make
   matrix`); then workers that are killed, and the parts of workers.
4. What starts processes of its own, a worker above all.
5. The list and the live page in a browser, a call of its own, because Playwright's sync
   API holds an event loop that pytest-asyncio and the ORM would stumble over. A host in
   which everything is unusual at once, which has settings of its own, is in `make matrix`.

With `processes` as its first argument, as `make processes` does, it runs what starts real workers,
servers and projects and takes longer than that, in two lanes; with `browser`, as `make browser` does, all
else that is seen in a browser, in two lanes.

Each call's output is shown when it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

BASE = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest"]
ON_POSTGRES = [sys.executable, "-m", "scripts.services", "postgres", "--"]
INSTALLING = [
    "tests/test_packaging.py",
    "tests/acceptance/test_quickstart.py",
    "tests/acceptance/test_tutorial.py",
]
"""In `make matrix`."""
ALWAYS = "tests/process/test_worker.py"
STARTING = [
    ALWAYS,
    "tests/test_checks_of_a_new_project.py",
    "tests/test_cli.py",
    "tests/test_deploying.py",
    "tests/test_sandbox.py",
]
AT_LENGTH = ["tests/acceptance", "tests/process", "tests/sandbox"]
"""In `make processes`."""


def ignoring(*paths: str) -> list[str]:
    return [f"--ignore={path}" for path in paths]


def without(*paths: str) -> list[str]:
    return [*PYTEST, *ignoring(*paths)]


FILES = sorted(str(path.relative_to(BASE)) for path in BASE.glob("tests/test_*.py"))
FILES_IN_PROCESS = [each for each in FILES if each not in {*INSTALLING, *STARTING}]
WORKERS = ["tests/worker"]
FOLDERS = without(
    "tests/browser", "tests/reliability/test_chaos.py", *INSTALLING, *AT_LENGTH, *WORKERS, *FILES
)
KILLED = [*PYTEST, "tests/reliability/test_chaos.py"]
WRITING = ["tests/store"]
POSTGRES = [*ON_POSTGRES, *PYTEST, "-m", "database", *WRITING]
OF_SITES = ["tests/browser/test_seeds.py", "tests/browser/test_task_status.py"]
IN_SHORT = ["tests/browser/test_list.py", "tests/browser/test_live_page.py", "tests/browser/test_weight.py"]
BROWSER = [*PYTEST, "-p", "no:asyncio"]
LANES = [
    {"folders on SQLite": FOLDERS},
    {"files on SQLite": [*PYTEST, *FILES_IN_PROCESS]},
    {"PostgreSQL": POSTGRES, "processes killed": KILLED, "workers": [*PYTEST, *WORKERS]},
    {"processes": [*PYTEST, *STARTING]},
    {"browser": [*BROWSER, *IN_SHORT]},
]
SITES = ["tests/acceptance", "tests/sandbox", "tests/process/test_celery.py", "tests/process/test_site.py"]
LANES_OF_PROCESSES = [
    {"workers, killed and told to end": [*without(ALWAYS, *SITES), "tests/process"]},
    {
        "projects and sites": [*without(*INSTALLING), *SITES],
        "sites in a browser": [*BROWSER, *OF_SITES],
    },
]
OUTAGES = ["admin_inspect", "database_outage", "figures", "harm", "producing", "redis_outage", "states"]
WITH_OUTAGES = [f"tests/browser/test_{name}.py" for name in OUTAGES]
LANES_OF_BROWSERS = [
    {"browser, what comes and goes": [*BROWSER, *WITH_OUTAGES]},
    {"browser, all else": [*BROWSER, "tests/browser", *ignoring(*IN_SHORT, *OF_SITES, *WITH_OUTAGES)]},
]
LANES_BY_NAME = {"processes": LANES_OF_PROCESSES, "browser": LANES_OF_BROWSERS}
IN_BROWSERS = {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"}
NOT_INHERITED = {"PYTHONDONTWRITEBYTECODE"}
"""Hundreds of processes would each compile the project again."""
NOTHING_SELECTED = 5  # pytest's status

printing = Lock()


def call(name: str, command: list[str], arguments: list[str]) -> int:
    """Run one call of pytest and show what it said; its status."""
    began = time.monotonic()
    kept = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
    done = subprocess.run(
        [*command, *arguments],
        cwd=BASE,
        env=kept | (IN_BROWSERS if "browser" in name else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    status = 0 if arguments and done.returncode == NOTHING_SELECTED else done.returncode
    ended = f"{'done' if status == 0 else 'FAILED'} in {time.monotonic() - began:.0f} s"
    with printing:
        print(f"\n== {name}\n{done.stdout}\n== {name}: {ended}", flush=True)
    return status


def main(arguments: list[str]) -> int:
    """0 where every call passed."""
    lanes = LANES
    if arguments and arguments[0] in LANES_BY_NAME:
        lanes, arguments = LANES_BY_NAME[arguments[0]], arguments[1:]

    def run(lane: dict[str, list[str]]) -> list[int]:
        return [call(name, command, arguments) for name, command in lane.items()]

    # Begun in the background of a script, this would hand on that Ctrl-C is ignored, to what tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("The tests take some minutes; each part is shown when it ends.", flush=True)
    with ThreadPoolExecutor(len(lanes)) as side_by_side:
        statuses = [status for lane in side_by_side.map(run, lanes) for status in lane]
    return max(statuses, key=abs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
