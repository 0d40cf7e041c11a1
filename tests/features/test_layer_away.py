"""A real worker and a socket while the channel layer is away: said seldom, counted, and over by itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_livesim import gateway
from django_livesim.bus import receiver
from django_livesim.models import Worker
from django_livesim.protocol.loads import unsent
from tests.features.test_frames import drift, mirror
from tests.test_bus import Redis, bad_redis
from tests.test_socket import Socket, cookies, nothing_is_left, owner

__all__ = ["bad_redis", "cookies", "drift", "nothing_is_left", "owner"]


async def test_a_layer_that_is_away_is_said_seldom_and_counted_and_frames_come_again(
    bad_redis: Redis,
    drift: Any,
    engine: Any,
    cookies: str,
    owner: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(receiver, "ECHO_EVERY", 0.5)
    monkeypatch.setattr(receiver, "DEAF_AFTER", 3.0)
    run = await sync_to_async(gateway.start)("drift", owner=owner)
    worker = engine()
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: len(socket.of("delta")) >= 5)
        began = time.monotonic()
        bad_redis.kill()
        await socket.until(lambda: "no messages from its worker arrive" in socket.of("status")[-1]["reason"])
        await socket.until(lambda: worker.publisher.dropped > 20)
        bad_redis.start()
        tick = mirror(socket).tick
        await socket.until(lambda: mirror(socket).tick > tick + 20)
        await socket.until(lambda: socket.of("status")[-1]["reason"] == "")
        lines = Counter(
            (each.name, each.getMessage().split(" (and ")[0])
            for each in caplog.records
            if each.levelno >= logging.WARNING and each.name.startswith("django_livesim")
        )
        often = {line: count for line, count in lines.items() if count > 2 + (time.monotonic() - began) / 60}
        assert not often

        def told() -> int:
            return max(unsent(load).dropped for load in Worker.objects.values_list("load", flat=True))

        while (dropped := await sync_to_async(told)()) <= 20:
            assert worker.publisher.dropped > 20
            await asyncio.sleep(0.1)
        assert worker.publisher.dropped >= dropped
