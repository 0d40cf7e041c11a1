"""Commands declared `durable=False`: handed to the worker itself, with no row until they have acted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connections
from django.utils import timezone
from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.bus import volatile
from django_livesim.models import Command, Run
from django_livesim.protocol.errors import Code, LivesimError

WHEN = ("due_tick", "due_at", "every")


def hand_over(run: Run, wanted: Mapping[str, Any]) -> Command | None:
    """The command, without a row, once its message has gone to the run's worker; None where it needs a row.

    It needs one where no worker holds the run, or none that this process can
    reach; where it is scheduled, since a schedule must survive; and inside a
    transaction, which may be rolled back. Raises `busy` where the layer does
    not take it.
    """
    pending = connections[conf.settings.DATABASE].in_atomic_block
    if run.worker_id is None or pending or any(wanted.get(each) is not None for each in WHEN):
        return None
    try:
        taken = volatile.send(run.worker_id, run.id, wanted)
    except volatile.NotTaken as exc:
        message = _("The worker cannot be reached now; send the command again.")
        raise LivesimError(message, code=Code.BUSY, retry=1) from exc
    if not taken:
        return None
    columns = {name: value for name, value in wanted.items() if name != "run"}
    return Command(run_id=run.id, created_at=timezone.now(), **columns)
