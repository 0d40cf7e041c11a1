"""How the list of tasks is narrowed: by what an index finds, as far as there is one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from django_livesim.background import handlers
from django_livesim.gateway import enqueuing
from django_livesim.models import TASK_LABELS, Task, Worker
from django_livesim.protocol.names import TaskStatus


class TaskStatusFilter(admin.SimpleListFilter):
    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(status), str(label)) for status, label in TASK_LABELS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """Those that are few are taken by their index first: a planner might read all, newest first."""
        status = self.value()
        if status not in set(map(str, TASK_LABELS)):
            return queryset
        if status == TaskStatus.FINISHED:
            return queryset.filter(status=status)
        few = Task.objects.filter(status=status)
        if status == TaskStatus.RUNNING:
            few = few.filter(worker__in=Worker.objects.values("pk"))
        return queryset.filter(pk__in=few.values("pk"))


class TaskKindFilter(admin.SimpleListFilter):
    title = gettext_lazy("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in Task.Kind.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        kind = self.value()
        return queryset.filter(kind=kind) if kind in Task.Kind.values else queryset


class TaskQueueFilter(admin.SimpleListFilter):
    """Its choices are the queues of the code: those of the rows would take a look at every row."""

    title = gettext_lazy("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(queue, queue) for queue in sorted(enqueuing.queues())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        queue = self.value()
        return queryset.filter(queue=queue) if queue and queue.isprintable() else queryset


def search_tasks(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """Those of that number, with that id, or of names that have the term in them.

    Names are looked up in the code, and ids among the rows of those names: so an index finds them. A name
    that the code has no more is found by the whole of it.
    """
    term = term.strip()
    if not term:
        return rows
    known = {*handlers.tasks, *handlers.channels}
    named = {name for name in known if term.casefold() in name.casefold()} | {term}
    kinds = Q(kind__in=Task.Kind.values)
    found = kinds & (Q(name__in=named) | Q(name__in=known, key=term))
    if term.isascii() and term.isdecimal() and len(term) < 19:
        found |= Q(pk=int(term))
    return rows.filter(pk__in=Task.objects.filter(found).values("pk"))
