"""Start, pause, resume, stop, restart and release: one run by a button, many by an action."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from uuid import UUID, uuid4

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, ActionForm
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_livesim import conf, gateway, permissions
from django_livesim.admin.asking import SHOWN, AskingMixin, posted_id
from django_livesim.admin.plans import TO_CONFIRM, TOLD, Act, Result, verb_of, why_not
from django_livesim.gateway import limits
from django_livesim.gateway.committing import is_pending
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import LivesimError
from django_livesim.views.respond import SeeOther

PATIENCE = 2.0
"""Seconds that outcomes are waited for, of all runs together."""

LOOK = 0.05
"""Seconds between two looks for them."""

AT_ONCE = 500
"""Runs that one action takes; each is a transaction of its own."""

MAY_ACT = "livesim_may_act"
"""Where a request keeps whether there may be a run to act on."""

QUESTIONS = {
    Act.STOP: gettext_lazy("Stop? Each state is stored, and a stopped run can be resumed."),
    Act.RESTART: gettext_lazy("Restart from the beginning? The runs that are under way end."),
    Act.RELEASE: gettext_lazy(
        "Release from quarantine? Strikes are taken away, and a worker takes each run up again from what is"
        " stored. Where its code does harm again, it is struck again."
    ),
}

YES = {
    Act.STOP: gettext_lazy("Yes, stop"),
    Act.RESTART: gettext_lazy("Yes, restart"),
    Act.RELEASE: gettext_lazy("Yes, release"),
}


class RunActionForm(ActionForm):
    """With an id of its own, so that an action that is posted twice has one effect."""

    livesim_id = forms.CharField(
        label="", required=False, initial=lambda: uuid4().hex, widget=forms.HiddenInput
    )


class ActingMixin(AskingMixin):
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

    @admin.action(
        description=gettext_lazy("Release selected %(verbose_name_plural)s from quarantine"),
        permissions=["act"],
    )
    def release_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return self._act_on_many(request, queryset, Act.RELEASE)

    def act_view(self, request: HttpRequest, run_id: UUID, act: str) -> HttpResponse:
        """The buttons of one run, by post; what ends something is asked about first."""
        if act not in set(map(str, Act)):
            raise Http404(_("There is no such act."))
        run = self.run_or_404(request, run_id, Level.CONTROL)
        if request.method != "POST":
            return SeeOther(self.address("change", run.pk))
        chosen = Act(act)
        if chosen in TO_CONFIRM and "confirmed" not in request.POST and not self._left(request, chosen, run):
            return self.ask_of_one(request, run, question=QUESTIONS[chosen], yes=YES[chosen])
        (result,) = self.act_on(request, [run], chosen)
        self.tell(request, [result])
        if not Run.objects.filter(pk=run.pk).exists():
            return SeeOther(self.way_back(request))
        return SeeOther(self.address("change", result.successor or run.pk))

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
        with limits.as_one():
            results = [
                Result(run=run, act=act, command=earlier[run.pk], again=True)
                if run.pk in earlier
                else self._act(request, run, act, ids[run.pk])
                for run in runs
            ]
        return await_all(results)

    def _act(self, request: HttpRequest, run: Run, act: Act, client_id: str) -> Result:
        """Do it to one; what the gateway takes or refuses is in the history from here on."""
        verb = verb_of(act, run.status)
        if (left := self._left(request, act, run)) or verb is None:
            return Result(run=run, act=act, left=left)
        try:
            command = gateway.control(run, verb, actor=self.actor(request), id=client_id)
            result = Result(run=run, act=act, command=command)
        except LivesimError as problem:
            result = Result(run=run, act=act, refusal=problem.message)
        self.log_change(request, run, result.note())
        return result

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
        return self.back_to_narrowed(request)

    def chosen(self, request: HttpRequest, queryset: QuerySet[Run]) -> list[Run]:
        """The runs of an action, without those that POLICY hides; none where they are too many."""
        runs = list(queryset[: AT_ONCE + 1])
        if len(runs) > AT_ONCE:
            text = _("Choose at most %(count)s runs at once, by a filter for example; nothing was done.")
            self.message_user(request, text % {"count": AT_ONCE}, messages.ERROR)
            return []
        shown = permissions.shown(self.actor(request), runs)
        self._tell_missing(request, len(shown))
        return shown

    def _tell_missing(self, request: HttpRequest, found: int) -> None:
        """Of the runs that were ticked some may have left the list since: by its filter, or for ever."""
        ticked = set(request.POST.getlist(ACTION_CHECKBOX_NAME))
        missing = len(ticked) - found
        if missing > 0 and request.POST.get("select_across", "0") == "0":
            text = ngettext(
                "%(count)s chosen run is not in this list any more and was left out; choose it again.",
                "%(count)s chosen runs are not in this list any more and were left out; choose them again.",
                missing,
            )
            self.message_user(request, text % {"count": missing}, messages.WARNING)

    def _ask(
        self, request: HttpRequest, act: Act, touched: Sequence[Run], left: Sequence[tuple[Run, str]]
    ) -> HttpResponse:
        return self.ask(
            request,
            question=QUESTIONS[act],
            yes=YES[act],
            action=f"{act}_runs",
            touched=touched,
            left=left,
        )

    def tell(self, request: HttpRequest, results: Sequence[Result]) -> None:
        """What became of each run, and of the many the sum."""
        for each in results[:SHOWN]:
            text = format_html(
                _("“{run}”: {what}"), run=each.run, what=each.text()
            )  # else the admin changes its first letter
            if each.successor:
                url = self.address("change", each.successor)
                text = format_html('{} <a href="{}">{}</a>', text, url, _("Go to the run that follows it"))
            self.message_user(request, text, each.level)
        if rest := results[SHOWN:]:
            self.message_user(request, summed_up(rest), max(each.level for each in rest))


def own_id(posted: str, run: Run, act: str) -> str:
    """The id of the command that a form makes for one run."""
    return blake2b(f"{posted} {run.pk} {act}".encode(), digest_size=16).hexdigest()


def await_all(results: Sequence[Result]) -> list[Result]:
    """Give all of them together a moment to come to an outcome; inside a transaction none can."""
    commands = {each.command.pk: each.command for each in results if each.command is not None}
    waiting = [] if is_pending() else [number for number, row in commands.items() if not row.outcome]
    until = time.monotonic() + PATIENCE
    while waiting:
        last = time.monotonic() >= until
        seen = Command.objects.defer("result").in_bulk(waiting)
        for number in set(waiting) - set(seen):
            del commands[number]
        commands |= seen
        waiting = [] if last else [number for number, row in seen.items() if not row.outcome]
        if waiting:
            time.sleep(LOOK)
    return [each if each.command is None else _now(each, commands.get(each.command.pk)) for each in results]


def _now(result: Result, command: Command | None) -> Result:
    """With the command as it is by now; it goes only with its run."""
    left = "" if command is not None else _("it was deleted meanwhile")
    return replace(result, command=command, left=left)


def summed_up(results: Sequence[Result]) -> str:
    """Of many runs, how many had which outcome."""
    kinds = Counter(each.became for each in results)
    counts = ", ".join(f"{word}: {kinds[kind]}" for kind, (_level, word) in TOLD.items() if kinds[kind])
    text = ngettext(
        "And %(count)s run more: %(counts)s.", "And %(count)s runs more: %(counts)s.", len(results)
    )
    return text % {"count": len(results), "counts": counts}
