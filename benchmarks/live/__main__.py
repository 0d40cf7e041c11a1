"""All of the live benchmarks, one after the other: `python -m benchmarks.live [--short]`.

With --short some rows of each, for a moment each and with few viewers: enough to see that all of it works.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable

from benchmarks.live import burst, compare, deltas, frozen, full, growth, loops, roundtrip
from benchmarks.live.processes import PINS

SOME = (
    "websockets.broadcast;socket.io;ours;template, uvicorn, core;Colyseus, tenths;ours, table;ours, offered"
)
Part = tuple[Callable[[list[str]], int], list[str]]
WHOLE: list[Part] = [
    (compare.main, []),
    (compare.main, ["--viewers", "200", "--only", "websockets.broadcast;ours;ours, portable"]),
    (full.main, []),
    (frozen.main, []),
    (burst.main, []),
    (roundtrip.main, []),
    (loops.main, []),
    (deltas.main, []),
    (growth.main, []),
]
ONCE = ["--rounds", "1"]
SHORT: list[Part] = [
    (compare.main, [*ONCE, "--viewers", "50", "--seconds", "2", "--only", SOME]),
    (full.main, [*ONCE, "--viewers", "50", "--seconds", "1", "--most", "30", "--only", "ours"]),
    (frozen.main, [*ONCE, "--viewers", "50", "--seconds", "2", "--only", "acknowledging"]),
    (burst.main, [*ONCE, "--only", "ours"]),
    (roundtrip.main, [*ONCE, "--commands", "50"]),
    (loops.main, [*ONCE, "--seconds", "1", "--entities", "1000"]),
    (deltas.main, ONCE),
]


def main() -> int:
    """0, also where the machine was too slow for what was asked; 1 where commands were lost. What does not
    work at all raises."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    if not PINS:
        sys.stderr.write(
            "skipped: the live benchmarks pin processes to cores and read /proc, which is Linux's\n"
        )
        return 0
    if not shutil.which("node"):
        sys.stderr.write("skipped: the live benchmarks: no node on the PATH, and so no viewers\n")
        return 0
    failed = 0
    for part, arguments in SHORT if options.short else WHOLE:
        failed |= part(arguments)
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main())
