"""Runs that are produced: programs of the host's own say how they stand, and no worker ever has them.

Whoever writes has the row locked, by the UPDATE that gives the run its next tick: a write from its first
statement on, so that on SQLite, too, writers of any number wait for each other and none reads what is old.
All belongs into one transaction of the caller's. The process dies before its COMMIT: nothing is changed. It
dies after that: all is, whoever was told of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import F
from django.utils.translation import gettext_lazy as _

from django_livesim import conf
from django_livesim.models import Checkpoint, Command, Run, Source
from django_livesim.protocol import packed, plain
from django_livesim.protocol.errors import Code
from django_livesim.protocol.names import ENDED, EXTERNAL, Kind, Outcome, Status, Verb
from django_livesim.store import intake
from django_livesim.store.moments import Moment
from django_livesim.store.transitions import Transition, tell_on_commit

ASKED = "it was asked to stop"
"""The reason of a run whose producer has not ended it yet."""

ASKED_BEFORE = _(
    "The run was asked to stop before, and its producer may be about to end it: nothing is changed. Where it"
    " tells nothing for %(seconds)s seconds, another stop ends the run."
)


class Taken(Exception):
    """Another process has begun or deleted the run meanwhile."""


@dataclass(frozen=True, kw_only=True)
class State:
    """A state as it is stored. Hashed and deflated before the transaction, which takes its time."""

    hash: str
    data: bytes

    @classmethod
    def of(cls, body: bytes) -> State:
        """From its JSON."""
        document = b'{"state":' + body + b"}"
        return cls(hash=plain.digest(document), data=packed.pack(document))


def next_tick(key: str, first: Mapping[str, Any]) -> Run:
    """The run, locked, at the tick that is being written; made with the fields `first` where there is none.

    Raises `Taken`, and is to be tried again then.
    """
    rows = Run.objects.filter(simulation=EXTERNAL, key=key)
    if rows.update(tick=F("tick") + 1, horizon=F("tick") + 1):
        return rows.get()
    begun = {"source": str(Source.EXTERNAL), "epoch": 1, "tick": 1, "horizon": 1}
    run = intake.create_run(simulation=EXTERNAL, key=key, **begun, **first)
    if run is None:
        raise Taken
    return run


def write(run: Run, fields: Mapping[str, Any], state: State | None = None) -> None:
    """Write what a locked run has come to; `fields` has its status. `run` is changed as its row is.

    A change of status is told, in this thread, once that has committed.
    """
    status, previous = Status(fields["status"]), Status(run.status)
    begins = run.started_at is None and status is not Status.WAITING
    moments = {"started_at": Moment()} if begins else {}
    if status in ENDED:
        moments |= {"ended_at": Moment()}
    Run.objects.filter(id=run.id).update(**fields, **moments)
    for name, value in fields.items():
        setattr(run, name, value)
    if moments:
        run.refresh_from_db(fields=list(moments))
    if state is not None:
        _store(run, state)
    if begins or status is not previous:
        tell_on_commit(
            Transition(
                run=run.id,
                epoch=run.epoch,
                previous=previous,
                status=status,
                reason=run.reason,
                begins=begins,
            )
        )


def _store(run: Run, state: State) -> None:
    """The newest state in place of the one before: nobody goes on from an older one."""
    row = {"tick": run.tick, "epoch": run.epoch, "hash": state.hash, "data": state.data}
    if not Checkpoint.objects.filter(run=run.id).update(created_at=Moment(), **row):
        Checkpoint.objects.create(run_id=run.id, apply_seq=0, **row)


def ask_to_stop(command: Command, run: Run) -> None:
    """Note that somebody wants the run to end, which is for its producer to do; by compare-and-set.

    Where that was noted before, the run is stopped if its producer is silent; else the command is refused,
    and kept: from it, too, silence is counted. Belongs into the transaction that inserted the command; raises
    `intake.Overtaken` where somebody else has changed the run.
    """
    same = Run.objects.filter(id=run.id, epoch=run.epoch, worker=None, status=run.status)
    if run.status == Status.STOPPING:
        if not same.update(tick=F("tick")):  # locks the row: nothing is told between the look and the end
            raise intake.Overtaken
        run.refresh_from_db(fields=["tick"])
        if _is_silent(run):
            intake.carry_out(command, run, Status.STOPPED, "stopped without its producer")
        else:
            _refuse(command, run)
        return
    if not same.update(status=str(Status.STOPPING), reason=ASKED, next_seq=F("next_seq") + 1):
        raise intake.Overtaken
    intake.apply_at_once(command, run.tick, apply_seq=run.next_seq, epoch=run.epoch)
    tell_on_commit(
        Transition(
            run=run.id,
            epoch=run.epoch,
            previous=Status(run.status),
            status=Status.STOPPING,
            reason=ASKED,
        )
    )


def _is_silent(run: Run) -> bool:
    """Whether somebody asked it to stop LEASE_TTL seconds ago or longer, and nothing was told since."""
    long_ago = Moment() - timedelta(seconds=conf.settings.LEASE_TTL)
    asked = Command.objects.filter(run=run.id, kind=str(Kind.CONTROL), name=str(Verb.STOP))
    return bool(asked.filter(apply_tick=run.tick, applied_at__lte=long_ago).exists())


def _refuse(command: Command, run: Run) -> None:
    Command.objects.filter(id=command.pk).update(
        apply_tick=run.tick,
        outcome=str(Outcome.REFUSED),
        code=str(Code.REFUSED),
        message=ASKED_BEFORE % {"seconds": f"{conf.settings.LEASE_TTL:g}"},
        applied_at=Moment(),
    )
    command.refresh_from_db()
