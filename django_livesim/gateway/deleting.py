"""Deleting runs, with all that is stored of them."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import ProtectedError, RestrictedError
from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.bus import doorbells
from django_livesim.gateway.finding import SERVER, get
from django_livesim.models import Checkpoint, Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import Code, LivesimError


def delete(run: Run | UUID | str, *, actor: Actor | None = None) -> None:
    """Remove a run with its commands and checkpoints, in one transaction; it cannot be undone.

    A running one too: its worker finds that it holds it no more, and drops
    it. Commands that wait go with it; whoever waits for one gets `NoRun`.
    Viewers' sockets are closed with 4410. Runs that follow it, or were
    forked from it, stay. Rows of the host's own that point to the run are
    dealt with as their `on_delete` says.
    """
    alias = conf.settings.DATABASE
    try:
        with transaction.atomic(using=alias):
            row = get(run, actor=actor or SERVER, level=Level.DELETE, lock=True)
            bell = partial(doorbells.ring, row.id, row.worker_id, look=True)
            _delete_rows(row, alias)
            transaction.on_commit(bell, using=alias, robust=True)
    except (ProtectedError, RestrictedError) as exc:
        kinds = sorted({str(each._meta.verbose_name_plural) for each in _holders(exc)})
        told = _("The run cannot be deleted while %(others)s point to it; delete those first.")
        raise LivesimError(told % {"others": ", ".join(kinds)}, code=Code.REFUSED) from exc


def _delete_rows(run: Run, alias: str) -> None:
    """Without loading what may be a million commands, whoever listens to `post_delete`."""
    for model in (Command, Checkpoint):
        model.objects.filter(run=run.pk)._raw_delete(alias)
    Run.objects.filter(parent=run.pk).update(parent=None)
    run.delete()


def _holders(exc: ProtectedError | RestrictedError) -> set[Any]:
    found: set[Any] = exc.protected_objects if isinstance(exc, ProtectedError) else exc.restricted_objects
    return found
