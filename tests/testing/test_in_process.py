"""A worker in a thread of the test, and waiting for what it does."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction
from django.test import SimpleTestCase

from django_livesim import registry, send, start
from django_livesim.models import Run, Worker
from django_livesim.simulation import Loop
from django_livesim.testing import wait_until, worker_in_process
from django_livesim.worker.ledger import Ledger

pytestmark = pytest.mark.usefixtures("patient")


def status_of(run: Run) -> str:
    return Run.objects.values_list("status", flat=True).get(pk=run.pk)


@pytest.mark.django_db(transaction=True)
def test_runs_that_the_test_starts_are_stepped_and_stored_at_the_end():
    with worker_in_process():
        run = start("counter", {"start": 5})
        wait_until(lambda: status_of(run) == "running")
        command = send(run, "add", {"n": 100}, wait=True)
        assert command.outcome == "applied"
        assert command.result >= 105
    run.refresh_from_db()
    assert (run.status, run.worker_id) == ("waiting", None)
    assert run.tick == run.checkpoints.order_by("-tick").first().tick
    assert Worker.objects.get().state == "gone"
    before = run.tick
    with worker_in_process():
        wait_until(lambda: Run.objects.get(pk=run.pk).worker_id)
        send(run, "end", wait=True)
    run.refresh_from_db()
    assert run.status == "finished"
    assert run.tick >= before


def connections_of_the_database() -> int:
    """How many the server has open; other threads of this process may keep some from tests before."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


@pytest.fixture(params=["echo", "echo_sync"])
def echo(request):
    return request.param


@pytest.mark.django_db(transaction=True)
def test_no_thread_is_left_and_no_connection_but_those_before(echo):
    before = set(threading.enumerate())
    connected = connections_of_the_database() if connection.vendor == "postgresql" else 0
    with worker_in_process() as engine:
        run = start(echo)
        assert send(run, "hello", {"n": 1}, wait=True).result == {"n": 1}
        assert engine.supervisor.runners
    assert set(threading.enumerate()) <= before  # of those some may end meanwhile
    if connection.vendor == "postgresql":
        wait_until(lambda: connections_of_the_database() <= connected)


@pytest.mark.django_db(transaction=True)
def test_it_leaves_when_the_test_fails_too():
    def fails():
        with worker_in_process():
            start("counter")
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert Worker.objects.get().state == "gone"


@pytest.mark.django_db(transaction=True)
def test_a_worker_of_another_queue_takes_nothing_else():
    with worker_in_process(queues=["slow"]):
        fast, slow = start("counter"), start("counter", queue="slow")
        wait_until(lambda: status_of(slow) == "running")
        assert status_of(fast) == "waiting"


@pytest.mark.django_db
def test_inside_a_transaction_it_says_what_to_use():
    with pytest.raises(RuntimeError, match="inside a transaction.*TransactionTestCase.*transaction=True"):
        with worker_in_process():
            pytest.fail("it has started")


@pytest.mark.django_db(transaction=True)
def test_a_transaction_of_the_tests_own_is_refused_too():
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a transaction"):
        with worker_in_process():
            pytest.fail("it has started")


@pytest.mark.django_db(transaction=True)
def test_sqlite_in_memory_is_refused_with_the_line_to_add(monkeypatch):
    if connection.vendor != "sqlite":
        pytest.skip("sqlite: the suite runs on another database")
    monkeypatch.setattr(type(connections["default"]), "is_in_memory_db", lambda self: True)
    line = r'DATABASES\["default"\]\["TEST"\] = \{"NAME": BASE_DIR / "test-default.sqlite3"'
    with pytest.raises(RuntimeError, match=line):
        with worker_in_process():
            pytest.fail("it has started")


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_ends_by_itself_is_told():
    def ends():
        with worker_in_process() as engine:
            engine.supervisor.post(_raise)
            wait_until(lambda: not engine.ledger._thread.is_alive())

    with pytest.raises(RuntimeError, match="The worker ended by itself") as caught:
        ends()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def _raise() -> None:
    raise ZeroDivisionError


@pytest.mark.django_db(transaction=True)
def test_a_loop_that_never_sleeps_is_let_go(settings):
    release = threading.Event()

    def stubborn(sim):
        sim.sleep(0.01)
        release.wait(30)

    settings.LIVESIM = {"GRACE": 0.2}
    loop = registry.register(stubborn)
    assert isinstance(loop, Loop)
    try:
        with worker_in_process():
            run = start(loop)
            wait_until(lambda: status_of(run) == "running")
            threading.Timer(1, release.set).start()
    finally:
        release.set()
        registry.unregister(loop.name)
    assert Run.objects.get(pk=run.pk).worker_id is None


def test_wait_until_gives_what_is_true_and_says_what_came_last():
    values = iter([0, "", [], 7])
    assert wait_until(lambda: next(values)) == 7
    with pytest.raises(AssertionError, match=r"Still \[\] after 0.05 seconds of waiting"):
        wait_until(list, timeout=0.05)


class TestOtherDatabase(SimpleTestCase):
    """Stands for any test that does not name the database of the runs."""

    def test_a_database_that_the_test_does_not_name_is_told_with_the_line_to_write(self):
        with pytest.raises(RuntimeError, match=r"'default', which this test does not name") as caught:
            with worker_in_process():
                pytest.fail("it has started")
        assert str(caught.value).endswith('@pytest.mark.django_db(transaction=True, databases=["default"]).')


@pytest.mark.django_db(transaction=True)
def test_what_ends_a_worker_before_it_has_started_is_told(monkeypatch):
    monkeypatch.setattr(Ledger, "start", lambda *args: _raise())
    with pytest.raises(RuntimeError, match="The worker could not start") as caught:
        with worker_in_process():
            pytest.fail("it has started")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
