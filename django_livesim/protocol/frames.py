"""What a viewer's socket hears: encoders that give the JSON text of each message.

Frames are numbered by `(epoch, seq)`: the epoch grows each time a worker takes
the run, the seq with each frame in it. A worker that holds a run in epoch 3
sends (3, 1), (3, 2), (3, 3); it dies, another takes over and sends (4, 1). A
viewer that has seen (3, 3) and then gets (3, 2) or (3, 3) drops it; (4, 1) is
newer than all of them. What is shown of a run that nobody holds, its stored
view, has seq 0 unless something newer of that epoch has been shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal
from uuid import UUID

import orjson

from django_livesim.protocol.errors import LivesimError
from django_livesim.protocol.names import Outcome

VERSION = 1

MAX_ERROR = 500  # characters of any one text in an error
MAX_FIELDS = 10  # fields that an error names, and texts for each

Speed = float | Literal["max"]

By = Mapping[str, str]
"""Who sent a command: `kind` is user, visitor or process, `name` that of a user or process."""


def _encode(type: str, /, **members: Any) -> str:
    return orjson.dumps({"type": type, **members}).decode()


def _json(value: Any) -> Any:
    return orjson.Fragment(value) if isinstance(value, bytes) else value


def wire_speed(speed: float | str) -> Speed:
    """A run's speed as viewers see it: the row's 0, as fast as possible, is "max"."""
    return float(speed) if speed not in (0, "max") else "max"


def hello(
    *,
    run: UUID | str,
    simulation: str,
    status: str,
    role: str,
    commands: Sequence[Mapping[str, Any]],
    tick_rate: float | None,
    frame_rate: float | None,
    tables: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The first message; `commands` are objects of name, label, schema and durable."""
    return _encode(
        "hello",
        v=VERSION,
        run=str(run),
        simulation=simulation,
        status=str(status),
        role=str(role),
        commands=list(commands),
        tick_rate=tick_rate,
        frame_rate=frame_rate,
        tables=list(tables),
    )


def snapshot(epoch: int, seq: int, tick: int, body: bytes, tables: bytes = b"") -> str:
    """A whole view; `body` is its JSON and `tables` that of its tables, encoded by the one who has them."""
    more = f',"tables":{tables.decode()}' if tables else ""
    return f'{{"type":"snapshot","epoch":{epoch},"seq":{seq},"tick":{tick},"state":{body.decode()}{more}}}'


def delta(
    epoch: int,
    prev: int,
    seq: int,
    tick: int,
    patch: Mapping[str, Any],
    nulls: Sequence[str],
    tables: Mapping[str, Any] | None = None,
    crc: int | None = None,
) -> str:
    """What has changed since the frame `prev` of the same epoch; `crc` is the check of the view after it."""
    more: dict[str, Any] = {"tables": tables} if tables else {}
    if crc is not None:
        more["crc"] = crc
    return _encode(
        "delta", epoch=epoch, prev=prev, seq=seq, tick=tick, patch=patch, nulls=list(nulls), **more
    )


def status(status: str, tick: int, progress: float | None, speed: float | str, reason: str) -> str:
    """Where the run stands; `speed` is the row's, 0 being as fast as possible."""
    return _encode(
        "status",
        status=str(status),
        tick=tick,
        progress=progress,
        speed=wire_speed(speed),
        reason=str(reason),
    )


def accepted(id: str, command: str) -> str:
    """The command is stored: it will be applied or refused, whatever dies."""
    return _encode("accepted", id=id, command=command)


def applied(
    id: str | None,
    command: str,
    tick: int,
    result: str | bytes | None = None,
    too_large: int = 0,
    by: By | None = None,
) -> str:
    """The command took effect after `tick`; `result` is JSON text, and left out for all but the sender.

    Where a result is not sent, it is null, and `too_large` its bytes. `by` is for those who may know.
    """
    if result is None:
        return _encode("applied", id=id, command=command, tick=tick, **_by(by))
    more = {"too_large": too_large} if too_large else {}
    return _encode("applied", id=id, command=command, tick=tick, result=orjson.Fragment(result), **more)


def refused(id: str | None, command: str, tick: int, code: str, message: str, by: By | None = None) -> str:
    """The command was accepted and then declined; it has changed nothing."""
    said = {"id": id, "command": command, "tick": tick, "code": str(code), "message": str(message)}
    return _encode("refused", **said, **_by(by))


