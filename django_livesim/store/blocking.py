"""The runs that are to have a process to themselves: what a parent looks for.

They are those of blocking loops, and those that have harmed their worker and have come no further since.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Exists, Q, QuerySet

from django_livesim.models import Command, Run, Worker
from django_livesim.protocol.names import Kind
from django_livesim.store import claiming, unclaimed
from django_livesim.store.moments import Moment
from django_livesim.store.transitions import tell_on_commit

OURS = 1000  # workers that are remembered
OTHERS = 10.0  # seconds for which what has harmed another parent's worker is left to that parent
SAID = 20  # runs beyond what there is room for that are told why they wait, in one look


class Code(NamedTuple):
    """The versions of the code that one worker has: of all simulations, and of loops that block."""

    simulations: Mapping[str, int]
    blocking: Mapping[str, int]

    @classmethod
    def of(cls, load: Mapping[str, Any]) -> Code:
        """From its row."""
        return cls(load.get("simulations") or {}, load.get("blocking") or {})


class Blocking:
    """One parent's eye on those that nobody holds; used in its thread of the database alone.

    Which code there is, and which loops block, is told by the rows of its workers, which have newer code than
    their parent where that was reloaded. Where they all leave, nothing is found. A look is one query. That a
    run was found is no promise: its claim decides who has it. What was struck is found by the parent of the
    worker that it has harmed, and by others a little later, lest each of them begin a process for it.
    """

    def __init__(self) -> None:
        self._code: dict[UUID, Code] = {}  # by worker
        self._ours: deque[UUID] = deque(maxlen=OURS)  # workers that are or were its parent's
        self._waits: set[UUID] = set()  # those that there was no room for

    def look(
        self, workers: Collection[UUID], queues: Iterable[str], held: Collection[UUID], most: int
    ) -> list[UUID]:
        """Free runs of `queues` beside those that are `held`, so that there are `most` of both.

        Those that two looks in a row have no room for get that as their reason.
        """
        self._learn(workers)
        if not self._code:
            return []
        late = Moment() - timedelta(seconds=OTHERS)
        ours = Q(worker__in=self._ours) | Q(held_back_until=None) | Q(held_back_until__lt=late)
        simulations = _newest(code.simulations for code in self._code.values())
        blocking = _newest(code.blocking for code in self._code.values())
        able = [worker for worker, code in self._code.items() if code.simulations]
        block = [worker for worker, code in self._code.items() if code.blocking]
        alone = Q(simulation__in=blocking) & _alive(block) | claiming.STRUCK & ours & _alive(able)
        free = claiming.claimable(queues, simulations).filter(claiming.NOBODYS, alone)
        room = max(0, most - len(held))
        found = list(_ordered(free.exclude(id__in=held))[: room + SAID])
        self._say(found[room:], most)
        return [run.pk for run in found[:room]]

    def was_ours(self, worker: UUID) -> None:
        """A worker of its parent has ended. No look may have seen it, where it lived for a moment."""
        if worker not in self._ours:
            self._ours.append(worker)

    @staticmethod
    def told_to_end(runs: Collection[UUID]) -> set[UUID]:
        """Those of the runs for which a stop or a restart waits to be read."""
        if not runs:
            return set()
        waiting = Command.objects.filter(kind=str(Kind.CONTROL), apply_seq=None, outcome="")
        ends = waiting.filter(run__in=runs, name__in=unclaimed.ENDS)
        return set(ends.values_list("run", flat=True))

    def _learn(self, workers: Collection[UUID]) -> None:
        new = set(workers) - self._code.keys()
        loads = dict(Worker.objects.filter(id__in=new).values_list("id", "load")) if new else {}
        known = self._code | {worker: Code.of(load) for worker, load in loads.items()}
        self._code = {worker: known[worker] for worker in workers if worker in known}
        self._ours.extend(new)

    def _say(self, beyond: list[Run], most: int) -> None:
        reason = f"waits for a process of its own: its worker has {most}, as many as it may"
        before, self._waits = self._waits, {run.pk for run in beyond}
        due = [(run, reason) for run in beyond if run.pk in before and run.reason != reason]
        for transition in unclaimed.write(due) if due else ():
            tell_on_commit(transition)


def _ordered(runs: QuerySet[Run]) -> QuerySet[Run]:
    return runs.defer("params", "params_set", "result", "error").order_by(claiming.PAUSED_LAST, "created_at")


def _alive(workers: Collection[UUID]) -> Q:
    """Whether one of them is, and does not leave."""
    return Q(Exists(Worker.objects.filter(id__in=workers, state=Worker.State.ALIVE)))


def _newest(codes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The newest version of each simulation."""
    found: dict[str, int] = {}
    for code in codes:
        found |= {name: max(version, found.get(name, 0)) for name, version in code.items()}
    return found
