"""How long it takes from sending a command until a frame shows what it did.

    python -m benchmarks.live.roundtrip [--commands N] [--rounds N]

One socket, one command after the other at odd moments, to a run at 20 Hz with `frame_on_command`, through a
web server, Redis and a worker: volatile, and durable on SQLite.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from statistics import median, quantiles
from typing import Any

from websockets.asyncio.client import ClientConnection

from benchmarks.live.clients import on_their_core, sockets
from benchmarks.live.servers import Scene, ours

KINDS = {"volatile": "mark", "durable": "keep"}
PAUSE = (0.01, 0.06)  # seconds between two
LIMIT = 30.0  # seconds for one, the first while the worker begins
WARM = 10  # commands before it is measured


class Marks:
    """Who waits for which mark."""

    def __init__(self) -> None:
        self._waited: tuple[int, asyncio.Future[float]] | None = None

    def heard(self, message: dict[str, Any]) -> None:
        if message.get("type") in ("snapshot", "delta") and self._waited is not None:
            mark, seen = self._waited
            if message.get("state", message.get("patch", {})).get("mark") == mark and not seen.done():
                seen.set_result(time.perf_counter())

    async def seconds(self, socket: ClientConnection, name: str, mark: int) -> float:
        """From sending one to seeing it. TimeoutError: nobody ever saw it."""
        seen = asyncio.get_running_loop().create_future()
        self._waited = (mark, seen)
        began = time.perf_counter()
        await socket.send(
            json.dumps({"type": "command", "id": f"m{mark}", "name": name, "args": {"n": mark}})
        )
        return await asyncio.wait_for(seen, LIMIT) - began


async def measure(site: Any, commands: int) -> dict[str, list[float]]:
    """Milliseconds of each."""
    marks, number = Marks(), 0
    found: dict[str, list[float]] = {}
    async with sockets(site, 1, marks.heard) as (socket,):
        for kind, name in KINDS.items():
            took = []
            for _ in range(WARM + commands):
                await asyncio.sleep(random.uniform(*PAUSE))
                number += 1
                took.append(1000 * await marks.seconds(socket, name, number))
            found[kind] = took[WARM:]
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--commands", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    found: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    with on_their_core():
        for _ in range(options.rounds):
            with ours(Scene(), simulation="marked") as site:
                for kind, took in asyncio.run(measure(site, options.commands)).items():
                    found[kind].append(took)
    rows = ["| command | p50, ms | p99, ms |", "|---|---:|---:|"]
    for kind, rounds in found.items():
        shares = [quantiles(took, n=100) for took in rounds]
        p50, p99 = (median(each[at] for each in shares) for at in (49, 98))
        rows.append(f"| {kind} | {p50:.1f} | {p99:.1f} |")
    title = f"From command to visible: {options.rounds} x {options.commands} commands of each kind."
    sys.stdout.write(f"\n{title}\n\n" + "\n".join(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
