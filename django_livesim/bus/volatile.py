"""Volatile commands on their way to a worker: messages that hold the command itself.

Best effort, and said so where a command is declared: there is no row that
could be found where a message is lost. Whoever sends has been told that the
layer took it, not that the worker has it.

Those of one sender for one run go one after the other, in the order in which
they were submitted in this process: the next is given to the layer when it has
answered for the one before, or has had its `LIMIT`. Layers keep that order, and
so does the worker's one listener. Each lock of `_turns` belongs to the loop of
the thread that rings, and is there while somebody holds it or waits for it.

- *Whoever waits gives up*, after `2 * LIMIT`: the sending is cancelled. While
  it waits for its turn nothing has gone; while the layer is asked the message
  may have gone, and be heard later than the next one. Its sender has been told
  `NotTaken`. Either way the turn passes on.
- *The process dies*: what has not been given to the layer is lost, and nobody
  has been told that it was taken. What was given to it goes on, in its order.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Hashable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import orjson

from django_livesim.bus import doorbells, local
from django_livesim.bus.layers import get_layer, is_local
from django_livesim.bus.seldom import Seldom
from django_livesim.protocol import plain
from django_livesim.protocol.names import CLIENT_ID, VOLATILE, Kind, worker_channel
from django_livesim.protocol.records import Entry

WITHOUT_POINT = 1e16  # from here on Python writes 1e+16 for a float, which is an integer when it is read
LIMIT = 0.25  # seconds in which the layer takes a message, or its sender is told that it did not

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

TEXTS = {"sender": 80, "name": 200, "body_hash": 32}
"""Their greatest lengths, which are those of the columns."""


class NotTaken(Exception):
    """The layer is full, away or slow; the message may have gone, or not."""


def send(worker: UUID, run: UUID, wanted: Mapping[str, Any]) -> bool:
    """Hand a command to the worker; `wanted` are the columns of its row.

    False where this process has no way to reach it, being none of the layer's.
    Takes `LIMIT` seconds at most; raises `NotTaken`. Any thread but that of an event loop.
    """
    if is_local():
        return bool(local.send(worker_channel(worker), encode(run, wanted)))
    try:
        done = submit(worker, run, wanted)
        try:
            done.result(2 * LIMIT)
        finally:
            done.cancel()
    except Exception as exc:
        seldom.warning("A volatile command was not taken by the layer: run=%s (%s)", run, type(exc).__name__)
        raise NotTaken from exc
    return True


def submit(worker: UUID, run: UUID, wanted: Mapping[str, Any]) -> concurrent.futures.Future[None]:
    """Have the layer given a command, after those of its sender that were submitted before. Any thread."""
    return doorbells.submit(_send((worker, run, wanted["sender"]), encode(run, wanted)))


_turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()


async def _send(lane: tuple[UUID, UUID, str], message: dict[str, Any]) -> None:
    turn = _turns.setdefault((asyncio.get_running_loop(), *lane), asyncio.Lock())
    async with turn, asyncio.timeout(LIMIT):
        await get_layer().send(worker_channel(lane[0]), message)


def encode(run: UUID, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """As a message of the layer; the command is one text, since not every layer keeps every value."""
    command = {name: wanted[name] for name in ("name", "args", "sender", "client_id", "body_hash")}
    return {"type": VOLATILE, "run": run.hex, "command": orjson.dumps(command).decode()}


def decode(message: Mapping[str, Any]) -> tuple[UUID, Entry]:
    """The run and the command. Raises ValueError for whatever is none: a channel may be written by others."""
    try:
        run, command = UUID(hex=message["run"]), orjson.loads(message["command"])
        texts = {name: _text(command[name], length) for name, length in TEXTS.items()}
        client_id, args = command["client_id"], command["args"]
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"not a volatile command: {exc!r}") from exc
    if not isinstance(client_id, str) or not CLIENT_ID.match(client_id) or not texts["name"]:
        raise ValueError("not the id or the name of a command")
    if not isinstance(args, dict) or plain.first_difference(args) or b"\\u0000" in orjson.dumps(args):
        raise ValueError("not the arguments of a command")
    return run, Entry(
        id=None,
        client_id=client_id,
        sender=texts["sender"],
        kind=Kind.COMMAND,
        name=texts["name"],
        args=as_stored(args),
        body_hash=texts["body_hash"],
    )


def as_stored(value: Any) -> Any:
    """Plain data as a `jsonb` column of PostgreSQL gives it back, whatever the database.

    A volatile command acts before it has a row, and is played again from that: the order of keys (by the
    length of their UTF-8, then its bytes), and what is an integer, must be the same both times.

        {"bb": 1e16, "a": -0.0} becomes {"a": 0.0, "bb": 10000000000000000}
    """
    if isinstance(value, dict):
        keys = sorted((len(key.encode()), key.encode(), key) for key in value)
        return {key: as_stored(value[key]) for *_, key in keys}
    if isinstance(value, list):
        return [as_stored(each) for each in value]
    if isinstance(value, float):
        return int(Decimal(repr(value))) if abs(value) >= WITHOUT_POINT else value + 0.0  # there is no -0.0
    return value


def _text(value: Any, length: int) -> str:
    if not isinstance(value, str) or len(value) > length or plain.storable(value) != value:
        raise ValueError(f"not a text of at most {length} characters")
    return value
