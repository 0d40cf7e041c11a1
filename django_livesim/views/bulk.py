"""Pause, resume or stop many runs of the list at once, each with the rights that one has on it."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from django_livesim import gateway, permissions
from django_livesim.gateway import limits
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import LivesimError, NoRun
from django_livesim.protocol.names import ENDED, Outcome, Verb
from django_livesim.views import once
from django_livesim.views.filters import Filters
from django_livesim.views.respond import by_htmx, fragment, go, why_not, with_database

AT_ONCE = 100
"""Runs that one act takes."""

PATIENCE = 2.0
"""Seconds that a browser without JavaScript is kept waiting for what becomes of all of them,"""
HTMX_PATIENCE = 1.0
"""and one with it, whose rows change by themselves."""
POLL = 0.05
"""Seconds between two looks at that."""

QUESTIONS = {
    Verb.PAUSE: ngettext_lazy(
        "Pause %(n)s run? It makes no more steps until it is resumed.",
        "Pause %(n)s runs? They make no more steps until they are resumed.",
        "count",
    ),
    Verb.STOP: ngettext_lazy(
        "Stop %(n)s run? Its state is stored, and it can be resumed; but not what a program of its own"
        " produces.",
        "Stop %(n)s runs? Their states are stored, and they can be resumed; but not what a program of its own"
        " produces.",
        "count",
    ),
}
"""What is asked before; `n` is how `count` is written."""

LABELS = {
    Verb.PAUSE: gettext_lazy("Pause"),
    Verb.RESUME: gettext_lazy("Resume"),
    Verb.STOP: gettext_lazy("Stop"),
}
"""The acts, in the order of their buttons, and what is written on these."""

DONE = {
    Verb.PAUSE: ngettext_lazy("%(count)s run paused.", "%(count)s runs paused.", "count"),
    Verb.RESUME: ngettext_lazy("%(count)s run resumed.", "%(count)s runs resumed.", "count"),
    Verb.STOP: ngettext_lazy("%(count)s run stopped.", "%(count)s runs stopped.", "count"),
}
UNDER_WAY = {
    Verb.PAUSE: ngettext_lazy("%(count)s run is pausing.", "%(count)s runs are pausing.", "count"),
    Verb.RESUME: ngettext_lazy("%(count)s run is resuming.", "%(count)s runs are resuming.", "count"),
    Verb.STOP: ngettext_lazy("%(count)s run is stopping.", "%(count)s runs are stopping.", "count"),
}


@dataclass(kw_only=True)
class Outcomes:
    """What became of an act on many runs."""

    verb: Verb
    taken: list[Command] = field(default_factory=list)
    """What was not refused."""
    done: int = 0
    """How many of these have come to what was asked for."""
    refused: Counter[str] = field(default_factory=Counter)
    """By why."""
    unknown: int = 0
    """There are no such runs, or the asker may not see them."""

    @property
    def told(self) -> str:
        """What was done, and what is to come; empty where nothing is."""
        counts = ((DONE, self.done), (UNDER_WAY, len(self.taken) - self.done))
        return " ".join(texts[self.verb] % {"count": count} for texts, count in counts if count)

    @property
    def problems(self) -> list[str]:
        """What was not, and why, each with how often."""
        said: list[str] = [
            SafeString(_("%(count)s refused: %(why)s") % {"count": count, "why": conditional_escape(why)})
            for why, count in self.refused.most_common()
        ]
        if self.unknown:
            text = ngettext(
                "%(count)s is there no more, or you may not see it.",
                "%(count)s are there no more, or you may not see them.",
                self.unknown,
            )
            said.append(text % {"count": self.unknown})
        return said


def question(verb: Verb, count: int, n: str = "") -> str:
    """What is asked before so many runs are paused or stopped; `n` stands in place of the number."""
    return str(QUESTIONS[verb] % {"count": count, "n": n or count})


@never_cache
@require_POST
@with_database
def run_bulk(request: HttpRequest) -> HttpResponse:
    """Do `verb` to each `run` that is posted; without htmx, what ends or holds them is confirmed first."""
    actor = Actor.from_request(request)
    chosen = list(dict.fromkeys(map(_written, request.POST.getlist("run"))))
    verb = next((each for each in LABELS if each == request.POST.get("verb")), None)
    if verb is None:
        return _refuse(request, _("There is no such act on many runs. Choose pause, resume or stop."))
    if not chosen:
        return _refuse(request, _("No run is chosen. Tick some in the list, then press the button again."))
    if len(chosen) > AT_ONCE:
        told = _("Choose at most %(count)s runs at once; nothing was done.")
        return _refuse(request, told % {"count": AT_ONCE})
    if verb in QUESTIONS and not by_htmx(request) and "confirmed" not in request.POST:
        return _ask(request, actor, verb, chosen)
    return _tell(request, _act(request, actor, verb, chosen))


def _act(request: HttpRequest, actor: Actor, verb: Verb, chosen: list[str]) -> Outcomes:
    """Each is a command of its own; posted again, the form comes to the same ones."""
    became, posted = Outcomes(verb=verb), once.form_id(request) or uuid4().hex
    whys: dict[str, str] = {}
    until = time.monotonic() + (HTMX_PATIENCE if by_htmx(request) else PATIENCE)
    with limits.as_one():
        for text in chosen:
            try:
                run = _uuid(text)
                command = gateway.control(run, verb, actor=actor, id=_own_id(posted, run, verb))
            except NoRun:
                became.unknown += 1
            except LivesimError as problem:
                if problem.message not in whys:
                    whys[problem.message] = why_not(request, problem)
                became.refused[whys[problem.message]] += 1
            else:
                became.taken.append(command)
    _await(became, until)
    return became


def _await(became: Outcomes, until: float) -> None:
    """Give all of them together so long to come to an outcome; what refuses then is told too."""
    waiting = {command.pk: command for command in became.taken if not command.outcome}
    while waiting:
        _look(became, waiting)
        if not waiting or time.monotonic() >= until:
            break
        time.sleep(POLL)
    for command in [each for each in became.taken if each.outcome == Outcome.REFUSED]:
        became.taken.remove(command)
        became.refused[command.message or command.code] += 1
    became.done = _done(became)


def _look(became: Outcomes, waiting: dict[Any, Command]) -> None:
    """Take over what has come to the rows of those that wait, and take those out that do no more."""
    rows = Command.objects.only("outcome", "message", "code").in_bulk(list(waiting))
    for pk, command in list(waiting.items()):
        row = rows.get(pk)
        if row is None:  # the run was deleted, and the command with it
            became.taken.remove(command)
            became.unknown += 1
        elif row.outcome:
            command.outcome, command.message, command.code = row.outcome, row.message, row.code
        if row is None or row.outcome:
            del waiting[pk]


def _done(became: Outcomes) -> int:
    """How many are as was asked; what is asked to stop may take its time for it."""
    applied = [command.run_id for command in became.taken if command.outcome == Outcome.APPLIED]
    if became.verb != Verb.STOP or not applied:
        return len(applied)
    return Run.objects.filter(pk__in=applied, status__in=ENDED).count()


def _written(text: str) -> str:
    """An id in the one way in which each is written once; what is none as it is."""
    with suppress(ValueError):
        return str(UUID(text))
    return text


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NoRun(_("That is the id of no run.")) from None


def _own_id(posted: str, run: UUID, verb: Verb) -> str:
    """The id of the command that the form makes for one run."""
    return blake2b(f"{posted} {run} {verb}".encode(), digest_size=16).hexdigest()


def _ask(request: HttpRequest, actor: Actor, verb: Verb, chosen: list[str]) -> HttpResponse:
    """The page that asks before; it names those of the chosen that are in the asker's list."""
    ids = []
    for text in chosen:
        with suppress(NoRun):
            ids.append(_uuid(text))
    runs = permissions.shown(actor, permissions.visible(actor).filter(pk__in=ids))
    kept = [("verb", str(verb)), ("back", request.POST.get("back", "")), *(("run", text) for text in chosen)]
    context = {
        "question": question(verb, len(chosen)),
        "yes": LABELS[verb],
        "action": request.path,
        "posted": kept,
        "runs": runs,
        "back": _back(request),
    }
    return render(request, "django_livesim/confirm_many.html", context)


