"""What is written of a worker by who has seen it end: the parent of its process."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django_livesim.models import Worker
from django_livesim.store import locks, striking
from django_livesim.store.striking import Harm
from django_livesim.store.transitions import tell_on_commit


def bury(worker: UUID, harms: Sequence[Harm], *, explained: bool) -> None:
    """The worker is gone, and each of `harms` is a strike; both are told of once they have committed.

    `explained`: why it ended is known, so that the runs that it held are innocent but for those named. They
    stay with its row, by which a worker alone touches them, and are free to claim.

    Done once: whoever does not know whether it has committed may do it again. Raises `Locked` where a run
    that is to be struck is locked by somebody else; nothing has changed then.
    """
    with locks.brief():
        row = Worker.objects.filter(id=worker, explained=False)
        if not row.update(state=Worker.State.GONE, explained=explained):
            return
        for harm in harms:
            if (struck := striking.strike_whoever_holds(harm)) is not None:
                tell_on_commit(struck)
