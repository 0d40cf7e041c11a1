"""Which of its runs a worker lets go for one that has far fewer, and to whom it leaves what is free.

Where a worker has ended, the others have its runs, and the one that comes in its place has none: it would
stay idle. Only simulations that are stepped move. They go on elsewhere from exactly where they were; an own
loop would be called again from the top.
"""

from __future__ import annotations

import math
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
    beat, it is seen whether one has far fewer; how many each has is then read anew, and what is more than
    the mean is spare. `simulations` are the names of those that may move.
    """
    others = [peer for peer in peers if peer.id != worker and _room(peer) > 0]
    if not others or not is_uneven(len(held), min(_told(peer) for peer in others)):
        return []
    ids = [worker, *(peer.id for peer in others)]
    has = dict(Run.objects.filter(worker__in=ids).values_list("worker").annotate(Count("pk")))
    least = min(others, key=lambda peer: has.get(peer.id, 0))
    mine = has.get(worker, 0)
    if not is_uneven(mine, has.get(least.id, 0)):
        return []
    most = min(MOST, mine - math.ceil(sum(has.values()) / len(ids)), _room(least))
    may = Run.objects.filter(Able.of(least.queues, least.load).runs, worker=worker, strikes=0, unproven=0)
    may = may.filter(simulation__in=list(simulations), pk__in=list(held)).order_by("created_at")
    return list(may.values_list("pk", flat=True)[:most])


def has_more(worker: UUID, held: int, peers: Iterable[Worker]) -> bool:
    """Whether a worker that can take whatever this one can has far fewer runs, as far as it has told."""
    peers = list(peers)
    mine = next((peer for peer in peers if peer.id == worker), None)
    return mine is not None and any(
        is_uneven(held, _told(peer))
        for peer in peers
        if _room(peer) > 0
        and set(mine.queues) <= set(peer.queues)
        and mine.load.get("simulations") == peer.load["simulations"]
    )


def is_uneven(mine: int, its: int) -> bool:
    """Whether so many are far more than these."""
    return mine - its > max(EVEN, SHARE * mine)


def _told(peer: Worker) -> int:
    return int(peer.load["runs"])


def _room(peer: Worker) -> int:
    """How many runs it may still take, as far as it has told; none where it takes nothing that is free."""
    if not peer.queues or not peer.load.get("simulations") or "runs" not in peer.load:
        return 0
    most = peer.load.get("most")
    return MOST if most is None else int(most) - _told(peer)
