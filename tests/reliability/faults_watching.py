"""Looks at everything that leaves a worker, at the moment it leaves, and at the rows in the end."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from django.db import InterfaceError, OperationalError

from django_livesim.models import Checkpoint, Command, Run
from django_livesim.protocol import packed, plain
from django_livesim.protocol.errors import Code
from django_livesim.protocol.names import ENDED, Outcome
from django_livesim.runtime.ports import EndOut, FrameOut, Output, StatusOut, VerdictOut
from django_livesim.store.transitions import Transition
from tests.reliability.faults_hand import Actor, Violation

ABSENT = (OperationalError, InterfaceError)
"""What a database is that does not answer."""


class Watch(logging.Handler):
    """An outlet, a receiver of what is told, and a reader of the log. Owned by the one thread there is."""

    def __init__(self, onlooker: Actor) -> None:
        super().__init__(logging.ERROR)
        self._onlooker = onlooker
        self._told: Counter[int] = Counter()
        self._applied: dict[UUID, list[int]] = defaultdict(list)
        self._epochs: dict[UUID, int] = {}
        self._ticks: dict[tuple[UUID, str], int] = defaultdict(int)
        self.expected: tuple[type[Exception], ...] = ()
        """What the scenario itself gives reason for."""
        self.bad_logs: list[str] = []
        self.frames = 0

    # -- what leaves --------------------------------------------------------------------------

    def put(self, run: UUID, epoch: int, outputs: Sequence[Output]) -> None:
        with self._onlooker.acting():
            row = Run.objects.get(id=run)
            if epoch > row.epoch:
                raise Violation(f"epoch {epoch} is shown and {row.epoch} stored")
            for output in outputs:
                match output:
                    case VerdictOut(verdict=verdict):
                        self._verdict(epoch, verdict)
                    case FrameOut():
                        self._frame(row, epoch, output)
                    case EndOut(status=status):
                        if row.status != status or row.status not in ENDED:
                            raise Violation(f"the end {status} is told, and the row says {row.status}")
            said = [output.status for output in outputs if isinstance(output, StatusOut)]
            if said and row.epoch == epoch and row.worker_id and row.status != said[-1]:
                raise Violation(f"{said[-1]} is told, and the row says {row.status}")

    def _verdict(self, epoch: int, verdict: Any) -> None:
        row = Command.objects.get(id=verdict.entry.id)
        told = (verdict.apply_seq, verdict.apply_tick, str(verdict.outcome), orjson.loads(verdict.result))
        stored = (row.apply_seq, row.apply_tick, row.outcome, row.result)
        if told != stored or row.epoch != epoch:
            raise Violation(f"{row.name} {row.args}: told {told}, stored {stored}")
        self._told[row.pk] += 1
        if self._told[row.pk] > 1:
            raise Violation(f"{row.name} {row.args} is told twice")

    def _frame(self, run: Run, epoch: int, frame: FrameOut) -> None:
        """As a hub does, frames of an older epoch are dropped."""
        if epoch < self._epochs.get(run.id, 0):
            return
        self._epochs[run.id] = epoch
        self.frames += 1
        applied = self._applied[run.id]  # those too whose rows have been removed since
        applied += [number for number in applied_numbers(run.id) if number not in applied]
        shown = orjson.loads(frame.body)["log"]
        if shown != applied[: len(shown)]:
            raise Violation(f"a frame shows {shown}, applied are {applied}")
        if frame.tick > run.horizon:
            raise Violation(f"a frame shows tick {frame.tick}, beyond the horizon {run.horizon}")
        if frame.tick < self._ticks[run.id, frame.role]:
            raise Violation(f"tick {frame.tick} is shown after {self._ticks[run.id, frame.role]}")
        self._ticks[run.id, frame.role] = frame.tick

    def tell(self, transition: Transition) -> None:
        """What a worker says has become of a run: it is so, or has been."""
        with self._onlooker.acting():
            row = Run.objects.get(id=transition.run)
        if row.epoch < transition.epoch:
            raise Violation(f"{transition} is told before it is so")
        if row.epoch == transition.epoch and transition.status not in (None, row.status):
            raise Violation(f"{transition} is told, and the row says {row.status}")

    # -- the log ------------------------------------------------------------------------------

    def emit(self, record: logging.LogRecord) -> None:
        """Errors that no failure of the database explains."""
        exc = record.exc_info[1] if record.exc_info else None
        explained = isinstance(exc, (*ABSENT, *self.expected))
        if (exc is not None and not explained) or "damaged" in record.getMessage():
            self.bad_logs.append(f"{record.getMessage()}: {exc!r}")


def applied_numbers(run: UUID) -> list[int]:
    """What the commands `add` that were applied have added, in their order."""
    applied = Command.objects.filter(run=run, name="add", outcome=str(Outcome.APPLIED))
    return [args.get("n", 1) for args in applied.order_by("apply_seq").values_list("args", flat=True)]


def check_journal(run: Run, acknowledged: Sequence[int]) -> list[int]:
    """What was acknowledged, and nothing else, is there once and answered; what was applied, in order.

    Refused is what waited when its run ended, or came later, and nothing else.
    """
    rows = list(Command.objects.filter(run=run.id).order_by("apply_seq"))
    numbers = [row.args["n"] for row in rows if row.name == "add"]
    if sorted(numbers) != sorted(acknowledged):
        raise Violation(f"acknowledged were {list(acknowledged)}, stored are {sorted(numbers)}")
    if waiting := [f"{row.name} {row.args}" for row in rows if not row.outcome]:
        raise Violation(f"never answered: {waiting}")
    refused = {row.args.get("n") for row in rows if row.outcome == Outcome.REFUSED}
    if refused and not {row.code for row in rows if row.code} == {Code.RUN_ENDED}:
        raise Violation(f"refused are {refused}, for no reason")
    applied = applied_numbers(run.id)
    if applied != [number for number in acknowledged if number not in refused]:
        raise Violation(f"acknowledged were {list(acknowledged)}, applied are {applied}")
    places = [row.apply_seq for row in rows if row.apply_seq is not None]
    if places != list(range(1, run.next_seq)):
        raise Violation(f"the journal has the places {places}, the next is {run.next_seq}")
    return applied


def check_state(state: dict[str, Any], tick: int, acknowledged: Sequence[int], where: str) -> None:
    """A counter is what its steps and its commands have made of it."""
    if state["log"] != list(acknowledged):
        raise Violation(f"{where}: acknowledged were {list(acknowledged)}, in it are {state['log']}")
    if state["value"] != tick + sum(acknowledged):
        raise Violation(f"{where}: {state['value']} at tick {tick} after {list(acknowledged)}")


def check_stored(run: Run, acknowledged: Sequence[int]) -> None:
    """The state with which a run was let go has everything."""
    row = Checkpoint.objects.filter(run=run.id).order_by("-tick", "-apply_seq").first()
    if row is None:
        raise Violation("no state is stored")
    data = packed.unpack(bytes(row.data))
    if data is None or plain.digest(data) != row.hash:
        raise Violation("the state stored is damaged")
    check_state(orjson.loads(data)["state"], row.tick, acknowledged, "stored")
    if row.apply_seq != run.next_seq - 1:
        raise Violation(f"the state stored has {row.apply_seq} of {run.next_seq - 1} entries of the journal")
