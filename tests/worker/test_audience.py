"""How many watch a run, as a worker knows it, and as its beat tells."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import UUID

import pytest

from django_livesim import gateway
from django_livesim.bus import local
from django_livesim.models import Worker
from django_livesim.protocol.loads import load_of
from django_livesim.protocol.names import worker_channel
from django_livesim.worker import audience
from django_livesim.worker.audience import Audience
from tests.features.conftest import engine

__all__ = ["engine"]

RUN, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(audience, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_those_of_all_hubs_are_counted_and_the_newest_word_of_each_holds(clock):
    heard = Audience()
    heard.tell(RUN, "a", 3)
    heard.tell(RUN, "b", 2)
    heard.tell(OTHER, "a", 1)
    heard.tell(RUN, "a", 1)
    assert (heard.count(RUN), heard.count(OTHER), heard.count(UUID(int=3))) == (3, 1, 0)


def test_a_hub_that_has_gone_silent_is_forgotten(clock):
    heard = Audience()
    heard.tell(RUN, "a", 3)
    clock.now += 10
    heard.tell(RUN, "b", 2)
    clock.now += 10
    assert heard.count(RUN) == 2
    clock.now += 10
    assert heard.count(RUN) == 0
    heard.tell(OTHER, "a", 1)
    assert heard._told.keys() == {OTHER}


@pytest.mark.django_db(transaction=True)
def test_a_beat_tells_how_many_watch_and_how_fast_it_goes(settings, engine, wait):
    settings.LIVESIM = {"BEAT": 0.2}
    engine()
    run = gateway.start("counter")

    def told():
        worker = Worker.objects.filter(runs=run).first()
        return worker and load_of(worker.load, run.id)

    assert wait(told).viewers == 0
    wait(lambda: 10 < (told().rate or 0) < 40)
    message = {
        "type": "livesim.interest",
        "run": run.id.hex,
        "hub": "h",
        "viewers": 2,
        "roles": [],
        "keyframe": False,
    }
    local.send(worker_channel(Worker.objects.get(runs=run).id), message)
    wait(lambda: told().viewers == 2)
    gateway.pause(run)
    wait(lambda: told().rate == 0.0)
