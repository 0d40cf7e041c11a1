"""Live parameters at the socket: what `hello` tells, and what those who watch hear of a change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from asgiref.sync import sync_to_async

from django_livesim import gateway, params
from django_livesim.models import Command, Run
from django_livesim.simulation import Loop, Simulation
from django_livesim.testing import worker_in_process
from tests.bath import Bath, registered
from tests.documents import blocks
from tests.test_socket import Socket, cookies, log_in, make_user, nothing_is_left, owner

__all__ = ["cookies", "nothing_is_left", "owner"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def bath() -> Iterator[None]:
    with registered(Bath):
        yield


@pytest.fixture
def run(owner: Any) -> Run:
    return gateway.start("bath", owner=owner)


async def test_hello_has_set_with_its_schema(run: Run, cookies: str) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        hello = (await socket.until(lambda: socket.of("hello")))[0]
        pour, told = hello["commands"]
        assert (pour["name"], told["name"], told["label"], told["durable"]) == (
            "pour",
            "set",
            "Set parameters",
            True,
        )
        jsonschema.Draft202012Validator.check_schema(told["schema"])
        assert list(told["schema"]["properties"]) == ["room", "stirred", "scent", "soak"]


async def test_where_nothing_is_live_there_is_no_set(owner: Any, cookies: str) -> None:
    counter = await sync_to_async(gateway.start)("counter", owner=owner)
    async with Socket(counter.id, cookies=cookies) as socket:
        hello = (await socket.until(lambda: socket.of("hello")))[0]
        assert "set" not in [each["name"] for each in hello["commands"]]


async def test_wrong_ones_are_told_by_field_and_store_nothing(run: Run, cookies: str) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        socket.command("a", "set", room=99)
        error = await socket.error()
        assert (error["code"], error["fields"].keys()) == ("bad_args", {"room"})
        socket.command("b", "set", litres=9)
        error = await socket.error(2)
        assert (error["code"], error["fields"].keys()) == ("bad_args", {"litres"})
    assert not await Command.objects.aexists()


async def test_who_only_watches_is_refused(run: Run) -> None:
    await Run.objects.filter(pk=run.pk).aupdate(visibility="public")
    Bath.open_commands = False
    try:
        guest = await sync_to_async(lambda: log_in(make_user("bob")))()
        async with Socket(run.id, cookies=guest) as socket:
            socket.command("a", "set", room=9)
            assert (await socket.error())["code"] == "forbidden"
    finally:
        Bath.open_commands = True


@pytest.fixture
def worker(bath: None) -> Iterator[None]:
    with worker_in_process():
        yield


async def test_everybody_hears_that_some_were_set_and_nobody_the_values(
    run: Run, cookies: str, worker: None
) -> None:
    await Run.objects.filter(pk=run.pk).aupdate(visibility="public")
    async with Socket(run.id, cookies=cookies) as mine, Socket(run.id) as others:
        await others.until(lambda: others.of("snapshot"))
        mine.command("a", "set", room=31)
        applied = (await mine.until(lambda: mine.of("applied")))[0]
        heard = (await others.until(lambda: others.of("applied")))[0]
        assert (applied["command"], applied["result"]) == ("set", None)
        assert (heard["command"], heard.get("result")) == ("set", None)
        now = await Run.objects.aget(pk=run.pk)
        assert now.params_set == {"room": 31.0}


def test_the_document_shows_what_hello_has() -> None:
    messages = map(
        json.loads, (each.text for each in blocks("docs/protocol.md", "json") if "set" in each.text)
    )
    shown = next(each["commands"][0] for each in messages if each.get("simulation") == "bath")
    source = next(each.text for each in blocks("docs/authoring.md", "python") if "class Bath" in each.text)
    names: dict[str, Any] = {"__name__": "tests.app.simulations"}
    exec(compile(source.replace("@register\n", ""), "authoring", "exec", dont_inherit=True), names)
    documented: type[Simulation] | Loop = names["Bath"]
    spec = params.commands(documented)["set"]
    assert shown == {
        "name": spec.name,
        "label": str(spec.label),
        "durable": spec.durable,
        "schema": params.schema(params.form_class(spec)),
    }
