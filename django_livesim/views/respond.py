"""How the views answer: whole pages, fragments for htmx, and refusals as either."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from django.contrib import messages
from django.db import InterfaceError, OperationalError, connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.http import urlencode

from django_livesim.models import Run
from django_livesim.nonces import nonce_of
from django_livesim.permissions import SESSION_ID, Actor
from django_livesim.protocol.errors import Code, Forbidden, LivesimError, LoginNeeded, NoRun
from django_livesim.views.places import prefix_of

logger = logging.getLogger(__name__)

STATUS = {
    Code.FORBIDDEN: 403,
    Code.NO_RUN: 404,
    Code.RUN_ENDED: 409,
    Code.DUPLICATE_ID: 409,
    Code.STALE: 409,
    Code.REFUSED: 409,
    Code.QUARANTINED: 409,
    Code.TOO_LARGE: 413,
    Code.TOO_MANY: 429,
    Code.BUSY: 503,
    Code.DB_DOWN: 503,
}
"""The status of a whole page that shows why something was not done; else 422."""

View = Callable[..., HttpResponse]


class SeeOther(HttpResponseRedirect):
    """Get another page, after a post."""

    status_code = 303


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the templates show of a simulation: they would call the class, or the loop, itself."""

    name: str
    label: str
    description: str
    script: str
    sharing: str
    when_unwatched: str
    is_job: bool
    has_metrics: bool

    @classmethod
    def of(cls, simulation: Any) -> Shown:
        return cls(**{name: getattr(simulation, name) for name in cls.__dataclass_fields__})


def by_htmx(request: HttpRequest) -> bool:
    """Whether htmx asks, and wants a fragment."""
    return request.headers.get("HX-Request") == "true"


def fragment(
    request: HttpRequest, template: str, context: Mapping[str, Any], status: int = 200
) -> HttpResponse:
    """A part of a page. The header tells our script to show it whatever its status is."""
    response = render(request, f"django_livesim/includes/{template}", dict(context), status=status)
    response["Livesim-Fragment"] = "1"
    return response


def go(request: HttpRequest, url: str) -> HttpResponse:
    """Send the browser to another page, after a post."""
    if by_htmx(request):
        return HttpResponse(headers={"HX-Redirect": url})
    return SeeOther(url)


def status_of(problem: LivesimError) -> int:
    return STATUS.get(problem.code, 422)


def with_retry(response: HttpResponse, problem: LivesimError) -> HttpResponse:
    """The answer with the seconds after which the same may succeed, where it may."""
    if problem.retry is not None:
        response["Retry-After"] = str(math.ceil(problem.retry))
    return response


def key_query(request: HttpRequest) -> str:
    """The part of an address that carries a shared link's key on, empty where there is none."""
    key = request.GET.get("key", "")
    return f"?{urlencode({'key': key})}" if key else ""


def page_of(request: HttpRequest, run: Run) -> str:
    """The address of a run's page, with the key by which the asker came."""
    return f"{run.get_absolute_url()}{key_query(request)}"


def why_not(request: HttpRequest, problem: LivesimError) -> str:
    """What a page says of a refusal; with a link, which is safe HTML, to who should log in."""
    if not isinstance(problem, LoginNeeded):
        return problem.message
    return render_to_string("django_livesim/includes/log_in.html", {"why": problem.message}, request)


def refuse_act(request: HttpRequest, run: Run, why: str) -> HttpResponse:
    """Say why something was not done: where it was asked for, else on the run's page."""
    if by_htmx(request):
        return fragment(request, "answer.html", {"refusal": why}, status=422)
    messages.error(request, why, fail_silently=True)
    return go(request, page_of(request, run))


def confirm(request: HttpRequest, run: Run, question: Any, yes: Any) -> HttpResponse:
    """Ask before what cannot be undone; the answer posts the same again, with `confirmed`."""
    kept = [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if name not in ("csrfmiddlewaretoken", "confirmed", "livesim_id")
    ]
    context = {
        "run": run,
        "key_query": key_query(request),
        "question": question,
        "yes": yes,
        "action": f"{request.path}{key_query(request)}",
        "posted": kept,
    }
    return render(request, "django_livesim/confirm.html", context)


def known(request: HttpRequest, actor: Actor) -> Actor:
    """The actor, with a session where it had none: an owner or a sender must be told from other visitors.

    For a post alone: a look at a page makes no session. Where the backend's
    key is none, or changes with what is kept, the session gets an id of ours.
    """
    session = getattr(request, "session", None)
    if actor.authenticated or session is None or SESSION_ID in session:
        return actor
    if not session.session_key:
        session.create()
    if not session.session_key or not session.exists(session.session_key):
        session[SESSION_ID] = token_hex(16)
    return Actor.from_request(request)


def with_database(view: View) -> View:
    """Where the database does not answer say so, with what was posted kept, to be sent again as it is."""

    @functools.wraps(view)
    def answering(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (OperationalError, InterfaceError) as exc:
            logger.warning("The database does not answer: %s: %s", request.path, exc)
            return _no_database(request, "no such table" in str(exc))

    return outside_transactions(answering)


def outside_transactions(view: View) -> View:
    """Not in the transaction that `ATOMIC_REQUESTS` opens around a view.

    What it accepts must be seen by a worker while it waits for the outcome, and an answer that says
    "accepted" must not be made before the commit.
    """
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def _no_database(request: HttpRequest, unmigrated: bool) -> HttpResponse:
    """htmx swaps nothing, so that a form stays with its id; our script tells why by the header.

    The page is made without the request: who asks, and the messages for them,
    may be in the database too.
    """
    headers = {"Livesim-Code": str(Code.DB_DOWN), "Retry-After": "5"}
    if by_htmx(request):
        return HttpResponse(status=503, headers=headers | {"HX-Reswap": "none"})
    posted = [(name, value) for name, values in request.POST.lists() for value in values]
    address = request.get_full_path()
    context = {"address": address, "method": request.method, "posted": posted, "unmigrated": unmigrated}
    page = render_to_string("django_livesim/no_database.html", context | {"csp_nonce": nonce_of(request)})
    return HttpResponse(page, status=503, headers=headers)


def of_a_run(view: View) -> View:
    """Answer with the page that explains itself where there is no such run, no right to it, or no database.

    The first two look alike, so that nobody learns which runs there are.
    """

    @with_database
    @functools.wraps(view)
    def answering(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (NoRun, Forbidden):
            if by_htmx(request) and prefix_of(request):  # the page is the host's; the socket tells it
                return HttpResponse(status=404, headers={"HX-Reswap": "none"})
            if by_htmx(request):
                return HttpResponse(headers={"HX-Refresh": "true"})
            return render(request, "django_livesim/no_run.html", status=404)

    return answering
