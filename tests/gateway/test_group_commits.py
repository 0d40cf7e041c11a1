"""`asend`: many at once share their commits; each is checked, ordered and answered as if it were alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import translation

from django_livesim import gateway
from django_livesim.bus import doorbells
from django_livesim.gateway import asending, batching, checking
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import BadArgs, Forbidden, LivesimError, NoRun, RunEnded
from django_livesim.store import batch
from tests.hosts import host_view

pytestmark = pytest.mark.django_db(transaction=True)

DEADLINE = 60.0


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def run(ann: Any) -> Run:
    return gateway.start("counter", owner=ann)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The ids of each batch that was stored."""
    insert, seen = batch.insert_commands, []

    def note(wanted: Any) -> Any:
        seen.append([each["client_id"] for each in wanted])
        return insert(wanted)

    monkeypatch.setattr(batch, "insert_commands", note)
    return seen


class Gate:
    """Where batches wait, after they have been taken and before they are stored."""

    def __init__(self) -> None:
        self.taken, self.opened = threading.Event(), threading.Event()

    async def hold(self, first: Any) -> asyncio.Task[Any]:
        """Have `first` taken as a batch of its own, which is then held."""
        task = asyncio.ensure_future(first)
        await until(self.taken.is_set)
        return task


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    insert, gate = batch.insert_commands, Gate()

    def wait(wanted: Any) -> Any:
        gate.taken.set()
        gate.opened.wait(DEADLINE)
        return insert(wanted)

    monkeypatch.setattr(batch, "insert_commands", wait)
    yield gate
    gate.opened.set()


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def stored() -> list[str]:
    return [each async for each in Command.objects.order_by("id").values_list("client_id", flat=True)]


def waiting() -> int:
    """Commands that have been checked and wait for the batch under way."""
    return batching.batcher("default").waiting


async def test_a_hundred_senders_share_their_commits_and_each_keeps_its_order(
    run: Run, batches: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[Any] = []
    monkeypatch.setattr(doorbells, "ring", lambda *args, **kwargs: rung.append(Command.objects.count()))

    async def sender(name: int) -> None:
        for number in range(10):
            row = await gateway.asend(run, "add", {"n": number}, id=f"s{name}-{number}")
            assert (row.args, row.sender, row.client_id) == ({"n": number}, "p:server", f"s{name}-{number}")
            assert row.pk

    await asyncio.gather(*map(sender, range(100)))
    ids = await stored()
    assert len(ids) == 1000
    for name in range(100):
        mine = [each for each in ids if each.startswith(f"s{name}-")]
        assert mine == [f"s{name}-{number}" for number in range(10)]
    assert len(batches) < 300
    assert len(rung) == len(batches) and min(rung) > 0  # once for each batch, after it has committed


async def test_what_one_sender_sends_without_waiting_is_stored_in_the_order_of_the_calls(run: Run) -> None:
    ids = [f"c{number}" for number in range(300)]
    await asyncio.gather(*(gateway.asend(run, "add", id=each) for each in ids))
    assert await stored() == ids


async def test_one_id_is_one_command_also_at_once(run: Run) -> None:
    first, second, other, later = await asyncio.gather(
        gateway.asend(run, "add", {"n": 1}, id="a"),
        gateway.asend(run, "add", {"n": 1}, id="a"),
        gateway.asend(run, "add", {"n": 2}, id="a"),
        gateway.asend(run, "add", {"n": 3}, id="b"),
        return_exceptions=True,
    )
    assert first.pk == second.pk != later.pk  # type: ignore[union-attr]
    assert isinstance(other, LivesimError) and other.code == "duplicate_id"
    assert (await gateway.asend(run, "add", {"n": 1}, id="a")).pk == first.pk  # type: ignore[union-attr]
    with pytest.raises(LivesimError, match="was used for another command"):
        await gateway.asend(run, "decline", id="a")
    assert await stored() == ["a", "b"]


async def test_a_retry_is_answered_whatever_came_since_and_counts_for_nothing(
    run: Run, ann: Any, settings: Any
) -> None:
    await sync_to_async(cache.clear)()
    settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "3/h"}}
    actor = Actor.from_user(ann)
    rows = [await gateway.asend(run, "add", id="a", actor=actor) for _ in range(5)]
    assert len({row.pk for row in rows}) == 1
    await gateway.asend(run, "add", id="b", actor=actor)
    await gateway.asend(run, "add", id="c", actor=actor)
    with pytest.raises(LivesimError) as caught:
        await gateway.asend(run, "add", id="d", actor=actor)
    assert caught.value.code == "too_many"
    assert (await gateway.asend(run, "add", id="a", actor=actor)).pk == rows[0].pk
    await Run.objects.aupdate(status="finished")
    assert (await gateway.asend(run, "add", id="b", actor=actor)).client_id == "b"
    with pytest.raises(RunEnded):
        await gateway.asend(run, "add", id="e")
    assert await stored() == ["a", "b", "c"]


