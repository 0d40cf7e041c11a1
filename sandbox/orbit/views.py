"""A page of one's own with a run in it, as a host's project would have it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from django_livesim import permissions
from django_livesim.permissions import Actor


def observatory(request: HttpRequest) -> HttpResponse:
    """The newest Orbit that the visitor may see, where there is one."""
    runs = permissions.visible(Actor.from_request(request)).filter(simulation="orbit")
    return render(request, "orbit/observatory.html", {"run": runs.order_by("-created_at").first()})
