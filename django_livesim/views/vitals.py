"""Whether the parts that runs need are there."""

from __future__ import annotations

from datetime import timedelta

from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_livesim.bus.layers import is_local
from django_livesim.conf import settings
from django_livesim.models import Worker
from django_livesim.views.respond import outside_transactions


def workers_alive() -> int:
    """How many workers have given a sign of life lately."""
    silence = timedelta(seconds=3 * settings.LEASE_TTL)
    return int(Worker.objects.heard_of(silence).count())


@never_cache
@require_safe
@outside_transactions
def health(request: HttpRequest) -> JsonResponse:
    """JSON for load balancers: 503 where the database does not answer, else 200.

    No worker is not an error of this process: it is told, and the status stays 200.
    """
    layer = "local" if is_local() else "channels"
    try:
        workers = workers_alive()
    except Error:
        return JsonResponse(
            {"status": "down", "database": "down", "workers": None, "layer": layer}, status=503
        )
    return JsonResponse({"status": "ok", "database": "ok", "workers": workers, "layer": layer})
