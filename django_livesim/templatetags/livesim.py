"""What the templates of the pages need beside Django's own tags: `{% load livesim %}`."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from django import template
from django.conf import settings as django_settings
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.template import Context
from django.template.defaultfilters import filesizeformat
from django.templatetags.static import static
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils import timezone
from django.utils.encoding import escape_uri_path
from django.utils.http import urlencode
from django.utils.timesince import timesince
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from django_livesim import embedding
from django_livesim.conf import settings
from django_livesim.forms import CONTROL_LABELS, TIMES
from django_livesim.gateway import harming
from django_livesim.models import STATUS_LABELS, Run, Worker
from django_livesim.nonces import nonce_of
from django_livesim.protocol.cutting import cut_json

register = template.Library()

NEAR = 120  # seconds up to which a moment to come is told in seconds

BEATS = (
    (86400, gettext_lazy("every %(number)s d")),
    (3600, gettext_lazy("every %(number)s h")),
    (60, gettext_lazy("every %(number)s min")),
)
"""The units, in seconds, in which repetitions are told where they are whole."""


@register.filter
def socket_path(run: Run) -> str:
    """The path of a run's socket, on the host that serves the page."""
    return f"{get_script_prefix()}ws/livesim/runs/{run.id}/"


@register.simple_tag(takes_context=True)
def livesim_html_socket(context: Context, run: Run) -> str:
    """The address at which a run is told as HTML, in the language of this page, with its link's key."""
    query = {"format": "html", "language": get_language() or django_settings.LANGUAGE_CODE}
    request = context.get("request")
    if request is not None and (key := request.GET.get("key")):
        query["key"] = key
    return f"{socket_path(run)}?{urlencode(query)}"


@register.filter
def status_label(status: str) -> str:
    """A run's status as people read it."""
    return next((str(label) for each, label in STATUS_LABELS.items() if each == status), status)


@register.filter
def speed_label(speed: float) -> str:
    """A run's speed as people write it; 0 in the row is as fast as possible."""
    return f"{TIMES}{speed:g}" if speed else _("max")


@register.filter
def age(since: datetime) -> str:
    """How long ago something was, in its largest unit."""
    if timezone.now() - since < timedelta(minutes=1):
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(since, depth=1)}


@register.filter
def until(moment: datetime) -> str:
    """How long it is to a moment, in its two largest units; in seconds where it is near."""
    now = timezone.now()
    seconds = (moment - now).total_seconds()
    if seconds <= 0:
        return _("due now")
    if seconds < NEAR:
        return _("in %(seconds)s s") % {"seconds": math.ceil(seconds)}
    return _("in %(time)s") % {"time": timesince(now, moment, depth=2)}


@register.filter
def beat(seconds: float) -> str:
    """How far apart repetitions are, exactly."""
    for size, text in BEATS:
        if seconds >= size and seconds % size == 0:
            return str(text) % {"number": f"{seconds / size:g}"}
    return _("every %(number)s s") % {"number": f"{seconds:g}"}


@register.filter
def iso(moment: datetime) -> str:
    """A moment for scripts, with its offset: without one, a browser takes it for its own local time."""
    return (timezone.make_aware(moment) if timezone.is_naive(moment) else moment).isoformat()


@register.filter
def as_json(value: Any) -> str:
    """Data as indented JSON, cut where it is too long to read."""
    return cut_json(value)[0]


@register.filter
def one_line(value: Any) -> str:
    """Data as JSON on one line of at most 300 characters."""
    return cut_json(value, 300, indent=None)[0]


@register.filter
def milliseconds(seconds: float) -> str:
    """A duration of seconds as `12 ms`; from ten seconds on as `12 s`."""
    if seconds >= 10:
        return _("%(number)s s") % {"number": f"{seconds:.0f}"}
    number = 1000 * seconds
    return _("%(number)s ms") % {"number": f"{number:.0f}" if number >= 10 else f"{number:.2g}"}


@register.filter
def within(status: str, names: str) -> bool:
    """Whether a status is among the names, which are parted by spaces."""
    return status in names.split()


@register.filter
def static_path(path: str) -> str:
    """The URL of a static file whose path is only known here."""
    return static(path)


@register.filter
def load_label(worker: Worker) -> str:
    """A worker's share of a core and its memory as its last beat told them."""
    if not {"cpu", "memory"} <= set(worker.load):
        return ""
    share, memory = worker.load["cpu"], filesizeformat(worker.load["memory"])
    return _("%(share)s %% CPU, %(memory)s") % {"share": f"{100 * share:.0f}", "memory": memory}


@register.filter
def stepping(run: Run) -> int:
    """For how many seconds code of the run has been called, as its worker told last; 0: not for long."""
    return harming.stepping(run)


@register.filter
def again_in(run: Run) -> int:
    """Seconds for which a struck run is held back from workers; 0 where it is not."""
    return harming.again_in(run)


register.simple_tag(embedding.livesim_panel, takes_context=True)
register.simple_tag(embedding.livesim_controls, takes_context=True)
register.simple_tag(embedding.livesim_plot, takes_context=True)
register.simple_tag(embedding.livesim_scripts, takes_context=True)


@register.simple_tag
def livesim_id() -> str:
    """A fresh id for a command: however often its form is submitted, it takes effect once."""
    return uuid4().hex


@register.simple_tag(takes_context=True)
def livesim_nonce(context: Context) -> str | None:
    """The nonce of this page's Content Security Policy, None where it has none.

    It is given by the context processor of Django 6 or of django-csp; where only the middleware is
    installed, it is found at the request.
    """
    for name in ("csp_nonce", "CSP_NONCE"):
        if context.get(name) is not None:  # a lazy one is false until it is used
            return str(context[name]) or None
    return nonce_of(context.get("request"))


