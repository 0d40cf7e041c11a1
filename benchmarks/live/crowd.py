"""What a crowd of viewers under node has seen of a server, and what that has cost it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.live.processes import CROWD, memory, on_core, spent
from benchmarks.live.servers import Scene, Serving, Site
from scripts import services

SCRIPT = Path(__file__).parent / "crowd.mjs"
SUSTAINED = 0.995  # of the frames that were offered
FIRST = 10  # viewers who come before the others, so that what is loaded once is no viewer's memory
MOST = 0.99  # of the frozen, who are waited for
UNKNOWN = "-"
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
    """Milliseconds of age, None where nobody could tell it,"""
    p99: float | None
    frozen: int
    """Viewers who did not read,"""
    woken: list[int]
    """and milliseconds until one after the other of them saw the present, of those who did."""
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
    def each(self) -> float | None:
        """Microseconds of CPU for a delivery, None where there was none."""
        return self.spent / self.frames * 1e6 if self.frames else None

    @property
    def size(self) -> float | None:
        """Bytes of a delivery, None where there was none."""
        return self.bytes / self.frames if self.frames else None

    @property
    def awake(self) -> float | None:
        """Milliseconds until 99 of 100 of the frozen saw the present: infinite where they never did, None
        where nobody was frozen."""
        if not self.frozen:
            return None
        wanted = ceil(MOST * self.frozen)
        return sorted(self.woken)[wanted - 1] if len(self.woken) >= wanted else inf


def look(site: Site, scene: Scene, *, warm: float = 5.0, deflate: bool = False, frozen: int = 0) -> Seen:
    """Have them come, wait, measure. `services.Missing` without node; RuntimeError where no frame comes, for
    however long they wait."""
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


def middle(seen: list[Seen], what: Callable[[Seen], float | None]) -> float | None:
    """The median of a figure over the rounds, None where one of them does not know it."""
    known = [figure for each in seen if (figure := what(each)) is not None]
    return median(known) if len(known) == len(seen) else None


def ratio(figure: float | None, measure: float | None) -> float | None:
    """How many times the other it is, None where that cannot be said."""
    return figure / measure if figure is not None and measure else None


def cell(figure: float | None, form: str) -> str:
    """A figure in a table: a dash where it is not known, *never* where it is infinite."""
    if figure is None:
        return UNKNOWN
    return "never" if figure == inf else f"{figure:{form}}"
