"""What narrows the list of runs: a search, a simulation, statuses, one's own. All of it is in the address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils.http import urlencode

from django_livesim.gateway.finding import ids_from
from django_livesim.models import Run
from django_livesim.permissions import Actor, owned_by
from django_livesim.protocol.names import Status
from django_livesim.protocol.plain import storable

LONGEST = 100
"""Characters of what is looked for; the rest is left away."""

SEARCHED = 100_000
"""Runs, the newest, that are looked through for a text."""

OWNERS = 100
"""Users whose names begin as what is looked for, at most: the runs of these are found."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """As the address has them: `q`, `sim`, `status` (any number of them) and `mine`.

    `simulation` is another's: by that the start panel is told which simulation is chosen.
    """

    search: str = ""
    simulation: str = ""
    statuses: tuple[str, ...] = ()
    mine: bool = False

    @classmethod
    def of(cls, query: QueryDict) -> Filters:
        """What is no filter is passed over: nothing that somebody writes there is an error."""
        asked = set(query.getlist("status"))
        return cls(
            search=storable(query.get("q", ""))[:LONGEST].strip(),
            simulation=storable(query.get("sim", ""))[:200],
            statuses=tuple(str(status) for status in Status if str(status) in asked),
            mine=query.get("mine", "") not in ("", "0"),
        )

    def __bool__(self) -> bool:
        """Whether they narrow anything."""
        return bool(self.query)

    @property
    def query(self) -> str:
        """As a query string; empty where all runs are shown."""
        pairs = [("q", self.search), ("sim", self.simulation), ("mine", "1" if self.mine else "")]
        said = [(name, value) for name, value in pairs if value]
        return urlencode(said + [("status", status) for status in self.statuses])

    def only_searches_on(self, before: Filters) -> bool:
        """Whether somebody is still writing what to look for: no place to come back to."""
        return bool(self.search and before.search) and replace(before, search=self.search) == self

    def found(self, runs: QuerySet[Run], actor: Actor) -> QuerySet[Run]:
        """Those of `runs` that are looked for, of whatever simulation and status."""
        if self.mine:
            runs = runs.filter(owned_by(actor))
        return runs.filter(_like(self.search, actor)) if self.search else runs

    def fit(self, simulation: str, status: str) -> bool:
        """Whether a run that is found is of the simulation, and of one of the statuses."""
        return self.simulation in ("", simulation) and (not self.statuses or status in self.statuses)

    def narrow(self, found: QuerySet[Run]) -> QuerySet[Run]:
        """Those of the simulation and the statuses."""
        if self.simulation:
            found = found.filter(simulation=self.simulation)
        return found.filter(status__in=self.statuses) if self.statuses else found


def _like(text: str, actor: Actor) -> Q:
    """By what the list shows of a run, or its whole key: parts of one that it does not show are not told.

    Of what no index has, the newest `SEARCHED` runs of all are read.
    """
    key_is_shown = Q(name="") | owned_by(actor)
    read = (
        Q(name__icontains=text)
        | Q(simulation__icontains=text)
        | Q(key=text)
        | (key_is_shown & Q(key__icontains=text))
    )
    oldest = Run.objects.order_by("-created_at").values_list("created_at", flat=True)[SEARCHED : SEARCHED + 1]
    if since := oldest.first():
        read &= Q(created_at__gt=since)
    return read | ids_from(text) | Q(owner__in=_owners_named(text))


def _owners_named(text: str) -> list[Any]:
    """The ids of users who are shown by a name that begins so; asked apart: another database may have them.

    Where users are shown otherwise than they log in, by that they are not found: it may be an address.
    """
    model = get_user_model()
    named = model._default_manager.filter(**{f"{model.USERNAME_FIELD}__startswith": text}).order_by("pk")
    return [user.pk for user in named[:OWNERS] if str(user).startswith(text)]
