"""Which runs a worker lets go for another that has far fewer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest

from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status
from django_livesim.store import balancing, identity, leases

pytestmark = pytest.mark.django_db

CODE = {"counter": 1}


def worker(runs: int, *, queues: Iterable[str] = ("default",), **load: Any) -> UUID:
    """One that lives and has told of so many runs, which it has."""
    me = leases.register(identity.this_process(), queues, {"simulations": CODE, "runs": runs} | load)
    rows = (Run(simulation="counter", worker_id=me, epoch=1, status=Status.RUNNING) for _ in range(runs))
    Run.objects.bulk_create(rows)
    return me


def spare(me: UUID) -> list[UUID]:
    peers = leases.Peers(identity.this_process(), 10.0)
    peers.look(me)
    held = list(Run.objects.filter(worker=me).values_list("id", flat=True))
    return balancing.spare(me, held, peers.alive, ["counter"])


def test_some_are_let_go_for_a_worker_that_has_none():
    me = worker(20)
    worker(0)
    found = spare(me)
    assert len(found) == balancing.MOST
    assert set(Run.objects.filter(pk__in=found).values_list("worker", flat=True)) == {me}


def test_no_more_is_than_makes_all_even():
    me = worker(9)
    worker(3)
    assert len(spare(me)) == 3


def test_of_many_workers_each_lets_go_what_is_beyond_the_mean():
    workers = [worker(20) for _ in range(4)]
    worker(0)
    assert [len(spare(me)) for me in workers] == [4, 4, 4, 4]


@pytest.mark.parametrize(("mine", "its"), [(4, 0), (20, 15), (40, 30), (3, 9), (0, 0)])
def test_where_all_have_about_as_many_none_is(mine, its):
    me = worker(mine)
    worker(its)
    assert spare(me) == []


def test_a_worker_alone_keeps_what_it_has():
    assert spare(worker(20)) == []


@pytest.mark.parametrize(
    "other",
    [
        {"queues": ["heavy"]},
        {"queues": []},
        {"simulations": {}},
        {"simulations": {"pond": 1}},
        {"simulations": {"counter": 0}},
        {"most": 0},
    ],
    ids=str,
)
def test_none_is_let_go_for_one_that_cannot_have_it(other):
    me = worker(20)
    worker(0, **other)
    assert spare(me) == []


def test_one_that_may_have_few_gets_few():
    me = worker(20)
    worker(1, most=3)
    assert len(spare(me)) == 2


def test_one_that_has_told_nothing_of_its_load_yet_gets_none():
    me = worker(20)
    leases.register(identity.this_process(), ["default"], {"simulations": CODE})
    assert spare(me) == []


def test_what_its_last_beat_did_not_tell_is_counted():
    me = worker(20)
    other = worker(0)
    rows = (Run(simulation="counter", worker_id=other, status=Status.RUNNING) for _ in range(18))
    Run.objects.bulk_create(rows)
    assert spare(me) == []


def test_a_run_that_was_struck_or_may_not_be_moved_stays():
    me = worker(20)
    worker(0)
    Run.objects.filter(worker=me).update(strikes=1)
    assert spare(me) == []
    Run.objects.filter(worker=me).update(strikes=0, unproven=1)
    assert spare(me) == []
    Run.objects.filter(worker=me).update(unproven=0, simulation="own_loop")
    assert spare(me) == []


@pytest.mark.parametrize(
    ("held", "other", "more"),
    [
        (20, {}, True),
        (4, {}, False),
        (20, {"queues": ["heavy"]}, False),
        (20, {"queues": ["default", "heavy"]}, True),
        (20, {"simulations": {"pond": 1}}, False),
        (20, {"most": 0}, False),
    ],
    ids=str,
)
def test_what_is_free_is_left_to_one_that_has_far_fewer_and_can_take_all_of_it(held, other, more):
    me = worker(held)
    worker(0, **other)
    peers = leases.Peers(identity.this_process(), 10.0)
    peers.look(me)
    assert balancing.has_more(me, held, peers.alive) is more


def test_one_that_leaves_gets_none():
    me = worker(20)
    Worker.objects.filter(pk=worker(0)).update(state=Worker.State.DRAINING)
    assert spare(me) == []
