from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_livesim import gateway, registry
from django_livesim.forms import command_form
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import NoRun
from sandbox.entities.shared import KEY, SIMULATION


@never_cache
@require_safe
def as_html(request: HttpRequest) -> HttpResponse:
    """The shared run, told as HTML: the page has no script of its own."""
    try:
        run = gateway.get(f"{SIMULATION}:{KEY}", actor=Actor.from_request(request))
    except NoRun:
        return render(request, "entities/as_html.html", status=404)
    commands = [(spec, command_form(spec)) for spec in registry.get(SIMULATION).commands.values()]
    return render(request, "entities/as_html.html", {"run": run, "commands": commands})
