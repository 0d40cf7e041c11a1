"""The threads that check commands: nothing that a host's own code does there ends them for good."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db.models.signals import post_save

from django_livesim import gateway
from django_livesim.gateway import checking
from django_livesim.models import Command, Run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run() -> Run:
    return gateway.start("counter")


async def test_a_policy_that_exits_is_told_to_the_sender_and_stops_no_further_command(
    run: Run, settings: Any
) -> None:
    def leave(*args: Any) -> bool:
        raise SystemExit("enough")

    bob = await get_user_model().objects.acreate_user("bob")
    settings.LIVESIM = {"POLICY": leave}
    for _ in range(checking.THREADS + 1):
        with pytest.raises(RuntimeError, match="SystemExit was raised while a command was checked") as caught:
            await gateway.asend(run, "add", user=bob)
        assert isinstance(caught.value.__cause__, SystemExit)
    settings.LIVESIM = {"POLICY": lambda *args: True}
    assert (await gateway.asend(run, "add", user=bob)).pk


async def test_a_receiver_that_exits_while_a_row_is_stored_stops_no_further_command(run: Run) -> None:
    """A row that is due by the clock of the database is saved by Django, whose signals a host may hear."""

    def leave(**kwargs: Any) -> None:
        raise SystemExit("enough")

    await sync_to_async(post_save.connect)(leave, sender=Command)
    try:
        with pytest.raises(RuntimeError, match="SystemExit"):
            await gateway.asend(run, "add", delay=9)
    finally:
        post_save.disconnect(leave, sender=Command)
    assert (await gateway.asend(run, "add", delay=9)).pk
    assert await Command.objects.acount() == 1
