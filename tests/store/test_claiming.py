"""What a worker takes, where runs have been struck or their workers have died."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Committed, Stored, Write
from django_livesim.store import burying, claiming, identity, journal, leases, looking
from django_livesim.store.striking import Harm

pytestmark = pytest.mark.django_db(transaction=True)

WITH = {"queues": ["default"], "simulations": {"counter": 1}}


def worker() -> UUID:
    return leases.register(identity.this_process(), ["default"])


def test_a_run_that_is_held_back_is_taken_though_the_clock_was_set_back_by_a_day_meanwhile():
    me, run, other = worker(), some_run(strikes=1), some_run(strikes=1)
    for each, until in ((run, timedelta(days=1)), (other, timedelta(seconds=5))):
        Run.objects.filter(id=each.id).update(held_back_until=timezone.now() + until)
    assert claim(me) == [run.id]
    assert claiming.held_back([run.id, other.id]) == 1


def some_run(**fields) -> Run:
    return Run.objects.create(simulation="counter", status=Status.RUNNING, **fields)


def claim(me: UUID, *held: UUID) -> list[UUID]:
    return claiming.claim(me, held, **WITH)


def dies(holder: UUID) -> None:
    Worker.objects.filter(id=holder).update(state=Worker.State.GONE)


def proves(holder: UUID, run: Run) -> None:
    """It has stored its state a second after it was taken up."""
    stored = Stored(tick=1, apply_seq=0, version=1, data=b"{}")
    write = Write(
        run=run.id,
        epoch=fresh(run).epoch,
        number=1,
        tick=1,
        next_seq=1,
        speed=1.0,
        checkpoint=stored,
        proven=True,
    )
    assert journal.write(holder, [write]) == [Committed.YES]


def taken_over(times: int, *, stored: bool = False) -> Run:
    """A run whose workers have died so often, and which waits for the next."""
    run = some_run()
    for _ in range(times):
        holder = worker()
        assert claim(holder) == [run.id]
        if stored:
            proves(holder, run)
        dies(holder)
    return run


def fresh(run: Run) -> Run:
    return Run.objects.get(id=run.id)


def test_a_run_that_is_held_back_is_claimed_when_that_is_over():
    run, me = some_run(held_back_until=timezone.now() + timedelta(minutes=1)), worker()
    assert claim(me) == []
    assert not looking.look(me, **WITH).free
    Run.objects.update(held_back_until=timezone.now() - timedelta(seconds=1))
    assert looking.look(me, **WITH).free
    assert claim(me) == [run.id]


def test_deaths_are_counted_until_a_state_is_stored():
    run = taken_over(2)
    claim(worker())
    assert fresh(run).unproven == 2
    stored = taken_over(2, stored=True)
    claim(worker())
    assert fresh(stored).unproven == 1
    assert fresh(stored).adoptions == 2


def test_a_suspect_is_claimed_after_the_others_and_alone():
    suspects = [taken_over(2) for _ in range(1)]
    innocent = some_run()
    me = worker()
    assert claim(me) == [innocent.id]
    assert claim(me, innocent.id) == [suspects[0].id]


def test_a_worker_has_one_suspect_at_a_time_until_that_has_stored_its_state():
    first = taken_over(2)
    second = some_run(worker_id=worker(), unproven=1)
    dies(second.worker_id)
    me, other = worker(), worker()
    assert claim(me) == [first.id]
    assert claim(me, first.id) == []
    proves(me, first)
    assert fresh(first).unproven == 0
    assert claim(me, first.id) == [second.id]
    assert claim(other) == []


def test_the_third_death_quarantines_it_and_that_is_told():
    run, told = taken_over(3), []
    assert claiming.claim(worker(), [], **WITH, tell=told.append) == []
    assert (fresh(run).status, fresh(run).worker_id) == ("quarantined", None)
    assert fresh(run).reason == "taken over 3 times without coming as far as a stored state"
    assert [(each.run, each.previous, each.status) for each in told] == [(run.id, "running", "quarantined")]


def test_more_strikes_allow_more_deaths_and_fewer_do_not_allow_less(settings):
    settings.LIVESIM = {"STRIKES": 4}
    run = taken_over(3)
    assert claim(worker()) == [run.id]
    settings.LIVESIM = {"STRIKES": 1}
    other = taken_over(2)
    assert claim(worker()) == [other.id]


def test_who_was_beside_a_run_that_ended_its_worker_is_no_suspect():
    guilty, innocent, holder = some_run(), some_run(), worker()
    claim(holder)
    harm = Harm(run=guilty.id, epoch=1, why="ended its process")
    burying.bury(holder, [harm], explained=True)
    me = worker()
    assert claim(me) == [innocent.id]
    assert (fresh(innocent).unproven, fresh(innocent).adoptions) == (0, 1)
    assert (fresh(guilty).strikes, fresh(guilty).status) == (1, "running")


def test_what_a_worker_drops_and_takes_again_counts_for_nothing():
    run, me = some_run(), worker()
    for _ in range(4):
        assert claim(me) == [run.id]
    assert fresh(run).unproven == 0


def test_two_that_were_suspects_once_and_are_dropped_are_both_taken_again():
    first, second, me = some_run(unproven=2), some_run(unproven=2), worker()
    assert claim(me) == [first.id]
    proves(me, first)
    assert claim(me, first.id) == [second.id]
    proves(me, second)
    assert set(claim(me)) == {first.id, second.id}


def test_its_own_come_first_and_those_held_back_are_counted():
    older, dropped, me = some_run(), some_run(), worker()
    Run.objects.filter(id=dropped.id).update(worker=me)
    assert claiming.claim(me, [], **WITH, limit=1) == [dropped.id]
    Run.objects.filter(id=dropped.id).update(held_back_until=timezone.now() + timedelta(minutes=1))
    assert claiming.held_back([dropped.id, older.id]) == 1


def test_what_a_worker_that_left_in_good_order_could_not_let_go_is_innocent():
    run, me = some_run(), worker()
    claim(me)
    leases.leave(me)
    claim(worker())
    assert fresh(run).unproven == 0