def _tell(request: HttpRequest, became: Outcomes) -> HttpResponse:
    if by_htmx(request):
        status = 200 if became.taken else 422
        response = fragment(request, "bulk_answer.html", {"became": became}, status=status)
        response["HX-Trigger"] = "livesim:list"
        return response
    if became.told:
        messages.success(request, became.told, fail_silently=True)
    for text in became.problems:
        messages.error(request, text, fail_silently=True)
    return go(request, _back(request))


def _refuse(request: HttpRequest, why: str) -> HttpResponse:
    """Say why nothing was done."""
    if by_htmx(request):
        return fragment(request, "bulk_answer.html", {"refusal": why}, status=422)
    messages.error(request, why, fail_silently=True)
    return go(request, _back(request))


def _back(request: HttpRequest) -> str:
    """The list as it was, with its filters; what else may be posted there leads nowhere."""
    try:
        asked = QueryDict(request.POST.get("back", "")[:2000])
    except TooManyFieldsSent:
        asked = QueryDict()
    page = asked.get("page", "")
    query: Any = [Filters.of(asked).query, f"page={page}" if page.isascii() and page.isdecimal() else ""]
    query = "&".join(filter(None, query))
    return f"{reverse('livesim:run-list')}?{query}" if query else reverse("livesim:run-list")
