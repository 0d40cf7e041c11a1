"""What a tenth of the viewers do to the others when they stop reading, and what they see when they wake.

    python -m benchmarks.live.frozen [--viewers N] [--seconds S] [--rounds N]

Their sockets are open and nobody reads from them while it is measured; then all are read again. *Memory* is
what the web process holds more than with all of them reading. *Woken* is when 99 of 100 had a frame that was
made after they woke, *never* where fewer had one within three seconds. Once as pages are, which acknowledge
frames, and once without. A dash is what nobody could tell.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from statistics import median

from benchmarks.live.crowd import Seen, cell, look, middle, ratio
from benchmarks.live.servers import Scene, ours

SITES = {"acknowledging": partial(ours, dialect="page"), "not acknowledging": ours}
SHARE = 10  # one of so many freezes


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="; ".join(SITES))
    options = parser.parse_args(arguments)
    scene = Scene(viewers=options.viewers, seconds=options.seconds)
    found: dict[str, list[tuple[Seen, Seen]]] = {}
    for _ in range(options.rounds):
        for name, serving in SITES.items():
            if options.only and name not in options.only.split(";"):
                continue
            with serving(scene) as site:
                reading = look(site, scene)
            with serving(scene) as site:
                some = look(site, scene, frozen=scene.viewers // SHARE)
            sys.stderr.write(f"{name}: {reading} {some}\n")
            found.setdefault(name, []).append((reading, some))
    title = f"{scene.viewers // SHARE} frozen among {scene.viewers} viewers for {scene.seconds:g} s"
    sys.stdout.write(f"\n{title}, medians of {options.rounds}.\n\n{table(found)}")
    return 0


def table(found: dict[str, list[tuple[Seen, Seen]]]) -> str:
    """Markdown, a way of reading a row."""
    rows = [
        "| viewers | p99 age of all, ms | of the others | times | memory, MB | woken, ms | woken | closed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rounds in found.items():
        reading, some = [each[0] for each in rounds], [each[1] for each in rounds]
        before, after = middle(reading, lambda each: each.p99), middle(some, lambda each: each.p99)
        more = (median(each.memory for each in some) - median(each.memory for each in reading)) / 1024
        cells = (
            cell(before, ".1f"),
            cell(after, ".1f"),
            cell(ratio(after, before), ".2f"),
            f"{more:.1f}",
            cell(middle(some, lambda each: each.awake), ".0f"),
            f"{median(len(each.woken) for each in some):.0f} of {median(each.frozen for each in some):.0f}",
            f"{median(each.closed for each in some):.0f}",
        )
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
