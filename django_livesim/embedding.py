"""Runs within a host's own pages: the template tags of `{% load livesim %}` by which they are put there.

Who may not see a run, and who asks for one that is not there, gets the same
note and learns nothing.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.template import Context
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from django_livesim import gateway
from django_livesim.gateway.figures import newest_figures
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import Forbidden, NoRun
from django_livesim.views import live, pictures, places

BARE = "django_livesim/bare.html"
"""What the live page extends where it is a part of another."""

SEEN = "_livesim_embedded"
"""Where a request keeps how often what was put into its page."""

Ref = Run | UUID | str | None


def livesim_panel(context: Context, run: Ref) -> SafeString:
    """All that the live page of a run has, but who may watch it."""
    request = _request(context, "livesim_panel")
    found = _find(request, run)
    if found is None:
        return _render(request, "panel_none.html", {})
    actor = Actor.from_request(request)
    shown = live.live_context(request, actor, found, prefix=_prefix(request, places.PANEL, found))
    page = pictures.templates(live.registered(found.simulation))
    content = render_to_string(page, shown | {"livesim_base": BARE}, request=request)
    return _render(request, "panel.html", {"run": found, "content": content})


def livesim_controls(context: Context, run: Ref) -> SafeString:
    """The status of a run, and the controls of who may control it."""
    request = _request(context, "livesim_controls")
    found = _find(request, run)
    if found is None:
        return _render(request, "panel_none.html", {})
    prefix = _prefix(request, places.CONTROLS, found)
    return _render(
        request,
        "panel_controls.html",
        live.controls_context(request, Actor.from_request(request), found, prefix),
    )


def livesim_plot(context: Context, run: Ref, name: str) -> SafeString:
    """The plot of one figure of a run, by its exact name."""
    request = _request(context, "livesim_plot")
    found = _find(request, run)
    if found is None:
        return _render(request, "panel_none.html", {})
    prefix = _prefix(request, places.PLOT, found)
    shown = live.facts_context(request, Actor.from_request(request), found, prefix)
    return _render(request, "panel_plot.html", shown | _figure(found, str(name)))


def livesim_scripts(context: Context) -> SafeString:
    """Styles, texts and scripts of what is embedded, but htmx, which is the host's; once on a page."""
    request = context.get("request")
    if request is not None and _count(request, "scripts") > 1:
        return SafeString("")
    nonce = context.get("csp_nonce")
    return _render(request, "scripts.html", {} if nonce is None else {"csp_nonce": nonce})


def _request(context: Context, tag: str) -> HttpRequest:
    request = context.get("request")
    if not isinstance(request, HttpRequest):
        raise ImproperlyConfigured(
            f"{{% {tag} %}} shows a run to who asks, and this template has no request. Render it with one,"
            ' and add "django.template.context_processors.request" to'
            ' OPTIONS["context_processors"] in TEMPLATES.'
        )
    return request


def _find(request: HttpRequest, ref: Ref) -> Run | None:
    """The run, where who asks may see it."""
    if not isinstance(ref, Run | UUID | str) or not ref:
        return None
    try:
        return gateway.get(ref, actor=Actor.from_request(request))
    except (NoRun, Forbidden):
        return None


def _prefix(request: HttpRequest, kind: str, run: Run) -> str:
    return places.prefix_for(kind, run, _count(request, f"{kind}-{run.id.hex}"))


def _count(request: HttpRequest, what: str) -> int:
    """How often that has been put into the page that answers the request, this time included."""
    counts: dict[str, int] = request.__dict__.setdefault(SEEN, {})
    counts[what] = counts.get(what, 0) + 1
    return counts[what]


def _figure(run: Run, name: str) -> dict[str, Any]:
    """What is known of a figure before the scripts ask for it."""
    newest = newest_figures(run)
    values = dict(newest[2]) if newest is not None else {}
    return {
        "name": name,
        "tick": newest[0] if newest is not None else None,
        "known": list(values),
        "has_value": name in values,
        "value": values.get(name),
    }


def _render(request: HttpRequest | None, template: str, shown: dict[str, Any]) -> SafeString:
    return render_to_string(f"django_livesim/includes/{template}", shown, request=request)
