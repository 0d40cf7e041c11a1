"""Runs on the pages that hold up their worker, or have harmed it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_livesim import gateway
from django_livesim.models import Checkpoint, Run, Worker
from tests.admin.conftest import text_of

pytestmark = pytest.mark.django_db

WHY = "3 strikes: its code took longer than 2 s in one step"
STACK = "File simulations.py, line 7"


@pytest.fixture
def ada(client):
    user = User.objects.create_user("ada")
    client.force_login(user)
    return user


@pytest.fixture
def run(ada):
    return gateway.start("counter", owner=ada, visibility="public")


def become(run: Run, **fields) -> None:
    Run.objects.filter(pk=run.pk).update(**fields)


def quarantine(run: Run) -> None:
    become(run, status="quarantined", reason=WHY, strikes=3, struck_tick=120, error=STACK)
    Checkpoint.objects.create(run=run, tick=100, apply_seq=0, epoch=1, hash="", data=b"")


def facts(client, run: Run) -> str:
    return text_of(client.get(run.get_absolute_url(), {"part": "facts"}))


def test_a_run_in_quarantine_says_why_how_often_and_what_a_release_does(client, run):
    gateway.send(run, "add")
    quarantine(run)
    text = facts(client, run)
    assert f"Why {WHY} Strikes 3 of 3 Struck last at tick 120 Commands that wait 1 Release" in text
    assert "from the state stored at tick 100" in text
    assert STACK in text


def test_when_it_was_struck_is_told_in_the_time_zone_of_who_looks(client, run, settings):
    settings.TIME_ZONE = "Asia/Kolkata"
    at = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
    quarantine(run)
    become(run, struck_at=at)
    assert "Struck last at tick 120 (Nov. 21, 2026, 3:45 p.m.)" in facts(client, run)
    become(run, status="running", tick=100)
    assert "Strike 3 of 3 (Nov. 21, 2026, 3:45 p.m.). Its code has harmed its worker." in facts(client, run)


def test_the_button_releases_it(client, run):
    quarantine(run)
    page = client.get(run.get_absolute_url()).content.decode()
    assert page.count(">Release</button>") == 1
    client.post(reverse("livesim:run-control", args=[run.pk, "resume"]))
    row = Run.objects.get()
    assert (row.status, row.strikes) == ("waiting", 0)
    assert "quarantine" not in facts(client, run)


def test_where_its_code_was_is_for_who_may_control_or_inspect_and_only_the_first_release(client, run):
    quarantine(run)

    def seen_by(*rights):
        user = User.objects.create_user("-".join(rights) or "nobody")
        user.user_permissions.add(*Permission.objects.filter(codename__in=rights))
        client.force_login(user)
        text = facts(client, run)
        return STACK in text, "Takes its strikes away" in text, WHY in text

    assert seen_by() == (False, False, True)
    assert seen_by("view_run") == (False, False, True)
    assert seen_by("inspect_run") == (True, False, True)
    assert seen_by("control_run") == (True, True, True)
    client.logout()
    assert STACK not in facts(client, run)


def test_a_struck_run_is_tried_again_in_so_many_seconds_and_asks_again_until_then(client, run, now):
    become(run, status="running", strikes=1, struck_tick=7, error=STACK)
    become(run, held_back_until=now + timedelta(seconds=5))
    page = client.get(run.get_absolute_url(), {"part": "facts"})
    assert "Strike 1 of 3. Its code has harmed its worker; it is tried again in 5 s" in text_of(page)
    assert "every 2s" in page.content.decode()
    assert "tried again in 5 s" in text_of(client.get(reverse("livesim:run-list")))
    become(run, held_back_until=now)
    page = client.get(run.get_absolute_url(), {"part": "facts"})
    assert "Once it has come beyond tick 7, that is forgiven." in text_of(page) and STACK in text_of(page)
    assert "every 2s" not in page.content.decode()
    become(run, tick=8)
    assert "Strike" not in facts(client, run)


def test_a_run_in_a_long_step_says_for_how_long_and_asks_again(client, run, settings):
    become(run, status="running", worker=Worker.objects.create(load={"stepping": {run.pk.hex: 14.2}}))
    page = client.get(run.get_absolute_url(), {"part": "facts"})
    assert "Stepping for 14 s." in text_of(page) and "Nothing breaks it off" in text_of(page)
    assert "every 2s" in page.content.decode()
    assert "stepping for 14 s" in text_of(client.get(reverse("livesim:run-list")))
    settings.LIVESIM = {"STEP_TIMEOUT": 30.0}
    assert "Nothing breaks it off" not in facts(client, run)
    Worker.objects.update(load={"stepping": {}})
    assert "tepping" not in facts(client, run)


def test_a_run_that_was_never_struck_costs_no_question(client, run):
    become(run, status="running")
    with CaptureQueriesContext(connection) as queries:
        facts(client, run)
    assert not any("livesim_checkpoint" in each["sql"] for each in queries)
