"""What the main thread of a page did, read from a trace of Chromium's (the format of `about:tracing`)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

CATEGORIES = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"]
MAIN = "CrRendererMain"
LONG = 50.0  # ms from which a task is a long one (w3.org/TR/longtasks-1)


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Tasks of one thread, in ms: by the clock, and of the processor's time."""

    clock: list[float]
    cpu: list[float]
    within: dict[str, float]
    """What went on in the longest of them by CPU, by name, in ms of the clock."""

    @property
    def longest(self) -> tuple[float, float]:
        return max(self.clock, default=0.0), max(self.cpu, default=0.0)

    @property
    def long(self) -> tuple[int, int]:
        """How many took more than 50 ms, by the clock and of the processor's time."""
        return sum(each > LONG for each in self.clock), sum(each > LONG for each in self.cpu)

    @property
    def share(self) -> float:
        return sum(self.cpu)


def tasks(trace: bytes) -> Tasks:
    """Of the busiest main thread."""
    events = json.loads(trace)["traceEvents"]
    mains = {(each["pid"], each["tid"]) for each in events if named(each)}
    of = {main: [each for each in events if (each["pid"], each["tid"]) == main] for main in mains}
    busiest = max(of.values(), key=lambda found: sum(spent(each) for each in found if is_task(each)))
    found = [each for each in busiest if is_task(each)]
    worst = max(found, key=spent)
    inner: Counter[str] = Counter()
    for each in busiest:
        if each["ph"] == "X" and each is not worst and inside(each, worst) and not is_task(each):
            inner[each["name"]] += each.get("dur", 0) / 1000
    clock = [each.get("dur", 0) / 1000 for each in found]
    return Tasks(clock=clock, cpu=[spent(each) / 1000 for each in found], within=dict(inner.most_common(6)))


def named(event: dict[str, Any]) -> bool:
    return event["name"] == "thread_name" and event["args"]["name"] == MAIN


def is_task(event: dict[str, Any]) -> bool:
    return event["ph"] == "X" and event["name"] == "ThreadControllerImpl::RunTask"


def spent(event: dict[str, Any]) -> int:
    """Microseconds of the processor's time."""
    found: int = event.get("tdur", 0)
    return found


def inside(event: dict[str, Any], other: dict[str, Any]) -> bool:
    begins: bool = other["ts"] <= event["ts"] < other["ts"] + other.get("dur", 0)
    return begins
