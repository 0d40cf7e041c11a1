"""What the host's own code is told of runs, and what the log says."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.db.models.signals import post_save
from django.test import TestCase

from django_livesim import gateway, signals
from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Committed, Stored, Write
from django_livesim.store import identity, journal, leases
from django_livesim.store.transitions import Transition, log, tell_on_commit
from django_livesim.worker import Engine
from django_livesim.worker import announcer as announcers
from django_livesim.worker.announcer import Announcer

pytestmark = pytest.mark.usefixtures("patient")

ALL = {name: signal for name, signal in vars(signals).items() if name.startswith("run_")}


class Ear:
    """Listens to all signals; each as (name, previous, reason)."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []
        self.rows: list[Run] = []
        self.more: list[dict[str, Any]] = []
        self.threads: list[str] = []
        self.receivers = {name: self._receiver(name) for name in ALL}

    def _receiver(self, name: str) -> Callable[..., None]:
        def receive(sender: Any, *, run: Run, previous: Status, reason: str, **more: Any) -> None:
            assert sender is Run
            self.rows.append(run)
            self.more.append(more)
            self.threads.append(threading.current_thread().name)
            self.heard.append((name, str(previous), reason))

        return receive

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.heard]


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    for name, signal in ALL.items():
        signal.connect(ear.receivers[name], sender=Run)
    yield ear
    for name, signal in ALL.items():
        signal.disconnect(ear.receivers[name], sender=Run)


@pytest.fixture
def listen() -> Iterator[Callable[..., None]]:
    """`listen(signal, receiver)` until the test's end."""
    connected: list[tuple[Any, Any]] = []

    def connect(signal: Any, receiver: Any) -> None:
        signal.connect(receiver)
        connected.append((signal, receiver))

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver)


@pytest.fixture
def engine(transactional_db: None) -> Iterator[Callable[..., Engine]]:
    """`engine()` starts a worker in a thread of this process; `leave(engine)` and the test's end drain it."""
    started: dict[Engine, threading.Thread] = {}

    def run(engine: Engine) -> None:
        try:
            engine.run()
        finally:
            connections.close_all()

    def start() -> Engine:
        engine = Engine()
        started[engine] = threading.Thread(target=run, args=[engine])
        started[engine].start()
        return engine

    def leave(engine: Engine) -> None:
        engine.drain()
        started[engine].join(20)
        assert not started.pop(engine).is_alive()

    start.leave = leave  # type: ignore[attr-defined]
    yield start
    for each in list(started):
        leave(each)


def fresh(run: Run) -> Run:
    return Run.objects.get(id=run.id)


def running(run: Run) -> Callable[[], bool]:
    return lambda: fresh(run).status == Status.RUNNING


def signal_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "livesim-signals"]


