"""What a viewer's socket says: one JSON object a message, decoded strictly.

`decode` gives a frozen dataclass or raises `BadMessage`; nothing of a message
is looked at before its size is known, and a message with a member that is not
of its kind is refused as a whole, so that no typing error is ever ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from django_livesim.protocol.errors import Code, LivesimError
from django_livesim.protocol.names import CLIENT_ID, Verb

MAX_DEPTH = 16
"""How deep arrays and objects may nest, the message itself counted."""

MAX_INTEGER = 2**53
"""Integers within plus and minus this are the same in every JSON reader."""

MAX_DELAY = 366 * 86400
"""Seconds for which a command may be put off, and between two repetitions; a year."""

MAX_NAME = 200

MAX_NAMED = 10
"""Members of a message that an error names, at most."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(?P<key>\s*:)?|(?P<number>-?\d[\d.eE+-]*)')
_ID_MEMBER = re.compile(r'"id"\s*:\s*"([A-Za-z0-9_-]{1,64})"')


class BadMessage(LivesimError):
    """A message that is not one of the protocol; `id` is its id where it could be read."""

    def __init__(self, message: str, *, id: str | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.id = id


@dataclass(frozen=True, kw_only=True)
class Command:
    """A request to the simulation itself."""

    id: str
    name: str
    args: dict[str, Any] = field(default_factory=dict)
    at_tick: int | None = None
    """Apply at this tick, not before."""
    delay: float | None = None
    """Apply after so many seconds, not before."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """A request about the run: `n` goes with `step`, `x` with `speed`."""

    id: str
    action: Verb
    n: int | None = None
    x: float | Literal["max"] | None = None

    @property
    def args(self) -> dict[str, Any]:
        """The verb's arguments, as the gateway takes them."""
        return {name: value for name, value in (("n", self.n), ("x", self.x)) if value is not None}


@dataclass(frozen=True, kw_only=True)
class Ack:
    """The viewer has drawn this frame; at most two more are sent unacknowledged."""

    epoch: int
    seq: int


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The viewer wants at most so many frames a second; 0 means none for now."""

    fps: float


@dataclass(frozen=True, kw_only=True)
class Resync:
    """The viewer has lost its place and wants a snapshot."""


@dataclass(frozen=True, kw_only=True)
class Ping:
    """The viewer wants to know that somebody is there."""


ClientMessage = Command | Control | Ack | Rate | Resync | Ping


def decode(text: str | bytes, limit: int) -> ClientMessage:
    """Read one message of at most `limit` bytes; raise `BadMessage` for anything else."""
    if (size := size_of(text)) > limit:
        raise BadMessage(
            f"The message has {size} bytes; at most {limit} are taken.",
            code=Code.TOO_LARGE,
            id=_glimpse(text[:limit]) if isinstance(text, str) else None,
        )
    if isinstance(text, bytes):
        raise BadMessage("Expected a text message. Got: a binary one.", code=Code.BAD_JSON)
    message = _parse(text)
    kind = message.pop("type", None)
    if not isinstance(kind, str) or kind not in _READERS:
        raise BadMessage(
            f"Unknown message type. Expected one of: {', '.join(_READERS)}. Got: {_short(kind)}.",
            code=Code.UNKNOWN_COMMAND,
            id=_readable_id(message),
        )
    return _Reader(message).read(*_READERS[kind])


def plain_ack(text: str | bytes) -> Ack | None:
    """What `decode` makes of an acknowledgement as our own clients write it; None for all else."""
    found = _PLAIN_ACK.fullmatch(text) if isinstance(text, str) else None
    return Ack(epoch=int(found[1]), seq=int(found[2])) if found else None


_PLAIN_ACK = re.compile(r'\{"type":"ack","epoch":(0|[1-9][0-9]{0,9}),"seq":(0|[1-9][0-9]{0,9})\}')


def size_of(message: str | bytes) -> int:
    """Bytes of a message as it crossed the wire."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode("utf-8", "surrogatepass"))


def _parse(text: str) -> dict[str, Any]:
    try:
        message = orjson.loads(text)
    except ValueError as exc:
        raise BadMessage(f"Invalid JSON: {exc}.", code=Code.BAD_JSON, id=_glimpse(text)) from exc
    if not isinstance(message, dict):
        raise BadMessage(
            f'Expected a JSON object such as {{"type": "ping"}}. Got: {_kind(message)}.', code=Code.BAD_JSON
        )
    problem = _deep_problem(message) or _token_problem(text, message)
    if problem:
        raise BadMessage(problem, code=Code.BAD_JSON, id=_readable_id(message))
    return message


def _deep_problem(message: Any) -> str | None:
    """What JSON allows and this protocol does not, found without recursion."""
    level: list[Any] = [message]
    for _depth in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, str) and "\x00" in value:
                return r"Text must not hold the character \u0000."
        if not below:
            return None
        level = below
    if any(isinstance(value, dict | list) for value in level):
        return f"Arrays and objects nest deeper than {MAX_DEPTH} levels."
    if any(isinstance(value, str) and "\x00" in value for value in level):
        return r"Text must not hold the character \u0000."
    return None


