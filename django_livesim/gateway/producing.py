"""`publish_state`: a program of the host's own shows on a run's page how it stands, and no worker is asked.

Of many processes that tell of one run at once each has a tick of its own, given with the row locked. What
they send may be lost, or arrive in another order: it is numbered by the tick, so that hubs pass over what is
older, and hubs compare what they have heard with the row every five seconds. So a process may die on any
line: what has committed is shown.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction
from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.bus import speaker
from django_livesim.gateway.sharing import check_visibility, new_token
from django_livesim.models import Run, Visibility
from django_livesim.protocol import frames, plain
from django_livesim.protocol.errors import (
    BadArgs,
    BadState,
    Code,
    Forbidden,
    LivesimError,
    RunEnded,
)
from django_livesim.protocol.names import ENDED, Status
from django_livesim.store import producing
from django_livesim.store.striking import STACK

STATUSES = (Status.WAITING, Status.RUNNING, Status.FINISHED, Status.FAILED, Status.STOPPED)
"""Those that a producer may tell."""

KEY = 200  # characters
REASON = 500  # characters
ATTEMPTS = 5
"""Times to look who has a key, where others begin and delete its run meanwhile."""

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a producer tells of its run, as it is stored; None is what stays as it is."""

    status: Status
    reason: str
    progress: float | None
    body: bytes | None
    """The state as JSON."""
    result: Any
    error: str


def publish_state(
    key: str,
    *,
    status: str = "running",
    progress: float | None = None,
    state: dict[str, Any] | None = None,
    text: str = "",
    result: Any = None,
    error: str = "",
    owner: Any = None,
    name: str = "",
    visibility: str | None = None,
) -> Run:
    """Tell how something stands that a program of yours does; the row of its run.

    The first call with a `key` makes the run, for `owner`, called `name`, of that `visibility` (private);
    later ones tell more of it, from any process, and these three change nothing. `status` is `waiting`,
    `running`, `finished`, `failed` or `stopped`; the last three end it for good. `progress` is 0 to 1, and
    never less than before. `state` is a dict of plain JSON, shown as any run's. These two stay where they
    are not given; `text` is what the page says now. `result` and `error`, as a traceback, come with the end;
    of an error the last 20,000 characters are kept.

    Where somebody has asked that it stop, the row's status is `stopping`, until you tell that it is
    `stopped`.

    It is one transaction, or part of the caller's, and viewers are told when that has committed. Raises
    `LivesimError`, and has changed nothing then: `BadArgs`; `BadState`; `RunEnded`; `Forbidden` where
    `owner` is another than the run's.
    """
    told = _told(status, progress, state, text, result, error)
    first = _first(_checked_key(key), owner, name, visibility)
    stored = None if told.body is None else producing.State.of(told.body)
    for _attempt in range(ATTEMPTS):
        try:
            with transaction.atomic(using=conf.settings.DATABASE):
                run = producing.next_tick(key, first)
                _check(run, told, first["owner_id"])
                producing.write(run, _fields(run, told), stored)
                _say_on_commit(run.id, _messages(run, told))
            return run
        except producing.Taken:
            continue
    busy = _("The run with the key %(key)r is changing hands; try again.")
    raise LivesimError(busy % {"key": key}, code=Code.BUSY, retry=1)


# what is told


def _told(status: str, progress: Any, state: Any, text: str, result: Any, error: str) -> Told:
    known = _status(status)
    ends = known in ENDED
    if not ends and (result is not None or error):
        early = _("A result or an error comes with the end: finished, failed or stopped; status is %(got)s.")
        raise BadArgs(early % {"got": known})
    return Told(
        status=known,
        reason=plain.storable(_text("text", text))[:REASON],
        progress=_progress(progress),
        body=None if state is None else _body(state),
        result=_result(result),
        error=plain.storable(_text("error", error))[-STACK:],
    )


def _status(status: str) -> Status:
    found = next((each for each in STATUSES if each == status), None)
    if found is None:
        unknown = _("status is one of %(expected)s; got %(given)r.")
        raise BadArgs(unknown % {"expected": ", ".join(STATUSES), "given": str(status)[:80]})
    return found


def _text(name: str, text: Any) -> str:
    if not isinstance(text, str):
        wrong = _("%(name)s is a text; got %(given)s.")
        raise BadArgs(wrong % {"name": name, "given": type(text).__name__})
    return text


def _progress(progress: Any) -> float | None:
    if progress is None:
        return None
    number = isinstance(progress, int | float) and not isinstance(progress, bool)
    if not (number and math.isfinite(progress) and 0 <= progress <= 1):
        wrong = _("progress is a number from 0 to 1, or None; got %(given).80r.")
        raise BadArgs(wrong % {"given": progress})
    return float(progress)


def _plain(value: Any, name: str) -> Any:
    if difference := plain.first_difference(value, name):
        raise BadState(_("%(difference)s. Expected plain JSON.") % {"difference": difference})
    return value


