"""Checks in threads of their own: what a caller has set for itself is true in them, and for nobody else."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from asgiref.local import Local
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.utils import timezone

from django_livesim import gateway, registry
from django_livesim.models import Run
from django_livesim.protocol.errors import NoRun

pytestmark = pytest.mark.django_db(transaction=True)

NOON = {"when": "2026-01-01T12:00:00"}


@pytest.fixture
def clocked() -> Iterator[Run]:
    @registry.register(name="clocked")
    def clocked(sim: Any) -> None: ...

    @clocked.command  # type: ignore[attr-defined]
    def at(sim: Any, when: datetime.datetime) -> None: ...

    yield gateway.start("clocked")
    registry.unregister("clocked")


async def test_a_moment_without_a_zone_is_in_that_of_the_caller(clocked: Run) -> None:
    with timezone.override(ZoneInfo("Asia/Tokyo")):
        sync = await sync_to_async(gateway.send)(clocked, "at", NOON, id="a")
        row = await gateway.asend(clocked, "at", NOON)
        again = await gateway.asend(clocked, "at", NOON, id="a")
    assert row.args == sync.args
    assert again.pk == sync.pk
    others = await gateway.asend(clocked, "at", NOON)
    assert others.args == (await sync_to_async(gateway.send)(clocked, "at", NOON)).args != row.args


async def test_what_a_host_keeps_in_a_local_is_there_for_its_policy(settings: Any) -> None:
    bob = await get_user_model().objects.acreate_user("bob")
    run = await gateway.astart("counter")
    tenant = Local()
    settings.LIVESIM = {"POLICY": lambda *args: getattr(tenant, "name", None) == "ours"}
    with pytest.raises(NoRun):
        await gateway.asend(run, "add", user=bob)
    tenant.name = "ours"
    await gateway.asend(run, "add", user=bob)
    del tenant.name
    with pytest.raises(NoRun):
        await gateway.asend(run, "add", user=bob)
