"""Sync code with a transaction in the host's own database, which waits for coroutines of the gateway."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.db import connections, transaction

from django_livesim import gateway
from django_livesim.models import Command

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sims"])


async def wait_for_it(run):
    row = await gateway.asend(run, "add", {"n": 1}, wait=True, timeout=0.2)
    assert (row.name, row.outcome) == ("add", "")


async def send_again(run):
    first = await gateway.asend(run, "add", {"n": 1}, id="x")
    assert await gateway.asend(run, "add", {"n": 1}, id="x") == first


async def pause(run):
    await gateway.apause(run)


async def inspect(run):
    assert (await gateway.ainspect(run, timeout=0.2))["status"]


@pytest.mark.parametrize("act", [wait_for_it, send_again, pause, inspect])
def test_the_transaction_goes_on(act):
    run = gateway.start("counter")
    with transaction.atomic(using="default"):
        Group.objects.create(name="ann")
        async_to_sync(act)(run)
        assert not connections["default"].closed_in_transaction
        Group.objects.create(name="bob")
    assert Group.objects.count() == 2


def test_a_command_is_stored_whatever_becomes_of_the_transaction():
    run = gateway.start("counter")
    with transaction.atomic(using="default"):
        async_to_sync(gateway.asend)(run, "add", {"n": 1})
        transaction.set_rollback(True, using="default")
    assert Command.objects.get().name == "add"
