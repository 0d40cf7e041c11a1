"""What an act would do to a run, and what became of it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.contrib import messages
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_livesim import gateway
from django_livesim.models import Command, Run
from django_livesim.permissions import Level
from django_livesim.protocol.names import EXTERNAL, Outcome, Status, Verb


class Act(StrEnum):
    """What an operator does to runs."""

    START = "start"
    """Go on; or where it came to an end by itself, begin anew under the same key."""
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    RESTART = "restart"
    RELEASE = "release"
    """Let a run out of quarantine: resume, for those alone."""


LABELS: Mapping[Act, Promise] = {
    Act.START: gettext_lazy("start"),
    Act.PAUSE: gettext_lazy("pause"),
    Act.RESUME: gettext_lazy("resume"),
    Act.STOP: gettext_lazy("stop"),
    Act.RESTART: gettext_lazy("restart"),
    Act.RELEASE: gettext_lazy("release"),
}

TO_CONFIRM = frozenset({Act.STOP, Act.RESTART, Act.RELEASE})
"""Acts that end something, or may do harm again, so that they are asked about first."""

STARTS = {
    Status.PAUSED: Verb.RESUME,
    Status.STOPPED: Verb.RESUME,
    Status.FINISHED: Verb.RESTART,
    Status.FAILED: Verb.RESTART,
}
"""The control by which a run of that status starts; in the others nothing is to be done."""

NOTHING_TO_DO = {
    Verb.PAUSE: {Status.PAUSED, Status.STOPPING},
    Verb.RESUME: {Status.WAITING, Status.RUNNING, Status.STOPPING},
    Verb.STOP: {Status.STOPPING, Status.STOPPED, Status.FINISHED, Status.FAILED},
}
"""Where a control would be taken and change nothing."""


def verb_of(act: Act, status: str) -> Verb | None:
    """The control that an act comes to; None where there is nothing to do."""
    if act is Act.RELEASE:
        return Verb.RESUME if status == Status.QUARANTINED else None
    verb = STARTS.get(Status(status)) if act is Act.START else Verb(act)
    return None if verb is None or status in NOTHING_TO_DO.get(verb, ()) else verb


def why_not(act: Act, run: Run, level: Level | None) -> str:
    """Why an act leaves a run out; empty where it does not."""
    if (level or 0) < Level.CONTROL:
        return _("you have no right to control it")
    names = {"status": run.get_status_display(), "act": LABELS[act]}
    if run.simulation == EXTERNAL and (act is not Act.STOP or run.ended):
        return _("a program of its own produces it, which alone makes it go on")
    if act is Act.START and run.status == Status.QUARANTINED:
        return _("it is quarantined; resume releases it")
    if act is Act.RELEASE and run.status != Status.QUARANTINED:
        return _("it is %(status)s, and not in quarantine") % names
    if act not in (Act.START, Act.RELEASE) and Verb(act) not in (legal := gateway.legal_for(run)):
        names["legal"] = ", ".join(str(LABELS[each]) for each in Act if each in set(map(str, legal)))
        return _("it is %(status)s: it cannot %(act)s; possible now: %(legal)s") % names
    if verb_of(act, run.status) is None:
        return _("it is %(status)s: there is nothing to do") % names
    return ""


class Became(StrEnum):
    """What an act came to."""

    APPLIED = "applied"
    PENDING = "pending"
    DONE = "done"
    """The same form had done it already."""
    LEFT = "left"
    REFUSED = "refused"


TOLD: Mapping[Became, tuple[int, Promise]] = {
    Became.APPLIED: (messages.SUCCESS, gettext_lazy("applied")),
    Became.PENDING: (messages.INFO, gettext_lazy("accepted, not applied yet")),
    Became.DONE: (messages.INFO, gettext_lazy("done already")),
    Became.LEFT: (messages.WARNING, gettext_lazy("left out")),
    Became.REFUSED: (messages.ERROR, gettext_lazy("refused")),
}
"""The level of the message that tells it, and the word for it."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one run: one of `command`, which was taken, `refusal`, or `left` out, and why."""

    run: Run
    act: Act
    command: Command | None = None
    refusal: str = ""
    left: str = ""
    again: bool = False
    """It had been done already by the same form."""

    @property
    def refused(self) -> str:
        command = self.command
        if command is not None and command.outcome == Outcome.REFUSED:
            return command.message or command.code
        return self.refusal

    @property
    def successor(self) -> str:
        """The id of the run that follows, where this one was restarted."""
        restarted = self.command is not None and self.command.name == Verb.RESTART and not self.refused
        return self.command.args.get("next", "") if restarted and self.command else ""

    @property
    def became(self) -> Became:
        if self.refused:
            return Became.REFUSED
        if self.left:
            return Became.LEFT
        if self.command is None or self.command.outcome != Outcome.APPLIED:
            return Became.PENDING
        return Became.DONE if self.again else Became.APPLIED

    @property
    def level(self) -> int:
        """Of the message that tells it."""
        return TOLD[self.became][0]

    def text(self) -> str:
        """What became of the act, without the run's name."""
        return {
            Became.REFUSED: _("%(act)s: refused: %(why)s"),
            Became.LEFT: _("%(act)s: left out: %(why)s"),
            Became.APPLIED: _("%(act)s: applied at tick %(tick)s."),
            Became.DONE: _(
                "%(act)s: this form did it already, at tick %(tick)s; load the page again to repeat it."
            ),
            Became.PENDING: _("%(act)s: accepted, not applied yet; load the page again to see."),
        }[self.became] % self._names()

    def note(self) -> str:
        """The same for the history, which is read later: what is not applied yet has its number there."""
        if self.became is Became.PENDING:
            return _("%(act)s: asked for, command #%(number)s.") % self._names()
        return self.text()

    def _names(self) -> dict[str, Any]:
        command = self.command
        return {
            "act": LABELS[self.act],
            "why": self.refused or self.left,
            "tick": None if command is None else command.apply_tick,
            "number": None if command is None else command.pk,
        }
