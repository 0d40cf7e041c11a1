"""Which of its runs a worker lets go for one that has far fewer.

Where a worker has ended, the others have its runs, and the one that comes in its place has none: it would
stay idle. Only simulations that are stepped move. They go on elsewhere from exactly where they were; an own
loop would be called again from the top.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from django.db.models import Count

from django_livesim.models import Run, Worker
from django_livesim.store.unclaimed import Able

MOST = 5  # runs that are let go at once
EVEN = 4  # runs by which two workers may always differ,
SHARE = 0.25  # and the share of its own that one may have more


def spare(
    worker: UUID, held: Collection[UUID], peers: Iterable[Worker], simulations: Iterable[str]
) -> list[UUID]:
    """The runs of `held` that are to be another's, at most `MOST`; none where all have about as many.

    `peers` are the living workers with what they have told of their load. By that, which is as old as a
    beat, one of them is chosen; how many it has is read anew, and half of the difference is spare.
    `simulations` are the names of those that may move.
    """
    found = [peer for peer in peers if peer.id != worker and _room(peer) > 0]
    if not found or not held:
        return []
    other = min(found, key=lambda peer: peer.load["runs"])
    if not _is_uneven(len(held), other.load["runs"]):
        return []
    rows = Run.objects.filter(worker__in=[worker, other.id]).values_list("worker")
    has = dict(rows.annotate(Count("pk")))
    mine, its = has.get(worker, 0), has.get(other.id, 0)
    if not _is_uneven(mine, its):
        return []
    may = Run.objects.filter(Able.of(other.queues, other.load).runs, worker=worker, strikes=0, unproven=0)
    may = may.filter(simulation__in=list(simulations), pk__in=list(held)).order_by("created_at")
    return list(may.values_list("pk", flat=True)[: min(MOST, (mine - its) // 2, _room(other))])


def _is_uneven(mine: int, its: int) -> bool:
    return mine - its > max(EVEN, SHARE * mine)


def _room(peer: Worker) -> int:
    """How many runs it may still take, as far as it has told; none where it takes nothing that is free."""
    if not peer.queues or not peer.load.get("simulations") or "runs" not in peer.load:
        return 0
    most = peer.load.get("most")
    return MOST if most is None else int(most) - int(peer.load["runs"])
