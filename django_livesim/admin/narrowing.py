"""How the list of commands is narrowed: by what an index finds, and by nothing else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Q, QuerySet, Value
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

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
        return queryset if kind is None else queryset.filter(kind=Word(str(kind)))


OUTCOMES = {"waiting": Outcome.NONE, "applied": Outcome.APPLIED, "refused": Outcome.REFUSED}


class OutcomeFilter(admin.SimpleListFilter):
    title = gettext_lazy("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        labels = (_("waiting"), _("applied"), _("refused"))
        return list(zip(OUTCOMES, labels, strict=True))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Command]) -> QuerySet[Command]:
        outcome = OUTCOMES.get(self.value() or "")
        return queryset if outcome is None else queryset.filter(outcome=Word(str(outcome)))


def waiting(rows: QuerySet[Command]) -> QuerySet[Command]:
    """Those without an outcome, by the index that has no others."""
    return rows.filter(outcome=Word(str(Outcome.NONE)))


def search_commands(request: HttpRequest, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """The commands that are exactly what was looked for; says so where no index could find them."""
    term = term.strip()
    if not term:
        return rows
    found = _numbered(term)
    if request.GET.get("run__id__exact"):
        found |= Q(name=term) | Q(client_id=term)
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


def _numbered(term: str) -> Q:
    number = int(term) if term.isascii() and term.isdecimal() and len(term) < 19 else 0
    return Q(pk=number) if number else Q()


def _uuid(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None
