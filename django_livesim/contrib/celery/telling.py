"""Telling what becomes of a task: each word is one transaction, after the one that may be open.

Nothing is kept here but until when progress is not told. What cannot be told is logged and passed over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import wraps
from typing import TYPE_CHECKING, Any

from celery.exceptions import SoftTimeLimitExceeded
from celery.utils.saferepr import saferepr
from django.db import Error, connections, transaction

from django_livesim import conf
from django_livesim.bus.seldom import Seldom
from django_livesim.contrib.celery.owning import first_fields
from django_livesim.protocol import plain
from django_livesim.protocol.errors import BadArgs, BadState, NoRun, RunEnded
from django_livesim.protocol.names import EXTERNAL, Role

if TYPE_CHECKING:
    from django_livesim.models import Run

LIMIT = 5.0  # seconds for each statement of a word, on PostgreSQL
PAUSE = 5.0  # seconds without progress after a word that could not be told
REPR = 1000  # characters of a result that is no plain JSON

seldom = Seldom(logging.getLogger(__name__))

_silent_until = 0.0


class _Late(Exception):
    """Something was told of the task meanwhile."""


def key_of(task_id: str) -> str:
    """The key of the run that shows a task; its simulation is `external`."""
    return f"celery:{task_id}"


def is_shown(name: str) -> bool:
    """Whether the settings name that task: the receivers hear of all, and leave out the others."""
    return any(fnmatchcase(name, pattern) for pattern in conf.settings.CELERY)


def is_silent() -> bool:
    """Whether progress is not told for now, after a word that could not be told."""
    return time.monotonic() < _silent_until


def passed_over(function: Callable[..., None]) -> Callable[..., None]:
    """Whatever `function` raises is logged, and nobody's task fails by it."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        global _silent_until
        try:
            function(*args, **kwargs)
        except SoftTimeLimitExceeded:  # comes from outside, and is for the task
            raise
        except Exception:
            _silent_until = time.monotonic() + PAUSE
            seldom.warning("What became of a Celery task could not be told; the task goes on", exc_info=True)

    return call


@passed_over
def tell(
    name: str,
    task_id: str,
    whose: Any,
    status: str,
    state: str,
    words: Mapping[str, Any] | None = None,
    *,
    after: int | None = None,
    heard: Callable[[Run], None] | None = None,
    **told: Any,
) -> None:
    """Tell it once the transaction that may be open has committed.

    `whose` is a request or the headers of a message; `words` go into the state, where those stay that
    are not among them. With `after` it is told only where nothing was since that tick of the run: with 0,
    where nothing ever was. `heard` gets the run that was told of, or had ended.
    """
    if not is_shown(name):
        return
    told |= {"status": status, "name": name[:200], **first_fields(whose)}
    words = {"task": name, "state": state, **(words or {})}

    @passed_over
    def now() -> None:
        run = _asked(lambda: _publish(key_of(task_id), words, told, after))
        if run is not None and heard is not None:
            heard(run)

    transaction.on_commit(now, using=conf.settings.DATABASE)


def _asked(word: Callable[[], Run | None]) -> Run | None:
    """What `word` gives; once more over a new connection, where the one that there was has died since."""
    from django_livesim.gateway import asked

    connection = connections[conf.settings.DATABASE]
    was_open = connection.connection is not None
    try:
        return asked(word, LIMIT)()
    except Error:
        connection.close_if_unusable_or_obsolete()
        if not was_open or connection.connection is not None:
            raise
        return asked(word, LIMIT)()


def _publish(key: str, words: dict[str, Any], told: dict[str, Any], after: int | None) -> Run | None:
    """The run, as it ended where it had; None where something was told after that tick."""
    if "current" not in words:
        words = {**_told_before(key), **words}
    try:
        with transaction.atomic(using=conf.settings.DATABASE):
            run = _publish_what_fits(key, told | {"state": words})
            if after is not None and run.tick > after + 1:
                raise _Late
            return run
    except _Late:
        return None
    except RunEnded:
        return _shown(key)


def _shown(key: str) -> Run | None:
    from django_livesim import gateway

    with suppress(NoRun):
        return gateway.get(f"{EXTERNAL}:{key}")
    return None


def _told_before(key: str) -> dict[str, Any]:
    from django_livesim import gateway

    run = _shown(key)
    _tick, state = (run and gateway.stored_view(run, Role.VIEW)) or (0, {})
    return dict(state)


def _publish_what_fits(key: str, told: dict[str, Any]) -> Run:
    """Without progress that would go back; in place of a result that is no plain JSON, its `repr`."""
    from django_livesim import publish_state

    try:
        return publish_state(key, **told)
    except BadArgs:
        if told.get("progress") is None:
            raise
        return publish_state(key, **told | {"progress": None})
    except BadState:
        if told.get("result") is None:
            raise
        short = plain.storable(saferepr(told["result"], maxlen=REPR))
        return publish_state(key, **told | {"result": short})
