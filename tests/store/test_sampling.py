"""Stored figures: under the fence, thinned by age, gone with lost ticks and with their run."""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_livesim import gateway
from django_livesim.models import Run, Sample
from django_livesim.protocol.figures import WHOLE
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Committed, Position, Sampled, Write
from django_livesim.store import claiming, identity, journal, leases, sampling
from django_livesim.worker.thinning import AT_ONCE, Thinning

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def me() -> UUID:
    found: UUID = leases.register(identity.this_process(), ["default"])
    return found


@pytest.fixture
def run(me: UUID) -> Run:
    made: Run = Run.objects.create(simulation="counter")
    claiming.claim(me, [], queues=["default"], simulations={"counter": 1})
    return made


def sampled(tick: int, value: float | None = None, ago: float = 0.0) -> Sampled:
    number = "null" if value is None else str(value)
    return Sampled(tick, time.monotonic() - ago, f'{{"level":{number}}}'.encode())


def write(run: Run, *ticks: int, epoch: int = 1, **fields: Any) -> Write:
    samples = tuple(sampled(tick, tick) for tick in ticks)
    known = {"tick": max(ticks, default=0), "next_seq": 1, "speed": 1.0, "samples": samples}
    return Write(run=run.id, epoch=epoch, number=1, **known | fields)


def ticks(run: Run) -> list[int]:
    return list(Sample.objects.filter(run=run).order_by("tick").values_list("tick", flat=True))


# -- writing -------------------------------------------------------------------------------------


def test_samples_of_many_runs_are_one_statement_beside_that_of_their_horizons(me, run):
    others = [Run.objects.create(simulation="counter") for _ in range(30)]
    claiming.claim(me, [run.id], queues=["default"], simulations={"counter": 1})
    held = {each.id: Position(1, 5, 50, "", (sampled(4), sampled(5, 1.5))) for each in (run, *others)}
    with CaptureQueriesContext(connection) as captured:
        assert journal.reserve(me, held).keys() == held.keys()
    inserted = [each["sql"] for each in captured if "livesim_sample" in each["sql"]]
    assert len(inserted) == 1
    assert Sample.objects.count() == 62
    assert dict(Sample.objects.filter(run=others[7]).values_list("tick", "values")) == {
        4: {"level": None},
        5: {"level": 1.5},
    }


def test_where_there_are_none_nothing_is_asked_of_the_database(me, run):
    with CaptureQueriesContext(connection) as captured:
        journal.reserve(me, {run.id: Position(1, 5, 50)})
        journal.write(me, [write(run)])
    assert not [each for each in captured if "livesim_sample" in each["sql"]]


def test_a_worker_that_has_lost_the_run_stores_none(me, run):
    assert journal.reserve(me, {run.id: Position(2, 5, 50, "", (sampled(5),))}) == {}
    assert journal.write(me, [write(run, 5, epoch=2, lost_after=0)]) == [Committed.FENCED]
    other = leases.register(identity.this_process(), ["default"])
    assert journal.reserve(other, {run.id: Position(1, 5, 50, "", (sampled(5),))}) == {}
    assert ticks(run) == []


def test_of_a_tick_the_newest_figures_stay_however_often_they_are_written(me, run):
    journal.write(me, [write(run, 5)])
    for _ in range(2):
        journal.reserve(me, {run.id: Position(1, 6, 50, "", (sampled(5, 77), sampled(6, 6)))})
    assert dict(Sample.objects.filter(run=run).values_list("tick", "values__level")) == {5: 77, 6: 6}


def test_a_sample_is_as_old_as_it_is_however_long_it_waited(me, run):
    journal.write(me, [write(run, samples=(sampled(1, ago=3600), sampled(2, ago=0)))])
    old, new = Sample.objects.order_by("tick")
    assert timedelta(minutes=59) < timezone.now() - old.created_at < timedelta(minutes=61)
    assert timezone.now() - new.created_at < timedelta(minutes=1)


def test_more_than_one_statement_takes_are_several(me, run):
    journal.write(me, [write(run, *range(5000))])
    assert ticks(run) == list(range(5000))


def test_the_samples_of_lost_ticks_go_with_the_write_that_says_so(me, run):
    other = Run.objects.create(simulation="counter")
    journal.write(me, [write(run, 1, 5, 9, 12)])
    Sample.objects.create(run=other, tick=99, values={})
    again = write(run, 6, status=Status.RUNNING, lost_after=5)
    assert journal.write(me, [again]) == [Committed.YES]
    assert (ticks(run), ticks(other)) == ([1, 5, 6], [99])


