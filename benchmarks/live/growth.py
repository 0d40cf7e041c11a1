"""How the cost of a delivery grows with viewers, entities, runs and web processes.

    python -m benchmarks.live.growth [--seconds S] [--rounds N] [--viewers N,N,...] [--entities N,N,...]

Ours beside `websockets.broadcast`, each with compression offered and not; then, with the most viewers, ours
with them shared among several runs, and among two web processes on the one core.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from benchmarks.live.compare import table, told
from benchmarks.live.crowd import rounds
from benchmarks.live.servers import DOCUMENTED, Scene, Serving, broadcast, ours

SITES: dict[str, Serving] = {
    "websockets.broadcast": broadcast,
    "ours": ours,
    "websockets.broadcast, deflate": partial(broadcast, deflate=True),
    "ours, deflate": partial(ours, flags=["--lifespan", "off"]),
}
DEFLATE = frozenset(name for name in SITES if name.endswith("deflate"))
SHARED: dict[str, Serving] = {
    "ours, 1 run": ours,
    "ours, 10 runs": partial(ours, runs=10),
    "ours, 2 web processes": partial(ours, flags=[*DOCUMENTED, "--workers", "2"]),
}


def numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--viewers", type=numbers, default=[50, 200, 1000])
    parser.add_argument("--entities", type=numbers, default=[100, 1000])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    for viewers in options.viewers:
        for entities in options.entities:
            scene = Scene(viewers=viewers, entities=entities, seconds=options.seconds)
            show(SITES, scene, options.rounds)
    show(SHARED, Scene(viewers=max(options.viewers), seconds=options.seconds), options.rounds)
    return 0


def show(sites: dict[str, Serving], scene: Scene, times: int) -> None:
    found = rounds(sites, scene, times, deflate=DEFLATE)
    sys.stdout.write(f"\nGrowth: {told(scene, times)}\n\n{table(found, scene)}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
