"""The rows of the list: which runs, on which page, how many there are of what, who may do what with them."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from django_livesim import conf, permissions, registry
from django_livesim.models import STATUS_LABELS, Run, Source
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.names import EXTERNAL
from django_livesim.views.filters import Filters
from django_livesim.views.vitals import WANTING, workers_alive

PAGE = 25
"""Runs on one page of the list."""

COUNTED = 10_000
"""Runs that are counted, and come on pages, at most: the newest. Of more, filters find the others."""


class Pages(Paginator):  # type: ignore[type-arg]  # it takes none at run time
    """Of the newest `COUNTED` runs."""

    @cached_property
    def count(self) -> int:
        runs: Any = self.object_list
        return int(runs.order_by()[:COUNTED].count())

    @property
    def is_cut(self) -> bool:
        """Whether there may be more."""
        return self.count == COUNTED


def rows(request: HttpRequest, actor: Actor) -> dict[str, Any]:
    """What the list shows, as the filters in the address narrow it."""
    filters = Filters.of(request.GET)
    found = filters.found(permissions.visible(actor), actor)
    page = _page(request, filters.narrow(found))
    levels = permissions.levels(actor, page.object_list)
    page.object_list = [run for run in page.object_list if levels[run.pk] is not None]
    controlled = {run.pk for run in page if (levels[run.pk] or 0) >= Level.CONTROL}
    return {
        "page": page,
        "controlled": controlled,
        "no_worker": _lacks_worker(permissions.visible(actor), page),
        "filters": filters,
        "may_start": any(permissions.may_start(actor, each) for each in registry.all()),
        **_choices(filters, found),
    }


def _page(request: HttpRequest, runs: QuerySet[Run]) -> Page[Run]:
    """The page that is asked for, or the nearest that there is."""
    runs = runs.prefetch_related("owner", "worker").defer("params", "params_set", "result", "error")
    return Pages(runs.order_by("-created_at", "-id"), PAGE).get_page(request.GET.get("page", "")[:9])


def _lacks_worker(visible: QuerySet[Run], page: Page[Run]) -> bool:
    """Whether a run waits that no worker is there for: on the page, or on another."""
    if workers_alive():
        return False
    on_page = any(run.status in WANTING and run.source == Source.WORKER for run in page)
    return on_page or bool(visible.filter(status__in=WANTING, source=Source.WORKER).exists())


def _choices(filters: Filters, found: QuerySet[Run]) -> dict[str, Any]:
    """What there is to choose from. How many there are of it is not told where POLICY may hide some."""
    counts = _counts(found) if conf.settings.POLICY is None else Counter()
    labels = {each.name: str(each.label) for each in registry.all()}
    labels |= {name: name for name, _status in counts if name not in labels}
    if filters.simulation:
        labels.setdefault(filters.simulation, filters.simulation)
    of_status: Counter[str] = Counter()
    for (name, status), count in counts.items():
        of_status[status] += count if filters.simulation in ("", name) else 0
    return {
        "simulations": sorted(labels.items(), key=lambda each: (each[0] == EXTERNAL, each[1].casefold())),
        "statuses": [(str(each), label, of_status[str(each)]) for each, label in STATUS_LABELS.items()],
        "counted": conf.settings.POLICY is None and counts.total() < COUNTED,
    }


def _counts(found: QuerySet[Run]) -> Counter[tuple[str, str]]:
    """How many there are of each simulation and status, among the newest."""
    newest = found.order_by("-created_at").values("pk")[:COUNTED]
    counted = Run.objects.filter(pk__in=newest).order_by().values_list("simulation", "status")
    return Counter({(name, status): count for name, status, count in counted.annotate(Count("pk"))})