@pytest.mark.django_db(transaction=True)
class TestAWorker:
    def test_tells_of_each_change_in_order_from_a_thread_of_its_own(self, engine, ear, wait):
        engine()
        run = gateway.start("counter")
        wait(lambda: ear.names == ["run_started"])
        gateway.pause(run, wait=True)
        gateway.resume(run, wait=True)
        gateway.stop(run, wait=True)
        wait(lambda: len(ear.heard) == 4)
        assert ear.heard == [
            ("run_started", "waiting", ""),
            ("run_paused", "running", ""),
            ("run_resumed", "paused", ""),
            ("run_stopped", "running", "stopped"),
        ]
        assert set(ear.threads) == {"livesim-signals"}
        assert {row.id for row in ear.rows} == {run.id}
        assert ear.rows[-1].status == Status.STOPPED

    def test_tells_of_an_end_with_its_result_and_of_a_failure_with_its_traceback(self, engine, ear, wait):
        engine()
        good, bad = gateway.start("counter"), gateway.start("counter")
        gateway.send(good, "end", wait=True)
        gateway.send(bad, "explode", wait=True)
        wait(lambda: {"run_finished", "run_failed"} <= set(ear.names))
        rows = dict(zip(ear.names, ear.rows, strict=True))
        assert rows["run_finished"].result["value"] >= 0
        assert "the counter exploded" in rows["run_failed"].error
        assert ("run_failed", "running", "its code raised RuntimeError") in ear.heard

    def test_tells_of_a_setup_that_raises_as_a_failure_and_not_as_a_start(self, engine, ear, wait):
        engine()
        run = Run.objects.create(simulation="counter", params={"start": "no number", "more": 1})
        wait(lambda: fresh(run).status == Status.FAILED)
        wait(lambda: ear.names == ["run_failed"])
        assert ear.heard[0][1] == "waiting"

    def test_tells_of_a_restart_what_was_stopped_what_follows_and_that_it_started(self, engine, ear, wait):
        engine()
        run = gateway.start("counter", key="main")
        wait(lambda: ear.names == ["run_started"])
        command = gateway.restart(run, wait=True)
        wait(lambda: len(ear.heard) == 4)
        assert ear.heard[1:] == [
            ("run_stopped", "running", "restarted"),
            ("run_restarted", "running", "restarted"),
            ("run_started", "waiting", ""),
        ]
        following = ear.more[2]["successor"]
        assert str(following.id) == command.args["next"] == str(ear.rows[3].id)
        assert ear.rows[2].id == run.id

    def test_a_stopped_run_that_is_resumed_is_told_by_who_was_asked(self, engine, ear, wait):
        engine()
        run = gateway.start("counter")
        wait(running(run))
        gateway.stop(run, wait=True)
        wait(lambda: "run_stopped" in ear.names)
        gateway.resume(run)
        assert ear.heard[-1] == ("run_resumed", "stopped", "")
        assert ear.threads[-1] == threading.current_thread().name
        wait(running(run))
        gateway.stop(run, wait=True)
        wait(lambda: ear.names.count("run_stopped") == 2)
        assert ear.names == ["run_started", "run_stopped", "run_resumed", "run_stopped"]

    def test_a_run_that_another_worker_takes_up_has_not_started_again(self, engine, ear, wait):
        first = engine()
        run = gateway.start("counter")
        wait(running(run))
        engine.leave(first)
        assert fresh(run).status == Status.WAITING
        engine()
        wait(running(run))
        gateway.stop(run, wait=True)
        wait(lambda: "run_stopped" in ear.names)
        assert ear.names == ["run_started", "run_stopped"]

    def test_one_paused_while_it_waited_has_started_when_it_is_held(self, engine, ear, wait):
        run = gateway.start("counter")
        gateway.pause(run)
        engine()
        wait(lambda: len(ear.heard) == 2)
        assert ear.heard == [("run_paused", "waiting", ""), ("run_started", "paused", "")]
        gateway.resume(run, wait=True)
        wait(lambda: len(ear.heard) == 3)
        assert ear.heard[-1] == ("run_resumed", "paused", "")

    def test_a_receiver_that_hangs_holds_up_neither_runs_nor_the_beat(self, engine, ear, listen, wait):
        goes_on, inside = threading.Event(), threading.Event()

        def hangs(**kwargs: Any) -> None:
            inside.set()
            goes_on.wait(30)

        listen(signals.run_started, hangs)
        engine()
        run = gateway.start("counter")
        assert inside.wait(10)
        try:
            beat = Worker.objects.get().beat
            assert gateway.send(run, "add", wait=True).outcome == "applied"
            wait(lambda: Worker.objects.get().beat > beat)
            gateway.stop(run, wait=True)
            assert fresh(run).status == Status.STOPPED
            assert "run_stopped" not in ear.names
        finally:
            goes_on.set()
        wait(lambda: "run_stopped" in ear.names)

    def test_what_waits_for_receivers_is_sent_before_it_leaves(self, engine, listen, wait):
        told, goes_on = [], threading.Event()

        def slow(run: Run, **kwargs: Any) -> None:
            goes_on.wait(10)
            told.append(Run.objects.count())

        listen(signals.run_started, slow)
        worker = engine()
        runs = [gateway.start("counter") for _ in range(3)]
        for run in runs:
            wait(running(run))
        threading.Timer(0.2, goes_on.set).start()
        engine.leave(worker)
        assert told == [3, 3, 3]

    def test_a_receiver_that_raises_is_logged_with_its_run_and_disturbs_no_other(
        self, engine, ear, listen, wait, caplog
    ):
        def clumsy(**kwargs: Any) -> None:
            raise ValueError("no such account")

        listen(signals.run_started, clumsy)
        engine()
        run = gateway.start("counter")
        wait(lambda: ear.names == ["run_started"])
        wait(lambda: "clumsy failed" in caplog.text)
        record = next(each for each in caplog.records if "clumsy failed" in each.getMessage())
        assert f"run={run.id} epoch=1" in record.getMessage()
        assert record.getMessage().endswith("ValueError('no such account')")
        assert caplog.text.count("Traceback") == 1
        gateway.pause(run, wait=True)
        wait(lambda: "run_paused" in ear.names)

    def test_a_receiver_may_be_async_and_may_ask_the_database(self, engine, listen, wait):
        told = []

        async def receive(run: Run, **kwargs: Any) -> None:
            await asyncio.sleep(0)
            told.append(await Run.objects.filter(id=run.id).acount())

        listen(signals.run_started, receive)
        engine()
        gateway.start("counter")
        wait(lambda: told == [1])

    def test_makes_no_thread_where_nobody_listens(self, engine, wait):
        engine()
        run = gateway.start("counter")
        wait(running(run))
        gateway.stop(run, wait=True)
        assert signal_threads() == []

    def test_keeps_no_connection_while_there_is_nothing_to_send(self, engine, listen, wait):
        seen: list[Any] = []

        def receive(run: Run, **kwargs: Any) -> None:
            seen.append(connections["default"])

        listen(signals.run_started, receive)
        engine()
        gateway.start("counter")
        wait(lambda: seen and seen[0].connection is None)


