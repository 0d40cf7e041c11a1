"""Workers in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_livesim import permissions
from django_livesim.admin.listing import troubles
from django_livesim.admin.loads import load_words, worker_words
from django_livesim.admin.reading import RecordAdmin, asker
from django_livesim.gateway import harming
from django_livesim.gateway.vitals import told_of_tasks
from django_livesim.models import Run, Worker
from django_livesim.views.vitals import workers_alive

HELD_SHOWN = 50
"""Runs that the page of a worker names."""


class WorkerAdmin(RecordAdmin):
    """The processes that step runs, or call tasks. They hold everybody's: for who may view every run."""

    of_runs = False
    numbered = False
    list_display = ("__str__", "state", "queue_names", "held", "load_line", "beat_age", "started_at")
    list_filter = ("state",)
    ordering = ("state", "-started_at")
    fields = (
        "id",
        "state",
        "host",
        "pid",
        "queue_names",
        "load_line",
        "task_names",
        "package",
        "beat",
        "beat_age",
        "started_at",
        "held",
        "held_runs",
    )
    readonly_fields = fields
    change_form_template = "admin/livesim/worker/change_form.html"
    change_list_template = "admin/livesim/worker/change_list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        held = Run.objects.filter(worker=OuterRef("pk")).order_by().values("worker").annotate(n=Count("pk"))
        count = Coalesce(Subquery(held.values("n"), output_field=IntegerField()), 0)
        return super().get_queryset(request).annotate(runs_held=count)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"none_alive": not workers_alive()} | (extra_context or {})
        return super().changelist_view(request, context)

    @admin.display(description=gettext_lazy("queues"))
    def queue_names(self, worker: Worker) -> str:
        return ", ".join(map(str, worker.queues))

    @admin.display(description=gettext_lazy("load"))
    def load_line(self, worker: Worker) -> str:
        return ", ".join(worker_words(worker.load)) or self.get_empty_value_display()

    @admin.display(description=gettext_lazy("tasks and channels"))
    def task_names(self, worker: Worker) -> str:
        """What it calls; nothing for one that steps runs."""
        told = told_of_tasks(worker.load)
        named = [*told.get("names", ()), *told.get("channels", ())]
        return ", ".join(map(str, named)) or str(self.get_empty_value_display())

    @admin.display(description=gettext_lazy("package"))
    def package(self, worker: Worker) -> str:
        version = worker.load.get("version")
        return f"django-livesim {version}" if version else str(self.get_empty_value_display())

    @admin.display(description=gettext_lazy("last beat"))
    def beat_age(self, worker: Worker) -> str:
        return ago(worker.beat_at)

    @admin.display(description=gettext_lazy("runs"))
    def held(self, worker: Any) -> str:
        if not worker.runs_held:
            return "0"
        return self.linked("run_changelist", text=worker.runs_held, query=f"?worker__id__exact={worker.pk}")

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """With those runs noted that POLICY does not hide from who asks."""
        worker = super().get_object(request, *args, **kwargs)
        if worker is not None:
            runs = worker.runs.defer("params", "params_set", "result", "error")
            worker.runs_shown = permissions.shown(asker(request), _dearest_first(worker, runs))
        return worker

    @admin.display(description=gettext_lazy("runs held"))
    def held_runs(self, worker: Any) -> str:
        """Those that cost most, and what."""
        rows = [
            (self.linked("run_change", run.pk, text=run), *each.values(), ", ".join(troubles(run)))
            for run in worker.runs_shown
            for each in [load_words(run)]
        ]
        if not rows:
            return str(self.get_empty_value_display())
        heads = (_("Run"), _("Share of one core"), _("Mean step"), _("Late"), _("State"), "")
        return format_html(
            '<div class="livesim-scroll" tabindex="0"><table><thead><tr>{}</tr></thead>'
            "<tbody>{}</tbody></table></div>",
            format_html_join("", '<th scope="col">{}</th>', [(head,) for head in heads]),
            format_html_join(
                "", f'<tr><th scope="row">{{}}</th>{"<td>{}</td>" * (len(heads) - 1)}</tr>', rows
            ),
        )


def _dearest_first(worker: Worker, runs: QuerySet[Run]) -> list[Run]:
    """Those that it has told of first, by what they cost; then the newest."""
    told = list(runs.filter(pk__in=list(worker.load.get("each") or {})))
    costs = {run.pk: load.cpu for run in told if (load := harming.load(run)) is not None}
    told.sort(key=lambda run: -costs.get(run.pk, 0.0))
    rest = runs.exclude(pk__in=[run.pk for run in told]).order_by("-created_at")[:HELD_SHOWN]
    return [*told, *rest][:HELD_SHOWN]


def ago(moment: Any) -> str:
    """How long ago something was, to the second where that is lately."""
    seconds = max(0, int((timezone.now() - moment).total_seconds()))
    if seconds < 120:
        return _("%(seconds)s s ago") % {"seconds": seconds}
    return _("%(time)s ago") % {"time": timesince(moment, depth=1)}
