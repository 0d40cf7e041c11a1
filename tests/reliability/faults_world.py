"""Two workers and a client over the real store, and what is asked of them in the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

from django.db import IntegrityError, InterfaceError, OperationalError
from django.test import override_settings
from django.utils import timezone

from django_livesim import gateway
from django_livesim.gateway import pruning
from django_livesim.models import Checkpoint, Command, Run, Worker
from django_livesim.protocol.errors import Code, LivesimError
from django_livesim.protocol.names import ENDED, Kind, Outcome, Status, Verb
from django_livesim.runtime.clock import ManualClock
from django_livesim.runtime.runner import Runner
from django_livesim.store import batch, intake, journal
from tests.reliability.faults_hand import ATTEMPTS, Actor, Client, HandWorker, Violation, timed_by
from tests.reliability.faults_injecting import Injector
from tests.reliability.faults_watching import Watch, applied_numbers, check_journal, check_state, check_stored

SETTINGS = {
    "BEAT": 0.5,
    "LEASE_TTL": 2.5,
    "CHECKPOINT_SECONDS": 2.0,
    "POLL": 1.0,
    "RETENTION": {"RUNS": 1, "JOURNAL": 1},  # days
}
ROUND = 0.25  # seconds by which the clock moves
ROUNDS = 240
"""After so many without what is waited for, nothing will come of it."""


class World:
    """One play of a scenario. Everything happens in the caller's thread."""

    def __init__(self, injector: Injector) -> None:
        self.injector = injector
        self.clock = ManualClock(1000.0)
        self.onlooker = Actor("onlooker")
        injector.spared.add(self.onlooker.connection)
        self.watch = Watch(self.onlooker)
        self.client = Client("client", self.round)
        self.workers: list[HandWorker] = []
        self.sent: dict[UUID, list[int]] = {}
        self._ids = 0

    @contextmanager
    def running(self) -> Iterator[World]:
        logger = logging.getLogger("django_livesim")
        with override_settings(LIVESIM=SETTINGS), timed_by(self.clock), self.injector.installed():
            self._clear()
            logger.addHandler(self.watch)
            logger.propagate = False
            try:
                yield self
            finally:
                self.injector.armed = False
                logger.propagate = True
                logger.removeHandler(self.watch)
                for actor in (self.onlooker, self.client, *self.workers):
                    actor.close()

    def _clear(self) -> None:
        with self.onlooker.acting():
            for model in (Checkpoint, Command, Run, Worker):
                model.objects.all().delete()

    def arm(self, armed: bool = True) -> None:
        """From here on calls count, or count no more."""
        self.injector.armed = armed

    # -- time ---------------------------------------------------------------------------------

    def worker(self, name: str) -> HandWorker:
        """One that is there from now on."""
        worker = HandWorker(name, self.clock, self.watch)
        self.workers.append(worker)
        return worker

    def round(self) -> None:
        """A quarter of a second for everybody who is awake."""
        self.clock.advance(ROUND)
        for worker in self.workers:
            if worker.awake:
                worker.turn()

    def ring(self) -> None:
        for worker in self.workers:
            if worker.awake:
                worker.supervisor.ring()

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Let time go by until it is so."""
        for _ in range(ROUNDS):
            if condition():
                return
            self.round()
        raise Violation(f"stuck: {what}")

    # -- rows ---------------------------------------------------------------------------------

    def row(self, run: UUID) -> Run:
        with self.onlooker.acting():
            return Run.objects.get(id=run)

    def holder(self, run: UUID) -> HandWorker | None:
        """Who has the run in memory and in its row."""
        row = self.row(run)
        for worker in self.workers:
            runner = worker.supervisor.runners.get(run)
            if worker.awake and runner and (row.worker_id, row.epoch) == (worker.ledger.worker, runner.epoch):
                return worker
        return None

    def until_answered(self, run: UUID) -> None:
        """Until every command has an outcome."""

        def answered() -> bool:
            with self.onlooker.acting():
                return not Command.objects.filter(run=run, outcome="").exists()

        self.until(answered, "a command gets no answer")

    def until_held(self, run: UUID, by: HandWorker | None = None) -> None:
        """Until one worker has it, up to date, and row and memory say the same of it."""

        def held() -> bool:
            worker = self.holder(run)
            if worker is None or by not in (None, worker):
                return False
            runner = worker.supervisor.runners[run]
            return not runner.replaying and runner.status == self.row(run).status

        self.until(held, f"nobody has the run, or not as its row says; {self.row(run).status}")

    def until_status(self, run: UUID, status: Status) -> None:
        self.until(lambda: self.row(run).status == status, f"the run never is {status}")

    # -- the client ---------------------------------------------------------------------------

    def start(self, key: str = "run", **options: Any) -> UUID:
        run: Run = self.client.ask(lambda: gateway.start("counter", key=key, **options))
        self.sent.setdefault(run.id, [])
        self.ring()
        self.watched(run.id)
        return run.id

    def watched(self, run: UUID) -> None:
        """Somebody watches, for fifteen seconds."""
        for worker in self.workers:
            if worker.awake:
                worker.supervisor.interest(run, ["view"], True)

    def send(self, run: UUID, command: str = "add", **options: Any) -> Command:
        """A number to be added, another each time."""
        self._ids += 1
        number, client_id = self._ids, f"c{self._ids}"
        args = {"n": number} if command == "add" else {}
        row: Command = self.client.ask(lambda: gateway.send(run, command, args, id=client_id, **options))
        if command == "add":
            self.sent[run].append(number)
        self.watched(run)
        self.ring()
        return row

    def control(self, run: UUID, verb: str, args: Mapping[str, Any] | None = None) -> Command:
        self._ids += 1
        client_id = f"v{self._ids}"
        row: Command = self.client.ask(lambda: gateway.control(run, verb, args, id=client_id))
        self.ring()
        return row

    def send_together(self, run: UUID, count: int) -> None:
        """So many numbers in one batch; what was not stored, or is not known to be, once more."""
        numbers = list(range(self._ids + 1, self._ids + count + 1))
        self._ids += count
        rest = [self._wanted(run, number) for number in numbers]
        rest.insert(1, self._wanted(uuid4(), 0))  # its run is no more, which holds up no other
        rest.append(rest[0])  # and one comes twice
        for _attempt in range(ATTEMPTS):
            with self.client.acting():
                told = batch.insert_commands(rest)
            pairs = zip(rest, told, strict=True)
            rest = [each for each, one in pairs if isinstance(one, batch.NotStored | batch.NotKnown)]
            if not rest:
                break
            self.round()
        else:
            raise Violation("the database is there, and a batch is not stored")
        self.sent[run] += numbers
        self.ring()

    def _wanted(self, run: UUID, number: int) -> dict[str, Any]:
        place = {"run": run, "sender": "p:batch", "client_id": f"c{number}", "body_hash": "h"}
        return place | {"kind": str(Kind.COMMAND), "name": "add", "args": {"n": number}}

    def send_at_once(self, run: UUID, count: int) -> None:
        """So many numbers by as many coroutines, each until it has an answer; in whatever order."""
        numbers = range(self._ids + 1, self._ids + count + 1)
        self._ids += count

        async def send(number: int) -> None:
            for _attempt in range(ATTEMPTS):
                try:
                    await gateway.asend(run, "add", {"n": number}, id=f"c{number}")
                    return
                except (OperationalError, InterfaceError):
                    pass
                except LivesimError as exc:
                    if exc.code not in (Code.BUSY, Code.DB_DOWN):
                        raise
            raise Violation("the database is there, and a coroutine gets no answer")

        async def send_all() -> None:
            await asyncio.gather(*map(send, numbers))

        asyncio.run(send_all())
        with self.onlooker.acting():
            stored = Command.objects.filter(run=run, name="add").order_by("id")
            self.sent[run] = [args["n"] for args in stored.values_list("args", flat=True)]
        if missing := set(numbers) - set(self.sent[run]):
            raise Violation(f"acknowledged, and not stored: {missing}")
        self.ring()

    def restart(self, run: UUID) -> UUID:
        """The run that follows."""
        following = UUID(self.control(run, Verb.RESTART).args["next"])
        self.sent[following] = []
        self.until_status(run, Status.STOPPED)
        return following

    def stand_still(self, worker: HandWorker, run: UUID, meanwhile: Callable[[], None]) -> None:
        """The worker's process stops just before its next write, and goes on with it after `meanwhile`.

        By then it is a zombie, and has no way to know.
        """
        write, stood = journal.write, False

        def late(*args: Any) -> list[str]:
            nonlocal stood
            if stood:  # others, meanwhile
                return write(*args)
            stood = True
            meanwhile()
            with self.untouched(run):
                return write(*args)

        worker.awake = False
        with patch.object(journal, "write", late):
            worker.write()
        if not stood:  # a failure before has left it nothing to write
            meanwhile()

    @contextmanager
    def untouched(self, run: UUID) -> Iterator[None]:
        """What is done within leaves no trace of it in any row of the run."""
        before = self._rows(run)
        yield
        if (after := self._rows(run)) != before:
            raise Violation(f"a zombie has written: {before} became {after}")

    def _rows(self, run: UUID) -> list[Any]:
        with self.onlooker.acting():
            commands = Command.objects.filter(run=run).order_by("id")
            return [
                *Run.objects.filter(id=run).values(),
                *commands.values_list("args", "apply_seq", "apply_tick", "epoch", "outcome"),
                *Checkpoint.objects.filter(run=run).order_by("id").values_list("tick", "apply_seq", "epoch"),
            ]

    def age(self) -> None:
        """All that has happened was a week ago."""
        with self.onlooker.acting():
            week_ago = timezone.now() - timedelta(days=7)
            Run.objects.exclude(ended_at=None).update(ended_at=week_ago)
            Command.objects.exclude(applied_at=None).update(applied_at=week_ago)

    def prune(self) -> None:
        self.client.ask(pruning.prune)

    def answer_elsewhere(self, run: UUID) -> None:
        """As whoever refuses the commands of ended runs, and was mistaken."""
        with self.onlooker.acting():
            intake.refuse_waiting(run=run)

    def take_place(self, run: UUID) -> None:
        """Something is written where the run will write next: what it does then cannot be stored."""
        with self.onlooker.acting():
            place = Run.objects.get(id=run).next_seq
            rows = Command.objects.filter(run=run)
            rows.create(run_id=run, name="x", client_id="x", apply_seq=place, outcome=str(Outcome.REFUSED))
            rows.create(run_id=run, name="add", client_id="y")
        self.watch.expected = (IntegrityError,)

    # -- the end ------------------------------------------------------------------------------

    def verify(self, run: UUID, status: Status) -> None:
        """Nothing lost, nothing doubled, everything in order, and nobody in doubt of it."""
        self.until_status(run, status)
        self.until_answered(run)
        if status not in ENDED:
            self.until_held(run)
        row = self.row(run)
        with self.onlooker.acting():
            applied = check_journal(row, self.sent[run])
            if status in ENDED:
                check_stored(row, applied)
        for runner in self._runners(run, row.epoch):
            state: dict[str, Any] = runner.program.dump()
            check_state(state, runner.host.tick, applied, "in memory")
        if self.watch.bad_logs:
            raise Violation(f"logged: {self.watch.bad_logs}")

    def verify_pruned(self, run: UUID, removed: UUID) -> None:
        """What was old enough is gone and nothing else; whoever has the run has all that ever was applied."""
        self.until_answered(run)
        self.until_held(run)
        with self.onlooker.acting():
            left = (
                Command.objects.filter(run=removed).exists()
                or Checkpoint.objects.filter(run=removed).exists()
            )
            if left or Run.objects.filter(id=removed).exists():
                raise Violation("a part of a pruned run is left")
            numbers = applied_numbers(run)
        if len(numbers) == len(self.sent[run]) or numbers != self.sent[run][-len(numbers) :]:
            raise Violation(f"of {self.sent[run]} the journal has {numbers} left")
        for runner in self._runners(run, self.row(run).epoch):
            check_state(runner.program.dump(), runner.host.tick, self.sent[run], "in memory")

    def _runners(self, run: UUID, epoch: int) -> list[Runner]:
        """Who has the run in memory in that epoch: one at most, and nobody once it has ended."""
        of = [each.supervisor.runners[run] for each in self.workers if run in each.supervisor.runners]
        holding = [runner for runner in of if runner.epoch == epoch and not runner.over]
        if len(holding) > (self.row(run).status not in ENDED):
            raise Violation(f"{len(holding)} workers step the run in epoch {epoch}")
        return holding
