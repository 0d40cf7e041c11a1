"""How commands are counted; what the limits mean to whoever asks is in tests/rights."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache

from django_livesim import gateway
from django_livesim.protocol.errors import LivesimError
from django_livesim.store import intake

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_retry_is_taken_back_in_the_span_in_which_it_was_counted(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "2/m"}}
    cache.clear()
    now, insert, slow = [6000.0], intake.insert_command, [False]
    monkeypatch.setattr(time, "time", lambda: now[0])

    def insert_slowly(**wanted: Any) -> Any:
        if slow[0]:
            now[0] = 6061.0
        return insert(**wanted)

    monkeypatch.setattr(intake, "insert_command", insert_slowly)
    ann = get_user_model().objects.create_user("ann")
    run = gateway.start("counter", owner=ann)
    gateway.send(run, "add", id="a", user=ann)
    now[0] = 6060.0
    gateway.send(run, "add", id="b", user=ann)
    now[0], slow[0] = 6059.0, True
    assert gateway.send(run, "add", id="a", user=ann)
    gateway.send(run, "add", user=ann)
    with pytest.raises(LivesimError) as caught:
        gateway.send(run, "add", user=ann)
    assert caught.value.code == "too_many"
