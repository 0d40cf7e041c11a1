"""`durable=False` the whole way: from its sender over the layer to the run, and its row with the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import transaction

from django_livesim import Refused, Simulation, asend, command, gateway, registry, send
from django_livesim.bus import volatile as bus
from django_livesim.models import Command, Run
from django_livesim.protocol.errors import Code, LivesimError
from django_livesim.protocol.names import VOLATILE, Kind, Status
from django_livesim.protocol.records import Entry
from django_livesim.store import intake
from django_livesim.testing import wait_until, worker_in_process
from django_livesim.worker import Engine
from tests.test_socket import Socket, log_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def patient(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not a layer that is away."""
    monkeypatch.setattr(bus, "LIMIT", 5.0)


@pytest.fixture
def core_layer(redis_layer: dict[str, Any], settings: Any) -> None:
    settings.CHANNEL_LAYERS = {"default": redis_layer | {"BACKEND": "channels_redis.core.RedisChannelLayer"}}


@pytest.fixture(params=["local", "redis_layer", "core_layer"])
def _layer(request: pytest.FixtureRequest) -> None:
    if request.param != "local":
        request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def steering() -> Iterator[type[Simulation]]:
    class Steering(Simulation):
        tick_rate = 20

        def setup(self) -> None:
            self.state = {"n": 0, "log": []}

        def step(self, dt: float) -> None:
            self.state["n"] += 1

        @command(durable=False)
        def turn(self, by: int = 1) -> int:
            if by > 100:
                raise Refused("too far")
            self.state["log"].append(by)
            return by

        @command
        def note(self, by: int = 1) -> None:
            self.state["log"].append(by)

    registry.register(Steering)
    yield Steering
    registry.unregister(Steering.name)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with worker_in_process() as engine:
        yield engine


@pytest.fixture
def run(_layer: None, patient: None, engine: Engine) -> Run:
    return started()


def started() -> Run:
    run = gateway.start("steering", visibility="public")
    wait_until(lambda: Run.objects.get(id=run.id).status == Status.RUNNING)
    return Run.objects.get(id=run.id)


def log(run: Run) -> list[int]:
    found: list[int] = gateway.inspect(run, timeout=60)["state"]["log"]
    return found


def row_of(sent: Command) -> Command:
    return wait_until(lambda: Command.objects.filter(client_id=sent.client_id).first())


def test_it_has_no_row_until_it_has_acted_and_then_one_with_its_answer(run: Run) -> None:
    sent = send(run, "turn", {"by": 7})
    assert (sent.pk, sent.durable, sent.outcome) == (None, False, "")
    row = row_of(sent)
    assert (row.durable, row.outcome, row.result, row.sender) == (False, "applied", 7, sent.sender)
    assert row.apply_seq == 1
    assert log(run) == [7]


def test_who_waits_gets_the_row(run: Run) -> None:
    sent = send(run, "turn", {"by": 7}, wait=True)
    assert (sent.outcome, sent.result, sent.pk) == ("applied", 7, Command.objects.get().pk)
    refused = send(run, "turn", {"by": 101}, wait=True)
    assert (refused.outcome, refused.code, refused.message) == ("refused", "refused", "too far")


@pytest.mark.usefixtures("patient")
def test_those_of_one_sender_act_in_their_order(run: Run) -> None:
    sent = [send(run, "turn", {"by": n}) for n in range(30)]
    row_of(sent[-1])
    wait_until(lambda: Command.objects.filter(outcome="applied").count() == 30)
    assert log(run) == list(range(30))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("layer", ["redis_layer", "core_layer"])
def test_those_that_are_sent_before_the_first_was_taken_act_in_their_order(
    request: pytest.FixtureRequest, layer: str
) -> None:
    """As the threads of a server send them, all over connections of their own."""
    request.getfixturevalue(layer)
    with worker_in_process():
        run = started()
        assert run.worker_id
        wanted = [WANTED | {"client_id": f"i{n}", "args": {"by": n}} for n in range(50)]
        for done in [bus.submit(run.worker_id, run.id, each) for each in wanted]:
            done.result(5)
        wait_until(lambda: Command.objects.filter(outcome="applied").count() == 50)
        assert log(run) == list(range(50))


def test_the_same_id_is_one_command_with_one_answer(run: Run) -> None:
    sent = [send(run, "turn", {"by": 7}, id="i") for _ in range(5)]
    row = row_of(sent[0])
    again = send(run, "turn", {"by": 7}, id="i")
    assert (again.pk, again.result) == (row.pk, 7)
    with pytest.raises(LivesimError) as caught:
        send(run, "turn", {"by": 8}, id="i")
    assert caught.value.code == Code.DUPLICATE_ID
    assert log(run) == [7]


@pytest.mark.parametrize("when", [{"delay": 0.1}, {"at_tick": 1}, {"every": 60, "delay": 0}])
def test_one_that_is_scheduled_has_a_row_like_any_other(run: Run, when: Any) -> None:
    sent = send(run, "turn", {"by": 7}, wait=True, **when)
    assert (sent.durable, sent.outcome) == (True, "applied")


def test_inside_a_transaction_it_has_a_row_and_goes_with_it(run: Run) -> None:
    with transaction.atomic():
        assert send(run, "turn", {"by": 7}).pk
        transaction.set_rollback(True)
    with transaction.atomic():
        sent = send(run, "turn", {"by": 8})
    assert gateway.wait(sent).outcome == "applied"
    assert log(run) == [8]


async def test_so_it_is_from_a_coroutine(run: Run) -> None:
    sent = await asend(run, "turn", {"by": 7}, wait=True)
    assert (sent.outcome, sent.result, sent.durable) == ("applied", 7, False)


