"""What the pages of a run in the admin share: who asks, for which run, and what the templates need."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from django_livesim import permissions
from django_livesim.models import Run
from django_livesim.permissions import Actor, Level

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Run]
else:
    Base = object  # the host's ModelAdmin comes after the mixins

View = Callable[..., HttpResponse]


class RunPages(Base):
    """For the mixins: to find a run as who asks may, and to show a page about it."""

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(css={"all": ["django_livesim/admin.css"]})

    def page(self, view: View) -> View:
        """A view of this admin, for `get_urls`: only for who may enter its site, and never cached."""

        def wrapper(*args: Any, **kwargs: Any) -> HttpResponse:
            return self.admin_site.admin_view(view)(*args, **kwargs)

        return update_wrapper(wrapper, view)

    def actor(self, request: HttpRequest) -> Actor:
        return Actor.from_request(request)

    def run_or_404(self, request: HttpRequest, run_id: Any, level: Level = Level.VIEW) -> Run:
        """The run, where who asks may know of it. Raises PermissionDenied where they lack `level`."""
        run = self.get_object(request, str(run_id))
        found = None if run is None else permissions.level(self.actor(request), run)
        if run is None or found is None:
            raise Http404(_("There is no such run."))
        if found < level:
            raise PermissionDenied
        return run

    def address(self, what: str, *args: Any) -> str:
        """Where a page of this admin is: `change`, `changelist`, `act`, `inspect`, ..."""
        return reverse(f"admin:livesim_run_{what}", args=args, current_app=self.admin_site.name)

    def run_context(self, request: HttpRequest, run: Run, *, title: str, **more: Any) -> dict[str, Any]:
        """What every template about a run gets; `more` is added.

        Beside the context of the site: `opts`, `media`, `run` (also as
        `original`), `actor`, `level` (of `permissions.Level`), `may` (what
        `level` allows, by name: `command`, `control`, `delete`, `inspect`),
        `live_url` (empty where the host has no pages of ours). A template
        extends `admin/livesim/run/page.html` and fills its block `page`.
        """
        request.current_app = self.admin_site.name
        actor = self.actor(request)
        level = permissions.level(actor, run)
        return self.admin_site.each_context(request) | {
            "title": title,
            "subtitle": str(run),
            "opts": self.opts,
            "media": self.media,
            "original": run,
            "run": run,
            "actor": actor,
            "level": level,
            "may": may(actor, run, level),
            "live_url": live_url(run),
            **more,
        }


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
