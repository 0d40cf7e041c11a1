"""Journal, checkpoints and recovery under arbitrary histories, by the real runtime over the real rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.db import connection
from django.test import override_settings
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_livesim.models import Checkpoint, Command, Run, Worker
from django_livesim.protocol.names import Kind, Outcome, Verb
from django_livesim.protocol.records import Committed, Held, Passed, Poll, Position, Write
from django_livesim.runtime.clock import ManualClock
from django_livesim.runtime.harm import Harm
from django_livesim.runtime.ports import FrameOut, Options, Output
from django_livesim.runtime.supervisor import Supervisor
from django_livesim.store import identity, intake, journal, leases, loading
from django_livesim.store.claiming import claim
from tests.reliability.tally import REFUSED, Catalogue, Model, Tally
from tests.reliability.world import silence

SIMULATIONS = {Tally.name: 1}
OPTIONS = Options(frame_rate=None, checkpoint_seconds=2.0, poll=1.0)


class DirectLedger:
    """Implements `runtime.ports.Ledger` by the store's functions, at once; a write can be made to fail."""

    def __init__(self) -> None:
        self.worker = leases.register(identity.this_process(), ["default"])
        self.post: Callable[..., None]
        self.fails: str = ""
        """"before" or "after": when the next write fails, and so whether it has been carried out."""

    def poll(
        self, held: Mapping[UUID, Position], claiming: bool, done: Callable[[Poll | None], None]
    ) -> None:
        asked = {run: at for run, at in held.items() if at.horizon is not None}
        horizons = journal.reserve(self.worker, asked)
        lost = leases.lost(self.worker, held)
        mine = [run for run in held if run not in lost]
        found = claim(self.worker, mine, queues=["default"], simulations=SIMULATIONS)
        claimed = [each for run in found if (each := loading.load(run, self.worker)) is not None]
        entries = loading.waiting([*mine, *found]).entries
        poll = Poll(claimed=tuple(claimed), entries=entries, horizons=horizons, lost=lost)
        self.post(done, poll)

    def write(self, write: Write, done: Callable[[Committed], None]) -> None:
        fails, self.fails = self.fails, ""
        result = Committed.FAILED
        if fails != "before":
            result = Committed(journal.write(self.worker, [write])[0])
        self.post(done, Committed.FAILED if fails else result)

    def strike(self, run: UUID, epoch: int, harm: Harm) -> None:
        raise AssertionError(f"{run} {harm.why}")

    def load_again(self, run: UUID, passed: tuple[Passed, ...], done: Callable[[Held | None], None]) -> None:
        self.post(done, loading.load(run, self.worker, passed))


