"""Whether anybody is there to step runs."""

from __future__ import annotations

from datetime import timedelta

from django_livesim.conf import settings
from django_livesim.models import Worker
from django_livesim.protocol.names import Status

WANTING = (Status.WAITING, Status.RUNNING, Status.STOPPING)
"""In these nothing goes on where no worker is alive."""


def workers_alive() -> int:
    """How many workers that step runs have given a sign of life lately."""
    silence = timedelta(seconds=3 * settings.LEASE_TTL)
    return int(Worker.objects.stepping().heard_of(silence).count())
