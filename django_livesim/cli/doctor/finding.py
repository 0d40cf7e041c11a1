"""What `livesim doctor` says of one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

OK, ADVICE, PROBLEM = "ok", "advice", "problem"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: `status` is ok, advice or problem; `hint` says what to do."""

    name: str
    status: str
    message: str
    """What came and, where that is not well, what was expected."""
    hint: str = ""


def ok(name: str, message: str) -> Finding:
    return Finding(name=name, status=OK, message=message)


def advice(name: str, message: str, hint: str) -> Finding:
    return Finding(name=name, status=ADVICE, message=message, hint=hint)


def problem(name: str, message: str, hint: str) -> Finding:
    return Finding(name=name, status=PROBLEM, message=message, hint=hint)


Look = Callable[[], Iterator[Finding]]


def safely(name: str, hint: str, look: Look) -> Iterator[Finding]:
    """What `look` finds; what it raises is a problem too, with this hint."""
    try:
        yield from look()
    except Exception as exc:
        message = f"{type(exc).__name__}: {str(exc).strip() or 'no answer'}"
        yield problem(name, message, hint)