class Recovery(RuleBasedStateMachine):
    """One run, one worker after the other; the model is what its journal makes of a `Tally`."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        Run.objects.all().delete()
        Worker.objects.all().delete()
        self.seed = seed
        self.run = Run.objects.create(simulation=Tally.name, seed=seed).id
        self.sent: list[str] = []
        self.shown: tuple[int, int] = (0, 0)
        self.clock = ManualClock()
        self._start()

    def _start(self) -> None:
        self.ledger = DirectLedger()
        self.supervisor = Supervisor(
            clock=self.clock, ledger=self.ledger, outlet=self, catalogue=Catalogue(), options=OPTIONS
        )
        self.ledger.post = self.supervisor.post
        self._settle()
        self.supervisor.interest(self.run, ["view"], True)
        self._settle()

    def _settle(self) -> None:
        while not self.supervisor.turn() or not self.supervisor._inbox.empty():
            pass

    def put(self, run: UUID, epoch: int, outputs: Sequence[Output]) -> None:
        """Implements `runtime.ports.Outlet`: what is shown never goes back."""
        for each in outputs:
            if isinstance(each, FrameOut):
                place = (each.tick, len(orjson.loads(each.body)["ids"]))
                assert place >= self.shown
                self.shown = place

    @rule(again=st.booleans(), refused=st.booleans(), heard=st.booleans())
    def send(self, again: bool, refused: bool, heard: bool) -> None:
        """A command, perhaps sent twice under its id; perhaps nobody rings."""
        number = len(self.sent)
        name = f"c{number}{REFUSED if refused else ''}"
        self.sent.append(name)
        for _ in range(1 + again):
            self._insert(f"c{number}", Kind.COMMAND, "add", {"id": name})
        if heard:
            self.supervisor.ring()
            self._settle()

    @rule(verb=st.sampled_from((Verb.PAUSE, Verb.RESUME, Verb.STEP)))
    def control(self, verb: Verb) -> None:
        args = {"n": 2} if verb is Verb.STEP else {}
        self._insert(f"k{Command.objects.count()}", Kind.CONTROL, str(verb), args)

    def _insert(self, client_id: str, kind: Kind, name: str, args: dict[str, Any]) -> None:
        about = {"kind": kind, "name": name, "args": args, "body_hash": ""}
        intake.insert_command(self.run, sender="u:1", client_id=client_id, **about)

    @rule(seconds=st.sampled_from((0.5, 1.0, 3.0)))
    def time_passes(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            self.clock.advance(0.5)
            self._settle()

    @rule(when=st.sampled_from(("before", "after")))
    def the_next_write_fails(self, when: str) -> None:
        self.ledger.fails = when

    @rule()
    def crash(self) -> None:
        """Its memory is gone; another takes over."""
        leases.leave(self.ledger.worker)
        self._start()

    @rule()
    def drain(self) -> None:
        """It stores the run and lets it go; another takes over."""
        self.ledger.fails = ""
        self.supervisor.drain()
        self._settle()
        assert not self.supervisor.runners
        self.crash()

    @precondition(lambda self: Checkpoint.objects.exists())
    @rule(all_of_them=st.booleans())
    def damage(self, all_of_them: bool) -> None:
        """The newest checkpoint, or every one, is not what was stored."""
        rows = Checkpoint.objects.order_by(*loading.NEWEST)
        for row in rows if all_of_them else rows[:1]:
            Checkpoint.objects.filter(pk=row.pk).update(data=bytes(row.data)[:-1] + b"?")

    @invariant()
    def what_is_held_is_what_the_journal_makes_of_it(self) -> None:
        """Compared where all has committed: each command once, in order, and the numbers drawn alike."""
        runner = self.supervisor.runners.get(self.run)
        if runner is None or runner.replaying or not runner.record.settled:
            return
        model = Model(self.seed)
        model.play(self._journal(), runner.host.tick)
        kept = {"state": runner.program.dump(), "random": runner.host.random_state()}
        assert not model.difference(kept)

    def _journal(self) -> list[Command]:
        rows = list(Command.objects.filter(apply_seq__isnull=False).order_by("apply_seq"))
        for row in rows:
            row.kind, row.outcome = Kind(row.kind), Outcome(row.outcome)
        return rows

    def teardown(self) -> None:
        """Healed: a worker that nothing happens to has every command in the state, once and in order."""
        if not hasattr(self, "run"):
            return
        self.ledger.fails = ""
        self.crash()
        self.time_passes(3.0)
        state = self.supervisor.runners[self.run].program.dump()
        assert state["ids"] == [each for each in self.sent if not each.endswith(REFUSED)]
        assert not Command.objects.filter(outcome="").exists()
        self.what_is_held_is_what_the_journal_makes_of_it()


@pytest.mark.timeout(600)  # a failure is made small before it is told
@pytest.mark.django_db(transaction=True)
def test_whatever_dies_or_fails_the_state_is_what_the_journal_makes_of_it() -> None:
    examples = 40 if connection.vendor == "sqlite" else 10  # where each statement has a way to go
    # killed again and again before it has stored a state, it would be quarantined
    with silence(), override_settings(LIVESIM={"STRIKES": 1000}):
        run_state_machine_as_test(
            Recovery,
            settings=settings(max_examples=examples, stateful_step_count=25, deadline=None, derandomize=True),
        )
