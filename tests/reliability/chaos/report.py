"""The figures of all legs on one database, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.reliability.chaos.leg import Result

NEVER = (
    "lost",
    "doubled",
    "out of order",
    "told wrongly",
    "zombie writes",
    "ticks backwards",
    "lineages mixed",
    "shown wrongly",
    "hashes differ",
)
"""What must not be found at all."""

BUSY = 0.90  # share of the kills with commands in flight
ACKNOWLEDGED = 0.95  # share of the sent


def facts(results: Iterable[Result]) -> dict[str, Any]:
    """Everything that was counted, added up."""
    results = list(results)
    deaths = [death for result in results for death in result.deaths]
    kills = [death for death in deaths if death.killed]
    found = Counter[str]()
    for result in results:
        found.update(result.findings.counts)
    taken = [(death, seconds, result.plan) for result in results for death, seconds in result.takeovers]
    return {
        "kills": len(kills),
        "kills by nemesis": dict(Counter(death.nemesis for death in kills)),
        "kills by point": dict(sorted(Counter(death.point for death in kills if death.point).items())),
        "stops": sum(death.nemesis == "stop" for death in deaths),
        "drains": sum(death.nemesis == "drain" for death in deaths),
        "other processes killed": sum(result.others for result in results),
        "kills with commands in flight": sum(result.busy for result in results),
        "sent": sum(result.sent for result in results),
        "acknowledged": sum(result.accepted for result in results),
        "frames seen": sum(result.frames for result in results),
        "checkpoints compared": sum(result.hashes for result in results),
        "found": {kind: found[kind] for kind in NEVER},
        "takeovers": {
            kind: spread([(seconds, death.limit) for death, seconds, plan in taken if kind_of(death) == kind])
            for kind in ("same host", "silent", "drained")
        },
        "takeovers unseen": sum(result.unseen for result in results),
        "errors told": dict(sum((result.errors for result in results), Counter[str]())),
        "seconds": round(sum(result.seconds for result in results)),
        "lines": [line for result in results for line in result.findings.lines],
    }


def kind_of(death: Any) -> str:
    return {"drain": "drained", "lost": "silent", "stop": "silent"}.get(death.nemesis, "same host")


def spread(times: list[tuple[float, float]]) -> dict[str, Any]:
    """Of seconds and their limits: the median, the 99th of 100, the longest, and how many were too long."""
    measured = sorted(seconds for seconds, limit in times if limit < float("inf"))
    if not measured:
        return {"count": 0, "late": 0}
    return {
        "count": len(measured),
        "p50": round(measured[len(measured) // 2], 2),
        "p99": round(measured[min(len(measured) - 1, int(len(measured) * 0.99))], 2),
        "max": round(measured[-1], 2),
        "late": sum(seconds > limit for seconds, limit in times),
    }


def missed(facts: dict[str, Any], kills: int) -> list[str]:
    """The musts that these figures miss, in words."""
    found = [f"{count} {kind}" for kind, count in facts["found"].items() if count]
    if facts["kills"] < kills:
        found.append(f"{facts['kills']} kills, fewer than {kills}")
    if facts["kills with commands in flight"] < BUSY * facts["kills"]:
        found.append(
            f"commands in flight at {facts['kills with commands in flight']} of {facts['kills']} kills"
        )
    if facts["acknowledged"] < ACKNOWLEDGED * facts["sent"]:
        found.append(f"{facts['acknowledged']} acknowledged of {facts['sent']} sent")
    if facts["takeovers unseen"]:
        found.append(f"{facts['takeovers unseen']} runs without an heir")
    found += [
        f"{kind}: {each['late']} takeovers too late"
        for kind, each in facts["takeovers"].items()
        if each["late"]
    ]
    if not facts["checkpoints compared"]:
        found.append("no checkpoint was compared")
    return found
