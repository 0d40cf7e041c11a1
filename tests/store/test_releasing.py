"""What is said of a run that its worker has let go."""

from __future__ import annotations

from typing import Any

import pytest

from django_livesim.models import Run, Source
from django_livesim.protocol.names import UNWATCHED, Status
from django_livesim.protocol.records import Committed, Write
from django_livesim.store import claiming, identity, journal, leases

pytestmark = pytest.mark.django_db(transaction=True)


def let_go(source: Source, before: Status, why: str, **said: Any) -> Run:
    """A run in that status, claimed and let go by a worker."""
    me = leases.register(identity.this_process(), ["default"])
    run = Run.objects.create(simulation="counter")
    claiming.claim(me, [], queues=["default"], simulations={"counter": 1})
    Run.objects.filter(id=run.id).update(source=str(source), status=str(before), reason=why)
    write = Write(
        run=run.id, epoch=1, number=1, tick=5, next_seq=1, speed=1.0, previous=before, release=True, **said
    )
    assert journal.write(me, [write], tell=lambda told: None) == [Committed.YES]
    run.refresh_from_db()
    return run


@pytest.mark.parametrize(
    ("source", "reason"), [(Source.WORKER, ""), (Source.EXTERNAL, "no process is attached")]
)
@pytest.mark.parametrize("said", [{}, {"status": Status.RUNNING, "reason": "goes on from tick 3"}])
def test_how_it_went_on_is_said_no_longer(source: Source, reason: str, said: dict[str, Any]) -> None:
    run = let_go(source, Status.RUNNING, "recovered from tick 5162, 3 ticks lost", **said)
    assert (run.status, run.reason, run.worker_id) == (Status.WAITING, reason, None)


@pytest.mark.parametrize("said", [{}, {"status": Status.PAUSED, "reason": UNWATCHED}])
def test_why_it_is_paused_is_kept(said: dict[str, Any]) -> None:
    run = let_go(Source.WORKER, Status.PAUSED, UNWATCHED, **said)
    assert (run.status, run.reason) == (Status.PAUSED, UNWATCHED)
