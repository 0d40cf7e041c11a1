"""What a socket says is read ahead; what says little is taken where it comes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from django_livesim.consumers.inbox import TURN, Inbox

ACK = '{"type":"ack","epoch":1,"seq":1}'


def of(texts: list[str]) -> tuple[Inbox, list[str]]:
    """An inbox whose socket has said all of that, and leaves; and what is heeded, which is each ACK."""
    said: deque[dict[str, Any]] = deque({"type": "websocket.receive", "text": text} for text in texts)
    heeded: list[str] = []

    async def receive() -> dict[str, Any]:
        return said.popleft() if said else {"type": "websocket.disconnect"}

    def heed(text: str | bytes) -> bool:
        if text == ACK:
            heeded.append(text)
        return text == ACK

    inbox = Inbox(receive)
    inbox.heed = heed
    return inbox, heeded


async def test_what_is_heeded_is_not_given_out_and_nothing_overtakes_what_waits():
    inbox, heeded = of([ACK, "first", ACK, "second", ACK])
    ear = asyncio.create_task(inbox.listen())
    await asyncio.sleep(0)
    assert heeded == [ACK]
    assert [await inbox.take() for _ in range(5)] == ["first", ACK, "second", ACK, None]
    ear.cancel()


async def test_a_socket_that_says_much_leaves_others_their_turn():
    inbox, heeded = of([ACK] * 10 * TURN)
    ear = asyncio.create_task(inbox.listen())
    seen = []
    while len(heeded) < 10 * TURN:
        await asyncio.sleep(0)
        seen.append(len(heeded))
    assert max(after - before for before, after in zip([0, *seen], seen, strict=False)) <= TURN
    ear.cancel()
