"""Runs in the admin."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_livesim import gateway
from django_livesim.admin.acting import ActingMixin
from django_livesim.admin.asking import AskingMixin
from django_livesim.admin.base import live_url, told
from django_livesim.admin.deleting import DeletingMixin
from django_livesim.admin.inspecting import InspectingMixin
from django_livesim.admin.listing import ListingMixin
from django_livesim.admin.plans import LABELS, Act, why_not
from django_livesim.admin.sending import SendingMixin
from django_livesim.admin.starting import StartingMixin
from django_livesim.models import Run, Visibility
from django_livesim.permissions import Level
from django_livesim.templatetags.livesim import as_json, speed_label
from django_livesim.views import once
from django_livesim.views.respond import SeeOther, outside_transactions

EDITABLE = ("name", "visibility")
"""What the change form changes; all else is the worker's or the gateway's to write."""


class ChangingMixin(ListingMixin, AskingMixin):
    """The page of a run: its facts, its buttons, its name and who may watch it."""

    view_on_site = False  # the links of the page have the live page
    save_as = False

    def get_urls(self) -> list[URLPattern]:
        link = path("<uuid:run_id>/link/", self.page(self.link_view), name="livesim_run_link")
        return [link, *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: Run | None = None) -> Any:
        """Traceback and parameters only for who may control the run."""
        deep = obj is not None and (self.level(request, obj) or 0) >= Level.CONTROL
        facts = ["simulation", "key", ("pill", "reason"), ("tick", "speed_name", "progress")]
        outcome = ["result_text", *(["error_text"] if deep else [])]
        where = [("owner_name", "worker_name"), ("queue", "source"), "version", "id"]
        where.append(("created_at", "started_at", "ended_at"))
        return [
            (None, {"fields": EDITABLE}),
            (_("State"), {"fields": facts + (["params_text", "seed"] if deep else [])}),
            *([(_("Outcome"), {"fields": outcome})] if obj is not None and obj.ended else []),
            (_("Where and when"), {"fields": where}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Run | None = None) -> list[str]:
        names = flatten_fieldsets(self.get_fieldsets(request, obj))
        return [str(name) for name in names if name not in EDITABLE]

    def save_model(self, request: HttpRequest, obj: Run, form: forms.ModelForm[Run], change: bool) -> None:
        """Two columns, and no other: the rest of the row may have changed since it was read."""
        if "name" in form.changed_data:
            Run.objects.filter(pk=obj.pk).update(name=obj.name)
        if "visibility" in form.changed_data:
            gateway.share(obj, obj.visibility, actor=self.actor(request))

    @told
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        return super().changeform_view(request, object_id, form_url, extra_context)

    @outside_transactions
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What actions ask for must be seen by workers while its outcome is waited for."""
        return super().changelist_view(request, extra_context)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Run | None = None,
    ) -> HttpResponse:
        if obj is not None:
            context |= self.run_facts(request, obj) | {
                "acts": self._acts(request, obj),
                "share_link": self._share_link(request, obj),
                "show_save_and_add_another": False,  # starting a run is a page of its own
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _acts(self, request: HttpRequest, run: Run) -> list[tuple[str, Any]]:
        """The buttons that would do something now."""
        level = self.level(request, run)
        return [
            (str(act), LABELS[act]) for act in Act if act is not Act.START and not why_not(act, run, level)
        ]

    def _share_link(self, request: HttpRequest, run: Run) -> str:
        """The address that shows the run to whoever has it; only for who may give it away."""
        if run.visibility != Visibility.LINK or not run.link_token or not live_url(run):
            return ""
        if (self.level(request, run) or 0) < Level.DELETE:
            return ""
        return request.build_absolute_uri(f"{live_url(run)}?key={run.link_token}")

    @told
    def link_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """By post: a new link; asked about first, since the one before opens nothing any more."""
        run = self.run_or_404(request, run_id, Level.DELETE)
        if once.came_to(request, once.RENEWED):
            text = _("This form made the new link already, and no other; load the page again to make one.")
            self.message_user(request, text, messages.INFO)
        elif request.method == "POST":
            if run.visibility == Visibility.LINK and "confirmed" not in request.POST:
                question = _("Make a new link? The one before opens nothing any more.")
                return self.ask_of_one(request, run, question=question, yes=_("Yes, make a new link"))
            self._renew_link(request, run)
        return SeeOther(self.address("change", run.pk))

    def _renew_link(self, request: HttpRequest, run: Run) -> None:
        gateway.share(run, renew=True, actor=self.actor(request))
        once.remember(request, once.RENEWED, run.pk)
        self.log_change(request, run, _("Made a new link; the one before opens nothing any more."))
        text = _("“%(run)s” has a new link; the one before opens nothing any more.") % {"run": run}
        self.message_user(request, text, messages.SUCCESS)

    @admin.display(description=gettext_lazy("speed"))
    def speed_name(self, run: Run) -> str:
        return speed_label(run.speed)

    @admin.display(description=gettext_lazy("parameters"))
    def params_text(self, run: Run) -> str:
        return preformatted(as_json(run.params))

    @admin.display(description=gettext_lazy("result"))
    def result_text(self, run: Run) -> str:
        return "" if run.result is None else preformatted(as_json(run.result))

    @admin.display(description=gettext_lazy("traceback"))
    def error_text(self, run: Run) -> str:
        return preformatted(run.error) if run.error else ""


def preformatted(text: str) -> str:
    return format_html('<pre class="livesim-text" tabindex="0">{}</pre>', text)


class RunAdminMixin(ChangingMixin, DeletingMixin, ActingMixin, StartingMixin, InspectingMixin, SendingMixin):
    """All of it, to go before a host's own ModelAdmin: `class MyRunAdmin(RunAdminMixin, MyModelAdmin)`."""

    actions = ("start_runs", "pause_runs", "resume_runs", "stop_runs", "restart_runs", "delete_selected")


class RunAdmin(RunAdminMixin, admin.ModelAdmin):  # type: ignore[type-arg]  # Django's takes none at run time
    """Runs, as `django_livesim` registers them on the default site."""
