"""The author's figures of a run: when they are asked for, who is shown them, and which are stored.

They are sampled at boundaries, by the clock. Nobody pays for them whose simulation declares none.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import orjson

from django_livesim.protocol import figures
from django_livesim.protocol.errors import LivesimError
from django_livesim.protocol.records import Sampled
from django_livesim.runtime.ports import AUTHOR_ERRORS, MetricsOut, Program
from django_livesim.runtime.record import Record
from django_livesim.runtime.screen import Screen

SHOWN = 0.25  # seconds from one sample to the next for those who watch,
STORED = 1.0  # and for the database
EARLY = 0.2  # of that time: so much before it one may come, if the next comes no earlier for it

logger = logging.getLogger(__name__)


class Due:
    """When the next is due, of what comes once in a `period` at most, on average."""

    def __init__(self, period: float) -> None:
        self._period = period
        self.at = -math.inf

    def take(self, now: float) -> bool:
        """Whether one is due now, which is then counted."""
        if now < self.at:
            return False
        self.at = max(self.at + self._period, now + (1 - EARLY) * self._period)
        return True


class Meter:
    """Samples one run. Of the step thread."""

    def __init__(self, program: Program, screen: Screen, record: Record) -> None:
        self._program = program
        self._screen = screen
        self._record = record
        self._shown, self._stored = Due(SHOWN), Due(STORED)
        self.look_at = -math.inf
        """When it is worth while to ask for a sample again."""
        self._owes = False
        self._said_problem = self._said_dropped = False

    def owe(self) -> None:
        """The figures may have changed though no step was made; they are sampled when it is time."""
        self._owes = True

    @property
    def owed_at(self) -> float:
        """When they are to be sampled, whether there is a boundary then or not."""
        return self.look_at if self._owes else math.inf

    def sample(self, tick: int, now: float, *, anyway: bool = False) -> None:
        """Ask for the figures of this boundary where it is time, or `anyway`: the run rests here, or ends."""
        if now < self.look_at and not anyway:
            return
        watched = self._screen.is_watched(now)
        shows = watched and (self._shown.take(now) or anyway)
        stores = ((shows or not watched) and self._stored.take(now)) or anyway
        self.look_at = self._shown.at if watched else min(self._stored.at, now + SHOWN)
        if stores or shows:
            self._owes = self._owes and not stores
            self._sample(tick, now, stores=stores, shows=shows)

    def _sample(self, tick: int, now: float, *, stores: bool, shows: bool) -> None:
        problem, values = "", b"{}"
        try:
            values = self._ask()
        except AUTHOR_ERRORS as exc:
            problem = self._problem(exc)
        if stores and not problem:
            self._record.sample(Sampled(tick, now, values))
        if shows:
            self._record.out(MetricsOut(tick=tick, at=now, values=values, problem=problem))

    def _ask(self) -> bytes:
        """The figures as JSON. Raises what the author's code raises, and LivesimError for what is no dict."""
        found = figures.read(self._program.metrics())
        if found.unfit:
            self._screen.encoder.count(f"metrics{found.unfit[0]}", len(found.unfit), "the figures")
        if found.dropped:
            self._say_dropped(found.dropped)
        return orjson.dumps(found.values)

    def _problem(self, exc: BaseException) -> str:
        """What those who watch are told; the log gets the traceback, once."""
        if not self._said_problem:
            self._said_problem = True
            run, epoch = self._record.run, self._record.epoch
            text = "no figures: metrics() fails, and is asked again; the run goes on run=%s epoch=%s"
            logger.error(text, run, epoch, exc_info=exc)
        return exc.message if isinstance(exc, LivesimError) else f"metrics() raised {type(exc).__name__}"

    def _say_dropped(self, dropped: Sequence[str]) -> None:
        if self._said_dropped:
            return
        self._said_dropped = True
        logger.warning(
            "figures are left out, of which the first are %s; expected at most %s numbers, each under a name"
            " of its own of at most %s characters run=%s epoch=%s",
            ", ".join(dropped),
            figures.MOST,
            figures.NAME,
            self._record.run,
            self._record.epoch,
        )
