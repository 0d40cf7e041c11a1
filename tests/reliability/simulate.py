"""Plays worlds by the thousand, or one of them with all that happens in it.

    python -m tests.reliability.simulate --seeds 100000 --jobs 2
    python -m tests.reliability.simulate --seed 4711
    python -m tests.reliability.simulate --seeds 200 --without fence

Exit status 0 where every promise was kept, 1 where one was broken.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from tests.reliability.controls import CONTROLS
from tests.reliability.witness import PROMISES, Rule, Violation
from tests.reliability.world import World, silence

BATCH = 250  # seeds that a process plays before it says how it went
TOLD = 10  # broken worlds that are told one by one


@dataclass
class Played:
    """What came of a number of worlds."""

    counts: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Played) -> None:
        self.counts += other.counts
        self.broken += other.broken


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def world(seed: int, without: str = "", tail: int | None = 80) -> World:
    """The world of a seed; where something is missing, only what people notice is watched over."""
    if without:
        return CONTROLS[without].world(seed, PROMISES, tail)
    return World(seed, frozenset(Rule), tail)


def play(seeds: Iterable[int], without: str = "") -> Played:
    played = Played()
    with silence():
        for seed in seeds:
            one = world(seed, without)
            try:
                one.run()
            except Violation as violation:
                played.broken.append((seed, str(violation)))
            played.counts += one.counts
    return played


def again(seed: int, without: str = "") -> str:
    """The command that plays a world once more, with all that happens in it."""
    return f"python -m tests.reliability.simulate --seed {seed}{f' --without {without}' if without else ''}"


def _batches(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, BATCH):
        yield range(start, min(start + BATCH, first + count))


def play_many(first: int, count: int, jobs: int, without: str) -> Played:
    """All of them, in so many processes, with a line of progress."""
    total, began, told = Played(), time.monotonic(), 0.0
    with ProcessPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(play, batch, without) for batch in _batches(first, count)]):
            batch = done.result()
            for seed, text in batch.broken[: max(0, TOLD - len(total.broken))]:
                say(f"\nseed {seed}: {text[:500]}\n  {again(seed, without)}")
            total.add(batch)
            if time.monotonic() - told >= 1:
                told = time.monotonic()
                played, seconds = total.counts["seeds"] + len(total.broken), told - began
                speed = f"{played / seconds:.0f} a second, {len(total.broken)} broken"
                sys.stderr.write(f"\r{played:,} of {count:,} seeds, {speed} ")
                sys.stderr.flush()
    sys.stderr.write("\n")
    return total


def show(seed: int, without: str) -> int:
    """One world, with all that happens in it."""
    one = world(seed, without, tail=None)
    violation = None
    with silence():
        try:
            one.run()
        except Violation as exc:
            violation = exc
    say(one.tail())
    say(f"seed {seed}: {violation or 'every promise was kept'}")
    return int(violation is not None)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, help="this world alone, with all that happens in it")
    parser.add_argument("--without", choices=CONTROLS, default="", help="leave out what keeps a promise")
    options = parser.parse_args()
    if options.seed is not None:
        return show(options.seed, options.without)
    played = play_many(options.first, options.seeds, options.jobs, options.without)
    for what, count in sorted(played.counts.items()):
        say(f"{count:>15,}  {what}")
    say(f"{len(played.broken):>15,}  worlds in which a promise was broken")
    return int(bool(played.broken))


if __name__ == "__main__":
    sys.exit(main())