def _token_problem(text: str, message: dict[str, Any]) -> str | None:
    """What the parsed value no longer shows: repeated names, and integers that became floats."""
    names = 0
    for token in _TOKEN.finditer(text):
        if token["key"]:
            names += 1
        elif (number := token["number"]) and _is_large_integer(number):
            return f"Integers must lie within plus and minus 2^53. Got: {number[:40]}."
    if names != _count_names(message):
        return "An object holds the same name twice."
    return None


def _is_large_integer(number: str) -> bool:
    digits = number.lstrip("-")
    return digits.isdigit() and (len(digits) > 16 or int(digits) > MAX_INTEGER)


def _count_names(message: Any) -> int:
    total, open_values = 0, [message]
    while open_values:
        value = open_values.pop()
        if isinstance(value, dict):
            total += len(value)
            open_values.extend(value.values())
        elif isinstance(value, list):
            open_values.extend(value)
    return total


class _Reader:
    """Takes the members of one message, gathering what is wrong with each."""

    def __init__(self, message: dict[str, Any]) -> None:
        self.message = message
        self.fields: dict[str, list[str]] = {}

    def read(self, kind: Callable[..., ClientMessage], members: Mapping[str, _Check]) -> ClientMessage:
        values = {}
        for name, check in members.items():
            if name not in self.message:
                if not check.optional:
                    self.fields[name] = [f"Missing; expected {check.expected}."]
            elif check.holds(self.message[name]):
                values[name] = self.message[name]
            else:
                self.fields[name] = [f"Expected {check.expected}. Got: {_short(self.message[name])}."]
        for name in sorted(self.message.keys() - members.keys())[:MAX_NAMED]:
            self.fields[name[:MAX_NAME]] = [f"Unknown. Expected: {', '.join(members) or 'no more members'}."]
        if kind is Control and not self.fields:
            self._check_control(values)
        if self.fields:
            text = " ".join(f"{name}: {texts[0]}" for name, texts in sorted(self.fields.items()))
            raise BadMessage(text, code=Code.BAD_ARGS, fields=self.fields, id=_readable_id(self.message))
        return kind(**values)

    def _check_control(self, values: dict[str, Any]) -> None:
        values["action"] = Verb(values["action"])
        for name, verb in (("n", Verb.STEP), ("x", Verb.SPEED)):
            if name in values and values["action"] is not verb:
                self.fields[name] = [f"Only the action {verb!s} takes it."]
        if values["action"] is Verb.SPEED and "x" not in values:
            self.fields["x"] = [f"Missing; expected {_SPEED.expected}."]


@dataclass(frozen=True)
class _Check:
    holds: Callable[[Any], bool]
    expected: str
    optional: bool = False


def _is_integer(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MAX_INTEGER


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_ID = _Check(
    lambda value: isinstance(value, str) and CLIENT_ID.match(value) is not None,
    "1 to 64 of the characters A-Z a-z 0-9 _ -",
)
_NAME = _Check(
    lambda value: isinstance(value, str) and 0 < len(value) <= MAX_NAME,
    f"a text of 1 to {MAX_NAME} characters",
)
_SPEED = _Check(
    lambda value: value == "max" or (_is_number(value) and value > 0),
    'a number above 0, or "max"',
    optional=True,
)
_FPS = _Check(lambda value: _is_number(value) and 0 <= value <= 1000, "a number from 0 to 1000")
_COUNT = _Check(lambda value: _is_integer(value, 0), "an integer of 0 or more")

_READERS: dict[str, tuple[Callable[..., ClientMessage], dict[str, _Check]]] = {
    "command": (
        Command,
        {
            "id": _ID,
            "name": _NAME,
            "args": _Check(lambda value: isinstance(value, dict), "an object", optional=True),
            "at_tick": _Check(lambda value: _is_integer(value, 0), "an integer of 0 or more", optional=True),
            "delay": _Check(
                lambda value: _is_number(value) and 0 <= value <= MAX_DELAY,
                f"a number of seconds from 0 to {MAX_DELAY}",
                optional=True,
            ),
        },
    ),
    "control": (
        Control,
        {
            "id": _ID,
            "action": _Check(
                lambda value: isinstance(value, str) and value in set(Verb), f"one of {', '.join(Verb)}"
            ),
            "n": _Check(lambda value: _is_integer(value, 1), "an integer of 1 or more", optional=True),
            "x": _SPEED,
        },
    ),
    "ack": (Ack, {"epoch": _COUNT, "seq": _COUNT}),
    "rate": (Rate, {"fps": _FPS}),
    "resync": (Resync, {}),
    "ping": (Ping, {}),
}


def _glimpse(text: str) -> str | None:
    """The id in a text that cannot be parsed, where it stands there plainly and once."""
    found = _ID_MEMBER.findall(text)
    return found[0] if len(found) == 1 else None


def _readable_id(message: Mapping[str, Any]) -> str | None:
    value = message.get("id")
    return value if _ID.holds(value) else None


def _kind(value: Any) -> str:
    kinds = {bool: "a boolean", str: "a text", list: "an array"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _short(value: Any) -> str:
    """`value` as JSON, cut to what a person reads."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
