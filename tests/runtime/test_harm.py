"""What a run's code does to its process: broken off, out of memory, noted while it runs."""

from __future__ import annotations

from uuid import UUID

import pytest

from django_livesim import Simulation, command
from django_livesim.protocol.names import Status
from django_livesim.runtime.harm import StepTimeout
from tests.runtime.world import World


class Harmful(Simulation):
    name = "harmful"
    tick_rate = 10
    step_timeout = 2.0
    bad: BaseException | None = None

    def setup(self) -> None:
        self.state = {"n": 0}

    def step(self, dt: float) -> None:
        self.state["n"] += 1
        if self.state["n"] == 5 and type(self).bad is not None:
            raise type(self).bad

    @command
    def hang(self) -> None:
        try:
            raise StepTimeout(2.0)
        except Exception as exc:
            raise AssertionError from exc


class Watching:
    """Notes who was told to be watched, and for how long."""

    def __init__(self) -> None:
        self.now: tuple[UUID, int, float] | None = None
        self.seen: list[tuple[UUID, int, float]] = []

    def enter(self, run: UUID, epoch: int, limit: float = 0.0) -> None:
        self.now = (run, epoch, limit)
        self.seen.append(self.now)

    def leave(self) -> None:
        self.now = None


@pytest.fixture(autouse=True)
def harmless():
    yield
    Harmful.bad = None


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (StepTimeout(2.0), "took longer than 2 s in one step"),
        (MemoryError(), "ran out of memory"),
    ],
)
def test_a_step_that_harms_its_process_is_a_strike_and_stores_nothing_of_itself(bad, why):
    Harmful.bad = bad
    world = World(Harmful)
    run = world.start(Harmful)
    world.run_for(1.0)
    row = world.row(run)
    assert row["reason"] == f"its code {why}"
    assert "in step" in row["error"]
    assert run not in world.supervisor.runners
    assert all(stored.tick < 5 for stored in world.ledger.checkpoints[run])


def test_a_command_that_is_broken_off_is_not_answered():
    world = World(Harmful)
    run = world.start(Harmful)
    world.run_for(0.2)
    world.send(run, "hang")
    world.run_for(0.2)
    assert world.row(run)["reason"] == "its code took longer than 2 s in one step"
    assert [each.entry.name for each in world.ledger.verdicts[run]] == []
    assert [each.name for each in world.ledger.commands[run]] == ["hang"]


def test_what_raises_is_failed_at_once_and_harms_nobody():
    Harmful.bad = ValueError("no")
    world = World(Harmful)
    run = world.start(Harmful)
    world.run_for(1.0)
    assert (world.row(run)["status"], world.row(run)["reason"]) == (
        Status.FAILED,
        "its code raised ValueError",
    )


def test_whose_code_runs_is_noted_with_its_limit_and_nobodys_in_between():
    watching = Watching()
    world = World(Harmful)
    world.supervisor._watched = watching
    run = world.start(Harmful)
    world.run_for(0.5)
    limits = {limit for noted, epoch, limit in watching.seen if (noted, epoch) == (run, 1)}
    assert limits == {0.0, 2.0}  # setup takes as long as it likes
    assert watching.now is None
