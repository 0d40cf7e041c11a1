from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import services
from tests.services import missing
from tests.test_bus import LAYERS, Redis, layer_settings


@pytest.fixture(params=LAYERS, ids=["core", "pubsub"])
def bad_redis(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Iterator[Redis]:
    """A server of this test's own, as the channel layer, to be stopped and killed."""
    try:
        services.redis_binary()
    except services.Missing as exc:
        missing("redis", str(exc))
    server = Redis(tmp_path)
    server.start()
    settings.CHANNEL_LAYERS = layer_settings(request.param, server.url)
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.kill()
