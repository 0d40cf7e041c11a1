"""A run in a frame of another page: looked at, and nothing else."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_livesim import gateway
from django_livesim.conf import settings
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import Forbidden, NoRun
from django_livesim.views import pictures, places
from django_livesim.views.live import live_context, registered
from django_livesim.views.respond import with_database

DIRECTIVE = "frame-ancestors"
HEADER = "Content-Security-Policy"


@never_cache
@require_safe
@with_database
def run_embed(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The run's header, picture or state, and figures, for frames on the pages of `EMBED_ORIGINS`."""
    if not settings.EMBED_ORIGINS:
        return render(request, "django_livesim/no_embed.html", {"is_off": True}, status=404)
    actor = Actor.from_request(request)
    try:
        run = gateway.get(run_id, actor=actor)
    except (NoRun, Forbidden):
        return _framed(request, render(request, "django_livesim/no_embed.html", status=404))
    context = live_context(request, actor, run, prefix=places.prefix_for(places.FRAME, run))
    context["livesim_base"] = "django_livesim/embed.html"
    return _framed(request, render(request, pictures.templates(registered(run.simulation)), context))


def _framed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The same, which the pages of the listed origins, and the site's own, may show in frames.

    What else the host's policy says stays: its middleware writes the header later, from what is left
    for it at the response, where there is one that would.
    """
    sources = ["'self'", *settings.EMBED_ORIGINS]
    response.xframe_options_exempt = True
    if hasattr(request, "csp_nonce") and _writes_policy(request):  # django-csp
        response._csp_replace = {DIRECTIVE: sources}  # type: ignore[attr-defined]
    elif hasattr(request, "_csp_nonce") and not hasattr(request, "csp_nonce"):  # Django's own, from 6.0 on
        policy = getattr(django_settings, "SECURE_CSP", None) or {}
        response._csp_config = {**policy, DIRECTIVE: sources}  # type: ignore[attr-defined]
    else:
        response[HEADER] = f"{DIRECTIVE} {' '.join(sources)}"
    return response


def _writes_policy(request: HttpRequest) -> bool:
    """Whether django-csp will write a policy for that address."""
    policy = getattr(django_settings, "CONTENT_SECURITY_POLICY", None) or {}
    excluded = tuple(policy.get("EXCLUDE_URL_PREFIXES") or ())
    return bool(policy) and not request.path_info.startswith(excluded)
