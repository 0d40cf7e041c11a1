"""What is written of a worker by who has seen it end: the parent of its process."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from django_livesim import conf
from django_livesim.models import Worker
from django_livesim.store import locks, striking
from django_livesim.store.striking import Harm
from django_livesim.store.transitions import tell_on_commit


def bury(worker: UUID, harms: Sequence[Harm], *, explained: bool) -> list[Harm]:
    """The worker is gone, and each of `harms` is a strike; both are told of once they have committed.

    Gives those of `harms` whose runs somebody else has locked, to be written by `strike` later; the rest is
    done. Whoever does not know whether it has committed may do it again, and gets those that are locked by
    then: a run is struck once for one holding. An end that is explained, as that of a worker that has left in
    good order, stays so, and where `explained` is false nothing is done then.

    `explained`: why it ended is known, so that the runs that it held are innocent but for those named. They
    stay with its row, by which a worker alone touches them, and are free to claim.
    """
    with locks.brief():
        row = Worker.objects.filter(id=worker, explained__in=[False, explained])
        if not row.update(state=Worker.State.GONE, explained=explained):
            return []
        return [harm for harm in harms if _is_locked(harm)]


def strike(harm: Harm) -> None:
    """A strike that `bury` has left. Raises `Locked` where the run is locked still."""
    with transaction.atomic(using=conf.settings.DATABASE):
        if (struck := striking.strike_whoever_holds(harm)) is not None:
            tell_on_commit(struck)


def _is_locked(harm: Harm) -> bool:
    """Whether its run is, or it is struck."""
    try:
        strike(harm)
    except locks.Locked:
        return True
    return False
