"""Which workers live, as far as the database tells."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings as django_settings

from django_livesim import conf
from django_livesim.bus.layers import is_local
from django_livesim.models import Worker
from django_livesim.store.moments import Moment


def live_workers() -> list[Worker]:
    """Those that said within LEASE_TTL, by the database's clock, that they live."""
    silence = timedelta(seconds=conf.settings.LEASE_TTL)
    return list(Worker.objects.filter(state=Worker.State.ALIVE, beat_at__gte=Moment() - silence))


def how_to_start_one() -> str:
    """What to do where no worker lives."""
    if is_local() and django_settings.DEBUG:
        return (
            "Start the development server, which steps runs itself once a page of it has been opened:"
            " python manage.py runserver"
        )
    return "Start one: python manage.py livesim_worker"
