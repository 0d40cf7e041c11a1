"""A run is taken up by newer code, and from the checkpoint before where one cannot be used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from django_livesim.protocol import plain
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import DAMAGED, Passed, Stored
from django_livesim.runtime.ports import StatusOut
from django_livesim.simulation import Loop, Simulation, command
from tests.runtime.world import World


class Counting(Simulation):
    """Version 1: counts, and keeps what is added in `log`."""

    name = "counting"
    tick_rate = 10

    def setup(self):
        self.state = {"value": 0, "log": []}

    def step(self, dt):
        self.state["value"] += 1

    @command
    def add(self, n):
        self.state["log"].append(n)


class Renamed(Counting):
    """Version 3: `value` is `count`."""

    name = "counting"
    version = 3

    def setup(self):
        self.state = {"count": 0, "log": [], "from": None}

    def step(self, dt):
        self.state["count"] += 1

    def upgrade(self, state, from_version):
        return {"count": state["value"], "log": state["log"], "from": from_version}


def crashed(definition: Any = Counting, seconds: float = 1.0) -> tuple[World, Any]:
    """A run with a checkpoint and a journal after it whose worker is no more."""
    world = World(definition)
    run = world.start(definition)
    world.run_for(seconds)
    world.control(run, "pause")  # a checkpoint
    world.control(run, "resume")
    world.send(run, "add", n=1)
    world.run_for(0.5)
    world.send(run, "add", n=2)
    world.row(run)["worker"] = False
    return world, run


def taken_up(world: World, *definitions: Any) -> World:
    heir = World(*definitions, ledger=world.ledger)
    heir.supervisor.ring()
    heir.settle()
    return heir


def reasons(world: World, run: Any) -> list[str]:
    return [status.reason for status in world.out(StatusOut, run)]


def test_newer_code_takes_a_run_over_with_its_state_upgraded_and_its_journal_played_again():
    world, run = crashed()
    tick = world.ledger.checkpoints[run][-1].tick
    heir = taken_up(world, Renamed)
    state = heir.state(run)
    assert (state["from"], state["log"]) == (1, [1, 2])
    assert state["count"] == heir.runner(run).host.tick
    assert heir.row(run)["version"] == 3
    assert reasons(heir, run)[-1] == f"taken over by version 3 from tick {tick}"
    assert heir.runner(run).taken_over


def test_what_this_version_has_stored_is_not_upgraded_again():
    world, run = crashed()
    heir = taken_up(world, Renamed)
    heir.control(run, "pause")
    heir.row(run)["worker"] = False

    class Same(Renamed):
        name = "counting"

        def upgrade(self, state, from_version):
            raise AssertionError("not asked")

    again = taken_up(heir, Same)
    assert again.state(run)["from"] == 1
    assert reasons(again, run)[-1].startswith("goes on from tick")
    assert not again.runner(run).taken_over


def test_a_run_that_no_code_has_set_up_yet_is_not_taken_over():
    world = World(Counting)
    run = world.ledger.add("counting", {}, 1)
    heir = taken_up(world, Renamed)
    assert (heir.row(run)["version"], heir.row(run)["reason"]) == (3, "")
    assert heir.state(run)["from"] is None


def test_a_state_without_upgrade_goes_on_as_it_is():
    world, run = crashed()

    class Second(Counting):
        name = "counting"
        version = 2

    heir = taken_up(world, Second)
    assert heir.state(run)["log"] == [1, 2]
    assert heir.row(run)["version"] == 2


@pytest.mark.parametrize("wrong", [lambda state: None, lambda state: state["missing"]])
def test_an_upgrade_that_fails_leaves_the_run_failed_and_its_checkpoints_there(wrong):
    world, run = crashed()

    class Broken(Renamed):
        name = "counting"

        def upgrade(self, state, from_version):
            return wrong(state)

    before = list(world.ledger.checkpoints[run])
    world.ledger.checkpoints[run] = before[-1:]
    heir = taken_up(world, Broken)
    row = heir.row(run)
    assert row["status"] is Status.FAILED
    assert row["version"] == 1
    expected = ("upgrade() of counting gave NoneType for a state of version 1.", "KeyError: 'missing'")
    assert any(text in row["error"] for text in expected)
    assert world.ledger.checkpoints[run] == before[-1:]


def test_a_loop_upgrades_the_state_it_is_given():
    async def old(sim):
        log = sim.state.setdefault("log", [])
        while True:
            log.extend(message.args["n"] for message in sim.messages())
            await sim.sleep(0.1)

    async def new(sim):
        while True:
            sim.state["notes"].extend(message.args["n"] for message in sim.messages())
            await sim.sleep(0.1)

    first, second = Loop(old, name="diary"), Loop(new, name="diary", version=2)

    @second.upgrade
    def notes(state, from_version):
        return {"notes": state["log"], "from": from_version}

    world, run = crashed(first)
    heir = taken_up(world, second)
    heir.run_for(0.3)
    assert heir.state(run) == {"notes": [1, 2], "from": 1}
    assert reasons(heir, run)[-1].startswith("taken over by version 2 from tick ")
    assert heir.row(run)["version"] == 2


class Choosy(Counting):
    """Takes up no state that is marked."""

    name = "counting"

    def load(self, data):
        if data.get("marked"):
            raise KeyError("marked")
        super().load(data)


def marked(stored: Stored, data: bytes | None = None) -> Stored:
    document = orjson.loads(stored.data)
    document["state"]["marked"] = True
    data = plain.encode(document) if data is None else data
    return replace(stored, data=data, hash=plain.digest(data))


@pytest.mark.parametrize(
    "data", [None, b"[]", b"{}", b'{"state": {}, "random": [1], "steps": 0}', b"no JSON"]
)
def test_a_checkpoint_that_cannot_be_taken_up_gives_way_to_the_one_before(data, caplog):
    world, run = crashed()
    kept = world.ledger.checkpoints[run]
    assert len(kept) == 2
    tick = kept[-1].tick
    kept[-1] = marked(kept[-1], data)
    heir = taken_up(world, Choosy)
    assert heir.row(run)["status"] is Status.RUNNING
    state = heir.state(run)
    assert state["log"] == [1, 2]
    assert state["value"] == heir.runner(run).host.tick >= tick
    assert (
        f"a stored state could not be taken up, that of tick {tick}: its code raised"
        in reasons(heir, run)[-1]
    )
    assert "a checkpoint cannot be taken up" in caplog.text
    assert heir.runner(run).epoch == 2  # under the same claim
    assert kept[1].data != b""  # still there, for code that can


def test_where_no_checkpoint_can_be_taken_up_that_is_a_strike_with_the_traceback():
    world, run = crashed()
    kept = world.ledger.checkpoints[run]
    kept[:] = [marked(each) for each in kept]
    heir = taken_up(world, Choosy)
    row = heir.row(run)
    assert row["reason"] == "its code cannot take up what is stored: KeyError"
    assert "KeyError: 'marked'" in row["error"]
    assert run not in heir.supervisor.runners


def test_a_run_is_not_held_any_more_where_the_older_checkpoint_could_not_be_read():
    world, run = crashed()
    kept = world.ledger.checkpoints[run]
    kept[-1] = marked(kept[-1])
    heir = World(Choosy, ledger=world.ledger)
    load_again = world.ledger.load_again
    world.ledger.load_again = lambda run, passed, done: world.ledger.post(done, None)  # type: ignore[method-assign]
    heir.supervisor.ring()
    heir.settle()
    assert heir.supervisor.runners == {}
    world.ledger.load_again = load_again  # type: ignore[method-assign]
    world.row(run)["worker"] = False
    heir.supervisor.ring()
    heir.settle()
    assert heir.state(run)["log"] == [1, 2]


def damaged(world: World, run: Any) -> Any:
    """The ledger finds no checkpoint whose bytes are what was stored."""
    held = world.ledger._held

    def nothing(run: Any, passed: Any = ()) -> Any:
        found = held(run)
        whole = tuple(
            replace(verdict.entry, apply_seq=verdict.apply_seq, apply_tick=verdict.apply_tick)
            for verdict in world.ledger.verdicts[run]
        )
        passed = (Passed(10, 1, DAMAGED), Passed(0, 0, DAMAGED))
        return replace(found, stored=None, older=False, passed=passed, journal=whole)

    return nothing


def test_with_all_checkpoints_damaged_a_deterministic_run_is_played_from_its_beginning():
    world, run = crashed()
    world.ledger._held = damaged(world, run)  # type: ignore[method-assign]
    heir = taken_up(world, Counting)
    state = heir.state(run)
    assert state["log"] == [1, 2]
    assert state["value"] == heir.runner(run).host.tick >= 15


@pytest.mark.parametrize("why", ["not deterministic", "journal pruned"])
def test_with_all_checkpoints_damaged_that_is_a_strike_of_any_other_run(why):
    class Loose(Counting):
        name = "counting"
        deterministic = why != "not deterministic"

    world, run = crashed()
    if why == "journal pruned":
        world.ledger.verdicts[run] = world.ledger.verdicts[run][1:]
    world.ledger._held = damaged(world, run)  # type: ignore[method-assign]
    heir = taken_up(world, Loose)
    assert heir.row(run)["reason"] == (
        "its code cannot take up what is stored: None of its stored states can be taken up: "
        "that of tick 10: its bytes are damaged; that of tick 0: its bytes are damaged."
    )
