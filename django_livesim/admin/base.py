"""What the pages of a run in the admin share: who asks, for which run, and what the templates need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import update_wrapper, wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from django_livesim import permissions, registry
from django_livesim.models import Checkpoint, Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import LivesimError
from django_livesim.views.respond import SeeOther, outside_transactions

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Run]
else:
    Base = object  # the host's ModelAdmin comes after the mixins

SINGLE = "livesim_single"
"""Kept by a request while one run is looked for: it takes a right on this run, not a place in the list."""

View = Callable[..., HttpResponse]
Told = TypeVar("Told", bound=Callable[..., HttpResponse])


class RunPages(Base):
    """For the mixins: to find a run as who asks may, and to show a page about it."""

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(css={"all": ["django_livesim/admin.css"]})

    def actor(self, request: HttpRequest) -> Actor:
        """Who asks. No link opens anything here."""
        return replace(Actor.from_request(request), key="")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """The runs that who asks may see in lists; within `get_object`, all."""
        runs = super().get_queryset(request)
        return runs if SINGLE in vars(request) else runs.filter(permissions.visible_to(self.actor(request)))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Run | None:
        """The run, where who asks may see it by itself; what the host leaves out is not there."""
        vars(request)[SINGLE] = True
        try:
            run: Run | None = super().get_object(request, object_id, from_field)
        finally:
            del vars(request)[SINGLE]
        return None if run is None or self.level(request, run) is None else run

    def has_view_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return self.has_module_permission(request) if obj is None else self.level(request, obj) is not None

    def has_add_permission(self, request: HttpRequest) -> bool:
        actor = self.actor(request)
        return any(permissions.may_start(actor, simulation) for simulation in registry.all())

    def has_change_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return self._may_delete(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return self._may_delete(request, obj)

    def _may_delete(self, request: HttpRequest, obj: Run | None) -> bool:
        if obj is None:
            return bool(request.user.has_perm("livesim.delete_run"))
        return (self.level(request, obj) or 0) >= Level.DELETE

    def level(self, request: HttpRequest, run: Run) -> Level | None:
        return permissions.level(self.actor(request), run)

    def page(self, view: View) -> View:
        """A view of this admin, for `get_urls`: only for who may enter its site, and never cached."""

        def wrapper(*args: Any, **kwargs: Any) -> HttpResponse:
            return self.admin_site.admin_view(view)(*args, **kwargs)

        return outside_transactions(update_wrapper(wrapper, view))

    def run_or_404(self, request: HttpRequest, run_id: Any, level: Level = Level.VIEW) -> Run:
        """The run, where who asks may know of it. Raises PermissionDenied where they lack `level`."""
        run = self.get_object(request, str(run_id))
        if run is None:
            raise Http404(_("There is no such run."))
        if (self.level(request, run) or 0) < level:
            raise PermissionDenied
        return run

    def address(self, what: str, *args: Any) -> str:
        """Where a page of this admin is: `change`, `changelist`, `act`, `inspect`, ..."""
        return reverse(f"admin:livesim_run_{what}", args=args, current_app=self.admin_site.name)

    def way_back(self, request: HttpRequest) -> str:
        """The list; for who may not see it, the front page of the site."""
        if self.has_view_permission(request):
            return self.address("changelist")
        return reverse("admin:index", current_app=self.admin_site.name)

    def page_context(self, request: HttpRequest, *, title: str, **more: Any) -> dict[str, Any]:
        """What every template of ours gets: the context of the site, `title`, `opts`, `media` and `more`.

        A template extends `admin/livesim/run/page.html` and fills its block `page`.
        """
        request.current_app = self.admin_site.name
        shared = {"title": title, "subtitle": None, "opts": self.opts, "media": self.media}
        return self.admin_site.each_context(request) | shared | more

    def run_context(self, request: HttpRequest, run: Run, /, *, title: str, **more: Any) -> dict[str, Any]:
        """What every template about one run gets, beside `page_context`.

        `run` (also as `original`), `actor`, `level` (of `permissions.Level`),
        `may` (what the level allows, by name: `command`, `control`, `delete`,
        `inspect`), `tools` (links to the other pages about the run).
        """
        return (
            self.page_context(request, title=title, subtitle=str(run)) | self.run_facts(request, run) | more
        )

    def run_facts(self, request: HttpRequest, run: Run) -> dict[str, Any]:
        actor = self.actor(request)
        level = permissions.level(actor, run)
        allowed = may(actor, run, level)
        tools = self.tools(request, run, allowed)
        return {
            "original": run,
            "run": run,
            "actor": actor,
            "level": level,
            "may": allowed,
            "tools": [(label, url) for label, url in tools if url and url != request.path],
        }

    def tools(self, request: HttpRequest, run: Run, allowed: dict[str, bool]) -> list[tuple[str, str]]:
        """Links to what there is about a run, as (label, address); one without an address is not shown."""
        return [
            (_("Run"), self.address("change", run.pk)),
            (_("Live page"), live_url(run)),
            (_("Inspect"), self._page("inspect", run) if allowed["inspect"] else ""),
            (_("Send a command"), self._page("send", run) if allowed["command"] else ""),
            (_("Commands"), self._records(request, Command, run)),
            (_("Checkpoints"), self._records(request, Checkpoint, run)),
            (_("History"), self.address("history", run.pk)),
        ]

    def _page(self, what: str, run: Run) -> str:
        """Where a page of this admin is; empty where a host has taken it out."""
        try:
            return self.address(what, run.pk)
        except NoReverseMatch:
            return ""

    def _records(self, request: HttpRequest, model: type[Command] | type[Checkpoint], run: Run) -> str:
        """The list of a run's rows; empty where this site has none, or not for who asks."""
        site = self.admin_site
        if not site.is_registered(model) or not site.get_model_admin(model).has_view_permission(request):
            return ""
        name = f"admin:livesim_{model._meta.model_name}_changelist"
        return f"{reverse(name, current_app=site.name)}?run__id__exact={run.pk}"


def may(actor: Actor, run: Run, level: Level | None) -> dict[str, bool]:
    """What a level allows, under names for templates."""
    allowed = {each.name.lower(): (level or 0) >= each for each in Level}
    return allowed | {"inspect": permissions.may_inspect(actor, run)}


def live_url(run: Run) -> str:
    """The run's live page; empty where the host's URLs have none."""
    try:
        return run.get_absolute_url()
    except NoReverseMatch:
        return ""


def told(view: Told) -> Told:
    """Where the gateway refuses, go back and say why."""

    @wraps(view)
    def answering(self: RunPages, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(self, request, *args, **kwargs)
        except LivesimError as problem:
            self.message_user(request, problem.message, messages.ERROR)
            return SeeOther(self.way_back(request))

    return cast(Told, answering)
