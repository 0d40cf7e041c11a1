"""Runs in the admin."""

from __future__ import annotations

from collections.abc import Iterable
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

from django_livesim import conf, gateway
from django_livesim.admin.acting import ActingMixin
from django_livesim.admin.asking import AskingMixin
from django_livesim.admin.base import live_url, told
from django_livesim.admin.deleting import DeletingMixin
from django_livesim.admin.inspecting import InspectingMixin
from django_livesim.admin.listing import ListingMixin
from django_livesim.admin.loads import load_words
from django_livesim.admin.plans import LABELS, Act, why_not
from django_livesim.admin.reading import in_words
from django_livesim.admin.sending import SendingMixin
from django_livesim.admin.starting import StartingMixin
from django_livesim.gateway import harming
from django_livesim.models import Run, Visibility
from django_livesim.permissions import Level
from django_livesim.protocol.names import Status
from django_livesim.templatetags.livesim import as_json, speed_label
from django_livesim.views import once
from django_livesim.views.respond import SeeOther, outside_transactions

BUTTONS = {
    False: (Act.PAUSE, Act.RESUME, Act.STOP, Act.RESTART),
    True: (Act.RELEASE, Act.STOP, Act.RESTART),
}
"""Those that a run may have: out of quarantine, and in it, where to resume is to release."""

Fields = str | tuple[str, ...]
"""One field, or some that are side by side."""

EDITABLE = ("name", "visibility")
"""What the change form changes; all else is the worker's or the gateway's to write."""

COSTS: tuple[Fields, ...] = (("cpu_share", "step_time"), ("lateness", "state_size"))
"""What the worker of a run has told of it last."""

OPTIONAL = {name: name for name in ("key", "reason", "started_at", "ended_at")} | {
    "progress_share": "progress",
    "worker_name": "worker_id",
    "result_text": "result",
    "error_text": "error",
    "params_set_text": "params_set",
}
"""Fields that are shown only where there is something in them, and the columns that say so."""