class TestAnAnnouncer:
    @pytest.mark.django_db(transaction=True)
    def test_passes_over_a_run_that_was_deleted(self, ear):
        announcer = Announcer()
        announcer.tell(Transition(run=uuid4(), epoch=1, previous=Status.RUNNING, status=Status.STOPPED))
        run = Run.objects.create(simulation="counter")
        announcer.tell(Transition(run=run.id, epoch=1, previous=Status.RUNNING, status=Status.STOPPED))
        announcer.stop(5)
        assert [row.id for row in ear.rows] == [run.id]
        assert signal_threads() == []

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("error", [SystemExit("gave up"), asyncio.CancelledError()], ids=repr)
    def test_goes_on_after_a_receiver_that_would_end_its_thread(self, listen, wait, caplog, error):
        run, told = Run.objects.create(simulation="counter"), []

        def leaves(run: Run, **kwargs: Any) -> None:
            told.append(run.id)
            raise error

        listen(signals.run_finished, leaves)
        announcer = Announcer()
        finished = Transition(run=run.id, epoch=3, previous=Status.RUNNING, status=Status.FINISHED)
        for _ in range(3):
            announcer.tell(finished)
        wait(lambda: len(told) == 3)
        announcer.stop(5)
        assert caplog.text.count(f"signals not sent run={run.id} epoch=3") == 3

    @pytest.mark.django_db(transaction=True)
    def test_drops_what_slow_receivers_leave_lying_and_leaves_in_time(self, listen, monkeypatch, caplog):
        monkeypatch.setattr(announcers, "LIMIT", 2)
        goes_on, inside = threading.Event(), threading.Event()

        def hangs(**kwargs: Any) -> None:
            inside.set()
            goes_on.wait(30)

        listen(signals.run_stopped, hangs)
        run = Run.objects.create(simulation="counter")
        announcer = Announcer()
        stopped = Transition(run=run.id, epoch=3, previous=Status.RUNNING, status=Status.STOPPED)
        announcer.tell(stopped)
        assert inside.wait(10)
        for _ in range(3):
            announcer.tell(stopped)
        announcer.stop(0.1)
        assert f"one was dropped run={run.id} epoch=3" in caplog.text
        assert "2 changes are not told" in caplog.text
        thread = announcer._thread
        goes_on.set()
        announcer.stop(5)
        assert thread is not None
        assert not thread.is_alive()


