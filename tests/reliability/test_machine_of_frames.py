"""Frames lost, doubled and reordered, in arbitrary histories: they end at the newest, and never go back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_livesim.bus import chain
from django_livesim.bus.chain import Chain, View
from django_livesim.bus.hub import Hub
from django_livesim.bus.rows import Facts, Rows
from django_livesim.bus.viewer import Viewer
from django_livesim.protocol import tables
from django_livesim.protocol.mirror import Mirror
from django_livesim.protocol.tables import Table

PARTS = st.none() | st.integers(0, 2) | st.dictionaries(st.sampled_from("xy"), st.none() | st.integers(0, 2))

SHIPS = Table("ships", x=int)


class Nowhere:
    """A receiver whose groups are joined at once; what it would send is passed over."""

    def join(self, group: str, hear: Any, joined: Any) -> None: ...

    def leave(self, group: str) -> None: ...

    async def send(self, channel: str, message: Any) -> None: ...


async def nothing(*args: Any) -> None:
    """No row, no stored view, no answer."""


class Client:
    """A page: shows what its socket brings, unless it is older than what is shown; asks if it missed one."""

    def __init__(self, asks: Callable[[Viewer], None]) -> None:
        self.viewer = Viewer(self.send, sender="u:1", role="view")
        self.mirror = Mirror()
        self.asks = asks
        self.ticks = [0]

    async def send(self, text: str) -> None: ...

    def read(self) -> None:
        """Take what the socket has, and acknowledge it."""
        while (text := self.viewer._next()) is not None:
            message = orjson.loads(text)
            if message["type"] not in ("snapshot", "delta"):
                continue
            self.viewer.ack(message["epoch"], message["seq"])
            if not self.mirror.take(message):
                self.asks(self.viewer)
            elif self.mirror.tick != self.ticks[-1]:
                self.ticks.append(self.mirror.tick)


class Frames(RuleBasedStateMachine):
    """A worker, and the next after it, publish; a network in between; a hub, and pages that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.epoch, self.seq, self.tick = 1, 0, 0
        self.state: dict[str, Any] = {}
        self.ships: dict[str, dict[str, int]] = {}
        self.chain = Chain()
        self.sent: dict[tuple[int, int], dict[str, Any]] = {}
        self.under_way: list[dict[str, Any]] = []
        self.clients: list[Client] = []
        self.run_id = uuid4()
        self._in_loop(self._begin)

    def _in_loop(self, function: Any, *args: Any) -> None:
        async def call() -> None:
            function(*args)

        self.loop.run_until_complete(call())

    def _begin(self) -> None:
        rows = Rows(facts=nothing, stored_view=nothing, answers=nothing)  # type: ignore[arg-type]
        self.hub = Hub(self.run_id, rows, Nowhere(), lambda hub: None)  # type: ignore[arg-type]
        self.hub._start = lambda what, work: work.close()  # type: ignore[method-assign]  # no rows: frames alone
        self._join()

    def _join(self) -> None:
        client = Client(self.hub._resync)
        self.clients.append(client)
        self.hub.join(client.viewer, Facts(status="running"))

    # -- the worker -----------------------------------------------------------------------------

    @rule(
        steps=st.integers(0, 3),
        changed=st.dictionaries(st.sampled_from("abc"), PARTS, max_size=2),
        ships=st.lists(
            st.tuples(st.sampled_from("abc"), st.integers(0, 1)), unique_by=lambda ship: ship[0], min_size=2
        ),
        whole=st.booleans(),
    )
    def publish(
        self, steps: int, changed: dict[str, Any], ships: list[tuple[str, int]], whole: bool = False
    ) -> None:
        """A frame of a later tick, or once more of the same; the ships of each in an order of its own."""
        self.tick += steps
        self.seq += 1
        if steps:
            self.state = {**self.state, **changed, "tick": self.tick, "more": "x" * 100}
            self.ships = {key: {"x": x} for key, x in ships}
        self.sent[self.epoch, self.seq] = {**self.state, "ships": self.ships}
        view = View(
            role="all",
            epoch=self.epoch,
            seq=self.seq,
            tick=self.tick,
            body=orjson.dumps(self.state),
            tables=orjson.dumps({"ships": SHIPS.pack(self.ships)}),
            whole=whole,
        )
        self.under_way.append(self.chain.message(view))

    @rule(later=st.integers(0, 2))
    def another_worker_takes_over(self, later: int) -> None:
        """It goes on from the horizon, and numbers its frames anew."""
        self.epoch, self.seq, self.tick = self.epoch + 1, 0, self.tick + later
        self.chain = Chain()

    # -- the network ----------------------------------------------------------------------------

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        """Any of those under way, and perhaps not for the last time."""
        index = data.draw(st.integers(0, len(self.under_way) - 1))
        message = self.under_way[index] if again else self.under_way.pop(index)
        self._in_loop(self.hub.hear, message)

    @precondition(lambda self: self.under_way)
    @rule()
    def deliver_all(self) -> None:
        """In order, as it mostly is; and everybody reads."""
        while self.under_way:
            self._in_loop(self.hub.hear, self.under_way.pop(0))
            for client in self.clients:
                client.read()

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))

    # -- the pages ------------------------------------------------------------------------------

    @precondition(lambda self: len(self.clients) < 3)
    @rule()
    def join(self) -> None:
        self._in_loop(self._join)

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.clients)).read()

    @rule(data=st.data())
    def resync(self, data: st.DataObject) -> None:
        self._in_loop(self.hub._resync, data.draw(st.sampled_from(self.clients)).viewer)

    # -- what must hold -------------------------------------------------------------------------

    @rule(data=st.data())
    def one_frame_heals_it(self, data: st.DataObject) -> None:
        """Whatever was lost: one frame that the worker is asked for, and every page shows the newest."""
        self.publish(0, {}, [], whole=True)
        newest = self.under_way.pop()
        late, self.under_way = data.draw(st.permutations(self.under_way)), []
        place = data.draw(st.integers(0, len(late)))
        for message in [*late[:place], newest, *late[place:]]:
            self._in_loop(self.hub.hear, message)
        for client in self.clients:
            client.read()
            assert client.mirror.tick == self.tick
        newest = self.hub.newest("all")
        assert newest is not None
        assert newest.number == (self.epoch, self.seq)  # for whoever joins next

    @invariant()
    def everybody_sees_what_was_sent(self) -> None:
        for client in self.clients:
            if (picture := client.mirror.picture) is not None:
                shown = {**picture.state, "ships": tables.unpack(picture.tables["ships"])}
                assert shown == self.sent[client.mirror.number]

    @invariant()
    def nobody_goes_back(self) -> None:
        for client in self.clients:
            assert client.ticks == sorted(client.ticks)

    def teardown(self) -> None:
        self._in_loop(self.hub.close)
        self.loop.close()


@pytest.fixture
def _no_running_loop() -> Iterator[None]:
    """Each example has a loop of its own."""
    yield
    asyncio.set_event_loop(None)


@pytest.mark.usefixtures("_no_running_loop")
def test_frames_lost_doubled_and_reordered_end_at_the_newest_and_never_go_back(monkeypatch) -> None:
    monkeypatch.setattr(chain, "SMALL", 0)
    monkeypatch.setattr(chain, "WORTH", 10)
    run_state_machine_as_test(
        Frames, settings=settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
    )