# -- thinning ------------------------------------------------------------------------------------


def test_of_100_000_samples_the_newest_are_whole_and_the_oldest_stay():
    """As a run of 28 hours leaves them, a sample a second, and looks at them whenever they are too many."""
    run = Run.objects.create(simulation="counter")
    thinning, last = Thinning(), 0
    many = 100_000
    for first in range(0, many, 100):
        last = first + 100
        sampling.insert((run.id, sampled(tick, 1)) for tick in range(first, last))
        thinning.stored(run.id, 100)
        thinning.turn()
        assert sampling.count([run.id])[run.id] <= sampling.MOST
    left = ticks(run)
    assert left[-WHOLE:] == list(range(many - WHOLE, many))
    assert left[0] == 0
    old = left[: -WHOLE + 1]
    assert len(old) >= sampling.OLD
    gaps = [after - before for before, after in pairwise(old)]
    assert max(gaps) < many / 50  # no hour of the run is without some
    quarters = [sum(1 for tick in old if each <= 4 * tick / many < each + 1) for each in range(4)]
    assert quarters == sorted(quarters)
    assert quarters[0] >= 20


def test_few_samples_are_left_as_they_are():
    run = Run.objects.create(simulation="counter")
    sampling.insert((run.id, sampled(tick)) for tick in range(sampling.MOST))
    assert sampling.thin(run.id) == sampling.MOST == len(ticks(run))
    assert sampling.thin(uuid4()) == 0


def test_far_too_many_are_thinned_by_and_by():
    run = Run.objects.create(simulation="counter")
    sampling.insert((run.id, sampled(tick)) for tick in range(6000))
    thinning = Thinning()
    thinning.stored(run.id, 1)
    while thinning._unknown or thinning._many:
        thinning.turn()
    assert sampling.WHOLE < len(ticks(run)) <= sampling.MOST
    assert ticks(run)[-WHOLE:] == list(range(6000 - WHOLE, 6000))


def test_who_counts_asks_the_database_once_for_a_run_and_for_all_that_are_new():
    runs = [Run.objects.create(simulation="counter") for _ in range(20)]
    thinning = Thinning()
    assert not thinning.is_due
    for run in runs:
        thinning.stored(run.id, 3)
    assert thinning.is_due
    with CaptureQueriesContext(connection) as captured:
        thinning.turn()
    assert len(captured) == 1
    for _ in range(200):
        for run in runs:
            thinning.stored(run.id, 3)
    assert not (thinning._unknown or thinning._many)


def test_in_a_turn_a_few_runs_are_thinned_and_the_others_later():
    runs = [Run.objects.create(simulation="counter") for _ in range(AT_ONCE + 2)]
    thinning = Thinning()
    for run in runs:
        sampling.insert((run.id, sampled(tick)) for tick in range(sampling.MOST + 1))
        thinning.stored(run.id, 1)
    thinning.turn()
    assert sum(len(ticks(run)) <= sampling.MOST for run in runs) == AT_ONCE
    assert not thinning.is_due  # for a second
    thinning.turn()
    assert all(len(ticks(run)) <= sampling.MOST for run in runs)


def test_a_run_that_is_let_go_is_counted_anew():
    run = Run.objects.create(simulation="counter")
    thinning = Thinning()
    thinning.stored(run.id, 1)
    thinning.turn()
    thinning.wrote(write(run, 1, release=True))
    assert thinning._counts == {}


# -- deleting ------------------------------------------------------------------------------------


def test_a_run_that_is_deleted_or_pruned_takes_its_samples_along(settings):
    settings.LIVESIM = {"RETENTION": {"RUNS": 1}}
    runs = [gateway.start("counter") for _ in range(3)]
    for run in runs:
        sampling.insert((run.id, sampled(tick)) for tick in range(1200))
    gateway.delete(runs[0])
    Run.objects.filter(id=runs[1].id).update(
        status="stopped", ended_at=timezone.now() - timedelta(days=2), worker=None
    )
    from django_livesim.gateway.pruning import prune

    assert prune().runs == 1
    assert set(Sample.objects.values_list("run", flat=True)) == {runs[2].id}
