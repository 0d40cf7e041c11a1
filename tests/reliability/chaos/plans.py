"""What is done to the processes, and in which order: the long form, the short one, and the controls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.reliability.chaos.leg import Plan
from tests.reliability.chaos.points import CLAIMS, POINTS

AT_A_LEG = 30  # kills
OTHERS = ("drain", "web", "drain", "senders")
SILENCES = ("lost", "stop", "write", "lost", "stop", "reserve", "lost", "write", "reserve")
DEFAULT = {"ttl": 10.0, "beat": 2.0}
SHORT = {"ttl": 1.5, "beat": 0.3}


def long_form(kills: int, rng: Random) -> Iterator[Plan]:
    """Each point as often as any other, random moments between, and everything else now and then."""
    steps = _kills(kills, rng)
    legs = max(1, round(kills / AT_A_LEG))
    for number in range(legs):
        mine = steps[number::legs]
        mine += OTHERS
        rng.shuffle(mine)
        yield Plan(name=f"kills {number + 1}", steps=tuple(mine))
    yield Plan(name="silence", steps=SILENCES)
    yield Plan(
        name="default lease", steps=("kill", "point journal.in", "lost", "stop 1.5", "drain"), **DEFAULT
    )


def _kills(kills: int, rng: Random) -> list[str]:
    """So many: the points in turn, a random moment after each three, an heir after each nine."""
    steps: list[str] = []
    points: list[str] = []
    while len(steps) < kills:
        if len(steps) % 10 == 9:
            steps.append(f"heir {rng.choice(CLAIMS)}")
        elif len(steps) % 4 == 3:
            steps.append("kill")
        else:
            points = points or rng.sample(POINTS, len(POINTS))
            steps.append(f"point {points.pop()}")
    return steps


def short_form(rng: Random) -> Iterator[Plan]:
    """Some of each kind, in half a minute."""
    points = [
        f"point {kind}.{rng.choice(('before', 'in', 'after'))}"
        for kind in ("journal", "checkpoint", "publish")
    ]
    yield Plan(name="short", steps=(*points, "kill", "drain", "web", "lost", "write 1.5"), **SHORT)


@dataclass(frozen=True, kw_only=True)
class Control:
    """A safeguard left out, what then befalls the workers, and the words under which that must be found."""

    without: str
    steps: tuple[str, ...]
    must_find: tuple[str, ...]
    simulations: tuple[str, ...] = Plan.simulations
    gap: float | None = None

    def plan(self) -> Plan:
        return Plan(
            name=f"without {self.without}",
            steps=self.steps,
            simulations=self.simulations,
            gap=self.gap,
            without=self.without,
            quiet=8.0,
            workers=2,
            **SHORT,
        )


CONTROLS = (
    Control(without="fence", steps=("reserve 3",), must_find=("zombie writes",), simulations=("ledger",) * 3),
    Control(without="gate", steps=("late journal.before",) * 2, must_find=("told wrongly", "shown wrongly")),
    Control(
        without="horizon", steps=("kill", "kill"), must_find=("ticks backwards", "shown wrongly"), gap=2.0
    ),
    Control(without="unseen", steps=("nothing 3",), must_find=("lost",)),
)
TRIES = 8
