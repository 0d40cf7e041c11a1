"""How many deliveries a second a core gives: the rate of frames is raised until it is too much.

    python -m benchmarks.live.full [--viewers N] [--seconds S] [--rounds N] [--steps N] [--only NAME;...]

A rate is sustained where at least 99.5 % of the frames arrive and 99 of 100 are younger than a second. Of
the template the most that ever arrived counts, however old it was; of the others only what is sustained. The
ratio is to the best of the template's.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from statistics import median

from benchmarks.live.compare import CHANGES, SAME
from benchmarks.live.crowd import BUSY, Seen, cell, look, ratio
from benchmarks.live.servers import Scene, Serving
from scripts import services

OLD = 1000.0  # milliseconds of age at which a server does not keep up
UP, DOWN = 1.5, 0.5  # factors from one rate to the next
LEAST = 0.5  # frames a second
FEWEST = 5  # frames in what is measured
SITES: dict[str, Serving] = {
    name: site
    for name, site in (SAME | CHANGES).items()
    if name not in ("ours, acknowledged", "ours, table, one of twenty moves", "Colyseus, tenths")
}


@dataclass(frozen=True, kw_only=True)
class Full:
    """What was found in one round."""

    rate: float
    """Frames a second that are sustained, 0 where none is."""
    sustained: float
    """Deliveries a second at that rate."""
    most: float
    """Deliveries a second at any rate, in time or not."""
    limited: bool
    """Whether the crowd was as busy as its core allows, and the server may have had more."""


def in_time(seen: Seen) -> bool:
    """Whether a rate is sustained; it is not where nobody could tell how old the frames were."""
    return seen.sustained and seen.p99 is not None and seen.p99 < OLD


def find(serving: Serving, scene: Scene, steps: int, most: float) -> Full:
    """Up, to `most` at most, or down by factors until one rate is sustained and the next is not; then `steps`
    times between them."""
    tried: dict[float, Seen] = {}

    def keeps_up(rate: float) -> bool:
        at_rate = replace(scene, rate=rate, seconds=max(scene.seconds, FEWEST / rate))
        with serving(at_rate) as site:
            seen = tried[rate] = look(site, at_rate)
        sys.stderr.write(f"  {rate:.1f} frames/s: {seen.arrived:.1%}, {seen.rate:,.0f} deliveries/s\n")
        return in_time(seen)

    good, bad = (scene.rate, 0.0) if keeps_up(scene.rate) else (0.0, scene.rate)
    while not bad and good * UP <= most:
        good, bad = (good * UP, 0.0) if keeps_up(good * UP) else (good, good * UP)
    while not good and bad > LEAST:
        good, bad = (bad * DOWN, bad) if keeps_up(bad * DOWN) else (0.0, bad * DOWN)
    for _ in range(steps if good and bad else 0):
        between = (good * bad) ** 0.5
        good, bad = (between, bad) if keeps_up(between) else (good, between)
    return Full(
        rate=good,
        sustained=tried[good].rate if good else 0.0,
        most=max(each.rate for each in tried.values()),
        limited=any(each.cpu >= BUSY for each in tried.values()),
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="between two rates, once both are known")
    parser.add_argument(
        "--most", type=float, default=1000, help="frames a second, beyond which nothing is tried"
    )
    parser.add_argument("--only", default="", help="; ".join(SITES))
    options = parser.parse_args(arguments)
    scene = Scene(viewers=options.viewers, seconds=options.seconds)
    found: dict[str, list[Full]] = {}
    for _ in range(options.rounds):
        for name, serving in SITES.items():
            if options.only and name not in options.only.split(";"):
                continue
            sys.stderr.write(f"{name}\n")
            try:
                found.setdefault(name, []).append(find(serving, scene, options.steps, options.most))
            except services.Missing as exc:
                del found[name]
                sys.stderr.write(f"skipped: {name}: {exc}\n")
    sys.stdout.write(f"\nWhen full: {options.viewers} viewers, {scene.entities} entities.\n\n{table(found)}")
    return 0


def table(found: dict[str, list[Full]]) -> str:
    """Markdown, a server a row."""
    rows = [
        "| | frames/s sustained | deliveries/s sustained | the most | times the template's |",
        "|---|---:|---:|---:|---:|",
    ]
    most = {name: median(each.most for each in full) for name, full in found.items()}
    template = max((most[name] for name in found if name.startswith("template")), default=None)
    for name, full in found.items():
        sustained = median(each.sustained for each in full)
        counted = most[name] if name.startswith("template") else sustained
        times = cell(ratio(counted, template), ".1f")
        limited = ", the crowd's limit" if any(each.limited for each in full) else ""
        rate = median(each.rate for each in full)
        rows.append(f"| {name} | {rate:.1f} | {sustained:,.0f}{limited} | {most[name]:,.0f} | {times} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
