"""Runs that wait because no worker has their code, or serves their queue, or their process is no more.

The reason says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import Case, Q, When

from django_livesim.models import Run, Source, Worker
from django_livesim.protocol.names import UNWATCHED, Kind, Status, Verb
from django_livesim.store import attaching, intake, locks
from django_livesim.store.claiming import having
from django_livesim.store.transitions import Tell, Transition

OURS = "no worker "  # how each of these reasons begins
ENDS = [str(Verb.STOP), str(Verb.RESTART)]
MOST = 1000  # runs looked at at once
WAITS = (Status.RUNNING, Status.STOPPING)
"""What a run is no longer once nobody holds it; a paused one stays paused."""


@dataclass(frozen=True, kw_only=True)
class Able:
    """What one living worker can claim."""

    queues: tuple[str, ...]
    simulations: Mapping[str, int] | None
    """The version of its code by simulation; None where it has not said, and may have any."""

    @classmethod
    def of(cls, queues: Iterable[Any], load: Mapping[str, Any]) -> Able:
        """From the columns of its row."""
        return cls(queues=tuple(map(str, queues)), simulations=load.get("simulations"))

    @property
    def runs(self) -> Q:
        code = Q() if self.simulations is None else having(self.simulations)
        return Q(queue__in=self.queues) & code


class Unclaimed:
    """One worker's eye on the runs that nobody takes; used in its thread of the database alone.

    A run whose attached process is gone is parted from it, and what ends it is carried out if that waits:
    nobody else would, until somebody attaches again.

    A look is one query, and an UPDATE only where a reason changes: of what two looks in a row have found,
    of runs without a living worker, by compare-and-set. A run that a worker can claim is left to it; where
    it has waited for two looks all the same, a reason that is no longer true is taken away. The process may
    die on any line: a text has changed or not. A run that is claimed gets its reason from its worker.
    """

    def __init__(self) -> None:
        self._found: dict[UUID, str] = {}

    def look(self, alive: Iterable[Worker], tell: Tell) -> None:
        """Say why runs wait, where that has changed. `tell` hears of each once that has committed.

        `alive` are the workers that neither are gone nor leave.
        """
        able = [Able.of(worker.queues, worker.load) for worker in alive]
        before, self._found = self._found, {}
        due: list[tuple[Run, str]] = []
        rows = list(_rows(able))
        for transition in _free([run for run in rows if run.source == Source.EXTERNAL]):
            tell(transition)
        for run in (each for each in rows if each.source != Source.EXTERNAL):
            reason = why(run, able)
            if reason == run.reason and run.status not in WAITS:
                continue
            self._found[run.id] = reason
            if before.get(run.id) == reason:
                due.append((run, reason))
        for transition in write(due) if due else ():
            tell(transition)


def _rows(able: Iterable[Able]) -> Iterable[Run]:
    """The runs that nobody alive holds and nobody can claim, and those that are said to be such.

    Of those of attached processes the ones whose process is gone.
    """
    holder_gone = Q(worker=None) | Q(worker__state=Worker.State.GONE)
    claimable = reduce(or_, (each.runs for each in able), Q(pk__in=[]))
    rows = Run.objects.claimable().filter(holder_gone).filter(~claimable | Q(reason__startswith=OURS))
    rows = rows.exclude(status=str(Status.PAUSED), reason=UNWATCHED)  # the next worker must know of that
    lost = Run.objects.filter(source=str(Source.EXTERNAL), worker__state=Worker.State.GONE)
    rows |= lost.filter(status__in=attaching.WANTING)
    said = Case(When(reason__startswith=OURS, then=1), default=0)  # last, so that in time all have a reason
    return rows.defer("params", "params_set", "result", "error").order_by(said, "created_at", "id")[:MOST]


def why(run: Run, able: Iterable[Able]) -> str:
    """Why none of the workers takes the run; empty where one can."""
    versions = [(each, _version(each, run)) for each in able]
    if not any(version is not None for _, version in versions):
        return f"{OURS}has the simulation {run.simulation}"
    fit = [each for each, version in versions if version is not None and version >= run.version]
    if not fit:
        return f"{OURS}has version {run.version} of {run.simulation}"
    if not any(run.queue in each.queues for each in fit):
        return f"{OURS}with {run.simulation} serves the queue {run.queue}"
    return ""


def _version(able: Able, run: Run) -> int | None:
    """The version of the run's code that the worker has, None for none."""
    return run.version if able.simulations is None else able.simulations.get(run.simulation)


def _free(lost: list[Run]) -> list[Transition]:
    """Part the runs from the attached processes that are no more; what somebody has locked waits."""
    told: list[Transition] = []
    if lost:
        with locks.brief():
            taken = locks.taken([run.id for run in lost])
            told = [each for run in lost if run.id not in taken and (each := _free_one(run))]
    return told


def _free_one(run: Run) -> Transition | None:
    """Part one; ended at once, where somebody has asked for that. None where it is in other hands by now."""
    before = Status(run.status)
    after = Status.WAITING if before in WAITS else before
    ends = run.commands.filter(kind=str(Kind.CONTROL), name__in=ENDS, apply_seq=None, outcome="")
    end = ends.order_by("id").first()
    if end is None:
        freed = attaching.free(run, status=str(after), reason=attaching.NOBODY)
        told = Transition(run=run.id, epoch=run.epoch, previous=before, status=after, reason=attaching.NOBODY)
        return told if freed else None
    if not attaching.free(run):
        return None
    if end.name == Verb.STOP:
        return intake.begin_carry_out(end, run, Status.STOPPED, "stopped")
    ended = intake.begin_carry_out(end, run, Status.STOPPED, intake.RESTARTED)
    following = intake.begin_successor(run, UUID(end.args["next"]))
    return replace(ended, successor=following.id)


def write(due: list[tuple[Run, str]]) -> list[Transition]:
    """Write the reasons; what somebody has locked, or changed since, is left for another look."""
    with locks.brief():
        taken = locks.taken([run.id for run, _ in due])
        return [told for run, reason in due if run.id not in taken and (told := _write_one(run, reason))]


def _write_one(run: Run, reason: str) -> Transition | None:
    before = Status(run.status)
    after = Status.WAITING if before in WAITS else before
    same = Run.objects.filter(
        id=run.id, epoch=run.epoch, worker=run.worker_id, status=run.status, reason=run.reason
    )
    if not same.update(status=str(after), reason=reason):
        return None
    return Transition(run=run.id, epoch=run.epoch, previous=before, status=after, reason=reason)
