"""Whether a worker knows that it hears nothing."""

from __future__ import annotations

import signal
from typing import Any
from uuid import uuid4

import pytest

from django_livesim.bus import local
from django_livesim.protocol.names import worker_channel
from django_livesim.worker import doorbell as doorbells
from django_livesim.worker.doorbell import Doorbell
from tests.test_bus import Redis


@pytest.mark.django_db(transaction=True)  # Channels looks after connections for each message
def test_a_worker_knows_when_it_is_deaf_and_when_it_hears_again(
    bad_redis: Redis, monkeypatch: pytest.MonkeyPatch, wait: Any
) -> None:
    monkeypatch.setattr(doorbells, "ECHO_EVERY", 0.1)
    monkeypatch.setattr(doorbells, "DEAF_AFTER", 0.6)
    handed_on: list[Any] = []
    doorbell = Doorbell(handed_on.append)
    assert doorbell.hears()
    doorbell.listen(uuid4())
    try:
        began = doorbell._heard_at
        wait(lambda: doorbell._heard_at > began)
        bad_redis.process.send_signal(signal.SIGSTOP)
        wait(lambda: not doorbell.hears())
        bad_redis.process.send_signal(signal.SIGCONT)
        wait(doorbell.hears)
        bad_redis.kill()
        wait(lambda: not doorbell.hears())
        bad_redis.start()
        wait(doorbell.hears)
    finally:
        doorbell.stop()
    assert handed_on == []


def test_one_that_needs_no_layer_hears(settings: Any) -> None:
    doorbell = Doorbell(lambda message: None)
    doorbell.listen(uuid4())
    assert doorbell.hears()
    doorbell.stop()


def test_one_that_has_stopped_does_not_listen_again_in_this_process(settings: Any) -> None:
    doorbell, worker = Doorbell(lambda message: None), uuid4()
    doorbell.stop()
    doorbell.listen(worker)
    assert local.send(worker_channel(worker), {"type": "livesim.ring"}) == 0


def test_a_worker_that_registers_anew_while_it_ends_listens_no_more(
    bad_redis: Redis,
) -> None:
    doorbell = Doorbell(lambda message: None)
    doorbell.listen(uuid4())
    doorbell.stop()
    doorbell.listen(uuid4())
