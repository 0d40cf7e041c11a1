"""Waiting commands that are taken back."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from django_livesim.models import Command, Run
from django_livesim.protocol.errors import Code
from django_livesim.protocol.names import Outcome
from django_livesim.store import intake
from django_livesim.store.moments import Moment

CANCELLED_MESSAGE = _("It was cancelled before it acted.")


def cancel(asked: int, kept: Collection[int] = ()) -> int:
    """Refuse what waits of the command that the `cancel` of the row `asked` names; how many that were.

    Its repetitions are the same command. Those in `kept` are in the hands of
    the run's code, which will answer them; they are not repeated. The answer
    of `asked` says how many. Belongs to the transaction in which `asked` is
    applied, after everything else that was answered in it.
    """
    control = Command.objects.get(pk=asked)
    command = control.args["command"]
    waiting = Command.objects.filter(
        Q(pk=command) | Q(series=command), run=control.run_id, outcome="", apply_seq=None
    )
    waiting.filter(pk__in=kept).update(every=None)
    refused = waiting.exclude(pk__in=kept).update(
        outcome=str(Outcome.REFUSED),
        code=str(Code.CANCELLED),
        message=CANCELLED_MESSAGE,
        apply_tick=control.apply_tick,
        applied_at=Moment(),
    )
    Command.objects.filter(pk=asked).update(result={"cancelled": refused})
    return refused


def carry_out(asked: Command, run: Run) -> None:
    """Cancel in a run that nobody holds: the command `asked` takes the next place in its journal.

    By compare-and-set: raises `Overtaken` where somebody else has changed the
    run. In one that has ended nothing waits, and nothing is changed.
    Belongs to the transaction that inserted `asked`.
    """
    if run.ended:
        intake.apply_at_once(asked, run.tick)
    else:
        free = Run.objects.filter(id=run.id, epoch=run.epoch, worker=None, status=run.status)
        if not free.update(epoch=F("epoch") + 1, next_seq=F("next_seq") + 1):
            raise intake.Overtaken
        intake.apply_at_once(asked, run.tick, apply_seq=run.next_seq, epoch=run.epoch + 1)
    cancel(asked.pk)
    asked.refresh_from_db()
