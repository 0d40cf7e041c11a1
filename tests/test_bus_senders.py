"""Who is told by whom a command was sent, and what holds that up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from django_livesim.bus import hub as hub_module
from django_livesim.bus import senders
from django_livesim.bus.hub import Hub
from django_livesim.bus.hubs import hubs
from django_livesim.bus.rows import Facts, Rows
from django_livesim.protocol.frames import Verdict
from tests.protocol_schemas import check
from tests.test_bus import Page, until

KNOWING = frozenset({"control", "owner"})


class Names:
    """The names of users, read one question at a time."""

    def __init__(self) -> None:
        self.known = {"u:1": "ada", "u:2": "grace"}
        self.asked: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, wanted: Sequence[str]) -> dict[str, str]:
        self.asked.append(list(wanted))
        await self.gate.wait()
        return {sender: self.known[sender] for sender in wanted if sender in self.known}


@pytest.fixture
def names() -> Names:
    return Names()


async def nothing(*args: Any) -> None:
    return None


async def running(run: UUID) -> Facts:
    return Facts(status="running", epoch=1)


async def no_answers(*args: Any) -> list[Verdict]:
    return []


@pytest.fixture(autouse=True)
async def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(hub_module, "LINGER", 0.05)
    yield
    await until(lambda: not len(hubs()))


@asynccontextmanager
async def watched(names: Names, *pages: Page) -> AsyncIterator[Hub]:
    rows = Rows(
        facts=running, stored_view=nothing, answers=no_answers, names=names.read, know_senders=KNOWING
    )
    run, facts = uuid4(), Facts(status="running", epoch=1)
    joined = [hubs().join(run, page.viewer, facts, rows) for page in pages]
    pumps = [asyncio.create_task(page.viewer.pump()) for page in pages]
    try:
        yield joined[0]
    finally:
        for page in pages:
            joined[0].leave(page.viewer)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def verdict(sender: str, id: str, **more: Any) -> dict[str, Any]:
    return Verdict(sender=sender, id=id, command="add", **{"outcome": "applied", "tick": 4} | more).encode()


def told(page: Page) -> list[Any]:
    return [each.get("by") for each in page.heard if each["type"] in ("applied", "refused")]


async def test_those_who_may_control_a_run_are_told_and_nobody_else(names: Names) -> None:
    owner, warden = Page(sender="u:9", role="owner"), Page(sender="u:8", role="control")
    other, guest = Page(sender="u:7", role="command"), Page(sender="v:1", role="view")
    everybody = (owner, warden, other, guest)
    async with watched(names, *everybody) as hub:
        hub.hear(verdict("u:1", "a"))
        hub.hear(verdict("u:2", "b", outcome="refused", code="refused", message="no"))
        hub.hear(verdict("p:cli", "c"))
        hub.hear(verdict("s:0123", "d"))
        hub.hear(verdict("u:404", "e"))
        await until(lambda: all(len(told(page)) == 5 for page in everybody))
    for page in (owner, warden):
        assert told(page) == [
            {"kind": "user", "name": "ada"},
            {"kind": "user", "name": "grace"},
            {"kind": "process", "name": "cli"},
            {"kind": "visitor", "name": ""},
            {"kind": "user", "name": ""},
        ]
    assert told(other) == told(guest) == [None] * 5
    for message in owner.heard + guest.heard:
        check("server", message)


async def test_the_sender_is_told_once_and_not_who_it_is(names: Names) -> None:
    ada = Page(sender="u:1", role="owner")
    async with watched(names, ada) as hub:
        ada.viewer.outcomes.expect("a")
        ada.viewer.accept("a", "add")
        hub.hear(verdict("u:1", "a", result="5"))
        await until(lambda: ada.of("applied"))
        await asyncio.sleep(0.05)
    assert ada.of("applied") == [{"type": "applied", "id": "a", "command": "add", "tick": 4, "result": 5}]
    assert names.asked == []


async def test_names_are_asked_for_together_and_kept(names: Names) -> None:
    page = Page(sender="u:9", role="owner")
    names.gate.clear()
    async with watched(names, page) as hub:
        hub.hear(verdict("u:1", "a"))
        await until(lambda: names.asked)
        for number in range(50):
            hub.hear(verdict(f"u:{1 + number % 3}", f"b{number}"))
        names.gate.set()
        await until(lambda: len(told(page)) == 51)
        hub.hear(verdict("u:2", "z"))
        await until(lambda: len(told(page)) == 52)
    assert names.asked == [["u:1"], ["u:2", "u:3"]]
    assert [each["name"] for each in told(page)] == [
        "ada", *(["ada", "grace", ""][number % 3] for number in range(50)), "grace"
    ]  # fmt: skip


async def test_a_database_that_does_not_answer_holds_up_nobody_for_long(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "LIMIT", 0.2)
    page, guest = Page(sender="u:9", role="owner"), Page(sender="v:1", role="view")
    names.gate.clear()
    async with watched(names, page, guest) as hub:
        hub.hear(verdict("u:1", "a"))
        await until(lambda: guest.of("applied"))
        await until(lambda: page.of("applied"))
        names.gate.set()
        hub.hear(verdict("u:1", "b"))
        await until(lambda: len(told(page)) == 2)
    assert told(page) == [{"kind": "user", "name": ""}, {"kind": "user", "name": "ada"}]


async def test_of_those_that_wait_there_is_an_end(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "MOST", 20)
    page = Page(sender="u:9", role="owner")
    names.gate.clear()
    async with watched(names, page) as hub:
        for number in range(30):
            hub.hear(verdict(f"u:{number}", f"a{number}"))
        await until(lambda: len(told(page)) == 21)  # without a name
        names.gate.set()
        await until(lambda: len(told(page)) == 30)


def lane(kind: str, **said: Any) -> dict[str, Any]:
    text = orjson.dumps({"type": kind, **said}).decode()
    return {"type": "livesim.lane", "kind": kind, "epoch": 1, "text": text}


@pytest.mark.parametrize("most", [2, 1000])
async def test_what_is_said_after_a_verdict_comes_after_it(
    names: Names, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(senders, "MOST", most)
    owner, guest = Page(sender="u:9", role="owner"), Page(sender="v:1", role="view")
    names.gate.clear()
    async with watched(names, owner, guest) as hub:
        for number in range(4):
            hub.hear(verdict("u:1", f"a{number}"))
            hub.hear(lane("event", name=f"of a{number}", data=None, tick=4))
        hub.hear(lane("end", status="finished", result=None, next=None))
        await until(lambda: any(each["type"] == "end" for each in guest.heard))
        names.gate.set()
        await until(lambda: any(each["type"] == "end" for each in owner.heard))
        heard = [[each["type"] for each in page.heard if each["type"] in KINDS] for page in (owner, guest)]
    assert heard[0] == heard[1] == ["applied", "event"] * 4 + ["end"]


KINDS = ("applied", "event", "end")