async def test_each_command_is_checked_by_what_is_true_when_it_comes(run: Run, ann: Any) -> None:
    await gateway.asend(run, "add", user=ann)
    await Run.objects.aupdate(owner=None, visibility="public")
    with pytest.raises(Forbidden, match="right to command"):
        await gateway.asend(run, "add", user=ann)
    await Run.objects.aupdate(visibility="private")
    with pytest.raises(NoRun):
        await gateway.asend(run, "add", user=ann)
    with pytest.raises(BadArgs):
        await gateway.asend(run, "add", {"n": "x"})
    with pytest.raises(BadArgs):
        await gateway.asend(run, "add", delay=-1)
    assert len(await stored()) == 1


async def test_runs_are_named_as_everywhere(run: Run) -> None:
    await gateway.astart("echo", key="k")
    for ref in (run, run.id, str(run.id)):
        assert (await gateway.asend(ref, "add")).run_id == run.id
    assert (await gateway.asend("echo:k", "hello")).name == "hello"
    with pytest.raises(NoRun):
        await gateway.asend("nobody", "add")


async def test_refusals_are_in_the_language_of_each_caller(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asending, "_", lambda text: f"{translation.get_language()} {text}")
    monkeypatch.setattr(
        "django_livesim.gateway.finding._", lambda text: f"{translation.get_language()} {text}"
    )

    async def refused(language: str) -> str:
        with translation.override(language):
            with pytest.raises(NoRun) as caught:
                await gateway.asend("nobody", "add")
            return caught.value.message[:3]

    told = await asyncio.gather(*map(refused, ["de", "fr", "de"]))
    assert told == ["de ", "fr ", "de "]


# -- who harms whom -------------------------------------------------------------------------------


async def test_a_check_that_hangs_holds_up_the_commands_of_its_sender_alone(
    run: Run, ann: Any, settings: Any
) -> None:
    bob = await get_user_model().objects.acreate_user("bob")
    go, asked = threading.Event(), threading.Event()

    def policy(user: Any, action: str, run: Run, command: str | None) -> bool:
        if command == "end":
            asked.set()
            go.wait(DEADLINE)
        return True

    settings.LIVESIM = {"POLICY": policy}
    try:
        sent = [
            asyncio.create_task(gateway.asend(run, name, user=bob, id=name)) for name in ("end", "decline")
        ]
        await until(asked.is_set)
        for number in range(20):
            await asyncio.wait_for(gateway.asend(run, "add", user=ann, id=f"c{number}"), DEADLINE)
        assert not any(each.done() for each in sent)
    finally:
        go.set()
    await asyncio.gather(*sent)
    assert await stored() == [*(f"c{number}" for number in range(20)), "end", "decline"]


async def test_a_caller_that_is_cancelled_before_its_batch_sends_nothing_and_harms_nobody(
    run: Run, gate: Gate
) -> None:
    sent = [await gate.hold(gateway.asend(run, "add", id="c0"))]
    sent += [asyncio.create_task(gateway.asend(run, "add", id=f"c{number}")) for number in range(1, 6)]
    await until(lambda: waiting() == 5)
    sent[0].cancel()  # it is in a batch
    sent[2].cancel()  # it waits for one
    await asyncio.wait([sent[0], sent[2]])
    gate.opened.set()
    ends = await asyncio.gather(*sent, return_exceptions=True)
    assert [type(each) for each in ends].count(asyncio.CancelledError) == 2
    assert await stored() == ["c0", "c1", "c3", "c4", "c5"]


async def test_when_too_many_wait_others_are_told_to_come_again(
    run: Run, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "WAITING", 3)
    sent = [await gate.hold(gateway.asend(run, "add"))]
    sent += [asyncio.create_task(gateway.asend(run, "add")) for _ in range(3)]
    await until(lambda: waiting() == 3)
    with pytest.raises(LivesimError) as caught:
        await gateway.asend(run, "add")
    assert (caught.value.code, caught.value.retry) == ("busy", 1)
    gate.opened.set()
    await asyncio.gather(*sent)
    assert await Command.objects.acount() == 4


