"""Tasks, and messages to own channels, in the admin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from enum import StrEnum
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_livesim import permissions
from django_livesim.admin.acting import AT_ONCE
from django_livesim.admin.asking import SHOWN
from django_livesim.admin.narrowing_tasks import (
    TaskKindFilter,
    TaskQueueFilter,
    TaskStatusFilter,
    search_tasks,
)
from django_livesim.admin.reading import HIDDEN, RecordAdmin, as_block, asker, in_words
from django_livesim.gateway import backlog, enqueuing
from django_livesim.gateway.backlog import Lack
from django_livesim.models import Task
from django_livesim.protocol.names import TaskStatus
from django_livesim.templatetags.livesim import age, iso
from django_livesim.views.respond import SeeOther, outside_transactions

CONFIRM = "admin/livesim/task/confirm.html"


class Act(StrEnum):
    """What an operator does to tasks."""

    CANCEL = "cancel_tasks"
    AGAIN = "call_again"
    DELETE = "delete_selected"


WHEN: Mapping[Act, frozenset[str]] = {
    Act.CANCEL: frozenset({TaskStatus.WAITING}),
    Act.AGAIN: frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED}),
    Act.DELETE: frozenset({TaskStatus.FINISHED, TaskStatus.FAILED, TaskStatus.CANCELLED}),
}
"""The statuses in which a task takes each."""

DO: Mapping[Act, Callable[..., list[int]]] = {
    Act.CANCEL: enqueuing.cancel,
    Act.AGAIN: enqueuing.again,
    Act.DELETE: enqueuing.delete,
}

NOTES: Mapping[Act, Promise] = {
    Act.CANCEL: gettext_lazy("Cancelled."),
    Act.AGAIN: gettext_lazy("Called once more."),
}
"""For the history. A deletion has an entry of its own kind."""

QUESTIONS: Mapping[Act, tuple[Promise, Promise]] = {
    Act.AGAIN: (
        gettext_lazy("Call them again? What they did before they failed may be done twice."),
        gettext_lazy("Yes, call again"),
    ),
    Act.DELETE: (gettext_lazy("Delete for ever? This cannot be undone."), gettext_lazy("Yes, delete")),
}
"""What is asked before, and the answer."""

LACKS: Mapping[Lack, Promise] = {
    Lack.WORKER: gettext_lazy("No worker calls tasks: start one with python manage.py livesim_worker."),
    Lack.QUEUE: gettext_lazy("No worker has its queue: start one with --queues %(queue)s."),
    Lack.CODE: gettext_lazy("No worker has its code: install its app, and start the workers anew."),
}


class TaskAdmin(RecordAdmin):
    """The calls that workers make, have made, and are to make.

    They are everybody's, so they take a permission; what they were called with, and tracebacks, take that to
    inspect too.
    """

    of_runs = False
    list_display = ("id", "named", "kind", "queue", "pill", "attempts", "due", "worker_link", "made", "ended")
    list_display_links = ("id", "named")
    list_filter = (TaskStatusFilter, TaskKindFilter, TaskQueueFilter)
    ordering = ("-id",)
    search_fields = ("=id",)
    search_help_text = gettext_lazy("A number, an id (key), or a part of the name of a task or channel.")
    fields = (
        "named",
        "kind",
        "queue",
        "key",
        "pill",
        "attempts",
        "retries",
        "backoff",
        "due_at",
        "worker_link",
        "created_at",
        "started_at",
        "ended_at",
        "arguments",
        "traceback",
    )
    readonly_fields = fields
    change_form_template = "admin/livesim/task/change_form.html"
    change_list_template = "admin/livesim/task/change_list.html"
    actions = tuple(map(str, Act))

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(css={"all": ["django_livesim/admin.css"]})

    # -- rights -------------------------------------------------------------------------------

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return permissions.may_see_tasks(asker(request))

    def has_act_permission(self, request: HttpRequest) -> bool:
        return permissions.may_change_tasks(asker(request))

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return permissions.may_delete_tasks(asker(request))

    # -- rows ---------------------------------------------------------------------------------

    def listed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.defer("args", "error")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("worker")
        return rows.defer("worker__load", "worker__queues")

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        row = super().get_object(request, *args, **kwargs)
        if row is not None:
            row.told = permissions.may_look_into_tasks(asker(request))
        return row

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return search_tasks(queryset, search_term), False

    @outside_transactions
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"unserved": unserved()} if self.has_view_permission(request) else {}
        return super().changelist_view(request, context | (extra_context or {}))

    # -- acts ---------------------------------------------------------------------------------

    @admin.action(description=gettext_lazy("Cancel selected %(verbose_name_plural)s"), permissions=["act"])
    def cancel_tasks(self, request: HttpRequest, queryset: QuerySet[Task]) -> HttpResponse | None:
        return self._act(request, queryset, Act.CANCEL)

    @admin.action(
        description=gettext_lazy("Call selected %(verbose_name_plural)s again"), permissions=["act"]
    )
    def call_again(self, request: HttpRequest, queryset: QuerySet[Task]) -> HttpResponse | None:
        return self._act(request, queryset, Act.AGAIN)

    @admin.action(description=gettext_lazy("Delete selected %(verbose_name_plural)s"), permissions=["remove"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> HttpResponse | None:
        """In place of the site's own action, which would delete those that wait or run too."""
        return self._act(request, queryset, Act.DELETE)

    def _act(self, request: HttpRequest, queryset: QuerySet[Task], act: Act) -> HttpResponse | None:
        rows = list(queryset[: AT_ONCE + 1])
        if len(rows) > AT_ONCE:
            text = _("Choose at most %(count)s tasks at once, by a filter for example; nothing was done.")
            self.message_user(request, text % {"count": AT_ONCE}, messages.ERROR)
            return None
        touched = [row for row in rows if row.status in WHEN[act]]
        left = [(row, why_not(row)) for row in rows if row.status not in WHEN[act]]
        if touched and act in QUESTIONS and "confirmed" not in request.POST:
            return self._ask(request, act, touched, left)
        done = self._do(request, act, touched)
        left += [(row, _("it has changed meanwhile")) for row in touched if row not in done]
        self._tell(request, act, len(done), left)
        narrowed = request.POST.get("narrowed", "")
        return SeeOther(f"{self.address('task_changelist')}?{narrowed}") if narrowed else None

    def _do(self, request: HttpRequest, act: Act, rows: list[Task]) -> list[Task]:
        """Those to which it was done; each is in the history.

        A deletion and its entry are one transaction. The others are one each: who cancels many at once keeps
        no worker waiting.
        """
        log = router.db_for_write(LogEntry)
        with transaction.atomic(using=log) if act is Act.DELETE else nullcontext():
            ids = set(DO[act]([row.pk for row in rows], actor=asker(request)))
            done = [row for row in rows if row.pk in ids]
            with transaction.atomic(using=log):
                if done and act is Act.DELETE:
                    self.log_deletions(request, cast(Any, done))
                for row in done if act in NOTES else ():
                    self.log_change(request, row, str(NOTES[act]))
        return done

    def _ask(
        self, request: HttpRequest, act: Act, touched: list[Task], left: list[tuple[Task, str]]
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        question, yes = QUESTIONS[act]
        context = {
            "title": _("Are you sure?"),
            "subtitle": None,
            "opts": self.opts,
            "media": self.media,
            "question": question,
            "yes": yes,
            "action": str(act),
            "touched": touched,
            "left": left,
            "shown": SHOWN,
            "target": self.address("task_changelist"),
            "back": request.get_full_path(),
            "narrowed": request.GET.urlencode(),
        }
        return TemplateResponse(request, CONFIRM, self.admin_site.each_context(request) | context)

    def _tell(self, request: HttpRequest, act: Act, done: int, left: list[tuple[Task, str]]) -> None:
        if done:
            self.message_user(request, said(act, done), messages.SUCCESS)
        for row, why in left[:SHOWN]:
            text = format_html(_("“{task}” was left out: {why}."), task=row, why=why)
            self.message_user(request, text, messages.WARNING)
        if rest := left[SHOWN:]:
            more = ngettext("%(count)s more was left out.", "%(count)s more were left out.", len(rest))
            self.message_user(request, more % {"count": len(rest)}, messages.WARNING)

    # -- columns ------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("name"))
    def named(self, row: Task) -> str:
        return row.name

    @admin.display(description=gettext_lazy("status"))
    def pill(self, row: Task) -> str:
        label = row.get_status_display()
        return format_html('<span class="livesim-pill" data-status="{}">{}</span>', row.status, label)

    @admin.display(description=gettext_lazy("due"), empty_value="")
    def due(self, row: Task) -> str:
        return "" if row.due_at is None else in_words(row.due_at)

    @admin.display(description=gettext_lazy("worker"), empty_value="")
    def worker_link(self, row: Task) -> str:
        return "" if row.worker is None else self.linked("worker_change", row.worker_id, text=row.worker)

    @admin.display(description=gettext_lazy("created"))
    def made(self, row: Task) -> str:
        when = iso(row.created_at), in_words(row.created_at), age(row.created_at)
        return format_html('<time datetime="{}" title="{}">{}</time>', *when)

    @admin.display(description=gettext_lazy("ended"), empty_value="")
    def ended(self, row: Task) -> str:
        return "" if row.ended_at is None else in_words(row.ended_at)

    @admin.display(description=gettext_lazy("arguments"))
    def arguments(self, row: Any) -> str:
        return as_block(row.args) if row.told else HIDDEN

    @admin.display(description=gettext_lazy("traceback"))
    def traceback(self, row: Any) -> str:
        if not row.told:
            return HIDDEN
        if not row.error:
            return str(self.get_empty_value_display())
        return format_html('<pre class="livesim-text" tabindex="0">{}</pre>', row.error)


def why_not(row: Task) -> str:
    """Why an act leaves it out: its status."""
    return _("it is %(status)s") % {"status": row.get_status_display()}


def said(act: Act, count: int) -> str:
    """To how many it was done."""
    if act is Act.CANCEL:
        text = ngettext("%(count)s task was cancelled.", "%(count)s tasks were cancelled.", count)
    elif act is Act.AGAIN:
        text = ngettext("%(count)s task is called again.", "%(count)s tasks are called again.", count)
    else:
        text = ngettext("%(count)s task was deleted.", "%(count)s tasks were deleted.", count)
    return text % {"count": count}


def unserved() -> list[str]:
    """What is due and nobody is there to call, with what to do, in words."""
    waiting = backlog.waits()
    workers = backlog.callers() if waiting else []
    lacking = [(wait, lack) for wait in waiting if (lack := backlog.lack(wait, workers))]
    return [_unserved(wait, str(LACKS[lack])) for wait, lack in lacking[:3]]


def _unserved(wait: backlog.Wait, advice: str) -> str:
    told = _("“%(name)s” waits (%(count)s, the oldest for %(time)s).") % {
        "name": wait.name,
        "count": wait.count,
        "time": _("%(count)s s") % {"count": int(wait.seconds)},
    }
    return f"{told} {advice % {'queue': wait.queue}}"
