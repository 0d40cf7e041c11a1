"""Deleting runs, with all that is stored of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.db.models import ProtectedError, QuerySet, RestrictedError
from django.db.models.deletion import Collector
from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.gateway.committing import ring, ring_lists
from django_livesim.gateway.finding import SERVER, get
from django_livesim.models import Checkpoint, Command, Run, Sample
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import Code, LivesimError
from django_livesim.store import intake

BATCH = 5000  # commands deleted in one transaction
OURS = (Command, Checkpoint, Sample)


def delete(run: Run | UUID | str, *, actor: Actor | None = None) -> None:
    """Remove a run with its commands, checkpoints and figures; it cannot be undone.

    A running one too: its worker finds that it holds it no more, and drops
    it. Commands that wait go with it; whoever waits for one gets `NoRun`.
    Viewers' sockets are closed with 4410. Runs that follow it, or were
    forked from it, stay. Rows of the host's own that point to the run are
    dealt with as their `on_delete` says.

    It is one transaction, or part of the caller's. With a long journal and
    no transaction of the caller's it is several short ones, so that others
    may write in between: the run is stopped, its commands go by and by,
    then the rest. What breaks that off leaves a stopped run without its
    first commands, to be deleted again.
    """
    alias = conf.settings.DATABASE
    in_parts = not connections[alias].in_atomic_block
    with _kept_by_others():
        with transaction.atomic(using=alias):
            row = get(run, actor=actor or SERVER, level=Level.DELETE, lock=True)
            if not (in_parts and _is_long(row)):
                _delete_rows(row, alias)
                return
            _Others(using=alias).collect([row])  # raises where the host's own rows keep it
            intake.take_away(row)
            ring(row, look=True)
        _shorten(row, alias)
        with transaction.atomic(using=alias):
            _delete_rows(get(row, lock=True), alias)


def delete_while(which: QuerySet[Run], run: UUID, *, in_parts: bool) -> bool:
    """`delete` for as long as the run is one of `which`; False where it is so no more.

    That is asked with its row locked, before each part: who goes on with a
    run meanwhile keeps it. A long journal is shortened from its beginning
    `in_parts`, which no run may be whose journal is its state.
    """
    alias = conf.settings.DATABASE
    while True:
        with _kept_by_others(), transaction.atomic(using=alias):
            row = which.select_for_update().filter(id=run).first()
            if row is None:
                return False
            if not (in_parts and _is_long(row)):
                _delete_rows(row, alias)
                return True
            _Others(using=alias).collect([row])
            first = _journal(row)[BATCH - 1 : BATCH]
            Command.objects.filter(run=row.pk, id__lte=first[0])._raw_delete(alias)


@contextmanager
def _kept_by_others() -> Iterator[None]:
    """Refuse what rows of the host's own keep from being deleted."""
    try:
        yield
    except (ProtectedError, RestrictedError) as exc:
        kinds = sorted({str(each._meta.verbose_name_plural) for each in _holders(exc)})
        told = _("The run cannot be deleted while %(others)s point to it; delete those first.")
        raise LivesimError(told % {"others": ", ".join(kinds)}, code=Code.REFUSED) from exc


def _journal(run: Run) -> Any:
    return Command.objects.filter(run=run.pk).order_by("id").values_list("id", flat=True)


def _is_long(run: Run) -> bool:
    return bool(_journal(run)[BATCH : BATCH + 1])


def _shorten(run: Run, alias: str) -> None:
    """Delete its oldest commands, `BATCH` at a time, until no more than that are left."""
    last = 0
    while found := list(_journal(run).filter(id__gt=last)[BATCH - 1 : BATCH]):
        Command.objects.filter(run=run.pk, id__gt=last, id__lte=found[0])._raw_delete(alias)
        last = found[0]


def _delete_rows(run: Run, alias: str) -> None:
    """Without loading what may be a million commands, whoever listens to `post_delete`."""
    for model in OURS:
        model.objects.filter(run=run.pk)._raw_delete(alias)
    Run.objects.filter(parent=run.pk).update(parent=None)
    ring(run, look=True)
    ring_lists()
    run.delete()


class _Others(Collector):
    """What Django would delete with a run, but for rows of ours, which are many."""

    def related_objects(self, related_model: Any, related_fields: Any, objs: Any) -> Any:
        rows = super().related_objects(related_model, related_fields, objs)
        return rows.none() if related_model in OURS else rows


def _holders(exc: ProtectedError | RestrictedError) -> set[Any]:
    found: set[Any] = exc.protected_objects if isinstance(exc, ProtectedError) else exc.restricted_objects
    return found