async def test_who_waits_too_long_is_told_what_is_known(
    run: Run, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asending, "ANSWER_LIMIT", 2.0)
    taken = await gate.hold(gateway.asend(run, "add", id="taken"))
    waits = asyncio.create_task(gateway.asend(run, "add", id="waits"))
    ends = await asyncio.gather(taken, waits, return_exceptions=True)
    assert [(each.code, each.retry) for each in ends] == [("db_down", 1), ("busy", 1)]  # type: ignore[union-attr]
    assert "not known" in str(ends[0]) and "has not stored" in str(ends[1])
    gate.opened.set()
    monkeypatch.setattr(asending, "ANSWER_LIMIT", DEADLINE)
    assert (await gateway.asend(run, "add", id="taken")).client_id == "taken"
    assert await stored() == ["taken"]


async def test_a_command_that_fails_in_the_batch_fails_alone(run: Run, gate: Gate) -> None:
    other = await gateway.astart("counter")
    sent = [await gate.hold(gateway.asend(run, "add", id="first"))]
    sent += [asyncio.create_task(gateway.asend(each, "add")) for each in (other, run, other, run)]
    await until(lambda: waiting() == 4)
    await gateway.adelete(other)
    gate.opened.set()
    ends = await asyncio.gather(*sent, return_exceptions=True)
    assert [type(each) for each in ends] == [Command, NoRun, Command, NoRun, Command]


@pytest.mark.usefixtures("row_locks")
async def test_commands_for_a_run_that_a_view_holds_wait_for_it_in_order_and_no_others_do(run: Run) -> None:
    other = await gateway.astart("counter")
    held = host_view(lambda: gateway.share(run, "public"))
    await sync_to_async(held.__enter__)()
    try:
        sent = [asyncio.create_task(gateway.asend(run, "add", id=f"c{number}")) for number in range(5)]
        for _ in range(5):
            await asyncio.wait_for(gateway.asend(other, "add", id=f"o{_}"), DEADLINE)
        assert not any(each.done() for each in sent)
    finally:
        await sync_to_async(held.__exit__)(None, None, None)
    await asyncio.gather(*sent)
    assert await stored() == [f"o{n}" for n in range(5)] + [f"c{n}" for n in range(5)]


async def test_a_database_that_is_away_is_said_and_nothing_is_stored(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: not threads())

    def refuse(self: Any) -> None:
        raise OperationalError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "connect", refuse)
        ends = await asyncio.gather(*(gateway.asend(run, "add") for _ in range(5)), return_exceptions=True)
    assert {(each.code, each.retry) for each in ends} == {("db_down", 1)}  # type: ignore[union-attr]
    assert "nothing was stored" in str(ends[0])
    await gateway.asend(run, "add", id="a")
    assert await stored() == ["a"]


# -- transactions and threads ---------------------------------------------------------------------


def test_inside_a_transaction_it_is_stored_in_that(run: Run, batches: list[list[str]]) -> None:
    began = time.monotonic()
    with transaction.atomic():
        assert async_to_sync(gateway.aget)(run.id) == run
        row = async_to_sync(gateway.asend)(run, "add", id="a", wait=True, timeout=DEADLINE)
        assert Command.objects.get() == row
        transaction.set_rollback(True)
    assert time.monotonic() - began < DEADLINE / 2
    assert not Command.objects.exists() and batches == []
    assert async_to_sync(gateway.asend)(run, "add", id="b").pk
    assert batches == [["b"]]


def threads() -> list[str]:
    return [
        each.name for each in threading.enumerate() if each.name in ("livesim-commands", "livesim-checks")
    ]


async def test_threads_and_their_connections_are_there_while_there_is_work(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    closed: list[str] = []
    connect, close = BaseDatabaseWrapper.connect, BaseDatabaseWrapper.close

    def note_connect(self: Any) -> None:
        opened.append(threading.current_thread().name)
        connect(self)

    def note_close(self: Any) -> None:
        if self.connection is not None:
            closed.append(threading.current_thread().name)
        close(self)

    await until(lambda: not threads())
    monkeypatch.setattr(BaseDatabaseWrapper, "connect", note_connect)
    monkeypatch.setattr(BaseDatabaseWrapper, "close", note_close)
    for _ in range(2):
        await asyncio.gather(*(gateway.asend(run, "add") for _ in range(50)))
        await until(lambda: not threads())
    for name in ("livesim-commands", "livesim-checks"):
        assert 2 <= opened.count(name) == closed.count(name) <= 6, (opened, closed)
    assert await Command.objects.acount() == 100
