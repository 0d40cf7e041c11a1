"""What becomes of 1,000 commands that are due within 100 ms while the worker hangs for two seconds.

    python -m benchmarks.live.burst [--sockets N] [--rounds N]

All processes of the worker are stopped by SIGSTOP just before. *Sent* is how long the commands really took to
be sent. *Lost* is what has never acted: of ours the state counts the commands that did, of the template the
entities that were added are counted. It fails where ours loses a command that nobody was told of.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.protocol import State

from benchmarks.live.clients import on_their_core, sockets, until
from benchmarks.live.crowd import cell
from benchmarks.live.processes import family
from benchmarks.live.servers import LAYERS, Scene, Serving, Site, ours, template

COMMANDS = 1000
WITHIN = 0.1  # seconds
STALLED = 2.0
LIMIT = 30.0  # seconds without another that acts, until no more are waited for
SETTLE = 1.0  # seconds before it begins
START = '{"command": "start_simulation"}'  # as the page of the template's document says
SITES: dict[str, Serving] = {
    "ours": partial(ours, simulation="marked"),
    **{f"template, {layer}": partial(template, server="uvicorn", layer=layer) for layer in LAYERS},
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    acted: int
    closed: dict[int, int]
    """Sockets by the code with which the server has closed them."""
    accepted: int
    errors: int
    sent: float
    """Seconds from the first command until the last was sent."""
    seconds: float | None
    """From the first command until the last has acted, None where not all have."""

    @property
    def lost(self) -> int:
        return COMMANDS - self.acted

    @property
    def untold(self) -> int:
        """Commands that never acted though nobody was told so. Owed is what was accepted, and where no
        socket was closed whatever was not refused."""
        owed = self.accepted if self.closed else COMMANDS - self.errors
        return max(0, owed - self.acted)


@contextmanager
def stalled(site: Site) -> Iterator[None]:
    """The worker and what it has started do nothing."""
    pids = family([site.worker])
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def command(site: Site, number: int) -> str:
    if site.run:
        return json.dumps({"type": "command", "id": f"c{number}", "name": "keep", "args": {"n": number}})
    entity = {"command": "add_entity", "entity_id": f"added{number}", "entity_data": {"kind": "rock"}}
    return json.dumps(entity)


class Listener:
    """What all sockets have heard."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.acted = self.frames = 0

    def heard(self, message: dict[str, Any]) -> None:
        kind = message.get("type", "")
        if message.get("id") is not None:
            self.kinds[kind] += 1
        state = (
            message.get("state", message.get("patch")) if kind in ("snapshot", "delta", "update") else None
        )
        self.frames += state is not None
        if state and "marks" in state:
            self.acted = max(self.acted, state["marks"])
        elif state and kind == "update":
            self.acted = max(self.acted, sum(name.startswith("added") for name in state["entities"]))


async def one(site: Site, count: int) -> Outcome:
    listener = Listener()
    async with sockets(site, count, listener.heard) as opened:
        await begun(site, opened[0], listener)
        began = time.monotonic()
        with stalled(site):
            await asyncio.gather(*(send(site, each, at, count) for at, each in enumerate(opened)))
            sent = time.monotonic() - began
            await asyncio.sleep(max(0.0, STALLED - sent))
        await all_acted(listener, lambda: all(map(code_of, opened)))
        closed = Counter(code for each in opened if (code := code_of(each)))
        if listener.acted < COMMANDS:  # one who was not there sees what has acted, whoever was closed
            async with sockets(site, 1, listener.heard):
                await all_acted(listener, lambda: False)
        seconds = time.monotonic() - began
    kinds = listener.kinds
    return Outcome(
        acted=listener.acted,
        closed=closed,
        accepted=kinds["accepted"],
        errors=kinds["error"] + kinds["refused"],
        sent=sent,
        seconds=seconds if listener.acted >= COMMANDS else None,
    )


async def all_acted(listener: Listener, over: Callable[[], bool]) -> None:
    """Until they have, or it is over, or no more of them do."""
    before = -1
    while before < listener.acted < COMMANDS and not over():
        before = listener.acted
        await until(lambda before=before: listener.acted > before or over(), LIMIT)  # type: ignore[misc]


def code_of(socket: ClientConnection) -> int:
    """With which the server has closed it, 1006 where it said none; 0 while it is open."""
    if said := socket.protocol.close_rcvd:
        return said.code
    return 0 if socket.state is State.OPEN else CloseCode.ABNORMAL_CLOSURE


async def begun(site: Site, socket: ClientConnection, listener: Listener) -> None:
    """Until there are frames; RuntimeError where none come."""
    for _ in range(int(LIMIT)):
        if not site.run:
            await socket.send(START)
        if await until(lambda: listener.frames > 0, 1.0):
            return await asyncio.sleep(SETTLE)
    raise RuntimeError(f"no frame within {LIMIT:g} s")


async def send(site: Site, socket: ClientConnection, at: int, count: int) -> None:
    """One socket's share of the commands, each at its moment; what is late is sent at once."""
    share = range(at * COMMANDS // count, (at + 1) * COMMANDS // count)
    began = time.monotonic()
    try:
        for sent, number in enumerate(share):
            await asyncio.sleep(max(0.0, began + WITHIN * sent / len(share) - time.monotonic()))
            await socket.send(command(site, number))
    except ConnectionClosed:
        pass


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sockets", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="; ".join(SITES))
    options = parser.parse_args(arguments)
    found: dict[str, list[Outcome]] = {}
    with on_their_core():
        for _ in range(options.rounds):
            for name, serving in SITES.items():
                if options.only and name not in options.only.split(";"):
                    continue
                with serving(Scene()) as site:
                    outcome = asyncio.run(one(site, options.sockets))
                sys.stderr.write(f"{name}: {outcome}\n")
                found.setdefault(name, []).append(outcome)
    title = f"{COMMANDS} commands of {options.sockets} sockets, due within {WITHIN * 1000:g} ms"
    stall = f"the worker stalled for {STALLED:g} s"
    sys.stdout.write(f"\n{title}, {stall}; the worst of {options.rounds}.\n\n{table(found)}")
    untold = max((each.untold for each in found.get("ours", [])), default=0)
    if untold:
        sys.stderr.write(f"ours: {untold} commands never acted, and nobody was told\n")
    return int(untold > 0)


def table(found: dict[str, list[Outcome]]) -> str:
    """Markdown, a server a row: of each figure the worst."""
    rows = [
        "| | sent, ms | lost | accepted | errors | sockets closed | all acted after, s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, all_ in found.items():
        seconds = [each.seconds for each in all_ if each.seconds is not None]
        cells = (
            f"{1000 * max(each.sent for each in all_):.0f}",
            f"{max(each.lost for each in all_):,}",
            f"{min(each.accepted for each in all_):,}",
            f"{max(each.errors for each in all_):,}",
            f"{max(sum(each.closed.values()) for each in all_)}",
            cell(max(seconds) if len(seconds) == len(all_) else None, ".1f"),
        )
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
