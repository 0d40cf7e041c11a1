"""Who may watch a run beside its owner: its visibility, and the link that can be taken back."""

from __future__ import annotations

from secrets import token_urlsafe
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.gateway.committing import ring, ring_lists
from django_livesim.gateway.finding import SERVER, get
from django_livesim.models import Run, Visibility
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import BadArgs


def share(
    run: Run | UUID | str,
    visibility: str | None = None,
    *,
    renew: bool = False,
    actor: Actor | None = None,
) -> Run:
    """Say who may watch a run: `private`, `link` or `public`; the row as it is then.

    For `link` it gets a token where it has none, and with `renew` a new one:
    the link that was given away opens nothing any more. For the others the
    token is cleared. Without a `visibility` it stays as it is. Viewers who
    lose their right by it are sent away at once (4403).

    Runs that have the same link, by a restart, have the new one then, or
    none and are private.
    """
    with transaction.atomic(using=conf.settings.DATABASE):
        row = get(run, actor=actor or SERVER, level=Level.DELETE, lock=True)
        wanted = row.visibility if visibility is None else str(visibility)
        check_visibility(wanted)
        if renew and wanted != Visibility.LINK:
            told = _("Only a run that is shared by link has one to renew; this one would be %(visibility)s.")
            raise BadArgs(told % {"visibility": wanted})
        before, row.link_token = row.link_token, _token(row, wanted, renew)
        row.visibility = wanted
        row.save(update_fields=["visibility", "link_token"])
        ring(row, look=True)
        ring_lists()
        if before and before != row.link_token:
            _take_back(before, row)
    return row


def _take_back(token: str, run: Run) -> None:
    """Give the runs before and after `run` that have the old token its new one, or make them private."""
    same = Run.objects.filter(owner=run.owner_id, session=run.session, link_token=token)
    visibility = Visibility.LINK if run.link_token else Visibility.PRIVATE
    while found := list(same.only("worker_id")):  # again: one may be restarted meanwhile, with the old token
        same.filter(id__in=[each.id for each in found]).update(
            visibility=visibility, link_token=run.link_token
        )
        for each in found:
            ring(each, look=True)


def check_visibility(visibility: str) -> None:
    """Raise `BadArgs` for one that there is not."""
    if visibility not in Visibility.values:
        told = _("visibility is one of %(expected)s; got %(given)r.")
        raise BadArgs(told % {"expected": ", ".join(Visibility.values), "given": visibility})


def new_token(visibility: str) -> str:
    """What the link of a run of that visibility carries; empty where it has none."""
    return token_urlsafe(24) if visibility == Visibility.LINK else ""


def _token(run: Run, visibility: str, renew: bool) -> str:
    if visibility == Visibility.LINK and run.link_token and not renew:
        return run.link_token
    return new_token(visibility)
