"""What a run does by itself where nobody watches it: its simulation's `when_unwatched`."""

from __future__ import annotations

import math

from django_livesim.protocol.names import UNWATCHED, Status
from django_livesim.protocol.records import Held
from django_livesim.runtime.ports import Definition, Options

NOBODY = UNWATCHED


class Unwatched:
    """Until when a run goes on with nobody watching.

    A viewer's interest is soft state: it is told every few seconds, and
    forgotten after `Options.interest_ttl`. The same period is given to a run
    that begins, is taken up, is resumed by a person, or whose state somebody
    has asked for. One that a person has paused stays as it is.
    """

    def __init__(self, definition: Definition, options: Options, held: Held) -> None:
        self.due = math.inf
        self.stops = definition.when_unwatched == "stop"
        self.paused = held.status is Status.PAUSED and held.reason == NOBODY
        """Whether the run is paused for this reason, so that it goes on when somebody watches."""
        self._period = math.inf if definition.when_unwatched == "run" else options.interest_ttl

    def seen(self, now: float) -> None:
        """Somebody is there: a full period from now."""
        self.due = now + self._period
