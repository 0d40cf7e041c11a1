"""`livesim list` and `inspect` of runs that hold up their worker, or have harmed it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from django_livesim import gateway
from django_livesim.models import Run, Worker
from tests.test_cli import livesim

pytestmark = pytest.mark.django_db(transaction=True)

WHY = "3 strikes: its code took longer than 2 s in one step"


@pytest.fixture
def run():
    return gateway.start("counter", key="k")


def become(**fields) -> None:
    Run.objects.update(**fields)


def test_a_run_in_quarantine_has_its_reason_its_strikes_and_where_it_was(run):
    become(status="quarantined", reason=WHY, strikes=3, error="File simulations.py")
    (fact,) = livesim("list", "--status=quarantined", "--json").json
    assert (fact["strikes"], fact["reason"], fact["stepping"]) == (3, WHY, 0)
    assert livesim("list").out.splitlines()[1].endswith(WHY)
    seen = livesim("inspect", "k", "--json").json
    assert (seen["strikes"], seen["reason"], seen["load"]) == (3, WHY, None)
    assert "File simulations.py" in livesim("inspect", "k").out
    assert "applied resume" in livesim("resume", "k").out
    assert livesim("list", "--json").json[0]["strikes"] == 0


def test_a_struck_run_is_told_with_when_it_is_tried_again_and_is_not_once_it_is_forgiven(run, settings, now):
    settings.TIME_ZONE = "Asia/Kolkata"
    later = now + timedelta(seconds=5)
    become(strikes=1, struck_tick=7, held_back_until=later, reason="its code hangs", worker=alive({}))
    become(struck_at=datetime(2026, 11, 21, 10, 15, 30, 250_000, tzinfo=UTC))
    assert "strike 1 of 3; tried again in 5 s; its code hangs" in livesim("list").out
    assert livesim("inspect", "k", "--json").json["struck"] == "2026-11-21T15:45:30+05:30"
    assert "2026-11-21 15:45:30+05:30" in livesim("inspect", "k").out
    Run.objects.update(tick=8)
    become(held_back_until=None)
    fact = livesim("list", "--json").json[0]
    assert (fact["strikes"], fact["struck"]) == (0, None)
    assert "strike" not in livesim("list").out


def test_what_a_run_costs_its_worker_and_for_how_long_it_is_stepping_is_told(run):
    told = [0.25, 3, 0.012, 8124, 0.0113, 19.5, 2]
    worker = alive({"each": {run.id.hex: told}, "stepping": {run.id.hex: 14.2}})
    become(status="running", worker=worker)
    assert livesim("list", "--json").json[0]["stepping"] == 14
    assert "stepping for 14 s" in livesim("list").out
    load = livesim("inspect", "k", "--json").json["load"]
    figures = {"cpu": 0.25, "late": 3, "behind": 0.012, "size": 8124, "step": 0.0113}
    assert load == figures | {"rate": 19.5, "viewers": 2}


def alive(load) -> Worker:
    return Worker.objects.create(queues=["default"], load=load)
