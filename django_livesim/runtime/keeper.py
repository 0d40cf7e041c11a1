"""The state as it is stored: checked, encoded, and taken up again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson

from django_livesim.protocol import plain
from django_livesim.protocol.errors import BadState
from django_livesim.protocol.records import Stored
from django_livesim.runtime.clock import Clock
from django_livesim.runtime.ports import Definition, Options
from django_livesim.simulation import Host

DEAR = 0.5  # seconds of steps that a checkpoint spares an heir, and that are reason enough for one
SHARE = 0.02  # of the time, for checkpoints that are made for that reason
PROOF = 1.0  # seconds of life after which one stores its state whose worker has died before
CHEAP = 0.01  # seconds; a state that takes longer to encode is hashed in checkpoints only

Dump = Callable[[], dict[str, Any]]


class Keeper:
    """Makes checkpoints of one run."""

    def __init__(self, definition: Definition, options: Options, host: Host, clock: Clock) -> None:
        self._definition = definition
        self._clock = clock
        self._options = options
        self._host = host
        self._checked = False
        self.seconds = 0.0
        """What the last encoding has cost the step thread."""
        self.size = 0
        """Bytes of the state as it was stored last."""
        self.steps_asked = 0
        """Of the checkpoint taken up: steps that were asked for and not made yet."""
        self.proof_due = math.inf
        """By when it must be stored once, so that it is no suspect any more."""
        self._since = 0.0  # when the last checkpoint was made
        self._step_time = 0.0  # seconds spent in steps since then

    @property
    def stores_state(self) -> bool:
        """False where the simulation is recovered by playing its journal again."""
        return self._definition.recovery == "checkpoint"

    def count_from(self, now: float) -> None:
        """From here on it is counted when the next checkpoint is due: one is made now, or need not be."""
        self._since, self._step_time = now, 0.0

    def prove(self, now: float) -> None:
        """Its worker has died before it has stored its state: that is to come soon, but not before a step."""
        self.proof_due = now + PROOF

    def stepped(self, seconds: float) -> None:
        """A step has taken so long."""
        self._step_time += seconds

    @property
    def due(self) -> float:
        """When there is something to store at the latest, as time goes."""
        return self._since + self._options.checkpoint_seconds

    def is_due(self, now: float, *, in_draft: bool) -> bool:
        """By time; and by what an heir would have to step again, where cheap and none is in the draft."""
        since = now - self._since
        if since >= self._options.checkpoint_seconds:
            return True
        spares = self._step_time > DEAR and self.stores_state and not in_draft
        return spares and self.seconds <= SHARE * since

    def take_up(self, stored: Stored | None) -> dict[str, Any] | None:
        """The state of a checkpoint, and tick and generator with it; None where there is none."""
        if stored is None or not stored.data:
            return None
        self.size = len(stored.data)
        document = orjson.loads(stored.data)
        self._host.restore_random(document["random"])
        self._host.tick = stored.tick
        self.steps_asked = document.get("steps", 0)
        state: dict[str, Any] = document["state"]
        return state

    def store(self, dump: Dump, apply_seq: int, steps_asked: int, views: bytes | None) -> Stored:
        """A checkpoint of what `dump` gives. Raises `BadState` where it would not come back as it is."""
        data = self._encode(dump, steps_asked) if self.stores_state else b""
        return Stored(
            tick=self._host.tick,
            apply_seq=apply_seq,
            version=self._definition.version,
            data=data,
            views=views,
        )

    def fingerprint(self, dump: Dump) -> str:
        """The hash of a state and of the generator; empty where it takes too long, or cannot be encoded."""
        if self.seconds > CHEAP:
            return ""
        began = self._clock.now()
        try:
            return plain.digest(plain.encode({"state": dump(), "random": self._host.random_state()}))
        except ValueError:
            return ""
        finally:
            self.seconds = self._clock.now() - began

    def _encode(self, dump: Dump, steps_asked: int) -> bytes:
        began = self._clock.now()
        state = dump()
        self.seconds = self._clock.now() - began
        if self._options.always_check_state or not self._checked:
            self._check(plain.first_difference(state))
            self._checked = True
        began = self._clock.now()
        try:
            document = {"state": state, "random": self._host.random_state(), "steps": steps_asked}
            data = plain.encode(document)
            self.seconds += self._clock.now() - began
        except ValueError as exc:
            raise self._unlike(str(exc)) from exc
        limit = self._options.max_state_bytes
        if len(data) > limit:
            raise BadState(
                f"The state takes {len(data)} bytes stored, more than MAX_STATE_BYTES = {limit};"
                " make it smaller or raise the setting."
            )
        self.size = len(data)
        return data

    def _check(self, difference: str | None) -> None:
        if difference:
            raise self._unlike(difference)

    @staticmethod
    def _unlike(difference: str) -> BadState:
        return BadState(f"The state does not equal its stored form: {difference}.")