class ChangingMixin(ListingMixin, AskingMixin):
    """The page of a run: its facts, its buttons, its name and who may watch it."""

    view_on_site = False  # the links of the page have the live page
    save_as = False

    def get_urls(self) -> list[URLPattern]:
        link = path("<uuid:run_id>/link/", self.page(self.link_view), name="livesim_run_link")
        return [link, *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: Run | None = None) -> Any:
        """What the run has to show; traceback and parameters only for who may control it."""
        deep = obj is not None and (self.level(request, obj) or 0) >= Level.CONTROL
        over = obj is not None and (obj.ended or obj.status == Status.QUARANTINED)
        facts: list[Fields] = [
            "simulation",
            "key",
            ("pill", "reason"),
            ("tick", "speed_name", "progress_share"),
        ]
        outcome = ["result_text", *(["error_text"] if deep else [])] if over else []
        harm = list[Fields](_harm_of(obj) if obj is not None else [])
        if deep and not over and "strikes_line" in harm:
            harm.append("error_text")
        costs: list[Fields] = list(COSTS) if obj is not None and harming.load(obj) is not None else []
        where: list[Fields] = [("owner_name", "worker_name"), ("queue", "source"), "version", "id"]
        where.append(("created_at", "started_at", "ended_at"))
        named: list[tuple[str | None, Iterable[Fields]]] = [
            (None, EDITABLE),
            (_("State"), facts + (["params_text", "params_set_text", "seed"] if deep else [])),
            (_("Trouble"), harm),
            (_("Outcome"), outcome),
            (_("What it costs"), costs),
            (_("Where and when"), where),
        ]
        kept = ((name, _filled(obj, fields)) for name, fields in named)
        return [(name, {"fields": fields}) for name, fields in kept if fields]

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
        acts = BUTTONS[run.status == Status.QUARANTINED]
        return [(str(act), LABELS[act]) for act in acts if not why_not(act, run, level)]

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

    @admin.display(description=gettext_lazy("strikes"))
    def strikes_line(self, run: Run) -> str:
        names = {"strikes": run.strikes, "most": conf.settings.STRIKES, "tick": run.struck_tick or 0}
        line = _("%(strikes)s of %(most)s, the last at tick %(tick)s") % names
        return line if run.struck_at is None else f"{line} ({in_words(run.struck_at)})"

    @admin.display(description=gettext_lazy("held back"))
    def held_back(self, run: Run) -> str:
        return _("tried again in %(seconds)s s") % {"seconds": harming.again_in(run)}

    @admin.display(description=gettext_lazy("stepping"))
    def stepping_line(self, run: Run) -> str:
        return _("for %(seconds)s s") % {"seconds": harming.stepping(run)}

    @admin.display(description=gettext_lazy("share of one core"))
    def cpu_share(self, run: Run) -> str:
        return load_words(run)["cpu"]

    @admin.display(description=gettext_lazy("mean time of a step"))
    def step_time(self, run: Run) -> str:
        return load_words(run)["step"]

    @admin.display(description=gettext_lazy("late"))
    def lateness(self, run: Run) -> str:
        return load_words(run)["late"]

    @admin.display(description=gettext_lazy("size of its state"))
    def state_size(self, run: Run) -> str:
        return load_words(run)["size"]

    @admin.display(description=gettext_lazy("speed"))
    def speed_name(self, run: Run) -> str:
        return speed_label(run.speed)

    @admin.display(description=gettext_lazy("progress"))
    def progress_share(self, run: Run) -> str:
        return f"{100 * (run.progress or 0):.0f}\N{NO-BREAK SPACE}%"

    @admin.display(description=gettext_lazy("parameters"))
    def params_text(self, run: Run) -> str:
        return preformatted(as_json(run.present_params))

    @admin.display(description=gettext_lazy("set since the start"))
    def params_set_text(self, run: Run) -> str:
        return preformatted(as_json(run.params_set))

    @admin.display(description=gettext_lazy("result"))
    def result_text(self, run: Run) -> str:
        return preformatted(as_json(run.result))

    @admin.display(description=gettext_lazy("traceback"))
    def error_text(self, run: Run) -> str:
        return preformatted(run.error)


def _harm_of(run: Run) -> list[str]:
    """The fields that tell of it."""
    there = {
        "strikes_line": bool(harming.strikes([run])),
        "held_back": bool(harming.again_in(run)),
        "stepping_line": bool(harming.stepping(run)),
    }
    return [name for name, shown in there.items() if shown]


def _filled(run: Run | None, lines: Iterable[Fields]) -> list[Fields]:
    """The fields without those that are empty in `run`."""
    if run is None:
        return list(lines)
    found: list[Fields] = []
    for line in lines:
        if isinstance(line, str):
            found += [line] if _is_filled(run, line) else []
        elif kept := tuple(name for name in line if _is_filled(run, name)):
            found.append(kept)
    return found


def _is_filled(run: Run, name: str) -> bool:
    if name == "owner_name":
        return run.owner_id is not None or bool(run.session)
    return name not in OPTIONAL or getattr(run, OPTIONAL[name]) not in (None, "", {})


def preformatted(text: str) -> str:
    return format_html('<pre class="livesim-text" tabindex="0">{}</pre>', text)


class RunAdminMixin(ChangingMixin, DeletingMixin, ActingMixin, StartingMixin, InspectingMixin, SendingMixin):
    """All of it, to go before a host's own ModelAdmin: `class MyRunAdmin(RunAdminMixin, MyModelAdmin)`."""

    actions = (
        "start_runs",
        "pause_runs",
        "resume_runs",
        "stop_runs",
        "restart_runs",
        "release_runs",
        "delete_selected",
    )


class RunAdmin(RunAdminMixin, admin.ModelAdmin):  # type: ignore[type-arg]  # Django's takes none at run time
    """Runs, as `django_livesim` registers them on the default site."""
