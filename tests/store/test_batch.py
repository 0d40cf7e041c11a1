"""Commands inserted together: what a batch stores, and what becomes of it when something fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection, connections

from django_livesim import gateway
from django_livesim.gateway.storing import body_hash
from django_livesim.models import Command, Run
from django_livesim.protocol.names import Kind
from django_livesim.store import batch, intake
from django_livesim.store.moments import Moment
from tests.hosts import host_view

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run() -> Run:
    return gateway.start("counter")


def wanted(run: Run | UUID, client_id: str, n: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "run": run.id if isinstance(run, Run) else run,
        "kind": Kind.COMMAND,
        "name": "add",
        "args": {"n": n, "text": "ü \" ' %s"},
        "sender": "p:server",
        "client_id": client_id,
        "body_hash": body_hash(Kind.COMMAND, "add", {"n": n}),
        **fields,
    }


def kinds(outcomes: list[batch.Outcome]) -> list[Any]:
    """For each whether it was created, or what kind of failure it was."""
    return [each.created if isinstance(each, batch.Stored) else type(each) for each in outcomes]


def stored() -> list[str]:
    return list(Command.objects.order_by("id").values_list("client_id", flat=True))


def test_a_row_of_a_batch_is_in_every_column_what_a_single_one_is(run: Run) -> None:
    due = Moment() + timedelta(seconds=9)
    for fields in ({}, {"due_tick": 7, "durable": False}, {"every": 1.5, "series": 4}, {"due_at": due}):
        single = intake.create_command(**wanted(run, f"single-{fields}"[:60], **fields))
        [outcome] = batch.insert_commands([wanted(run, f"batch-{fields}"[:60], **fields)])
        assert isinstance(outcome, batch.Stored)
        given, row = outcome.command, Command.objects.get(id=outcome.command.pk)
        for field in Command._meta.concrete_fields:
            values = [getattr(each, field.attname) for each in (single, row, given)]
            if field.attname in ("id", "client_id"):
                continue
            if field.attname in ("created_at", "due_at") and values[0] is not None:
                assert abs((values[1] - values[0]).total_seconds()) < 5 and values[1] == values[2]
                continue
            assert values[0] == values[1] == values[2], field
        assert (given._state.adding, given._state.db) == (False, "default")


def test_ids_ascend_in_the_order_given_whatever_the_number(run: Run) -> None:
    names = [f"c{number}" for number in range(200)]
    delays = {50: {"due_at": Moment()}, 51: {"due_at": Moment()}}
    outcomes = batch.insert_commands([wanted(run, name, **delays.get(n, {})) for n, name in enumerate(names)])
    assert kinds(outcomes) == [True] * 200
    assert stored() == names == [each.command.client_id for each in outcomes]  # type: ignore[union-attr]
    assert [each.command.pk for each in outcomes] == list(  # type: ignore[union-attr]
        Command.objects.order_by("id").values_list("id", flat=True)
    )


def test_one_id_is_one_row_in_a_batch_and_across_them(run: Run) -> None:
    batch.insert_commands([wanted(run, "a")])
    outcomes = batch.insert_commands(
        [wanted(run, "b"), wanted(run, "a", 2), wanted(run, "b", 3), wanted(run, "a", sender="u:1")]
    )
    assert kinds(outcomes) == [True, False, False, True]
    assert outcomes[2].command == outcomes[0].command  # type: ignore[union-attr]
    assert outcomes[1].command.args["n"] == 1  # type: ignore[union-attr]
    assert stored() == ["a", "b", "a"]


def test_a_deleted_run_fails_its_own_commands_alone(run: Run) -> None:
    outcomes = batch.insert_commands([wanted(run, "a"), wanted(uuid4(), "b"), wanted(run, "c")])
    assert kinds(outcomes) == [True, batch.RunGone, True]
    assert kinds(batch.insert_commands([wanted(uuid4(), "d")])) == [batch.RunGone]
    assert stored() == ["a", "c"]


def test_data_that_no_column_holds_fails_alone(run: Run) -> None:
    batch.insert_commands([wanted(run, "old")])
    outcomes = batch.insert_commands(
        [wanted(run, "a"), wanted(run, "b", name="\ud800"), wanted(run, "old"), wanted(run, "c")]
    )
    assert kinds(outcomes) == [True, batch.Unfit, False, True]
    assert stored() == ["old", "a", "c"]


def test_a_database_without_answers_to_inserts_stores_them_one_by_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(connection.features), "can_return_rows_from_bulk_insert", False)
    assert kinds(batch.insert_commands([wanted(run, "a"), wanted(run, "b")])) == [True, True]
    assert stored() == ["a", "b"]


# -- a database that goes away --------------------------------------------------------------------


@contextmanager
def cut(before: str) -> Iterator[None]:
    """The connection of this thread is lost when it is about to execute a statement that begins so."""

    def wrapper(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith(before):
            lose()
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, *rest)

    with connection.execute_wrapper(wrapper):
        yield


def lose() -> None:
    """What of a transaction has not been committed is undone, and the connection is of no more use."""
    connection.connection.rollback()
    connection.connection.close()


def test_where_the_database_goes_before_commit_nothing_is_stored_and_nothing_tried_again(run: Run) -> None:
    commands = [wanted(run, "a"), wanted(run, "b")]
    with cut("INSERT"):
        assert kinds(batch.insert_commands(commands)) == [batch.NotStored] * 2
    assert stored() == []
    assert kinds(batch.insert_commands(commands)) == [True, True]


@pytest.mark.parametrize("committed", [True, False])
def test_where_the_answer_to_commit_is_lost_the_rows_are_looked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    commit, commits = connection._commit, []

    def lost() -> None:
        commits.append(1)
        if committed:
            commit()
        lose()
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(connection, "_commit", lost)
    outcomes = batch.insert_commands([wanted(run, "a"), wanted(run, "b")])
    assert kinds(outcomes) == ([True, True] if committed else [batch.NotKnown] * 2)
    assert len(commits) == 1
    monkeypatch.undo()
    assert stored() == (["a", "b"] if committed else [])
    again = batch.insert_commands([wanted(run, "a"), wanted(run, "b")])
    assert kinds(again) == ([False, False] if committed else [True, True])
    assert stored() == ["a", "b"]


def test_where_it_is_gone_for_good_nobody_knows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        lose()
        monkeypatch.setattr(connection, "connect", away)
        raise OperationalError("server closed the connection unexpectedly")

    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "_commit", lost)
    assert kinds(batch.insert_commands([wanted(run, "a")])) == [batch.NotKnown]
    assert kinds(batch.insert_commands([wanted(run, "a")])) == [batch.NotStored]
    monkeypatch.undo()
    assert stored() == []


def test_a_failure_in_the_midst_of_single_rows_stops_them(run: Run) -> None:
    """The first is in, the second loses the connection; of the third nothing is tried."""
    commands = [wanted(run, "a"), wanted(run, "b", name="\ud800"), wanted(run, "c")]
    inserts: list[str] = []

    def wrapper(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith("INSERT"):
            inserts.append(sql)
            if len(inserts) == 4:  # the batch, the batch without what has a row, a, b
                lose()
                raise OperationalError("gone")
        return execute(sql, *rest)

    with connection.execute_wrapper(wrapper):
        assert kinds(batch.insert_commands(commands)) == [True, batch.NotStored, batch.NotStored]
    assert (stored(), len(inserts)) == (["a"], 4)


# -- what others have locked ----------------------------------------------------------------------


@pytest.mark.usefixtures("row_locks")
@pytest.mark.parametrize("act", [lambda run: gateway.share(run, "public"), gateway.delete])
def test_a_run_that_a_view_holds_is_passed_over(run: Run, act: Any) -> None:
    other = gateway.start("counter")
    with host_view(lambda: act(run)):
        outcomes = batch.insert_commands([wanted(run, "a"), wanted(other, "b"), wanted(uuid4(), "c")])
        assert kinds(outcomes) == [batch.RunLocked, True, batch.RunGone]
    assert stored() == ["b"]


@pytest.mark.usefixtures("row_locks")
def test_an_id_that_a_view_has_used_and_not_committed_holds_up_the_others_briefly(run: Run) -> None:
    began = time.monotonic()
    with host_view(lambda: gateway.send(run, "add", id="a")):
        outcomes = batch.insert_commands([wanted(run, "b"), wanted(run, "a"), wanted(run, "c")])
        assert kinds(outcomes) == [True, batch.IdLocked, True]
        assert time.monotonic() - began < 30
    assert stored() == ["a", "b", "c"]


@pytest.mark.usefixtures("row_locks")
def test_many_such_ids_hold_up_the_others_hardly_longer_than_one(run: Run) -> None:
    ids, other = [f"c{number}" for number in range(40)], gateway.start("counter")
    began = time.monotonic()
    with host_view(lambda: [intake.create_command(**wanted(run, each)) for each in ids]):
        outcomes = batch.insert_commands([*(wanted(run, each) for each in ids), wanted(other, "mine")])
        assert kinds(outcomes) == [*[batch.IdLocked] * 40, True]
        assert time.monotonic() - began < 15  # 40 times the patience for one would be 20


@pytest.mark.usefixtures("row_locks")
def test_row_by_row_none_is_stored_before_one_that_found_its_run_locked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock ends just after the first has met it."""
    held, alone = host_view(lambda: gateway.share(run, "public")), batch._alone

    def let_go(wanted: Any, *rest: Any) -> Any:
        told = alone(wanted, *rest)
        if wanted["client_id"] == "first":
            held.__exit__(None, None, None)
        return told

    monkeypatch.setattr(batch, "_alone", let_go)
    commands = [wanted(gateway.start("counter"), "unfit", name="\ud800")]
    commands += [wanted(run, "first"), wanted(run, "second")]
    held.__enter__()
    assert kinds(batch.insert_commands(commands)) == [batch.Unfit, batch.RunLocked, batch.RunLocked]
    assert kinds(batch.insert_commands(commands[1:])) == [True, True]
    assert stored() == ["first", "second"]


def test_two_processes_that_insert_one_id_at_once_have_one_row(run: Run) -> None:
    both, results = threading.Barrier(2), []

    def insert() -> None:
        try:
            both.wait()
            results.append(kinds(batch.insert_commands([wanted(run, f"c{n}") for n in range(20)])))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=insert) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(stored()) == sorted(f"c{n}" for n in range(20))
    assert sorted(map(sum, results)) == [0, 20]
