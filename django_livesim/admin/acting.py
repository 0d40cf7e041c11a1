"""Start, pause, resume, stop and restart: one run by a button, many by an action."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_livesim import conf, gateway, permissions
from django_livesim.admin.base import RunPages
from django_livesim.admin.plans import LABELS, TO_CONFIRM, Act, Result, verb_of, why_not
from django_livesim.gateway.sending import is_pending
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import LivesimError
from django_livesim.protocol.names import CLIENT_ID
from django_livesim.views.respond import SeeOther

PATIENCE = 2.0
"""Seconds that outcomes are waited for, of all runs together."""

AT_ONCE = 500
"""Runs that one action takes; each is a transaction of its own."""

MAY_ACT = "livesim_may_act"
"""Where a request keeps whether there may be a run to act on."""

SHOWN = 20
"""Runs that are told of one by one; the others are counted."""

QUESTIONS = {
    Act.STOP: gettext_lazy("Stop? Each state is stored, and a stopped run can be resumed."),
    Act.RESTART: gettext_lazy("Restart from the beginning? The runs that are under way end."),
}


class RunActionForm(ActionForm):
    """With an id of its own, so that an action that is posted twice has one effect."""

    livesim_id = forms.CharField(
        label="", required=False, initial=lambda: uuid4().hex, widget=forms.HiddenInput
    )


class ActingMixin(RunPages):
    """The acts, through the gateway; results are told per run, and each is in the run's history."""

    action_form = RunActionForm

    def get_urls(self) -> list[URLPattern]:
        act = path("<uuid:run_id>/act/<slug:act>/", self.page(self.act_view), name="livesim_run_act")
        return [act, *super().get_urls()]

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whether there may be a run in the list that who asks controls; asked once a request."""
        known = vars(request)
        if MAY_ACT not in known:
            known[MAY_ACT] = self._may_act(self.actor(request))
        return bool(known[MAY_ACT])

    def _may_act(self, actor: Actor) -> bool:
        if conf.settings.POLICY is not None:
            return True
        named = (name for level, name in permissions.PERMISSIONS if level >= Level.CONTROL)
        return any(actor.user.has_perm(name) for name in named) or bool(
            Run.objects.filter(owner=actor.user.pk).exists()
        )

    @admin.action(description=gettext_lazy("Start selected %(verbose_name_plural)s"), permissions=["act"])
    def start_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return self._act_on_many(request, queryset, Act.START)

    @admin.action(description=gettext_lazy("Pause selected %(verbose_name_plural)s"), permissions=["act"])
    def pause_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return self._act_on_many(request, queryset, Act.PAUSE)

    @admin.action(description=gettext_lazy("Resume selected %(verbose_name_plural)s"), permissions=["act"])
    def resume_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return self._act_on_many(request, queryset, Act.RESUME)

    @admin.action(description=gettext_lazy("Stop selected %(verbose_name_plural)s"), permissions=["act"])
    def stop_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return self._act_on_many(request, queryset, Act.STOP)

    @admin.action(description=gettext_lazy("Restart selected %(verbose_name_plural)s"), permissions=["act"])
    def restart_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return self._act_on_many(request, queryset, Act.RESTART)

    def act_view(self, request: HttpRequest, run_id: UUID, act: str) -> HttpResponse:
        """The buttons of one run, by post; what ends something is asked about first."""
        if act not in set(map(str, Act)):
            raise Http404(_("There is no such act."))
        run = self.run_or_404(request, run_id, Level.CONTROL)
        if request.method != "POST":
            return SeeOther(self.address("change", run.pk))
        chosen = Act(act)
        if chosen in TO_CONFIRM and "confirmed" not in request.POST and not self._left(request, chosen, run):
            return self._ask(request, chosen, [run], [], run=run)
        (result,) = self.act_on(request, [run], chosen)
        self.tell(request, [result])
        following = result.successor
        return SeeOther(self.address("change", following or run.pk))

    def act_on(self, request: HttpRequest, runs: Sequence[Run], act: Act) -> list[Result]:
        """Do it to those where it is legal; posted twice, a form does it once."""
        actor, posted = self.actor(request), posted_id(request)
        ids = {run.pk: own_id(posted, run, act) for run in runs}
        earlier = {
            command.run_id: command
            for command in Command.objects.filter(
                run__in=list(ids), sender=actor.sender, client_id__in=list(ids.values())
            )
        }
        results = [
            Result(run=run, act=act, command=earlier[run.pk], again=True)
            if run.pk in earlier
            else self._act(request, run, act, ids[run.pk])
            for run in runs
        ]
        await_all([each.command for each in results if each.command is not None])
        for each in results:
            if each.command is not None and not each.again:
                self.log_change(request, each.run, each.text())
        return results

    def _act(self, request: HttpRequest, run: Run, act: Act, client_id: str) -> Result:
        verb = verb_of(act, run.status)
        if (left := self._left(request, act, run)) or verb is None:
            return Result(run=run, act=act, left=left)
        try:
            command = gateway.control(run, verb, actor=self.actor(request), id=client_id)
        except LivesimError as problem:
            return Result(run=run, act=act, refusal=problem.message)
        return Result(run=run, act=act, command=command)

    def _left(self, request: HttpRequest, act: Act, run: Run) -> str:
        return why_not(act, run, self.level(request, run))

    def _act_on_many(self, request: HttpRequest, queryset: QuerySet[Run], act: Act) -> HttpResponse | None:
        runs = self.chosen(request, queryset)
        if act in TO_CONFIRM and "confirmed" not in request.POST:
            left = [(run, why) for run in runs if (why := self._left(request, act, run))]
            apart = {run.pk for run, _why in left}
            if touched := [run for run in runs if run.pk not in apart]:
                return self._ask(request, act, touched, left)
        self.tell(request, self.act_on(request, runs, act))
        return None

    def chosen(self, request: HttpRequest, queryset: QuerySet[Run]) -> list[Run]:
        """The runs of an action, without those that POLICY hides; none where they are too many."""
        runs = list(queryset[: AT_ONCE + 1])
        if len(runs) > AT_ONCE:
            text = _("Choose at most %(count)s runs at once, by a filter for example; nothing was done.")
            self.message_user(request, text % {"count": AT_ONCE}, messages.ERROR)
            return []
        return permissions.shown(self.actor(request), runs)

    def _ask(
        self,
        request: HttpRequest,
        act: Act,
        touched: Sequence[Run],
        left: Sequence[tuple[Run, str]],
        run: Run | None = None,
    ) -> HttpResponse:
        """The page that asks; for one run its buttons' own, else for the action `act`_runs."""
        context: dict[str, Any] = {
            "question": QUESTIONS[act],
            "act": LABELS[act],
            "action": f"{act}_runs",
            "target": self.address("act", run.pk, act) if run is not None else "",
            "back": self.address("change", run.pk) if run is not None else request.get_full_path(),
            "touched": touched,
            "left": left,
            "shown": SHOWN,
            "client_id": posted_id(request),
        }
        title = _("Are you sure?")
        context = (
            self.run_context(request, run, title=title, **context)
            if run is not None
            else self.page_context(request, title=title, **context)
        )
        return TemplateResponse(request, "admin/livesim/run/confirm.html", context)

    def tell(self, request: HttpRequest, results: Sequence[Result]) -> None:
        """What became of each run, and of the many the sum."""
        for each in results[:SHOWN]:
            text = format_html("“{}”: {}", each.run, each.text())  # else the admin changes its first letter
            if each.successor:
                url = self.address("change", each.successor)
                text = format_html('{} <a href="{}">{}</a>', text, url, _("Go to the run that follows it"))
            self.message_user(request, text, each.level)
        if rest := results[SHOWN:]:
            self.message_user(request, summed_up(rest), max(each.level for each in rest))


