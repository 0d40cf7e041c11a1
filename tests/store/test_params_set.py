"""What was set is written with the outcome, under the fence, and a restart begins with it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction

from django_livesim.models import Command, Run
from django_livesim.protocol.names import Kind, Outcome, Status
from django_livesim.protocol.records import Committed, Verdict, Write
from django_livesim.store import claiming, identity, intake, journal, leases, loading

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held() -> tuple[UUID, Run]:
    me = leases.register(identity.this_process(), ["default"])
    run = Run.objects.create(simulation="counter", params={"start": 1, "room": 20.0}, key="k")
    claiming.claim(me, [], queues=["default"], simulations={"counter": 1})
    return me, run


def setting(run: Run, seq: int, params_set: dict[str, Any] | None, **fields: Any) -> Verdict:
    row, _created = intake.insert_command(
        run.id,
        kind=Kind.COMMAND,
        name="set",
        args={"room": 1},
        sender="u:1",
        client_id=f"c{seq}",
        body_hash="h",
    )
    fields = {"outcome": Outcome.APPLIED} | fields
    return Verdict(entry=loading.entry(row), apply_seq=seq, apply_tick=5, params_set=params_set, **fields)


def write(run: Run, *verdicts: Verdict, **fields: Any) -> Write:
    fields = {"tick": 5, "next_seq": 1 + len(verdicts), "speed": 1.0, "epoch": 1} | fields
    return Write(run=run.id, number=1, verdicts=verdicts, **fields)


def test_the_last_of_a_write_counts(held: tuple[UUID, Run]) -> None:
    me, run = held
    refused = setting(run, 3, None, outcome=Outcome.REFUSED)
    verdicts = [setting(run, 1, {"room": 3.0}), setting(run, 2, {"room": 4.0, "on": True}), refused]
    assert journal.write(me, [write(run, *verdicts)]) == [Committed.YES]
    run.refresh_from_db()
    assert run.params_set == {"room": 4.0, "on": True}
    assert run.params == {"start": 1, "room": 20.0}
    assert run.present_params == {"start": 1, "room": 4.0, "on": True}


def test_a_write_that_sets_none_leaves_it(held: tuple[UUID, Run]) -> None:
    me, run = held
    journal.write(me, [write(run, setting(run, 1, {"room": 3.0}))])
    journal.write(me, [write(run, setting(run, 2, None), next_seq=3), write(run, tick=9, next_seq=3)])
    run.refresh_from_db()
    assert run.params_set == {"room": 3.0}


def test_many_runs_at_once_get_each_their_own(held: tuple[UUID, Run]) -> None:
    me, run = held
    other = Run.objects.create(simulation="counter", params={"start": 2})
    claiming.claim(me, [run.id], queues=["default"], simulations={"counter": 1})
    writes = [write(run, setting(run, 1, {"room": 3.0})), write(other, setting(other, 1, {"room": 5.0}))]
    assert journal.write(me, writes) == [Committed.YES, Committed.YES]
    found = dict(Run.objects.values_list("id", "params_set"))
    assert found == {run.id: {"room": 3.0}, other.id: {"room": 5.0}}


def test_who_is_fenced_sets_nothing(held: tuple[UUID, Run]) -> None:
    me, run = held
    verdict = setting(run, 1, {"room": 3.0})
    assert journal.write(me, [write(run, verdict, epoch=0)]) == [Committed.FENCED]
    run.refresh_from_db()
    assert run.params_set == {}
    assert not Command.objects.exclude(outcome="").exists()


def test_a_write_whose_answer_was_lost_is_not_made_twice(held: tuple[UUID, Run]) -> None:
    me, run = held
    one = write(run, setting(run, 1, {"room": 3.0}))
    journal.write(me, [one])
    assert journal.write(me, [one], again=[run.id]) == [Committed.YES]
    run.refresh_from_db()
    assert run.params_set == {"room": 3.0}


def test_a_worker_that_restarts_the_run_gives_what_was_set_on(held: tuple[UUID, Run]) -> None:
    me, run = held
    following = uuid4()
    ended = {"ended": True, "status": Status.STOPPED, "successor": following}
    assert journal.write(me, [write(run, setting(run, 1, {"room": 3.0}), **ended)]) == [Committed.YES]
    new = Run.objects.get(id=following)
    assert (new.params, new.params_set) == ({"start": 1, "room": 3.0}, {})


def test_so_does_the_gateway_but_not_where_new_parameters_are_given(held: tuple[UUID, Run]) -> None:
    _me, run = held
    Run.objects.filter(id=run.id).update(params_set={"room": 3.0}, worker=None, status=str(Status.STOPPED))
    run.refresh_from_db()
    with transaction.atomic():
        new = intake.begin_successor(run, uuid4())
        given = intake.begin_successor(run, uuid4(), {"start": 7})
    assert (new.params, new.params_set) == ({"start": 1, "room": 3.0}, {})
    assert given.params == {"start": 7}


def test_what_a_simulation_knows_of_its_start_stays(held: tuple[UUID, Run]) -> None:
    me, run = held
    journal.write(me, [write(run, setting(run, 1, {"room": 3.0}))])
    again = loading.load(run.id, me)
    assert again is not None
    assert again.info.params == {"start": 1, "room": 20.0}
    assert [each.name for each in again.journal] == ["set"]
