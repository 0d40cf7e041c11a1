"""What the templates of the list need beside `livesim`: `{% load livesim_list %}`."""

from __future__ import annotations

import math
from typing import Any

from django import template
from django.core.paginator import Page
from django.urls import get_script_prefix
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from django_livesim import conf, registry
from django_livesim.gateway import harming
from django_livesim.models import Run
from django_livesim.protocol.errors import UnknownSimulation
from django_livesim.protocol.names import Status
from django_livesim.views.bulk import LABELS, QUESTIONS, question

register = template.Library()

NOTHING = "\N{EN DASH}"

MANY = 5
"""Any number of which languages speak as of most."""

LEFT_AFTER = 3.0
"""Seconds that a job has been at work before it is told how long it may still take."""

UNITS = (
    (3600, gettext_noop("about {n} hours left")),
    (60, gettext_noop("about {n} minutes left")),
    (1, gettext_noop("about {n} s left")),
)
"""In seconds, with what is told in each; as the page of a run tells it."""


@register.simple_tag
def livesim_list_socket() -> str:
    """The path of the list's socket, on the host that serves the page."""
    return f"{get_script_prefix()}ws/livesim/runs/"


@register.simple_tag
def kept_query(page: Page[Run], filters: Any, step: int = 0) -> str:
    """The query string of this page, or of one so many further on, with the filters that there are."""
    return "&".join(filter(None, [filters.query, urlencode({"page": page.number + step})]))


@register.simple_tag
def found_label(page: Page[Run]) -> str:
    """How many runs there are as the filters want them; not where POLICY may hide some."""
    count = page.paginator.count
    if conf.settings.POLICY is not None:
        return _("Filtered.")
    if page.paginator.is_cut:  # type: ignore[attr-defined]
        return _("At least %(count)s runs.") % {"count": count}
    return ngettext("%(count)s run.", "%(count)s runs.", count) % {"count": count}


@register.simple_tag
def bulk_acts() -> list[dict[str, Any]]:
    """What can be done with many runs: `verb`, `label`, and what is `asked` before of `one` run, and of
    `many`, where {n} stands for the number."""
    asked = {
        verb: {"one": question(verb, 1), "many": question(verb, MANY, "{n}")} if verb in QUESTIONS else None
        for verb in LABELS
    }
    return [{"verb": str(verb), "label": label, "asked": asked[verb]} for verb, label in LABELS.items()]


@register.filter
def rate_label(run: Run) -> str:
    """Ticks a second, as the run's worker measured them from beat to beat."""
    told = harming.load(run) if run.status == Status.RUNNING and not _is_job(run) else None
    return NOTHING if told is None or told.rate is None else number_format(told.rate, 1)


@register.filter
def viewers_label(run: Run) -> str:
    """How many watch, as the run's worker told last."""
    told = None if run.ended else harming.load(run)
    return NOTHING if told is None or told.viewers is None else str(told.viewers)


@register.filter
def shows_progress(run: Run) -> bool:
    """Whether it is told how far the run is, and there is more to come."""
    return run.progress is not None and not run.ended


@register.filter
def time_left(run: Run) -> str:
    """How long a job will take, at the pace that it has had; empty where that is not known.

    Not where it is tried again: an attempt begins from nothing.
    """
    if run.status != Status.RUNNING or not run.progress or run.attempts > 1 or not _is_job(run):
        return ""
    took = 0.0 if run.started_at is None else (timezone.now() - run.started_at).total_seconds()
    if took < LEFT_AFTER:
        return ""
    seconds = took * (1 - run.progress) / run.progress
    size, text = next((each for each in UNITS if seconds >= 2 * each[0]), UNITS[-1])
    return _(text).format(n=math.ceil(seconds / size))


def _is_job(run: Run) -> bool:
    try:
        return bool(registry.get(run.simulation).is_job)
    except UnknownSimulation:
        return False
