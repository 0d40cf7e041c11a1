"""Connections to Redis that go silent, and are never closed by whoever is at their other end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis

from django_livesim.bus import receiver
from django_livesim.bus.layers import get_layer
from django_livesim.bus.receiver import LayerReceiver
from django_livesim.worker import doorbell
from django_livesim.worker.doorbell import Doorbell
from tests.reliability.outages.proxy import Proxy

pytestmark = pytest.mark.django_db(transaction=True)  # Channels closes old connections after each message

BACKENDS = ["pubsub.RedisPubSubChannelLayer", "core.RedisChannelLayer"]


@pytest.fixture(params=BACKENDS)
def proxy(request: Any, settings: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The layer leads through it; whoever is deaf notices soon."""
    for module in (receiver, doorbell):
        monkeypatch.setattr(module, "DEAF_AFTER", 1.0)
        monkeypatch.setattr(module, "ECHO_EVERY", 0.2)
    with Proxy(urlsplit(redis_url).port or 0) as between:
        host = {"address": between.leading(redis_url), "socket_timeout": None}
        backend = f"channels_redis.{request.param}"
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": [host]}}}
        yield between


def lose_all_that_is_said(proxy: Proxy) -> None:
    proxy.half_open(both=True)
    proxy.heal()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60.0):
        while not condition():
            await asyncio.sleep(0.02)


async def test_who_hears_nothing_connects_anew_and_hears_its_groups_again(proxy: Proxy) -> None:
    heard: list[Any] = []
    joined = asyncio.Event()
    ear = LayerReceiver(get_layer())
    try:
        ear.join("group", heard.append, joined.set)
        await asyncio.wait_for(joined.wait(), 60.0)
        lose_all_that_is_said(proxy)
        await until(lambda: not ear.hears())
        await until(ear.hears)

        async def say() -> bool:
            async with asyncio.timeout(5.0):
                await get_layer().group_send("group", {"type": "livesim.frame", "group": "group"})
            return bool(heard)

        async with asyncio.timeout(60.0):
            while not await say():
                await asyncio.sleep(0.1)
    finally:
        await ear.close()


def connections(redis_url: str) -> set[str]:
    """All that the server has, but the one that asks."""
    with redis.Redis.from_url(redis_url) as client:
        return {each["id"] for each in client.client_list()} - {str(client.client_id())}


async def test_a_loop_that_stood_still_keeps_its_connections(proxy: Proxy, redis_url: str) -> None:
    ear = LayerReceiver(get_layer())
    try:
        began = ear._heard_at
        await until(lambda: ear._heard_at > began)
        before = connections(redis_url)
        time.sleep(1.5)  # a slow call of the host's in a coroutine
        assert not ear.hears()
        stood = ear._heard_at
        await until(lambda: ear._heard_at > stood + 2.5)
        assert before
        assert before <= connections(redis_url)
    finally:
        await ear.close()


def test_a_worker_whose_loop_stood_still_keeps_its_connections(
    proxy: Proxy, redis_url: str, wait: Callable[[Callable[[], Any]], Any]
) -> None:
    bell = Doorbell(lambda message: None)
    try:
        bell.listen(uuid4())
        began = bell._heard_at
        wait(lambda: bell._heard_at > began)
        before = connections(redis_url)
        assert bell._thread is not None
        bell._thread.call(time.sleep, 1.5)
        wait(lambda: not bell.hears())
        stood = bell._heard_at
        wait(lambda: bell._heard_at > stood + 2.5)
        assert before
        assert before <= connections(redis_url)
    finally:
        bell.stop()


def test_a_worker_that_hears_nothing_connects_anew(
    proxy: Proxy, wait: Callable[[Callable[[], Any]], Any]
) -> None:
    bell = Doorbell(lambda message: None)
    try:
        bell.listen(uuid4())
        began = bell._heard_at  # it counts as hearing from the start
        wait(lambda: bell._heard_at > began)
        lose_all_that_is_said(proxy)
        wait(lambda: not bell.hears())
        wait(bell.hears)
    finally:
        bell.stop()
