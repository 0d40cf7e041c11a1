"""The k-th failure of every call to the database, k rising until there is none.

`python -m tests.reliability.faults [sqlite|postgres|both]` tries all of them,
and says how many there were; its status is 0 where nothing was found.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.reliability.faults_injecting import Injector, Kind, Point, What

if TYPE_CHECKING:
    from tests.reliability.faults_world import World

Scenario = Callable[["World"], None]


class Found(AssertionError):
    """A violation, and what brings it about again."""


def play(scenario: Scenario, injector: Injector) -> list[Point]:
    """One run of the scenario; the calls that there were. Raises `Found`."""
    from tests.reliability.faults_world import World  # needs apps, which `main` has not

    try:
        with World(injector).running() as world:
            scenario(world)
    except Exception as exc:
        fired = injector.fired
        at = f"k={injector.k} {injector.kind.name} {fired.what if fired else 'not fired'}"
        sql = fired.sql[:300] if fired else ""
        raise Found(f"{scenario.__name__} {at}: {exc!r}\n  {sql}") from exc
    return injector.points


@dataclass(frozen=True)
class Tried:
    """What a sweep came to."""

    points: int
    """Calls of the database that the scenario makes where none fails."""
    plays: int
    fired: int
    """Plays in which the call that was to fail was reached."""
    found: list[str]

    def __str__(self) -> str:
        return f"{self.points} calls, {self.fired} failures injected, {len(self.found)} violations"


def sweep(
    scenario: Scenario,
    kinds: Iterable[Kind],
    *,
    whats: Collection[What] = frozenset(What),
    every: int = 1,
    seed: int = 0,
    most: int = 20,
) -> Tried:
    """Each `every`-th pair of call and failure, beginning at a place that the seed draws; all for 1.

    Of the calls only those that are one of `whats`. Ends early when `most`
    violations have been found.
    """
    try:
        points = play(scenario, Injector())
    except Found as exc:
        return Tried(0, 0, 0, [str(exc)])
    pairs = [(k, kind) for k, kind in _pairs(points, kinds) if points[k - 1].what in whats]
    plays, fired, found = 0, 0, list[str]()
    for k, kind in pairs[random.Random(seed).randrange(every) :: every]:
        injector = Injector(k, kind)
        plays += 1
        try:
            play(scenario, injector)
        except Found as exc:
            found.append(str(exc))
        fired += injector.fired is not None
        if len(found) >= most:
            break
    return Tried(len(points), plays, fired, found)


def _pairs(points: list[Point], kinds: Iterable[Kind]) -> Iterator[tuple[int, Kind]]:
    for kind in kinds:
        for k, point in enumerate(points, 1):
            if point.fails_by(kind):
                yield k, kind


COMMAND = [sys.executable, "-m", "pytest", "-q", "-s", "tests/reliability/test_sql_faults.py"]
DATABASES = {
    "sqlite": COMMAND,
    "postgres": [sys.executable, "-m", "scripts.services", "postgres", "--", *COMMAND],
}


def main(arguments: list[str]) -> int:
    """All failures there are, on the databases named."""
    named = arguments or ["both"]
    chosen = list(DATABASES) if named == ["both"] else named
    if not set(chosen) <= DATABASES.keys():
        sys.stderr.write(f"Expected sqlite, postgres or both; got {' '.join(named)}.\n")
        return 2
    everything = os.environ | {"LIVESIM_CHAOS": "1"}
    return max(subprocess.run(DATABASES[name], env=everything, check=False).returncode for name in chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
