from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_livesim import gateway, registry
from django_livesim.permissions import Actor

JOBS = ("progrock", "progrock_hour")


@never_cache
@require_safe
def progress(request: HttpRequest) -> HttpResponse:
    """The page; with a session, since a socket cannot make one, and by it a visitor's job is known again."""
    if not request.session.session_key:
        request.session.create()
    actor = Actor.from_request(request)
    started = [name for name in JOBS if gateway.own_run(registry.get(name), actor=actor)]
    return render(request, "prog/progress.html", {"started": started})
