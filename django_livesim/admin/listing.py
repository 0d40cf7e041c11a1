"""The list of runs: columns, filters, search."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_livesim import conf, permissions
from django_livesim.admin.base import RunPages
from django_livesim.admin.lookups import from_rows, is_offered
from django_livesim.gateway import harming
from django_livesim.gateway.finding import ids_from
from django_livesim.models import Run
from django_livesim.permissions import Level
from django_livesim.protocol.names import Status
from django_livesim.templatetags.livesim import age, iso

OWNERS = 100
"""Users whose names fit a search, at most: the runs of these are found."""


LONGEST = 200
"""Characters of a search; more of them than a pattern may have are an error in SQLite."""


class RunList(ChangeList):
    """Who owns and who steps the rows is fetched once each; those that POLICY hides are left out."""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Run]:
        rows = super().get_queryset(request, *args, **kwargs)
        return rows.prefetch_related("owner", "worker").defer("params", "params_set", "result", "error")

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        actor = cast(RunPages, self.model_admin).actor(request)
        levels = permissions.levels(actor, self.result_list)
        for run in self.result_list:
            run.level = levels[run.pk]
        if conf.settings.POLICY is not None:
            self._leave_out_hidden()

    def _leave_out_hidden(self) -> None:
        self.result_list = [run for run in self.result_list if run.level is not None]
        self.show_full_result_count = False
        if not self.multi_page:
            self.result_count = len(self.result_list)


class ListingMixin(RunPages):
    """Filters by what there is in the runs that who asks may see; search over owners by their names."""

    list_display = ("title", "simulation", "status_line", "tick", "owner_name", "worker_name", "made")
    list_display_links = ("title",)
    list_filter = (
        "status",
        ("simulation", admin.AllValuesFieldListFilter),
        "visibility",
        "source",
        ("queue", admin.AllValuesFieldListFilter),
    )
    list_select_related = ()  # a worker with its loads is large, and has many runs: see `RunList`
    search_fields = ("name", "key", "simulation")
    search_help_text = gettext_lazy("Name, key, simulation, owner, or the beginning of an id.")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RunList

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Where there is a POLICY, without those whose choices are read from runs: it may hide these."""
        filters = super().get_list_filter(request)
        if conf.settings.POLICY is None:
            return filters
        return [each for each in filters if not from_rows(each)]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        filters = self.get_list_filter(request)
        return is_offered(lookup, filters, "id", "worker", self.date_hierarchy) and super().lookup_allowed(
            lookup, value, request
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        search_term = search_term[:LONGEST]
        found, doubles = super().get_search_results(request, queryset, search_term)
        if term := search_term.strip():
            found = found | queryset.filter(Q(owner__in=owners_named(term)) | ids_from(term))
        return found, doubles

    def action_checkbox(self, obj: Run) -> SafeString:
        """None for a run that may only be looked at."""
        if (getattr(obj, "level", None) or 0) < Level.CONTROL:
            return SafeString()
        return super().action_checkbox(obj)

    @admin.display(description=gettext_lazy("run"), ordering="name")
    def title(self, run: Run) -> str:
        return str(run)

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def pill(self, run: Run) -> str:
        """A shape and a word."""
        label = run.get_status_display()
        return format_html('<span class="livesim-pill" data-status="{}">{}</span>', run.status, label)

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def status_line(self, run: Run) -> str:
        """With what is wrong, where something is."""
        pill, trouble = self.pill(run), ", ".join(troubles(run))
        return format_html('{}<span class="livesim-trouble">{}</span>', pill, trouble) if trouble else pill

    @admin.display(description=gettext_lazy("owner"), ordering="owner_id", empty_value="")
    def owner_name(self, run: Run) -> str:
        if run.owner_id is None:
            return _("a visitor") if run.session else ""
        try:
            owner = run.owner
        except ObjectDoesNotExist:
            owner = None
        return _("gone (%(id)s)") % {"id": run.owner_id} if owner is None else str(owner.get_username())

    @admin.display(description=gettext_lazy("worker"), ordering="worker", empty_value="")
    def worker_name(self, run: Run) -> str:
        return str(run.worker or "")

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def made(self, run: Run) -> str:
        moment = run.created_at
        exact = localize(localtime(moment) if is_aware(moment) else moment)
        return format_html(
            '<time datetime="{}" title="{}">{}</time>', iso(run.created_at), exact, age(run.created_at)
        )


def troubles(run: Run) -> list[str]:
    """In words: that its code is being called for long, that it is held back, why it is in quarantine."""
    stepping, again = harming.stepping(run), harming.again_in(run)
    told = [
        _("stepping for %(seconds)s s") % {"seconds": stepping} if stepping else "",
        _("tried again in %(seconds)s s") % {"seconds": again} if again else "",
        run.reason if run.status == Status.QUARANTINED else "",
    ]
    return [each for each in told if each]


def owners_named(term: str) -> list[Any]:
    """The ids of users with such names; asked apart, since users may be in another database."""
    model = get_user_model()
    named = model._default_manager.filter(**{f"{model.USERNAME_FIELD}__icontains": term})
    return list(named.order_by("pk").values_list("pk", flat=True)[:OWNERS])
