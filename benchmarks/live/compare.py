"""How much a delivery costs, and how old what is seen is: ours beside others, in one run.

    python -m benchmarks.live.compare [--viewers N] [--entities N] [--rate N] [--seconds S] [--rounds N]
        [--only NAME;...]

Frames twenty times a second. Servers have one core, and the crowd, which is shown not to be the limit,
another. CPU is that of all processes of a server, its worker and Redis included. Medians over the rounds,
and ratios to `websockets.broadcast`; a dash is what is not known or cannot be compared. The first table has
those that send all of the same state to everybody; the second those that send what has changed; the third
what compression costs where viewers offer it.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from operator import attrgetter
from statistics import median

from benchmarks.live import peers
from benchmarks.live.crowd import BUSY, SUSTAINED, Seen, cell, middle, ratio, rounds
from benchmarks.live.servers import LAYERS, Scene, Serving, broadcast, ours, template

MEASURE = "websockets.broadcast"
SAME: dict[str, Serving] = {
    MEASURE: broadcast,
    "socket.io": peers.socketio,
    "ours": ours,
    "ours, acknowledged": partial(ours, dialect="page"),
    "ours, portable": partial(ours, direct=False),
    "ours, daphne": partial(ours, server="daphne"),
    **{
        f"template, {server}, {layer}": partial(template, server=server, layer=layer)
        for server in ("daphne", "uvicorn")
        for layer in LAYERS
    },
}
CHANGES: dict[str, Serving] = {
    "Colyseus, floats": peers.colyseus,
    "Colyseus, tenths": partial(peers.colyseus, tenths=True),
    "ours, deltas": partial(ours, simulation="drifting"),
    "ours, table": partial(ours, simulation="tabled"),
    "ours, table, one of twenty moves": partial(ours, simulation="few"),
}
DEFLATE: dict[str, Serving] = {
    "ours, nobody offers it": ours,
    "ours, offered": ours,
    "ours, offered and taken": partial(ours, flags=["--lifespan", "off"]),
    "ours, portable, offered and taken": partial(ours, flags=["--lifespan", "off"], direct=False),
    "websockets.broadcast, offered and taken": partial(broadcast, deflate=True),
    "socket.io, offered and taken": partial(peers.socketio, deflate=True),
}
OFFERING = frozenset(name for name in DEFLATE if "offered" in name)
HEADS = (
    "frames arrived",
    "deliveries/s",
    "CPU each, us",
    "times",
    "age p50 / p99, ms",
    "bytes each",
    "KB a viewer",
    "crowd's core",
)
AGES = attrgetter("p50"), attrgetter("p99")
TABLES = {
    "The same state, whole": SAME,
    "What has changed": CHANGES,
    "Compression": DEFLATE,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--entities", type=int, default=100)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", default="", help="; ".join(name for each in TABLES.values() for name in each)
    )
    options = parser.parse_args(arguments)
    scene = Scene(
        viewers=options.viewers, entities=options.entities, rate=options.rate, seconds=options.seconds
    )
    only = options.only.split(";") if options.only else []
    for title, sites in TABLES.items():
        wanted = {name: site for name, site in sites.items() if not only or name in only}
        if wanted:
            found = rounds(wanted, scene, options.rounds, deflate=OFFERING)
            sys.stdout.write(f"\n{title}: {told(scene, options.rounds)}\n\n{table(found, scene)}")
            sys.stdout.flush()
    return 0


def told(scene: Scene, times: int) -> str:
    return (
        f"{scene.viewers} viewers, {scene.entities} entities, {scene.rate:g} frames a second, "
        f"{times} x {scene.seconds:g} s."
    )


def table(found: dict[str, list[Seen]], scene: Scene) -> str:
    """Markdown, a server a row. A ratio is where both it and `websockets.broadcast` sustain their frames."""
    rows = [f"| | {' | '.join(HEADS)} |", "|---|" + "---:|" * len(HEADS)]
    measure = sustained_cost(found.get(MEASURE, []))
    for name, seen in found.items():
        arrived = median(each.arrived for each in seen)
        busy = median(each.cpu for each in seen)
        cells = (
            f"{arrived:.1%}{'' if arrived >= SUSTAINED else ', not sustained'}",
            f"{median(each.rate for each in seen):,.0f}",
            cell(middle(seen, lambda each: each.each), ".1f"),
            cell(ratio(sustained_cost(seen), measure), ".2f"),
            " / ".join(cell(middle(seen, age), ".0f") for age in AGES),
            cell(middle(seen, lambda each: each.size), ",.0f"),
            f"{median(each.memory for each in seen) / scene.viewers:.0f}",
            f"{busy:.0%}{', a limit itself' if busy >= BUSY else ''}",
        )
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def sustained_cost(seen: list[Seen]) -> float | None:
    """Of a delivery, None where not enough of the frames arrived for that to be compared."""
    if not seen or median(each.arrived for each in seen) < SUSTAINED:
        return None
    return middle(seen, lambda each: each.each)


if __name__ == "__main__":
    sys.exit(main())
