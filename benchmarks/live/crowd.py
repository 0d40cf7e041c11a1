"""What a crowd of viewers under node has seen of a server, and what that has cost it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.live.processes import CROWD, memory, on_core, spent
from benchmarks.live.servers import Scene, Serving, Site
from scripts import services

SCRIPT = Path(__file__).parent / "crowd.mjs"
SUSTAINED = 0.995  # of the frames that were offered
FIRST = 10  # viewers who come before the others, so that what is loaded once is no viewer's memory
BUSY = 0.9  # of the crowd's core, from which on it may be the limit itself


@dataclass(frozen=True, kw_only=True)
class Seen:
    """By all viewers, within the seconds that were measured."""

    seconds: float
    frames: int
    bytes: int
    offered: float
    """Frames, to those who read."""
    of_others: int
    """Frames that these got,"""
    fewest: int
    """and the least that one of them got."""
    closed: int
    """Sockets that the server has closed."""
    cpu: float
    """Share of the crowd's core."""
    p50: float | None
    """Milliseconds of age,"""
    p99: float | None
    woken: int
    """Of the frozen, those who saw the present after all,"""
    slowest_to_wake: float | None
    """and milliseconds until the 99th percentile of them did."""
    spent: float
    """Seconds of the servers."""
    memory: float
    """KB that the process with the sockets holds more than before most of them came."""

    @property
    def arrived(self) -> float:
        """Share of what was offered."""
        return self.of_others / self.offered

    @property
    def sustained(self) -> bool:
        return self.arrived >= SUSTAINED

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return self.frames / self.seconds

    @property
    def each(self) -> float:
        """Microseconds of CPU for a delivery."""
        return self.spent / max(1, self.frames) * 1e6

    @property
    def size(self) -> float:
        """Bytes of a delivery."""
        return self.bytes / max(1, self.frames)


def look(site: Site, scene: Scene, *, warm: float = 2.0, deflate: bool = False, frozen: int = 0) -> Seen:
    """Have them come, wait, measure. `services.Missing` without node."""
    if not shutil.which("node"):
        raise services.Missing("no node on the PATH, and so no viewers")
    options: dict[str, Any] = {
        "port": site.port,
        "path": site.path,
        "dialect": site.dialect,
        "rate": scene.rate,
        "deflate": deflate,
    }
    few = {"viewers": min(FIRST, scene.viewers), "warm": 0.2, "seconds": 0.2}
    _run(options | few, lambda line: None)
    held = memory(site.pids[0])
    used: dict[str, float] = {}

    def told(line: str) -> None:
        if line.startswith("meas"):
            used[line.strip()] = spent(site.pids)

    many = {"viewers": scene.viewers, "warm": warm, "seconds": scene.seconds, "frozen": frozen}
    found = _run(options | many, told)
    more = memory(site.pids[0]) - held
    return Seen(**found, spent=used["measured"] - used["measuring"], memory=more)


def _run(options: dict[str, Any], told: Callable[[str], None]) -> dict[str, Any]:
    """A crowd: what it prints in the end; `told` gets each line that it says before."""
    with subprocess.Popen(
        ["node", str(SCRIPT), json.dumps(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: on_core(CROWD),
    ) as running:
        assert running.stdout and running.stderr
        said = []
        for line in running.stderr:
            said.append(line)
            told(line)
        printed = running.stdout.read()
    if running.returncode:
        raise RuntimeError(f"the crowd has ended:\n{''.join(said)[-2000:]}")
    found: dict[str, Any] = json.loads(printed)
    return found


def rounds(
    sites: dict[str, Serving], scene: Scene, times: int, *, deflate: frozenset[str] = frozenset()
) -> dict[str, list[Seen]]:
    """Each of them, one after the other, so many times; what cannot be had is named and left out."""
    found: dict[str, list[Seen]] = {}
    for number in range(times):
        for name, serving in sites.items():
            if number and name not in found:
                continue
            try:
                with serving(scene) as site:
                    seen = look(site, scene, deflate=name in deflate)
            except services.Missing as exc:
                sys.stderr.write(f"skipped: {name}: {exc}\n")
                continue
            sys.stderr.write(f"{name}: {seen}\n")
            found.setdefault(name, []).append(seen)
    return found


def middle(seen: list[Seen], what: Callable[[Seen], float | None]) -> float:
    """The median of a figure over the rounds; 0 where it is not known."""
    return median(what(each) or 0.0 for each in seen)
