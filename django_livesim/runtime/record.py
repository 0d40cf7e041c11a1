"""What a run has done and what viewers are to get of it: the draft of the next write, and the gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django_livesim.protocol import plain
from django_livesim.protocol.names import Outcome, Status
from django_livesim.protocol.records import CODE_LENGTH, Entry, Held, Sampled, Stored, Verdict, Write
from django_livesim.runtime.draft import Before, Draft
from django_livesim.runtime.gate import Gate
from django_livesim.runtime.ports import EndOut, Output, StatusOut, VerdictOut

REASON_LENGTH = 500
FULL = 5_000  # outputs behind a write that does not commit
SAMPLES = 100  # samples that are kept until they are stored


class Record:
    """The journal of one held run, from the step thread's side.

    Whatever is let `out` leaves when everything recorded before it has
    committed, and not before.
    """

    def __init__(self, held: Held) -> None:
        self.run = held.info.id
        self.epoch = held.epoch
        self.next_seq = held.next_seq
        self._before = Before(held.status, held.begun)
        self._draft = Draft()
        self._gate = Gate()
        self._samples: dict[int, Sampled] = {}  # by tick, those not known to be stored,
        self._given: tuple[Sampled, ...] = ()  # and of them those that go with a look

    def out(self, output: Output) -> None:
        """Let `output` leave once what it may depend on has committed."""
        self._gate.hold(self._draft.gating_number, output)

    def verdict(
        self,
        entry: Entry,
        tick: int,
        outcome: Outcome,
        *,
        code: str = "",
        message: str = "",
        result: bytes = b"null",
        kept: frozenset[int] = frozenset(),
        params_set: Mapping[str, Any] | None = None,
    ) -> None:
        """Journal what became of an entry at the next place, and tell its sender."""
        if entry.apply_seq is not None:
            return  # played again to a loop; its verdict stands
        message, code = plain.storable(message), plain.storable(code)[:CODE_LENGTH]
        verdict = Verdict(
            entry=entry,
            apply_seq=self.next_seq,
            apply_tick=tick,
            outcome=outcome,
            code=code,
            message=message,
            result=result,
            kept=kept,
            params_set=params_set,
        )
        self.next_seq += 1
        self._draft.verdicts.append(verdict)
        self.out(VerdictOut(verdict=verdict))

    def status(
        self, status: Status, tick: int, speed: float, reason: str, progress: float | None = None
    ) -> None:
        """Journal the status, and tell viewers."""
        reason = plain.storable(reason)[:REASON_LENGTH]
        self._draft.status, self._draft.reason, self._draft.progress = status, reason, progress
        self.out(StatusOut(status=status, tick=tick, speed=speed, reason=reason, progress=progress))

    def version(self, version: int) -> None:
        """Journal which version of the code has taken the run up."""
        self._draft.version = version

    def checkpoint(self, stored: Stored) -> None:
        self._draft.checkpoint = stored

    # -- figures, for which nobody waits: they go with the next look that asks for a horizon ----

    def sample(self, sampled: Sampled) -> None:
        """Have figures stored, in place of older ones of the same tick."""
        self._samples.pop(sampled.tick, None)
        self._samples[sampled.tick] = sampled
        if len(self._samples) > SAMPLES:
            del self._samples[next(iter(self._samples))]

    @property
    def has_samples(self) -> bool:
        """Whether there are some that are not known to be stored."""
        return bool(self._samples)

    def give_samples(self) -> tuple[Sampled, ...]:
        """All of them, for a look; they are given again unless it says that they are stored."""
        self._given = tuple(self._samples.values())
        return self._given

    def samples_stored(self) -> None:
        """The look has stored what it was given."""
        for sampled in self._given:
            if self._samples.get(sampled.tick) is sampled:
                del self._samples[sampled.tick]
        self._given = ()

    def lost_after(self, tick: int) -> None:
        """Later ticks have been shown, and come again otherwise: their figures are deleted."""
        self._draft.lost_after = tick

    def prove(self) -> None:
        """The run has lived long enough to be no suspect any more."""
        self._draft.proven = True

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is one that is still to be written."""
        return self._draft.checkpoint is not None

    def reserve(self) -> None:
        """A further horizon is needed before the next look would ask for it."""
        self._draft.reserve = True

    def release(self) -> None:
        """The run is let go, for another worker to claim."""
        self._draft.release = True

    def attempt(self, number: int) -> None:
        """So many attempts have been made of a job, with the one that is about to begin."""
        self._draft.attempts = number

    def retry(self, seconds: float, error: str) -> None:
        """The run is let go, and no worker takes it before so many seconds."""
        self._draft.release, self._draft.retry_in, self._draft.error = True, seconds, error

    def end(self, status: Status, *, result: bytes, error: str, successor: UUID | None) -> None:
        """The last word on the run; its status has been recorded."""
        self._draft.ended, self._draft.result, self._draft.error = True, result, error
        self._draft.successor = successor
        self.out(EndOut(status=status, result=result, next=successor))

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for the draft to be written."""
        return self._draft.urgent

    @property
    def idle(self) -> bool:
        """Whether nobody waits for a write, and nothing to be let out."""
        return not self._draft.urgent and not self._gate

    @property
    def empty(self) -> bool:
        """Whether nothing has happened that must be stored."""
        return self._draft.empty

    def take_write(self, tick: int, horizon: int, speed: float) -> Write | None:
        """The draft as a write, None where nothing has happened that must be stored."""
        if self._draft.empty:
            return None
        draft, self._draft = self._draft, self._draft.next()
        samples = tuple(self._samples.values())
        self._samples.clear()
        write = draft.write(self.run, self.epoch, tick, horizon, self.next_seq, speed, self._before, samples)
        self._before = self._before.after(write)
        return write

    def committed(self, number: int) -> None:
        """Write `number` has committed."""
        self._gate.commit(number)

    @property
    def settled(self) -> bool:
        """Whether every effect of a command has committed, and of a change of status."""
        return self._gate.committed >= self._draft.gating_number

    @property
    def full(self) -> bool:
        """So much waits for a write that the run should wait too."""
        return len(self._gate) > FULL

    def leaving(self) -> list[Output]:
        """Everything that may leave now, in order."""
        return self._gate.release()