@pytest.mark.django_db(transaction=True)
class TestTheGateway:
    def test_tells_in_the_thread_of_who_asked_where_nobody_holds_the_run(self, ear):
        run = gateway.start("counter")
        gateway.pause(run)
        gateway.resume(run)
        gateway.stop(run)
        gateway.resume(run)
        assert ear.heard == [
            ("run_paused", "waiting", ""),
            ("run_resumed", "paused", ""),
            ("run_stopped", "waiting", "stopped"),
            ("run_resumed", "stopped", ""),
        ]
        assert set(ear.threads) == {threading.current_thread().name}

    def test_tells_nothing_of_what_changes_nothing(self, ear):
        run = gateway.start("counter")
        gateway.resume(run)
        gateway.stop(run)
        gateway.stop(run)
        assert ear.names == ["run_stopped"]

    def test_tells_of_a_restart(self, ear):
        run = gateway.start("counter", key="main")
        gateway.restart(run)
        assert ear.names == ["run_stopped", "run_restarted"]
        assert ear.more[1]["successor"] == gateway.get("counter:main")
        gateway.restart(run)
        assert ear.heard[2:] == [("run_restarted", "stopped", "restarted")]

    def test_tells_of_the_run_that_follows_a_finished_one_of_the_same_key(self, ear):
        run = gateway.start("counter", key="main")
        Run.objects.filter(id=run.id).update(status="finished")
        following = gateway.start("counter", key="main")
        assert ear.heard == [("run_restarted", "finished", "restarted")]
        assert (ear.rows[0].id, ear.more[0]["successor"]) == (run.id, following)

    def test_a_quarantined_run_that_is_released_is_resumed(self, ear):
        run = gateway.start("counter")
        Run.objects.filter(id=run.id).update(status="quarantined")
        gateway.resume(run)
        assert ear.heard == [("run_resumed", "quarantined", "")]

    def test_a_receiver_that_raises_is_not_the_callers_concern(self, ear, listen):
        def clumsy(**kwargs: Any) -> None:
            raise ValueError

        listen(signals.run_stopped, clumsy)
        run = gateway.start("counter")
        assert gateway.stop(run).outcome == "applied"
        assert ear.names == ["run_stopped"]

    def test_asks_nothing_of_the_database_where_nobody_listens(self, listen, django_assert_num_queries):
        told = Transition(run=uuid4(), epoch=1, previous=Status.WAITING, status=Status.STOPPED)
        with django_assert_num_queries(0):
            tell_on_commit(told)

        def receive(**kwargs: Any) -> None:
            """Signals keep it by a weak reference, hence a name."""

        listen(signals.run_stopped, receive)
        with django_assert_num_queries(1):
            tell_on_commit(told)

    async def test_a_coroutine_that_asks_is_not_held_up_by_an_async_receiver(self, listen):
        told = []

        async def receive(run: Run, **kwargs: Any) -> None:
            told.append(run.status)

        await sync_to_async(listen)(signals.run_stopped, receive)
        run = await gateway.astart("counter")
        await gateway.astop(run)
        assert told == ["stopped"]

    def test_that_a_run_was_made_is_told_by_django(self, listen):
        made = []

        def receive(sender: Any, instance: Run, created: bool, **kwargs: Any) -> None:
            if sender is Run and created:
                made.append(instance.id)

        listen(post_save, receive)
        run = gateway.start("counter")
        following = gateway.restart(run).args["next"]
        assert [str(each) for each in made] == [str(run.id), following]


class TestHostTests(TestCase):
    """A transaction that never commits, as in most of a host's own tests."""

    def setUp(self) -> None:
        self.told: list[Any] = []
        self.receiver = lambda run, **kwargs: self.told.append(run.id)
        signals.run_stopped.connect(self.receiver)
        self.addCleanup(signals.run_stopped.disconnect, self.receiver)

    def test_captured_callbacks_send(self) -> None:
        run = gateway.start("counter")
        with self.captureOnCommitCallbacks(execute=True):
            gateway.stop(run)
        assert self.told == [run.id]

    def test_without_a_commit_nothing_is_told(self) -> None:
        gateway.stop(gateway.start("counter"))
        assert self.told == []


