"""The runs of blocking loops, each of which is to have a process to itself: what a parent looks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from django.db.models import Exists, QuerySet

from django_livesim.models import Command, Run, Worker
from django_livesim.protocol.names import Kind
from django_livesim.store import claiming, unclaimed
from django_livesim.store.transitions import tell_on_commit

SAID = 20  # runs beyond what there is room for that are told why they wait, in one look


class Blocking:
    """One parent's eye on those that nobody holds; used in its thread of the database alone.

    Which loops block is told by the rows of its workers, which have newer code than their parent where that
    was reloaded. Where they all leave, nothing is found. A look is one query, and none where there is no such
    loop. That a run was found is no promise: its claim decides who has it.
    """

    def __init__(self) -> None:
        self._code: dict[UUID, dict[str, int]] = {}  # the versions of blocking loops by worker
        self._waits: set[UUID] = set()  # those that there was no room for

    def look(
        self, workers: Collection[UUID], queues: Iterable[str], held: Collection[UUID], most: int
    ) -> list[UUID]:
        """Free runs of `queues` beside those that are `held`, so that there are `most` of both.

        Those that two looks in a row have no room for get that as their reason.
        """
        self._learn(workers)
        simulations: dict[str, int] = {}
        for code in self._code.values():
            simulations |= {name: max(of, simulations.get(name, 0)) for name, of in code.items()}
        if not simulations:
            return []
        able = [worker for worker, code in self._code.items() if code]
        alive = Exists(Worker.objects.filter(id__in=able, state=Worker.State.ALIVE))
        free = claiming.claimable(queues, simulations).filter(claiming.NOBODYS, alive)
        room = max(0, most - len(held))
        found = list(_ordered(free.exclude(id__in=held))[: room + SAID])
        self._say(found[room:], most)
        return [run.pk for run in found[:room]]

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
        known = self._code | {worker: _blocking(load) for worker, load in loads.items()}
        self._code = {worker: known[worker] for worker in workers if worker in known}

    def _say(self, beyond: list[Run], most: int) -> None:
        reason = f"waits for a process of its own: its worker has {most}, as many as it may"
        before, self._waits = self._waits, {run.pk for run in beyond}
        due = [(run, reason) for run in beyond if run.pk in before and run.reason != reason]
        for transition in unclaimed.write(due) if due else ():
            tell_on_commit(transition)


def _ordered(runs: QuerySet[Run]) -> QuerySet[Run]:
    return runs.defer("params", "result", "error").order_by(claiming.PAUSED_LAST, "created_at")


def _blocking(load: dict[str, object]) -> dict[str, int]:
    versions = load.get("blocking")
    return versions if isinstance(versions, dict) else {}
