"""The site that the browsers look at: that of the other tests, and a page of its own that has runs in it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from tests.urls import urlpatterns as usual


def host(request: HttpRequest) -> HttpResponse:
    """What the address asks for, with the htmx that it asks for."""
    asked = request.GET
    context = {"htmx": int(asked.get("htmx", "2")), "figure": asked.get("figure", "")}
    context |= {name: asked.getlist(name) for name in ("panel", "controls", "plot")}
    return render(request, "host/page.html", context)


urlpatterns = [*usual, path("host/", host, name="host")]
