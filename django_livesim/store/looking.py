"""What one look of a worker sees: which runs are its own, and whether there is anything to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists

from django_livesim.models import Command, Worker
from django_livesim.protocol.names import ENDED
from django_livesim.protocol.records import Position
from django_livesim.store import claiming, loading


@dataclass(frozen=True, kw_only=True)
class Look:
    """What there was at one moment; what it says of others may be over by the time it is acted upon."""

    mine: Mapping[UUID, int]
    """The epochs of the runs whose rows name the worker, held in memory or not."""
    free: bool
    """Whether there are runs that nobody alive holds and that it can claim."""
    commands: bool
    """Whether commands of its runs wait to be applied."""
    orphans: bool
    """Whether commands wait whose run has ended; False where that was not asked."""

    def lost(self, held: Mapping[UUID, Position]) -> frozenset[UUID]:
        """Those of the runs held that are no longer the worker's."""
        return frozenset(run for run, at in held.items() if self.mine.get(run) != at.epoch)


def look(
    worker: UUID,
    *,
    queues: Iterable[str],
    simulations: Mapping[str, int],
    orphans: bool = True,
    struck: bool = True,
) -> Look:
    """All of it in one statement, with a row for each run that is the worker's.

    The database answers each question once, and stops at the first row that says yes. So an idle worker asks
    nothing else, and one with something to do asks for that. That of `orphans` is to be asked less often: on
    SQLite it goes through all runs that have ended. `struck` is that of `claiming.claim`.
    """
    questions = {
        "free": Exists(claiming.claimable(queues, simulations).filter(claiming.free(struck))),
        "commands": Exists(loading.due().filter(run__worker=worker)),
    }
    if orphans:
        ended = [str(status) for status in ENDED]
        waiting = Command.objects.filter(outcome="", apply_seq=None, run__status__in=ended)
        questions["orphans"] = Exists(waiting)
    rows = Worker.objects.filter(id=worker).values_list("runs__id", "runs__epoch", *questions.values())
    found = list(rows)
    said = dict(zip(questions, found[0][2:], strict=True)) if found else {}  # no row: nothing is its own
    return Look(
        mine={run: epoch for run, epoch, *_ in found if run is not None},
        free=bool(said.get("free")),
        commands=bool(said.get("commands")),
        orphans=bool(said.get("orphans")),
    )
