"""What it takes to find out what has changed between two views, in encodings of the view by orjson.

    python -m benchmarks.live.deltas [--rounds N]

Entries have one level: `{"x": ..., "y": ..., "speed": ..., "kind": ...}`, and where it says so `"alive":
true`, since what is true or false is dearer to compare. *diff* compares two views and gives the patch,
*delta* encodes it too. *chain* is all that is done for a frame: the new view is taken apart again as well,
since what a worker's loop hands on is text.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from statistics import median
from typing import Any

import orjson

from django_livesim.bus.chain import Chain, View
from django_livesim.protocol import delta, frames

REPEATS = 40  # calls of which the quickest half counts, in each round
CHANGING = {"none change": 0.0, "5 % change": 0.05, "all change": 1.0}


def views(count: int, changing: float, alive: dict[str, bool]) -> list[dict[str, Any]]:
    """Two: before and after a step."""
    made = random.Random(1)
    before = {
        f"entity{number}": {
            "x": made.uniform(0, 1000),
            "y": made.uniform(0, 1000),
            "speed": made.uniform(0, 1),
            "kind": "ship",
            **alive,
        }
        for number in range(count)
    }
    after = deepcopy(before)
    for entity in list(after.values())[: int(count * changing)]:
        entity["x"] += 1.0
        entity["y"] += 1.0
    return [{"time": number, "entities": each} for number, each in enumerate((before, after))]


def microseconds(act: Callable[[], object]) -> float:
    """What a call takes: the median of the quicker half."""
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        act()
        took.append(1e6 * (time.perf_counter() - began))
    return median(sorted(took)[: REPEATS // 2])


def measure(count: int, changing: float, alive: dict[str, bool]) -> dict[str, float]:
    before, after = (orjson.loads(orjson.dumps(each)) for each in views(count, changing, alive))
    truths = bool(alive)
    bodies = [orjson.dumps(each) for each in (before, after)]

    def as_delta() -> str:
        patch, nulls = delta.diff(before, after, truths=truths)
        return frames.delta(1, 1, 2, 2, patch, nulls, {}, None)

    chain, numbers = Chain(), iter(range(10**9))

    def as_chain() -> object:
        seq = next(numbers)
        return chain.message(View(role="view", epoch=1, seq=seq, tick=seq, body=bodies[seq % 2]))

    return {
        "bytes": len(bodies[1]),
        "encode": microseconds(lambda: orjson.dumps(after)),
        "diff": microseconds(lambda: delta.diff(before, after, truths=truths)),
        "delta": microseconds(as_delta),
        "chain": microseconds(as_chain),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    rows = [
        "| entries | bytes | encode, us | diff | times | delta | times | chain | times |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count, alive in ((100, {}), (1000, {}), (100, {"alive": True})):
        for name, changing in CHANGING.items():
            rounds = [measure(count, changing, alive) for _ in range(options.rounds)]
            cells = [f"{rounds[0]['bytes']:,}", f"{median(each['encode'] for each in rounds):.0f}"]
            for part in ("diff", "delta", "chain"):
                cells.append(f"{median(each[part] for each in rounds):.0f}")
                cells.append(f"{median(each[part] / each['encode'] for each in rounds):.1f}")
            rows.append(f"| {count}{' with alive' * bool(alive)}, {name} | {' | '.join(cells)} |")
    sys.stdout.write(f"\nDeltas, medians of {options.rounds}.\n\n" + "\n".join(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
