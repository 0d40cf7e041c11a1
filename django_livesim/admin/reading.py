"""Records in the admin: rows that nobody changes by hand, of which there may be millions."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_livesim import gateway, permissions
from django_livesim.admin.lookups import is_offered
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol.cutting import cut_json
from django_livesim.protocol.errors import NoRun

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Any]
    Pages = Paginator[Any]
else:
    Admin = admin.ModelAdmin
    Pages = Paginator

COUNTED = 10_000
"""Rows that a list counts and pages through; a link leads on to those after them."""

RUN = "run__id__exact"
"""The parameter by which a list is narrowed to one run."""

OLDER = "id__lt"
"""The parameter by which a list goes on to older rows."""

HIDDEN = "\N{EN DASH}"
"""Shown for what who asks may not see."""

RUN_DEFERRED = ("run__params", "run__result", "run__error")
"""What a record does not need of its run, and may be large."""


def in_words(moment: datetime) -> str:
    """In the time zone of who looks."""
    return date_format(localtime(moment) if is_aware(moment) else moment, "DATETIME_FORMAT")


class CountedPaginator(Pages):
    """Counts no further than `COUNTED` rows: beyond it, counting costs more than the page."""

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: COUNTED + 1].count())

    @property
    def more(self) -> bool:
        """Whether there are rows after the last page."""
        return self._counted > COUNTED

    @cached_property
    def count(self) -> int:
        return min(self._counted, COUNTED)


class RecordList(ChangeList):
    """The rows of a list as cheaply as can be, without those of runs that POLICY hides."""

    model_admin: RecordAdmin
    paginator: CountedPaginator

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        rows = super().get_queryset(request, *args, **kwargs)
        return self.model_admin.listed(rows)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return list(self.model_admin.get_ordering(request))

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        self.last_id = rows[-1].pk if rows else None
        self.result_list = self.model_admin.permitted(request, rows)
        if not self.multi_page:
            self.result_count = len(self.result_list)

    @property
    def unsearched(self) -> str:
        """The query of the same list without what was searched for."""
        return self.get_query_string(remove=[SEARCH_VAR, PAGE_VAR])

    @property
    def older(self) -> str:
        """The query of the rows after the last page; empty elsewhere, and where there are none."""
        ends = self.paginator.more and self.page_num == self.paginator.num_pages
        if not (ends and self.model_admin.numbered and self.last_id):
            return ""
        return self.get_query_string({OLDER: self.last_id}, [PAGE_VAR])


class RecordAdmin(Admin):
    """Rows to read: those of every run with a permission for it, else those of visible runs."""

    actions: Any = None
    list_per_page = 100
    sortable_by = ()
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CountedPaginator
    of_runs: ClassVar[bool] = True
    """Whether each row is of one run."""
    numbered: ClassVar[bool] = True
    """Whether newer rows have greater ids, by which a list goes on to older ones."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not self.of_runs:
            return sees_all(request)
        if obj is None:
            return self.has_module_permission(request)
        return permissions.level(asker(request), obj.run) is not None

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        ours = (lookup == RUN and self.of_runs) or (lookup == OLDER and self.numbered)
        return (ours or is_offered(lookup, self.get_list_filter(request))) and super().lookup_allowed(
            lookup, value, request
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RecordList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if not self.of_runs:
            return rows
        rows = rows.select_related("run").defer(*RUN_DEFERRED)
        if sees_all(request):
            return rows
        return rows.filter(run__in=permissions.visible(asker(request)))

    def listed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The rows as their list needs them."""
        return rows

    def permitted(self, request: HttpRequest, rows: list[Any]) -> list[Any]:
        """Those rows of a page whose run POLICY does not hide; each may note what is shown of it."""
        if not self.of_runs:
            return rows
        shown = {run.pk for run in permissions.shown(asker(request), {row.run for row in rows})}
        return [row for row in rows if row.run_id in shown]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context: dict[str, Any] = {"counted": COUNTED}
        run = self.run_asked_for(request)
        if run is not None:
            context |= {"of_run": run, "of_run_url": self.address("run_change", run.pk)}
            context["title"] = _("%(what)s of run %(run)s") % {
                "what": str(self.opts.verbose_name_plural).capitalize(),
                "run": run,
            }
        return super().changelist_view(request, context | (extra_context or {}))

    def run_asked_for(self, request: HttpRequest) -> Run | None:
        """The run that the list is narrowed to, where who asks may know of it."""
        wanted = request.GET.get(RUN, "")
        return find_run(asker(request), wanted) if wanted and self.of_runs else None

    def address(self, what: str, *args: Any) -> str:
        """A page of this site; empty where the site does not have it."""
        try:
            return reverse(f"admin:livesim_{what}", args=args, current_app=self.admin_site.name)
        except NoReverseMatch:
            return ""

    def linked(self, what: str, *args: Any, text: Any, query: str = "") -> str:
        """A text that links to a page of this site where there is one."""
        address = self.address(what, *args)
        return format_html('<a href="{}{}">{}</a>', address, query, text) if address else str(text)

    @admin.display(description=gettext_lazy("created"))
    def created(self, row: Any) -> str:
        return in_words(row.created_at)

    @admin.display(description=gettext_lazy("run"))
    def run_link(self, row: Model) -> str:
        run: Run = row.run  # type: ignore[attr-defined]
        return self.linked("run_change", run.pk, text=run)


def asker(request: HttpRequest) -> Actor:
    """Who asks. No link opens anything here."""
    return Actor.from_user(request.user)


def sees_all(request: HttpRequest) -> bool:
    """Whether the rows of every run are there for who asks."""
    return any(request.user.has_perm(name) for _level, name in permissions.PERMISSIONS)


def find_run(actor: Actor, run_id: str) -> Run | None:
    """The run of that uuid, where `actor` may know of it."""
    try:
        return gateway.get(run_id, actor=actor)
    except NoRun:
        return None


def as_block(value: Any) -> str:
    """Data as indented JSON for a page, cut."""
    return format_html('<pre class="livesim-data" tabindex="0">{}</pre>', cut_json(value)[0])
