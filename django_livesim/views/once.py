"""Forms that take effect once: a session keeps what its newest forms came to."""

from __future__ import annotations

from django.http import HttpRequest

from django_livesim.protocol.names import CLIENT_ID

STARTED = "livesim_started"
"""Where a session keeps which run each form started: pairs of the form's id and the run's."""
RENEWED = "livesim_renewed"
"""The same of the runs that got a new link."""
REMEMBERED = 20


def form_id(request: HttpRequest) -> str:
    """The id that a posted form has; empty where it has none, or what is none of ours."""
    given = request.POST.get("livesim_id", "")
    return given if CLIENT_ID.match(given) else ""


def came_to(request: HttpRequest, kept: str) -> str | None:
    """The id of the run that this form came to already."""
    pairs = request.session.get(kept, ()) if hasattr(request, "session") else ()
    return dict(pairs).get(form_id(request))


def remember(request: HttpRequest, kept: str, run_id: object) -> None:
    """Keep what this form came to; of many forms, the newest."""
    if (given := form_id(request)) and hasattr(request, "session"):
        request.session[kept] = [*request.session.get(kept, ()), [given, str(run_id)]][-REMEMBERED:]
