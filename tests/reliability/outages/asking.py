"""One person more: asks at a socket of its own, and hears what becomes of it. In threads of their own."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.test import Client
from websockets.asyncio.client import connect

from tests.reliability.outages.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one command."""

    outcome: str
    tick: int
    result: Any
    after: float
    """Seconds since it was sent."""
    after_accepted: float


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One command on its way."""

    answer: Future[Answer | None]
    accepted: threading.Event


class Asker:
    """A user of its own, for the web server of a stage. A context manager: left when all have answered."""

    def __init__(self, stage: Stage) -> None:
        user, client = get_user_model().objects.create_user("asker"), Client()
        client.force_login(user)
        self._cookie = f"sessionid={client.cookies['sessionid'].value}"
        self._url = stage.workers.url
        self._threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="asker")

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *exc: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def ask(self, run: UUID, ref: str, *, limit: float, **more: Any) -> Asked:
        """Send `note` of that reference and id; None where there is no answer within `limit` seconds."""
        message = {"type": "command", "id": ref, "name": "note", "args": {"ref": ref}, **more}
        accepted = threading.Event()
        answer = self._threads.submit(lambda: asyncio.run(self._ask(run, message, limit, accepted)))
        return Asked(answer=answer, accepted=accepted)

    async def _ask(
        self, run: UUID, message: Mapping[str, Any], limit: float, accepted: threading.Event
    ) -> Answer | None:
        began = taken = time.monotonic()
        url, headers = f"{self._url}/ws/livesim/runs/{run}/", {"Cookie": self._cookie}
        try:
            async with asyncio.timeout(limit), connect(url, additional_headers=headers) as socket:
                await socket.send(json.dumps(message))
                async for text in socket:
                    told = json.loads(text)
                    if told.get("id") != message["id"]:
                        continue
                    if told["type"] == "accepted":
                        taken = time.monotonic()
                        accepted.set()
                    elif told["type"] == "error" and told["retry"] is not None:
                        await asyncio.sleep(told["retry"])
                        await socket.send(json.dumps(message))
                    else:
                        return Answer(
                            outcome=told["code"] if told["type"] == "error" else told["type"],
                            tick=told.get("tick", 0),
                            result=told.get("result"),
                            after=time.monotonic() - began,
                            after_accepted=time.monotonic() - taken,
                        )
        except TimeoutError:
            pass
        return None
