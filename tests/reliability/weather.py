"""What goes wrong in one simulated world: drawn from its seed, each world with troubles of its own."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, kw_only=True)
class Weather:
    """Chances of one statement, message or look; times in seconds."""

    workers: int = 2
    latency: float = 0.005
    """Of a statement, on average."""
    slow: float = 0.0
    """That a statement takes seconds, some of them more than a lease."""
    fails_before: float = 0.0
    fails_after: float = 0.0
    """That it is carried out, and nobody is told."""
    locked: float = 0.0
    """That a write finds its run locked by somebody else."""
    damage: float = 0.0
    """That the newest checkpoint is found damaged."""
    long_steps: float = 0.0
    """That a turn of the step thread takes seconds."""
    rings_lost: float = 0.0
    rings_doubled: float = 0.0
    frames_lost: float = 0.0
    frames_late: float = 0.0
    skew: float = 0.0
    """By how much clocks run fast or slow."""
    same_host: bool = False
    """Whether a worker that is no more is seen to be gone at once."""
    fences_itself: bool = True
    """Whether a worker that could not beat for a lease time drops everything; no promise rests on it."""
    kills: int = 0
    stops: int = 0
    """Workers that are stopped for 1.5 to 5 lease times, and go on."""
    cuts: int = 0
    """Workers that cannot reach the database for 0.5 to 2.5 lease times, and then can."""
    drains: int = 0
    outages: int = 0

    def calm(self) -> Weather:
        """The same world with nothing more going wrong."""
        return Weather(workers=self.workers, skew=self.skew, same_host=self.same_host)


def draw(random: Random) -> Weather:
    """The troubles of one world: each of them in about half of all worlds, and then mild or rough."""

    def some(*values: float) -> float:
        return random.choice((0.0, *values))

    return Weather(
        workers=random.choice((2, 2, 3)),
        latency=random.choice((0.002, 0.01, 0.1)),
        slow=some(0.0, 0.005, 0.02),
        fails_before=some(0.01, 0.05),
        fails_after=some(0.01, 0.05),
        locked=some(0.0, 0.1),
        damage=some(0.0, 0.1),
        long_steps=some(0.0, 0.01),
        rings_lost=some(0.3, 1.0),
        rings_doubled=some(0.3),
        frames_lost=some(0.1, 0.5),
        frames_late=some(0.1, 0.3),
        skew=some(0.01, 0.05),
        same_host=random.random() < 0.5,
        fences_itself=random.random() < 0.5,
        kills=random.choice((0, 1, 2, 4)),
        stops=random.choice((0, 0, 1, 2)),
        cuts=random.choice((0, 0, 1, 2)),
        drains=random.choice((0, 0, 1, 2)),
        outages=random.choice((0, 0, 1)),
    )
