"""How late the ticks of a run are, as its page is told."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_livesim import gateway
from django_livesim.models import Run, Worker
from django_livesim.protocol.loads import RunLoad
from tests.test_views import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> Run:
    return gateway.start("counter", owner=User.objects.create_user("ada"), visibility="public")


def told(client: Client, run: Run) -> str:
    return text_of(client.get(run.get_absolute_url(), {"part": "latency"}))


def test_it_is_as_its_worker_told_last(client: Client, run: Run) -> None:
    load = RunLoad(cpu=0.1, late=7, behind=0.034, size=80, step=0.0025)
    worker = Worker.objects.create(load={"each": {run.pk.hex: load.encode()}})
    Run.objects.filter(pk=run.pk).update(worker=worker, status="running")
    expected = "Latest tick, late by 34 ms Ticks left out to catch up 7 One step takes 2.5 ms"
    assert told(client, run) == expected


def test_of_a_run_that_nobody_has_nothing_is_known(client: Client, run: Run) -> None:
    expected = "Latest tick, late by - Ticks left out to catch up - One step takes -"
    assert told(client, run) == expected.replace("-", "\N{EN DASH}")


def test_who_may_not_watch_it_is_told_nothing(client: Client, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(visibility="private")
    assert client.get(run.get_absolute_url(), {"part": "latency"}).status_code == 404
