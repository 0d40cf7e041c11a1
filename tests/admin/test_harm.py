"""Runs in the admin that hold up their worker, or have harmed it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_livesim.models import Command, Run, Worker
from tests.admin.conftest import said, text_of, url

pytestmark = pytest.mark.django_db

Make = Callable[..., Run]

WHY = "3 strikes: its code took longer than 2 s in one step"


@pytest.fixture
def quarantined(make: Make) -> Run:
    return make(name="bad", status="quarantined", reason=WHY, strikes=3, struck_tick=120, error="in step")


def words(response: Any) -> str:
    return text_of(response).replace("\xa0", " ")


def test_the_list_says_why_runs_are_in_quarantine_and_finds_them(
    boss: Client, make: Make, quarantined: Run
) -> None:
    make(name="good")
    page = boss.get(url("changelist"), {"status__exact": "quarantined"})
    assert f"quarantined {WHY}" in words(page)
    assert [run.pk for run in page.context["cl"].result_list] == [quarantined.pk]


def test_the_list_says_what_is_stepping_for_long_and_when_a_struck_run_is_tried_again(
    boss: Client, make: Make, worker: Worker, now: datetime
) -> None:
    long = make(worker=worker, status="running")
    make(status="running", strikes=1, held_back_until=now + timedelta(seconds=5))
    Worker.objects.update(load={"stepping": {long.pk.hex: 14.2}})
    text = words(boss.get(url("changelist")))
    assert "running stepping for 14 s" in text
    assert "running tried again in 5 s" in text
    Worker.objects.update(state="gone")
    assert "stepping" not in words(boss.get(url("changelist")))


def test_the_list_reads_each_worker_once(boss: Client, make: Make, worker: Worker) -> None:
    for _ in range(3):
        make(worker=worker, status="running")
    with CaptureQueriesContext(connection) as queries:
        boss.get(url("changelist"))
    asked = [each["sql"] for each in queries if '"livesim_worker"."load"' in each["sql"]]
    assert len(asked) == 1 and "livesim_run" not in asked[0]


def test_the_page_of_a_run_in_quarantine_has_its_strikes_where_it_was_and_a_button(
    boss: Client, quarantined: Run
) -> None:
    response = boss.get(url("change", quarantined.pk))
    text = words(response)
    assert "Strikes: 3 of 3, the last at tick 120" in text and text.count(WHY) == 1
    assert "Traceback: in step" in text and WHY in text
    assert [act for act, _label in response.context["acts"]] == ["release", "stop", "restart"]


def test_strikes_that_are_forgiven_are_not_shown(boss: Client, make: Make, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Kolkata"
    run = make(status="running", strikes=2, struck_tick=120)
    assert "Strikes: 2 of 3, the last at tick 120" in words(boss.get(url("change", run.pk)))
    Run.objects.update(struck_at=datetime(2026, 11, 21, 10, 15, tzinfo=UTC))
    when = "last at tick 120 (Nov. 21, 2026, 3:45 p.m.)"
    assert f"Strikes: 2 of 3, the {when}" in words(boss.get(url("change", run.pk)))
    assert f"Strikes 2 of 3, {when}" in words(boss.get(url("inspect", run.pk)))
    Run.objects.update(tick=121)
    assert "Strikes" not in words(boss.get(url("change", run.pk)))


def test_the_page_of_a_run_says_what_it_costs_its_worker(boss: Client, make: Make, worker: Worker) -> None:
    run = make(worker=worker, status="running")
    load = {"each": {run.pk.hex: [0.25, 3, 0.012, 8124, 0.0113]}, "stepping": {run.pk.hex: 4.0}}
    Worker.objects.update(load=load)
    text = words(boss.get(url("change", run.pk)))
    assert "Share of one core: 25 % Mean time of a step: 11.3 ms" in text
    assert "Late: at most 12 ms; 3 ticks passed over" in text
    assert "Size of its state: 7.9 KB" in text
    assert "Stepping: for 4 s" in text


def test_a_release_is_asked_about_says_what_it_does_and_takes_the_strikes_away(
    boss: Client, quarantined: Run
) -> None:
    asked = boss.post(url("act", quarantined.pk, "release"))
    assert "Where its code does harm again, it is struck again." in words(asked)
    assert Run.objects.get(pk=quarantined.pk).status == "quarantined"
    done = boss.post(url("act", quarantined.pk, "release"), {"confirmed": "1"}, follow=True)
    assert said(done) == ["“bad”: release: applied at tick 0."]
    row = Run.objects.get(pk=quarantined.pk)
    assert (row.status, row.strikes, row.struck_tick) == ("waiting", 0, None)
    assert Command.objects.get().name == "resume"


def test_many_are_released_at_once_and_those_in_no_quarantine_are_left_out(
    boss: Client, make: Make, quarantined: Run
) -> None:
    other, paused = make(name="worse", status="quarantined"), make(name="calm", status="paused")
    chosen = {"action": "release_runs", "_selected_action": [quarantined.pk, other.pk, paused.pk]}
    asked = words(boss.post(url("changelist"), chosen))
    assert "2 runs:" in asked and "calm: it is paused, and not in quarantine" in asked
    boss.post(url("changelist"), chosen | {"confirmed": "1"})
    assert {run.name: run.status for run in Run.objects.all()} == {
        "bad": "waiting",
        "worse": "waiting",
        "calm": "paused",
    }


def test_who_may_only_view_has_no_button_and_no_stack(
    person: Callable[..., Any], enter: Callable[..., Client], quarantined: Run
) -> None:
    client = enter(person("ann", "view_run"))
    response = client.get(url("change", quarantined.pk))
    assert response.context["acts"] == [] and "in step" not in words(response).replace(WHY, "")
    assert client.post(url("act", quarantined.pk, "release"), {"confirmed": "1"}).status_code == 403
    assert Run.objects.get(pk=quarantined.pk).status == "quarantined"
