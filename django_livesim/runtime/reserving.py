"""What a run asks of its horizon: the last tick that it may show, as far ahead as it will come soon."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Position
from django_livesim.runtime.clock import Clock
from django_livesim.runtime.holding import Holding
from django_livesim.runtime.horizon import AHEAD, MOST, SHORT
from django_livesim.runtime.ports import AUTHOR_ERRORS

EVERY = 0.5  # seconds that pass at least before the held runs ask again for further horizons
HASHING = 0.01  # seconds for the hashes of one look, so that they cost one per cent of the time


class Reserving:
    """How far the held runs are, as each look into the database tells it."""

    def __init__(self, clock: Clock, hashed: Callable[[Holding], Position]) -> None:
        """`hashed` gives the position of a run with the hash of its state, for which its code is called."""
        self._clock = clock
        self._with_hash = hashed
        self._due = clock.now()
        self._hashed = 0  # states, and so where the next look begins: all runs come in turn

    @property
    def is_due(self) -> bool:
        """Whether they may ask again."""
        return self._clock.now() >= self._due

    def positions(self, runs: Iterable[Holding]) -> dict[UUID, Position]:
        """With what they ask for; one whose `dump` raises is over by that."""
        now = self._clock.now()
        self._due, until, held = now + EVERY, now + HASHING, {}
        for run in self._in_turn(list(runs)):
            hashed = self._clock.now() < until
            self._hashed += hashed
            held[run.id] = self._with_hash(run) if hashed else position(run, hashed=False)
        return held

    def _in_turn(self, runs: list[Holding]) -> list[Holding]:
        """All runs, those first whose state was not hashed at the last look."""
        first = self._hashed % max(1, len(runs))
        return runs[first:] + runs[:first]


def position(run: Holding, *, hashed: bool) -> Position:
    """How far it is, and, where it moves and there is something new to ask, how far it wants to go.

    With `hashed`, and where that is cheap and means something, the hash of its state too; where the
    author's `dump` raises, that ends the run.
    """
    tick, noted = run.shown_tick, run.horizon.noted
    if run.replaying or not (run.moves or run.record.has_samples) or not run.record.settled:
        return Position(run.epoch, tick)  # what depends on a write that may fail is asked for by that
    horizon = ask(run)
    if tick == noted and horizon <= run.horizon.granted and not run.record.has_samples:
        return Position(run.epoch, tick)
    try:
        fingerprint = run.fingerprint() if hashed else ""
    except AUTHOR_ERRORS as exc:
        run.fail(exc)
        return Position(run.epoch, tick)
    run.horizon.noted = tick
    return Position(run.epoch, tick, horizon, fingerprint, run.record.give_samples())


def ask(run: Holding) -> int:
    """Have the horizon asked for that it needs now.

    While history is played it stays as it is, for one that is let go in the midst too: what was shown is
    further than the tick that its row has.
    """
    if run.replaying:
        return run.horizon.asked
    exactly = run.over or (run.status is Status.PAUSED and not run.away)
    return run.horizon.ask(run.shown_tick, _wanted(run), exactly=exactly)


def _wanted(run: Holding) -> int:
    """The tick that it may reach before it can ask again."""
    if not run.moves:
        return run.shown_tick
    ticks = run.ticks_asked
    if run.status is Status.RUNNING:
        ticks = max(ticks, run.pace.ticks_within(AHEAD, run.clock.now(), run.speed))
    return run.shown_tick + min(ticks, MOST)


def is_short(run: Holding) -> bool:
    """Whether what is granted will be used up before the next look."""
    tick = run.host.tick
    if run.replaying or not run.moves or not run.horizon.is_half_used(tick):
        return False
    left = run.horizon.granted - tick
    if _wanted(run) - tick <= 2 * left:
        return False
    return run.ticks_asked > 0 or run.pace.time_for(left, run.clock.now(), run.speed) < SHORT