@pytest.mark.usefixtures("patient")
async def test_a_socket_is_told_accepted_and_then_the_answer(run: Run) -> None:
    user = await sync_to_async(get_user_model().objects.create_superuser)("root")
    async with Socket(run.id, cookies=await sync_to_async(log_in)(user)) as socket:
        (hello,) = await socket.until(lambda: socket.of("hello"))
        assert {each["name"]: each["durable"] for each in hello["commands"]} == {"turn": False, "note": True}
        await socket.until(lambda: socket.of("snapshot"))  # from here on nothing said to viewers is missed
        for n in range(5):
            socket.command(f"i{n}", "turn", by=n)
        await socket.until(lambda: len(socket.of("applied")) == 5)
    for n in range(5):
        kinds = [each["type"] for each in socket.heard if each.get("id") == f"i{n}"]
        assert kinds == ["accepted", "applied"]
    assert [each["result"] for each in socket.of("applied")] == list(range(5))
    assert await sync_to_async(log)(run) == list(range(5))
    assert not any(durable for durable in await sync_to_async(durables)())


def durables() -> list[bool]:
    return list(Command.objects.filter(name="turn").values_list("durable", flat=True))


@pytest.mark.usefixtures("_layer")
def test_where_no_worker_holds_the_run_it_has_a_row(steering: Any) -> None:
    run = gateway.start("steering")
    sent = send(run, "turn", {"by": 7})
    assert (sent.pk is not None, sent.durable) == (True, True)
    with worker_in_process():
        assert gateway.wait(sent, 60).outcome == "applied"


def test_where_this_process_cannot_reach_the_worker_it_has_a_row(engine: Engine) -> None:
    run = started()
    engine.doorbell.deafen()  # as in a process without the layer that the worker has
    sent = send(run, "turn", {"by": 7})
    assert sent.durable
    assert gateway.wait(sent, 60).outcome == "applied"


def test_a_layer_that_is_away_is_told_as_busy_and_nothing_is_stored(redis_layer: Any, settings: Any) -> None:
    with worker_in_process():
        run = started()
        away = {"address": "redis://127.0.0.1:1", "socket_timeout": None}
        settings.CHANNEL_LAYERS = {"default": redis_layer | {"CONFIG": {"hosts": [away]}}}
        with pytest.raises(LivesimError) as caught:
            send(run, "turn", {"by": 7})
        assert (caught.value.code, caught.value.retry) == (Code.BUSY, 1)
        assert not Command.objects.exists()
        assert gateway.wait(send(run, "note", {"by": 8}), 60).outcome == "applied"


def test_an_id_that_has_a_row_already_drops_the_memory_and_acts_once(run: Run, engine: Engine) -> None:
    """Two sends at once, of which one saw no worker: a row and a message."""
    row = intake.create_command(
        run.id, kind=Kind.COMMAND, name="turn", args={"by": 7}, sender="u:1", client_id="i", body_hash="h"
    )
    engine.supervisor.volatile(run.id, message("i"))
    wait_until(lambda: Command.objects.get(pk=row.pk).outcome == "applied")
    assert log(run) == [7]
    assert Command.objects.filter(client_id="i").count() == 1


def test_history_has_it_for_an_heir(run: Run, engine: Engine) -> None:
    for n in range(5):
        send(run, "turn", {"by": n}, wait=True)
    engine.supervisor.post(engine.supervisor._forget, engine.supervisor.runners[run.id])
    wait_until(lambda: run.id in engine.supervisor.runners)
    assert log(run) == list(range(5))


def message(client_id: str) -> Entry:
    given = {"client_id": client_id, "sender": "u:1", "name": "turn", "args": {"by": 7}, "body_hash": "h"}
    return Entry(id=None, kind=Kind.COMMAND, **given)


WANTED = {"name": "turn", "args": {"by": 7}, "sender": "u:1", "client_id": "i", "body_hash": "h"}


def test_what_crosses_the_layer_comes_back_alike() -> None:
    run = Run().id
    sent = bus.encode(run, WANTED | {"durable": False, "kind": Kind.COMMAND})
    assert sent["type"] == VOLATILE
    assert bus.decode(sent) == (run, message("i"))


@pytest.mark.parametrize(
    "other",
    [
        {"client_id": "a b"},
        {"client_id": 5},
        {"name": ""},
        {"name": "x" * 201},
        {"sender": "x" * 81},
        {"args": [1]},
        {"args": {"a": "\0"}},
        {"name": "a\0"},
        {"body_hash": None},
    ],
)
def test_what_is_no_command_is_dropped_and_ends_nothing(other: Any, engine: Engine) -> None:
    bad = bus.encode(Run().id, WANTED | other)
    with pytest.raises(ValueError, match="not "):
        bus.decode(bad)
    for each in (bad, {"type": VOLATILE}, {"type": VOLATILE, "run": "x", "command": "{"}):
        engine.hear(each)
    assert engine.ledger.worker


def test_a_message_never_makes_a_control() -> None:
    _, entry = bus.decode(bus.encode(Run().id, WANTED | {"name": "stop", "kind": "control"}))
    assert entry.kind is Kind.COMMAND


def test_a_person_is_limited_as_with_any_command(run: Run, settings: Any) -> None:
    settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "2/h"}}
    user = get_user_model().objects.create_superuser("root")
    for _ in range(2):
        send(run, "turn", user=user)
    with pytest.raises(LivesimError) as caught:
        send(run, "turn", user=user)
    assert caught.value.code == Code.TOO_MANY
