"""How the list of commands is narrowed: by what an index finds, and by nothing else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Q, QuerySet, Value
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_livesim.admin.reading import COUNTED, RUN, sees_all
from django_livesim.models import Command
from django_livesim.protocol.names import Kind, Outcome


class Word(Value):
    """A word of ours, written into the statement: only so does SQLite use an index with a condition."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        return f"'{self.value}'", ()


class KindFilter(admin.SimpleListFilter):
    title = gettext_lazy("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(Kind.COMMAND), _("command")), (str(Kind.CONTROL), _("control"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Command]) -> QuerySet[Command]:
        kind = next((kind for kind in Kind if kind == self.value()), None)
        return queryset if kind is None else having(request, queryset, kind is Kind.CONTROL, kind=Word(kind))


OUTCOMES = {"waiting": Outcome.NONE, "applied": Outcome.APPLIED, "refused": Outcome.REFUSED}


class OutcomeFilter(admin.SimpleListFilter):
    title = gettext_lazy("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        labels = (_("waiting"), _("applied"), _("refused"))
        return list(zip(OUTCOMES, labels, strict=True))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Command]) -> QuerySet[Command]:
        outcome = OUTCOMES.get(self.value() or "")
        if outcome is None:
            return queryset
        return having(request, queryset, outcome is not Outcome.APPLIED, outcome=Word(outcome))


def having(request: HttpRequest, rows: QuerySet[Any], few: bool, **words: Word) -> QuerySet[Any]:
    """Those with these words.

    Where they are few and an index has them alone, but the rows are narrowed to some
    runs too, a planner would rather read all commands of these runs: so they are taken first.
    """
    narrowed = RUN in request.GET or not sees_all(request) or words.get("outcome") == Word(Outcome.NONE)
    if not (few and narrowed):
        return rows.filter(**words)
    return rows.filter(pk__in=Command.objects.filter(**words).values("pk"))


def search_commands(request: HttpRequest, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """The commands that are exactly what was looked for; says so where no index could find them.

    Names and ids are looked for among the newest of one run.
    """
    term = term.strip()
    if not term:
        return rows
    found = _numbered(term)
    if request.GET.get(RUN):
        found |= (Q(name=term) | Q(client_id=term)) & _newest(rows)
    elif run := _uuid(term):
        found |= Q(run=run)
    elif not found:
        messages.warning(
            request,
            _(
                "Without a run, commands are found by their number or by the uuid of their run."
                " Follow a command's run, and look among its commands."
            ),
        )
    return rows.filter(found) if found else rows.none()


def _newest(rows: QuerySet[Any]) -> Q:
    """As many of these as a list counts."""
    oldest = rows.values_list("pk", flat=True)[COUNTED - 1 : COUNTED].first()
    return Q() if oldest is None else Q(pk__gte=oldest)


def _numbered(term: str) -> Q:
    number = int(term) if term.isascii() and term.isdecimal() and len(term) < 19 else 0
    return Q(pk=number) if number else Q()


def _uuid(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None
