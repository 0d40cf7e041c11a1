"""The rows of the list: which runs, on which page, how many there are of what, who may do what with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from django_livesim import conf, permissions, registry
from django_livesim.models import STATUS_LABELS, Run, Source
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.names import EXTERNAL
from django_livesim.views.filters import Filters
from django_livesim.views.vitals import WANTING, workers_alive

PAGE = 25
"""Runs on one page of the list."""

COUNTED = 1000
"""Runs of which it is told how many there are of each status. Of more, nobody counts them."""

AHEAD = 10
"""Pages beyond the one that is asked for, at least, up to which it is known that there are any."""

MOST = 10_000
"""Runs that come on pages: the newest. Filters find the others."""

ORDER = ("-created_at", "-id")

Facts = tuple[UUID, str, str]
"""Id, simulation and status of a run."""


class Pages(Paginator):  # type: ignore[type-arg]  # it takes none at run time
    """Of runs, or of their ids; no further counted than up to `limit`."""

    def __init__(self, runs: Any, limit: int = 0) -> None:
        super().__init__(runs, PAGE)
        self.limit = limit

    @cached_property
    def count(self) -> int:
        if isinstance(self.object_list, list):
            return len(self.object_list)
        runs: Any = self.object_list
        return int(runs.order_by()[: self.limit].count())

    @property
    def is_cut(self) -> bool:
        """Whether there may be more."""
        return bool(self.limit) and self.count == self.limit

    @property
    def is_over(self) -> bool:
        """Whether more of them will not come on any page."""
        return self.is_cut and self.limit == MOST


def rows(request: HttpRequest, actor: Actor) -> dict[str, Any]:
    """What the list shows, as the filters in the address narrow it."""
    filters = Filters.of(request.GET)
    found = filters.found(permissions.visible(actor), actor)
    newest = list(found.order_by(*ORDER).values_list("id", "simulation", "status")[: COUNTED + 1])
    page = _page(request.GET.get("page", ""), filters, found, newest)
    levels = permissions.levels(actor, page.object_list)
    page.object_list = [run for run in page.object_list if levels[run.pk] is not None]
    return {
        "page": page,
        "controlled": {run.pk for run in page if (levels[run.pk] or 0) >= Level.CONTROL},
        "no_worker": _lacks_worker(permissions.visible(actor), page),
        "filters": filters,
        "may_start": any(permissions.may_start(actor, each) for each in registry.all()),
        **_choices(filters, newest),
    }


def _page(asked: str, filters: Filters, found: QuerySet[Run], newest: list[Facts]) -> Page[Run]:
    """The page that is asked for, or the nearest that there is; by ids where all of them are known."""
    if len(newest) <= COUNTED:
        page = Pages([pk for pk, name, status in newest if filters.fit(name, status)]).get_page(asked[:9])
        page.object_list = list(_whole(Run.objects.filter(pk__in=page.object_list)))
        return page
    ahead = (int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 9 else 1) + AHEAD
    limit = min(MOST, max(COUNTED, PAGE * ahead))
    return Pages(_whole(filters.narrow(found)), limit).get_page(asked[:9])


def _whole(runs: QuerySet[Run]) -> QuerySet[Run]:
    """With what the list shows of them."""
    runs = runs.prefetch_related("owner", "worker").defer("params", "params_set", "result", "error")
    return runs.order_by(*ORDER)


def _lacks_worker(visible: QuerySet[Run], page: Page[Run]) -> bool:
    """Whether a run waits that no worker is there for: on the page, or on another."""
    if workers_alive():
        return False
    on_page = any(run.status in WANTING and run.source == Source.WORKER for run in page)
    return on_page or bool(visible.filter(status__in=WANTING, source=Source.WORKER).exists())


def _choices(filters: Filters, newest: Iterable[Facts]) -> dict[str, Any]:
    """What there is to choose from. How many there are of it is not told where POLICY may hide some."""
    known = [] if conf.settings.POLICY is not None else [each[1:] for each in newest]
    labels = {each.name: str(each.label) for each in registry.all()}
    for name in {filters.simulation, *(name for name, _status in known)} - {""}:
        labels.setdefault(name, name)
    counts = Counter(status for name, status in known if filters.simulation in ("", name))
    return {
        "simulations": sorted(labels.items(), key=lambda each: (each[0] == EXTERNAL, each[1].casefold())),
        "statuses": [(str(each), label, counts[str(each)]) for each, label in STATUS_LABELS.items()],
        "counted": conf.settings.POLICY is None and len(known) <= COUNTED,
    }