def _body(state: Any) -> bytes:
    if type(state) is not dict:
        wrong = _("state is a dict of plain JSON, or None; got %(given)s.")
        raise BadState(wrong % {"given": type(state).__name__})
    return _sized(
        plain.encode(_plain(state, "state")),
        _(
            "The state takes %(size)s bytes, more than MAX_STATE_BYTES = %(limit)s; make it smaller"
            " or raise the setting."
        ),
    )


def _result(result: Any) -> Any:
    """As it is stored."""
    large = _(
        "The result takes %(size)s bytes, more than MAX_STATE_BYTES = %(limit)s; store it elsewhere, and"
        " tell where that is."
    )
    return orjson.loads(_sized(plain.encode_answer(_plain(result, "result")), large))


def _sized(body: bytes, large: str) -> bytes:
    limit = conf.settings.MAX_STATE_BYTES
    if len(body) > limit:
        raise BadState(large % {"size": len(body), "limit": limit})
    return body


# whose run it is


def _checked_key(key: Any) -> str:
    whole = isinstance(key, str) and 1 <= len(key) <= KEY and plain.storable(key) == key
    if not whole or any(unicodedata.category(each) == "Cc" for each in key):
        wrong = _("A key is 1 to %(most)s characters, no control characters; got %(given).80r.")
        raise BadArgs(wrong % {"most": KEY, "given": key})
    return str(key)


def _first(key: str, owner: Any, name: str, visibility: str | None) -> dict[str, Any]:
    """The fields of a run that begins now."""
    if len(_text("name", name)) > KEY or plain.storable(name) != name:
        wrong = _("A name is at most 200 characters, none of them NUL; got %(given)r.")
        raise BadArgs(wrong % {"given": name[:80]})
    visibility = Visibility.PRIVATE if visibility is None else visibility
    check_visibility(visibility)
    return {
        "name": name,
        "owner_id": _owner_id(owner),
        "visibility": str(visibility),
        "link_token": new_token(visibility),
    }


def _owner_id(owner: Any) -> Any:
    if owner is None:
        return None
    pk = getattr(owner, "pk", None)
    if pk is None:
        wrong = _("owner is a user who has a row, or None; got %(given)s.")
        raise BadArgs(wrong % {"given": type(owner).__name__})
    return pk


def _check(run: Run, told: Told, owner_id: Any) -> None:
    """Raise unless the run, which is locked, may take what is told."""
    if owner_id is not None and run.owner_id != owner_id:
        raise Forbidden(_("The run %(key)r has another owner; choose another key.") % {"key": run.key})
    if run.ended:
        over = _("The run %(key)r is %(status)s, which is final; begin another under another key.")
        raise RunEnded(over % {"key": run.key, "status": run.get_status_display()})
    if told.progress is not None and run.progress is not None and told.progress < run.progress:
        back = _("progress is %(before)s already, and never goes back; got %(given)s.")
        raise BadArgs(back % {"before": run.progress, "given": told.progress})


def _fields(run: Run, told: Told) -> Mapping[str, Any]:
    """What changes in the row. A run that was asked to stop stays so until it ends."""
    fields: dict[str, Any] = {"status": str(told.status), "reason": told.reason}
    if run.status == Status.STOPPING and told.status not in ENDED:
        fields = {"status": str(Status.STOPPING), "reason": told.reason or run.reason}
    if told.progress is not None:
        fields["progress"] = told.progress
    elif told.status is Status.FINISHED and run.progress is not None:
        fields["progress"] = 1.0
    if told.status in ENDED:
        fields |= {"result": told.result, "error": told.error}
    return fields


# what viewers hear


def _messages(run: Run, told: Told) -> list[dict[str, Any]]:
    """Status, frame and end, each with the tick by which the hubs put them in order."""
    status = frames.status(run.status, run.tick, run.progress, run.speed, run.reason)
    messages = [_lane(run, "status", status)]
    if told.body is not None:
        text = frames.snapshot(run.epoch, run.tick, run.tick, told.body)
        number = {"epoch": run.epoch, "seq": run.tick, "tick": run.tick}
        messages.append({"type": "livesim.frame", "role": ALL, **number, "text": text})
    if run.ended:
        end = frames.end(run.status, run.result, most=conf.settings.MAX_FRAME_BYTES)
        messages.append(_lane(run, "end", end))
    return messages


def _lane(run: Run, kind: str, text: str) -> dict[str, Any]:
    return {"type": "livesim.lane", "kind": kind, "epoch": run.epoch, "tick": run.tick, "text": text}


def _say_on_commit(run: UUID, messages: list[dict[str, Any]]) -> None:
    """Where that raises, Django logs it, by the function's name: what was told is stored all the same."""

    def said() -> None:
        _say(run, messages)

    transaction.on_commit(said, using=conf.settings.DATABASE, robust=True)


def _say(run: UUID, messages: list[dict[str, Any]]) -> None:
    """Send them beside the caller's work; an end is waited for, since programs end right after it."""
    publisher = speaker.publisher()
    for message in messages:
        publisher.publish(run, ALL, message)
    if messages[-1].get("kind") == "end":
        publisher.flush(speaker.LIMIT)
