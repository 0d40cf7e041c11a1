"""The figures as a table to read; needs no Django."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown, a column for each database."""
    rows = {"": list(found), "---": ["---"] * len(found)}
    for facts in found.values():
        for name, text in _cells(facts):
            rows.setdefault(name, []).append(text)
    return "".join(f"| {name} | {' | '.join(cells)} |\n" for name, cells in rows.items())


def _cells(facts: dict[str, Any]) -> Iterable[tuple[str, str]]:
    kills = max(1, facts["kills"])
    yield "workers killed", str(facts["kills"])
    for nemesis in ("point", "kill", "lost"):
        label = {"point": "at a named point", "kill": "at a random moment", "lost": "with their machine"}[
            nemesis
        ]
        yield f"- {label}", str(facts["kills by nemesis"].get(nemesis, 0))
    for kind in ("journal", "checkpoint", "publish", "horizon", "claim"):
        counts = [
            str(facts["kills by point"].get(f"{kind}.{place}", 0)) for place in ("before", "in", "after")
        ]
        yield f"- {kind}: before / in / after", " / ".join(counts)
    yield "workers stopped beyond their lease", str(facts["stops"])
    yield "workers drained", str(facts["drains"])
    yield "web servers and senders killed", str(facts["other processes killed"])
    yield "kills with commands in flight", f"{facts['kills with commands in flight'] / kills:.0%}"
    yield "commands sent", str(facts["sent"])
    yield "- acknowledged", f"{facts['acknowledged'] / max(1, facts['sent']):.1%}"
    yield "frames seen", str(facts["frames seen"])
    yield "checkpoints compared with a replay", str(facts["checkpoints compared"])
    for kind, count in facts["found"].items():
        yield kind, str(count)
    for kind, each in facts["takeovers"].items():
        figures = (
            f"{each['p50']} / {each['p99']} / {each['max']} s of {each['count']}" if each["count"] else "none"
        )
        yield f"taken over, {kind}: p50 / p99 / max", figures
    for name, control in facts.get("controls", {}).items():
        yield f"caught without {name}", control
    yield "seconds", str(facts["seconds"])