def test_the_page_of_signals_names_each_of_them_and_no_other():
    text = (Path(__file__).resolve().parent.parent / "docs" / "signals.md").read_text()
    assert set(re.findall(r"^\| `(run_\w+)`", text, re.MULTILINE)) == set(ALL)


@pytest.mark.django_db(transaction=True)
class TestWhatCannotBeStored:
    def test_is_told_as_a_failure(self, ear):
        worker = leases.register(identity.this_process(), ["default"])
        run = Run.objects.create(simulation="counter", status="running", worker_id=worker, epoch=4)
        bad = Stored(tick=2**80, apply_seq=0, version=1, data=b"{}", hash="x")
        write = Write(run=run.id, epoch=4, number=1, tick=2**80, next_seq=1, speed=1.0, checkpoint=bad)
        announcer = Announcer()
        assert journal.write(worker, [write], tell=announcer.tell) == [Committed.FENCED]
        announcer.stop(5)
        ((name, previous, reason),) = ear.heard
        assert (name, previous) == ("run_failed", "running")
        assert reason.startswith("what it did cannot be stored")

    def test_what_is_fenced_is_not_told(self, ear, caplog):
        worker = leases.register(identity.this_process(), ["default"])
        run = Run.objects.create(simulation="counter", status="running", worker_id=worker, epoch=5)
        write = Write(
            run=run.id, epoch=4, number=1, tick=1, next_seq=1, speed=1.0, status=Status.STOPPED, ended=True
        )
        with caplog.at_level(logging.INFO, "django_livesim"):
            assert journal.write(worker, [write]) == [Committed.FENCED]
        assert caplog.records == []


@pytest.mark.django_db(transaction=True)
class TestTheLog:
    def lines(self, caplog: Any) -> list[str]:
        ours = [each for each in caplog.records if each.name == "django_livesim.store.transitions"]
        assert {each.levelno for each in ours} <= {logging.INFO}
        return [each.getMessage() for each in ours]

    def test_has_a_line_for_each_change(self, engine, wait, caplog):
        caplog.set_level(logging.INFO, "django_livesim")
        first = engine()
        run = gateway.start("counter")
        wait(running(run))
        gateway.pause(run, wait=True)
        gateway.speed(run, 2, wait=True)
        gateway.resume(run, wait=True)
        engine.leave(first)
        engine()
        wait(running(run))
        command = gateway.restart(run, wait=True)
        wait(running(gateway.get(command.args["next"])))
        lines = [line for line in self.lines(caplog) if f"run={run.id}" in line]
        goes_on = lines.pop(4)
        assert goes_on.startswith(f"run={run.id} epoch=2 status=running reason='goes on from tick ")
        assert lines == [
            f"run={run.id} epoch=1 status=running reason=''",
            f"run={run.id} epoch=1 status=paused reason=''",
            f"run={run.id} epoch=1 status=running reason=''",
            f"run={run.id} epoch=1 status=waiting reason=''",
            f"run={run.id} epoch=2 status=stopped reason='restarted'",
            f"restarted run={run.id} epoch=2 next={command.args['next']}",
        ]

    def test_has_a_line_of_what_the_gateway_did(self, caplog):
        caplog.set_level(logging.INFO, "django_livesim")
        run = gateway.start("counter")
        gateway.stop(run)
        assert self.lines(caplog) == [f"run={run.id} epoch=1 status=stopped reason='stopped'"]

    def test_holds_a_reason_of_any_text_in_one_short_line(self, caplog):
        caplog.set_level(logging.INFO, "django_livesim")
        reason = "x\nrun=0 epoch=0 status=finished\x1b[2J" + "y" * 400
        log(Transition(run=uuid4(), epoch=1, previous=Status.RUNNING, status=Status.FAILED, reason=reason))
        (line,) = self.lines(caplog)
        assert "\n" not in line
        assert "\x1b" not in line
        assert len(line) < 320