@register.simple_tag
def livesim_logout() -> str:
    """Where a form posts to that logs out: the host's page of that name, else the admin's; empty without."""
    return _address("logout") or _address("admin:logout")


@register.simple_tag
def livesim_login(request: HttpRequest) -> str:
    """Where an anonymous visitor logs in and comes back from; empty where the host has no such page.

    That is LOGIN_URL; where there is no page, as Django's default often has
    it, the admin's.
    """
    if not django_settings.LOGIN_URL:
        return ""
    path = next(filter(_is_a_page, (_address(django_settings.LOGIN_URL), _address("admin:login"))), "")
    return f"{path}?{urlencode({'next': _way_back(request)})}" if path else ""


def _way_back(request: HttpRequest) -> str:
    """The page that was asked for; where something was posted, its run's page, or the list of runs."""
    if request.method in ("GET", "HEAD"):
        return _without_key(request)
    run_id = request.resolver_match.kwargs.get("run_id") if request.resolver_match else None
    return reverse("livesim:run-detail", args=[run_id]) if run_id else reverse("livesim:run-list")


def _without_key(request: HttpRequest) -> str:
    """The address of the page without a shared link's key, which is nothing for another page to know."""
    query = request.GET.copy()
    query.pop("key", None)
    path = escape_uri_path(request.path)
    return f"{path}?{query.urlencode()}" if query else path


def _address(place: Any) -> str:
    try:
        return str(resolve_url(place))
    except NoReverseMatch:
        return ""


def _is_a_page(address: str) -> bool:
    """Whether there is something at an address: at another host's we cannot see, and believe it."""
    path = urlsplit(address)
    if path.netloc:
        return True
    try:
        resolve(path.path.removeprefix(get_script_prefix().rstrip("/")))
    except Resolver404:
        return False
    return True


@register.filter
def figure(value: Any) -> str:
    """A number of a simulation's own, short; a dash where there is none."""
    if not isinstance(value, int | float):
        return "\N{EN DASH}"
    return f"{value:,}" if isinstance(value, int) and abs(value) < 1e9 else f"{value:,.6g}"


@register.filter
def percent(share: float) -> str:
    """0.257 as `25 %`."""
    return f"{math.floor(100 * share)} %"


@register.filter
def lines(texts: Any) -> str:
    """A list of texts, one on each line; empty for anything else."""
    return "\n".join(map(str, texts)) if isinstance(texts, list) else ""


@register.simple_tag
def livesim_htmx_version() -> int:
    """Which htmx of django-htmx the pages load."""
    return int(settings.HTMX_VERSION)


@register.simple_tag
def livesim_words() -> dict[str, str]:
    """The texts that the scripts show, by name; {places} are filled in the browser."""
    statuses = {str(status): str(label) for status, label in STATUS_LABELS.items()}
    verbs = {f"verb_{verb}": str(label) for verb, label in CONTROL_LABELS.items()}
    return (
        statuses
        | verbs
        | {
            "socket_connecting": _("connecting"),
            "socket_open": _("live"),
            "socket_ended": _("ended"),
            "socket_silent": _("nothing new for {seconds} s"),
            "socket_waiting": _("lost"),
            "socket_offline": _("offline"),
            "socket_closed": _("closed"),
            "socket_no_right": _("no right"),
            "socket_deleted": _("deleted"),
            "socket_too_many": _("too many pages"),
            "lost": _("Connection lost."),
            "restarting": _("The server is restarting."),
            "offline": _("You are offline."),
            "when_online": _("The page connects by itself when you are online again."),
            "back": _("Connected again."),
            "reconnecting": _("Reconnecting in {seconds} s."),
            "trying": _("Reconnecting…"),
            "no_right": _("You may not watch this run any more."),
            "deleted": _("This run has been deleted."),
            "too_many": _("Too many pages are open. Close some, then load this one again."),
            "restarted": _("Restarted: going to the new run."),
            "rights_changed": _("Your rights on this run have changed. Load the page again."),
            "max": _("max"),
            "more": _("show {n} more"),
            "hours_left": _("about {n} hours left"),
            "minutes_left": _("about {n} minutes left"),
            "seconds_left": _("about {n} s left"),
            "attempt": _("attempt {attempt} of {attempts}"),
            "applied": _("Applied at tick {tick}."),
            "refused": _("Refused: {why}"),
            "log_applied": _("applied"),
            "log_refused": _("refused: {why}"),
            "by_you": _("by you"),
            "by_user": _("by {name}"),
            "by_somebody": _("by somebody"),
            "by_visitor": _("by a visitor"),
            "by_process": _("by a program ({name})"),
            "alone": _("This page alone"),
            "one_other": _("This page and one other"),
            "others": _("This page and {n} others"),
            "found": _("{n} of {all}"),
            "found_nothing": _("nothing found"),
            "copied": _("copied"),
            "not_copied": _("The browser does not allow copying here."),
            "latency_of": _("{time} (of {n})"),
            "per_second": _("{amount} a second"),
            "picture_failed": _("The picture cannot be drawn: {error}"),
            "cell_at": _("column {column}, row {row}"),
            "no_figures": _("No figures: {why}"),
            "figure_now": _("{name}: {value} at tick {tick}"),
            "figure_none": _("{name}: no value"),
            "figures_tick": _("tick {tick}"),
            "figures_more": _("Show {n} more"),
            "figure_save": _("Save the plot of {name} as a picture"),
            "figures_lost": _("The history of the figures cannot be read; it is asked for again."),
            "db_down": _("The database does not answer; nothing was stored. Try again."),
            "unreachable": _(
                "The server cannot be reached: nothing was sent. Try again when the connection is back."
            ),
            "server_error": _(
                "The server answered with an error ({status}). Try again, or load the page anew."
            ),
        }
    )