def posted_id(request: HttpRequest) -> str:
    """The id of the form that was posted; a fresh one where it has none."""
    given = request.POST.get("livesim_id", "")
    return given if CLIENT_ID.match(given) else uuid4().hex


def own_id(posted: str, run: Run, act: str) -> str:
    """The id of the command that a form makes for one run."""
    return blake2b(f"{posted} {run.pk} {act}".encode(), digest_size=16).hexdigest()


def await_all(commands: Iterable[Command]) -> None:
    """Give all of them together a moment to come to an outcome; inside a transaction none can."""
    if is_pending():
        return
    until = time.monotonic() + PATIENCE
    for command in commands:
        gateway.wait(command, until - time.monotonic())


def summed_up(results: Sequence[Result]) -> str:
    """Of many runs, how many had which outcome."""
    kinds = Counter(each.level for each in results)
    names = {
        messages.SUCCESS: _("applied"),
        messages.INFO: _("accepted, not applied yet"),
        messages.WARNING: _("left out"),
        messages.ERROR: _("refused"),
    }
    counts = ", ".join(f"{names[level]}: {kinds[level]}" for level in names if kinds[level])
    text = ngettext(
        "And %(count)s run more: %(counts)s.", "And %(count)s runs more: %(counts)s.", len(results)
    )
    return text % {"count": len(results), "counts": counts}
