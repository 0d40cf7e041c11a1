"""Commands for ticks, more than one look at the database gives, over real rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db.models import F

from django_livesim import gateway, registry
from django_livesim.models import Command, Run
from django_livesim.protocol.names import Outcome
from django_livesim.simulation import Simulation, command
from django_livesim.store import loading
from django_livesim.testing import wait_until, worker_in_process

pytestmark = pytest.mark.django_db(transaction=True)

FIRST = 3000  # the tick of the first: by then it is known how fast the run can go
AT_A_TICK = 10


@pytest.fixture
def script() -> Iterator[type[Simulation]]:
    """A registered class that notes its ticks."""

    class Script(Simulation):
        def setup(self) -> None:
            self.state = {"log": []}

        def step(self, dt: float) -> None: ...

        @command
        def note(self, n: int) -> None:
            self.state["log"].append([n, self.tick])

    registry.register(Script)
    yield Script
    registry.unregister(Script.name)


def test_more_commands_for_ticks_than_a_look_gives_all_act_at_their_ticks_at_full_speed(script):
    count = 2500
    assert count > 2 * loading.FETCH
    run = Run.objects.create(simulation=script.name, speed=0)
    Command.objects.bulk_create(
        Command(
            run=run,
            name="note",
            args={"n": n},
            sender="u:1",
            client_id=f"c{n}",
            body_hash="h",
            due_tick=FIRST + n // AT_A_TICK,
        )
        for n in range(count)
    )
    of = Command.objects.filter(run=run)
    with worker_in_process():
        wait_until(lambda: not of.filter(outcome="").exists(), 60)
        state = gateway.inspect(run, timeout=60)["state"]
    assert state["log"] == [[n, FIRST + n // AT_A_TICK] for n in range(count)]
    assert of.filter(outcome=str(Outcome.APPLIED), apply_tick=F("due_tick"), name="note").count() == count
