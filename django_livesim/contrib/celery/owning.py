"""Whose a task is: what its message says of that, in a header."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

HEADER = "livesim"
"""The header of a message that says whose task it is, and who may watch: see `owned_by`."""

_whose: ContextVar[dict[str, Any] | None] = ContextVar("livesim_celery", default=None)


@contextmanager
def owned_by(user: Any, *, visibility: str | None = None) -> Iterator[None]:
    """Tasks that are sent in this block, and those that they send, belong to `user`; None is nobody.

    `visibility` is as for `start`. Raises `BadArgs` where that is none.
    """
    from django_livesim.gateway.sharing import check_visibility

    if visibility is not None:
        check_visibility(visibility)
    pk = getattr(user, "pk", None)
    token = _whose.set({"owner": None if pk is None else str(pk), "visibility": visibility})
    try:
        yield
    finally:
        _whose.reset(token)


def header_for(request: Any) -> dict[str, Any]:
    """What a message is to say that is sent here, by the task of that request if there is one."""
    return _whose.get() or _header_of(request)


def _header_of(whose: Any) -> dict[str, Any]:
    """What the message said of its owner: a request has the headers of its message as attributes.

    That of a task which runs in its caller's process has them in `headers`.
    """
    if whose is None:
        return {}
    found = whose.get(HEADER) or (whose.get("headers") or {}).get(HEADER)
    return found if isinstance(found, dict) else {}


def first_fields(whose: Any) -> dict[str, Any]:
    """The owner and visibility of a run that begins with a word of that request, or message's headers."""
    from django.contrib.auth import get_user_model

    header = _header_of(whose) or _whose.get() or {}
    pk = header.get("owner")
    owner = None if pk is None else SimpleNamespace(pk=get_user_model()._meta.pk.to_python(pk))
    return {"owner": owner, "visibility": header.get("visibility")}
