"""What tasks may do beside their own work, and what the app leaves as it was."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from django.http import HttpResponse
from django.test import Client
from django.urls import NoReverseMatch, re_path, reverse

from django_livesim import conf, task
from django_livesim.background import handlers
from django_livesim.models import Task
from django_livesim.worker.tasking import TaskWorker

pytestmark = pytest.mark.django_db(transaction=True)

TIMES = 40
AT_ONCE = conf.DEFAULTS["TASK_THREADS"]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    before = dict(handlers.tasks)
    yield
    handlers.tasks = before


@pytest.fixture
def worker() -> Iterator[None]:
    """One that calls tasks, in a thread."""
    calling = TaskWorker()
    thread = threading.Thread(target=calling.run)
    thread.start()
    yield
    calling.drain()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("backend", ["pubsub.RedisPubSubChannelLayer", "core.RedisChannelLayer"])
@pytest.mark.usefixtures("worker")
async def test_a_task_sends_to_any_group_and_channel_again_and_again_and_leaves_no_connection(
    backend: str, redis_layer: dict[str, Any], redis_url: str, settings: Any
) -> None:
    settings.CHANNEL_LAYERS = {"default": {**redis_layer, "BACKEND": f"channels_redis.{backend}"}}

    @task(name="announce")
    def announce(channel: str) -> None:
        layer = get_channel_layer()
        async_to_sync(layer.group_send)("news", {"type": "to.group", "by": "sync"})
        async_to_sync(layer.send)(channel, {"type": "to.channel", "by": "sync"})

    @task(name="announce_async")
    async def announce_async(channel: str) -> None:
        layer = get_channel_layer()
        await layer.group_send("news", {"type": "to.group", "by": "async"})
        await layer.send(channel, {"type": "to.channel", "by": "async"})

    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add("news", channel)
    heard: list[tuple[str, str]] = []
    most = 0
    with redis.Redis.from_url(redis_url) as asking:
        for _ in range(TIMES):  # a few at a time: a layer drops what a full channel cannot take
            await sync_to_async(announce.enqueue)(channel)
            await sync_to_async(announce_async.enqueue)(channel)
            for _ in range(4):
                message = await asyncio.wait_for(layer.receive(channel), 60)
                heard.append((message["type"], message["by"]))
            most = max(most, asking.info()["connected_clients"])
    told = {(kind, by): TIMES for kind in ("to.group", "to.channel") for by in ("sync", "async")}
    assert Counter(heard) == told
    assert most < TIMES  # of 160 messages: those of the calls under way, and a handful that stay
    assert await Task.objects.filter(status="failed").acount() == 0


@pytest.mark.parametrize("address", ["/", "/livesim/", "/livesim/runs/", "/ws/livesim/"])
def test_installed_alone_it_answers_at_no_url(address: str, settings: Any, client: Client) -> None:
    """The host's own view has every path, until the host includes ours."""

    class Urls:
        urlpatterns = [re_path("", lambda request: HttpResponse("the host's"))]

    settings.ROOT_URLCONF = Urls
    assert "django_livesim" in settings.INSTALLED_APPS
    assert client.get(address).content == b"the host's"
    with pytest.raises(NoReverseMatch):
        reverse("livesim:run-list")
