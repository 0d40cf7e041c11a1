"""Moments, in the columns of hosts with and without time zones."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import DateTimeField, ExpressionWrapper
from django.utils import timezone

from django_livesim.models import Run, Worker
from django_livesim.store.moments import Moment

PACKAGE = Path(__file__).resolve().parents[2] / "django_livesim"

pytestmark = pytest.mark.django_db


def is_now(moment):
    return abs(timezone.now() - moment) < timedelta(seconds=5)


def test_a_moment_is_read_back_as_the_present():
    run = Run.objects.create(simulation="counter", started_at=Moment())
    run.refresh_from_db()
    assert is_now(run.started_at)


def test_a_moment_is_compared_with_what_django_has_written():
    Worker.objects.create(host="here")
    assert Worker.objects.heard_of(timedelta(seconds=5)).count() == 1
    assert Worker.objects.filter(beat_at__gt=Moment() + timedelta(seconds=5)).count() == 0


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's columns know their time zone")
def test_without_time_zones_a_moment_is_local_as_all_of_djangos_are(settings):
    settings.TIME_ZONE, settings.USE_TZ = "America/Chicago", False
    Worker.objects.create(host="here")
    later = ExpressionWrapper(Moment() + timedelta(hours=1), output_field=DateTimeField())
    worker = Worker.objects.annotate(now=Moment(), later=later).get()
    assert is_now(worker.now)
    assert is_now(worker.later - timedelta(hours=1))
    assert Worker.objects.heard_of(timedelta(seconds=5)).count() == 1


def test_nothing_asks_django_for_the_moment_where_ours_is_meant():
    asking = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\bNow\b", path.read_text()) and path.name != "moments.py"
    ]
    assert asking == []
