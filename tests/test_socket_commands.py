"""Commands of many sockets at once: stored together, each socket's in the order sent, each answered."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission

from django_livesim import gateway
from django_livesim.models import Command, Run
from django_livesim.store import batch
from tests.test_socket import Socket, log_in, make_user, nothing_is_left

__all__ = ["nothing_is_left"]

pytestmark = pytest.mark.django_db(transaction=True)

SOCKETS, COMMANDS = 10, 30


@pytest.fixture
def owner(transactional_db: None) -> Any:
    return make_user()


@pytest.fixture
def run(owner: Any) -> Run:
    return gateway.start("counter", {"start": 3}, owner=owner)


def log_in_helper(number: int) -> str:
    user = make_user(f"helper{number}")
    user.user_permissions.set(Permission.objects.filter(codename="command_run"))
    return log_in(user)


async def test_many_sockets_share_commits_and_each_has_its_commands_in_order(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, batches = batch.insert_commands, []

    def note(wanted: Any) -> Any:
        batches.append(len(wanted))
        return insert(wanted)

    monkeypatch.setattr(batch, "insert_commands", note)
    ids = [f"c{number}" for number in range(COMMANDS)]
    async with AsyncExitStack() as stack:
        sockets = []
        for number in range(SOCKETS):
            cookies = await sync_to_async(log_in_helper)(number)
            sockets.append(await stack.enter_async_context(Socket(run.id, cookies=cookies)))
        for name in ids:
            for socket in sockets:
                socket.command(name, "add", n=1)
        for socket in sockets:
            await socket.until(lambda socket=socket: len(socket.of("accepted")) == COMMANDS, 30)
            assert [each["id"] for each in socket.of("accepted")] == ids
    rows = [each async for each in Command.objects.order_by("id").values_list("sender", "client_id")]
    by_sender: dict[str, list[str]] = {}
    for sender, client_id in rows:
        by_sender.setdefault(sender, []).append(client_id)
    assert list(by_sender.values()) == [ids] * SOCKETS
    assert sum(batches) == SOCKETS * COMMANDS > len(batches)


async def test_a_socket_that_leaves_takes_nobodys_commands_with_it(run: Run, owner: Any) -> None:
    cookies = await sync_to_async(log_in)(owner)
    async with Socket(run.id, cookies=cookies) as stays:
        await stays.until(lambda: stays.of("status"))
        leaving = [Socket(run.id, cookies=cookies) for _ in range(5)]
        for number, socket in enumerate(leaving):
            await socket.__aenter__()
            socket.command(f"l{number}", "add", n=1)
            stays.command(f"s{number}", "add", n=1)
        await asyncio.gather(*(socket.__aexit__() for socket in leaving))
        await stays.until(lambda: len(stays.of("accepted")) == 5)
    found = {each async for each in Command.objects.values_list("client_id", flat=True)}
    assert {f"s{number}" for number in range(5)} <= found
