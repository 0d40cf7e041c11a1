"""Sees everything that the simulated workers write and say, and says where a promise is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from django_livesim.runtime.ports import FrameOut, Output, StatusOut, VerdictOut

if TYPE_CHECKING:
    from tests.reliability.faulty import FaultyDatabase, RunRow


class Rule(StrEnum):
    """What must hold."""

    LOST = "each acknowledged command takes effect, or is refused with a reason"
    ONCE = "no command takes effect twice"
    ORDER = "the state has the commands in the order of the journal"
    SENT = "one sender's commands apply in the order sent"
    EARLY = "no command applies before its tick"
    ZOMBIE = "only the worker that claimed the run last writes to it"
    BACKWARDS = "no viewer sees an older state after a newer one"
    LINEAGE = "nobody is shown two states for one position"
    VERDICT = "a verdict is told as its row has it"
    STATUS = "the last status told is one that the row has had"
    COMMITTED = "what is shown has committed"
    HORIZON = "nothing is shown beyond the horizon of the row"
    PAUSED = "a paused run makes no step but those asked for"
    REPLAY = "the replay from a checkpoint gives the next one"
    HEALED = "what is healed goes on"


PROMISES = frozenset(Rule) - {Rule.COMMITTED, Rule.HORIZON, Rule.STATUS, Rule.ZOMBIE}
"""What people notice; the others are how it is kept."""


class Violation(AssertionError):
    """A promise was broken."""

    def __init__(self, rule: Rule, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule


Place = tuple[int, int]
"""A tick, and how many commands have taken effect: what a state of a run is known by."""


class Witness:
    """`rules`: those that it watches over."""

    database: FaultyDatabase

    def __init__(self, rules: Collection[Rule] = frozenset(Rule)) -> None:
        self.rules = frozenset(rules)
        self.counts: Counter[str] = Counter()
        self._claims: dict[tuple[UUID, int], UUID] = {}
        self._bodies: dict[tuple[UUID, Place], bytes] = {}
        self._stated: set[tuple[UUID, int, str, str]] = set()

    def demand(self, holds: bool, rule: Rule, *what: object) -> None:
        """Raise `Violation` where it does not, and the rule is watched over."""
        if not holds and rule in self.rules:
            raise Violation(rule, " ".join(map(str, what)))

    # -- what the database accepts ------------------------------------------------------------

    def claimed(self, row: RunRow, worker: UUID) -> None:
        self.counts["claims"] += 1
        known = self._claims.setdefault((row.info.id, row.epoch), worker)
        self.demand(known == worker, Rule.ZOMBIE, "epoch", row.epoch, "was claimed twice")

    def fenced(self) -> None:
        self.counts["writes of zombies refused"] += 1

    def accepted(self, row: RunRow, worker: UUID, epoch: int) -> None:
        self.counts["writes"] += 1
        claimed = self._claims.get((row.info.id, epoch))
        self.demand(claimed == worker, Rule.ZOMBIE, "a write in epoch", epoch, "by one who never claimed it")
        self.demand(row.epoch == epoch, Rule.ZOMBIE, "a write of epoch", epoch, "in epoch", row.epoch)

    def stated(self, row: RunRow) -> None:
        self._stated.add((row.info.id, row.epoch, row.status, row.reason))

    # -- what leaves a worker -----------------------------------------------------------------

    def left(self, run: UUID, epoch: int, output: Output) -> Place | None:
        """An output leaves; the place of a frame."""
        if isinstance(output, FrameOut):
            return self._frame(run, output)
        if isinstance(output, VerdictOut):
            self._verdict(run, output)
        elif isinstance(output, StatusOut):
            self.demand(not output.reason.startswith("recovered, but"), Rule.LINEAGE, output.reason)
        return None

    def left_together(self, run: UUID, epoch: int, outputs: Sequence[Output]) -> None:
        """All that one commit has set free has left."""
        statuses = [each for each in outputs if isinstance(each, StatusOut)]
        for last in statuses[-1:]:
            told = (run, epoch, last.status, last.reason)
            self.demand(told in self._stated, Rule.STATUS, last, "in epoch", epoch)

    def _frame(self, run: UUID, frame: FrameOut) -> Place:
        state = orjson.loads(frame.body)
        place = (frame.tick, len(state["ids"]))
        body = self._bodies.setdefault((run, place), frame.body)
        self.demand(body == frame.body, Rule.LINEAGE, place, body, frame.body)
        tables = self.database.runs[run]
        horizon = tables.row.horizon
        self.demand(frame.tick <= horizon, Rule.HORIZON, "tick", frame.tick, "horizon", horizon)
        if Rule.COMMITTED in self.rules:
            applied = {row.args.get("id") for row in tables.commands.values() if row.apply_seq}
            ahead = set(state["ids"]) - applied
            self.demand(not ahead, Rule.COMMITTED, "shown but not stored:", ahead)
        return place

    def _verdict(self, run: UUID, output: VerdictOut) -> None:
        told = output.verdict
        row = self.database.runs[run].commands[told.entry.sender, told.entry.client_id]
        stored = (row.apply_seq, row.apply_tick, row.outcome, row.result, row.message)
        said = (told.apply_seq, told.apply_tick, told.outcome, told.result, told.message)
        self.demand(stored == said, Rule.VERDICT, row.client_id, "said", said, "stored", stored)


class Follower:
    """A viewer: follows frames by `(epoch, seq)`, and never goes back."""

    def __init__(self, witness: Witness) -> None:
        self.witness = witness
        self.shown = 0
        self._newest = (-1, -1)
        self._place: Place = (-1, -1)

    def see(self, epoch: int, seq: int, place: Place) -> None:
        """A frame arrives, perhaps late or for the second time."""
        if (epoch, seq) <= self._newest:
            return
        self.witness.demand(
            place >= self._place,
            Rule.BACKWARDS,
            *("after", self._place, "of", self._newest, "comes", place, "of", (epoch, seq)),
        )
        self._newest, self._place = (epoch, seq), place
        self.shown += 1
