"""The stored figures as columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_livesim import gateway
from django_livesim.gateway.figures import newest_figures
from django_livesim.models import Run, Sample
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import BadArgs, NoRun

pytestmark = pytest.mark.django_db

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def run() -> Run:
    made: Run = gateway.start("counter")
    for tick, values in ((5, {"b": 1, "A": None}), (7, {"b": 2.5}), (9, {"b": 3, "c": 4})):
        row = Sample.objects.create(run=made, tick=tick, values=values)
        Sample.objects.filter(pk=row.pk).update(created_at=MOMENT)
    return made


def test_there_is_a_value_or_none_for_each_tick(run):
    seconds = MOMENT.timestamp()
    assert gateway.series(run) == {
        "ticks": [5, 7, 9],
        "at": [seconds] * 3,
        "series": {"A": [None, None, None], "b": [1, 2.5, 3], "c": [None, None, 4]},
    }
    assert list(gateway.series(run)["series"]) == ["A", "b", "c"]


def test_some_names_and_later_ticks_alone(run):
    found = gateway.series(run, names=["c", "b", "nobody"], since=5)
    assert found["ticks"] == [7, 9]
    assert list(found["series"].items()) == [("c", [None, 4]), ("b", [2.5, 3]), ("nobody", [None, None])]
    assert gateway.series(run, since=9) == {"ticks": [], "at": [], "series": {}}


@pytest.mark.parametrize("use_tz", [True, False])
def test_moments_are_the_same_with_and_without_time_zones(settings, use_tz):
    settings.USE_TZ = use_tz
    run = gateway.start("counter")
    Sample.objects.create(run=run, tick=1, values={})
    (at,) = gateway.series(run)["at"]
    assert abs(at - datetime.now(UTC).timestamp()) < 60


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"since": "5"}, "since: Expected a tick, an integer. Got: '5'."),
        ({"since": 2**63}, f"since: Expected a tick, an integer. Got: {2**63}."),
        ({"names": [""]}, "name: Expected a figure's name, 1 to 100 characters. Got: ''."),
        ({"names": [3]}, "name: Expected a figure's name, 1 to 100 characters. Got: 3."),
        ({"names": ["x"] * 51}, "name: Expected at most 50 names. Got: 51."),
    ],
)
def test_bad_parameters_are_refused_with_what_was_expected(run, given: dict[str, Any], message):
    with pytest.raises(BadArgs) as caught:
        gateway.series(run, **given)
    assert caught.value.message == message


def test_who_may_not_watch_the_run_learns_nothing_of_it(run):
    with pytest.raises(NoRun):
        gateway.series(run, actor=Actor.from_user(User.objects.create_user("eve")))


def test_the_newest_are_told_by_name(run):
    tick, _at, values = newest_figures(run)
    assert (tick, values) == (9, [("b", 3), ("c", 4)])
    assert newest_figures(gateway.start("counter")) is None


@pytest.mark.django_db(transaction=True)
async def test_a_coroutine_may_ask(db):
    run = await gateway.astart("counter")
    assert await gateway.aseries(run) == {"ticks": [], "at": [], "series": {}}


def test_figures_named_after_what_comes_and_goes_are_those_of_the_newest_samples(run):
    for tick in range(10, 30):
        values = {f"score of {tick * 20 + number}": number for number in range(20)}
        Sample.objects.create(run=run, tick=tick, values=values)
    found = gateway.series(run)["series"]
    assert len(found) == 50
    assert {f"score of {29 * 20 + number}" for number in range(20)} <= found.keys()
    assert "b" not in found
    assert gateway.series(run, names=["b"])["series"]["b"][:3] == [1, 2.5, 3]