def sender(sender: str, name: str = "") -> By:
    """Who that is, for people; `name` is a user's, empty where there is no such user any more."""
    kind, _, label = sender.partition(":")
    if kind == "u":
        return {"kind": "user", "name": name}
    return {"kind": "process", "name": label} if kind == "p" else {"kind": "visitor", "name": ""}


def _by(by: By | None) -> dict[str, By]:
    return {} if by is None else {"by": by}


def error(id: str | None, problem: LivesimError) -> str:
    """The message was not accepted. What came is quoted in part only, however long it was."""
    fields = list(problem.fields.items())[:MAX_FIELDS]
    return _encode(
        "error",
        id=id,
        code=str(problem.code),
        message=_cut(problem.message),
        fields={_cut(name): [_cut(text) for text in texts[:MAX_FIELDS]] for name, texts in fields},
        retry=problem.retry,
    )


def _cut(text: object) -> str:
    whole = str(text)
    return whole if len(whole) <= MAX_ERROR else f"{whole[: MAX_ERROR - 3]}..."


def event(name: str, data: Any, tick: int, too_large: int = 0) -> str:
    """Something the simulation tells everyone who watches; `data` is plain JSON, or its text in bytes.

    Where the data is not sent, it is None, and `too_large` its bytes.
    """
    more = {"too_large": too_large} if too_large else {}
    return _encode("event", name=_cut(name) if too_large else name, data=_json(data), tick=tick, **more)


def metrics(tick: int, at: float, values: Mapping[str, Any] | bytes, problem: str = "") -> str:
    """The simulation's own figures at a tick; `at` is in seconds since 1970.

    `values` is plain JSON, or its text in bytes; where there are none, `problem` says why.
    """
    more = {"problem": _cut(problem)} if problem else {}
    return _encode("metrics", tick=tick, at=round(at, 3), values=_json(values), **more)


def presence(viewers: int) -> str:
    """How many sockets watch the run."""
    return _encode("presence", viewers=viewers)


def end(status: str, result: Any = None, next: UUID | str | None = None, *, most: int | None = None) -> str:
    """The run has ended; `next` is the run that follows it after a restart.

    `result` is plain JSON, or its text in bytes. One of more than `most` bytes is null, and `too_large` its
    bytes.
    """
    more = {}
    if most is not None:
        result = result if isinstance(result, bytes) else orjson.dumps(result)
        if len(result) > most:
            result, more = None, {"too_large": len(result)}
    following = None if next is None else str(next)
    return _encode("end", status=str(status), result=_json(result), next=following, **more)


def pong() -> str:
    return _encode("pong")


def changed() -> str:
    """The list of runs may look other than it did; on the socket of the list alone."""
    return _encode("changed")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of an accepted command, on its way from the worker to the sockets.

    `result` is JSON text. `message()` is its form on the channel layer and
    `decode` reads that; both hold strings and integers only.
    """

    sender: str
    id: str
    command: str
    outcome: str
    tick: int = 0
    result: str = "null"
    code: str = ""
    message: str = ""
    too_large: int = 0
    """Bytes of the result, where that is not sent."""

    TYPE = "livesim.verdict"

    def encode(self) -> dict[str, Any]:
        return {"type": self.TYPE, **{name: _plain(value) for name, value in asdict(self).items()}}

    @classmethod
    def decode(cls, message: Mapping[str, Any]) -> Verdict:
        return cls(**{name: message[name] for name in cls.__dataclass_fields__ if name in message})

    def within(self, most: int) -> Verdict:
        """Without a result that is longer; of a message that is, the beginning. In characters of each."""
        if len(self.message) > most:
            return replace(self, message=_cut(self.message))
        size = len(self.result)
        return self if size <= most else replace(self, result="null", too_large=size)

    def text(self, *, to_sender: bool, by: By | None = None) -> str:
        """The `applied` or `refused` message, for its sender or for everyone else.

        `by` is for those alone who may know who the sender is.
        """
        client_id = self.id if to_sender else None
        if self.outcome == Outcome.APPLIED:
            result = self.result if to_sender else None
            return applied(client_id, self.command, self.tick, result, self.too_large, by)
        return refused(client_id, self.command, self.tick, self.code, self.message, by)


def _plain(value: str | int) -> str | int:
    return str(value) if isinstance(value, str) else int(value)
