"""Control verbs: rows like any command, or carried out at once where nobody holds the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from django_livesim import conf, registry
from django_livesim.gateway import limits
from django_livesim.gateway.committing import ring
from django_livesim.gateway.finding import SERVER, get
from django_livesim.gateway.owning import check_not_followed
from django_livesim.gateway.storing import body_hash, insert, known, unless_deleted
from django_livesim.gateway.waiting import answered
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import (
    BadArgs,
    Code,
    LivesimError,
    RunEnded,
    UnknownCommand,
    UnknownSimulation,
)
from django_livesim.protocol.names import EXTERNAL, Kind, Status, Verb
from django_livesim.store import attaching, intake, producing

DIRECT = {
    Verb.RESTART: Status.STOPPED,
    Verb.STOP: Status.STOPPED,
    Verb.RESUME: Status.WAITING,
    Verb.PAUSE: Status.PAUSED,
}
"""What the gateway itself carries out, and the status that follows from it."""


def control(
    run: Run | UUID | str,
    verb: Verb | str,
    args: Mapping[str, Any] | None = None,
    *,
    user: Any = None,
    id: str | None = None,
    wait: bool = False,
    timeout: float = 5,
    actor: Actor | None = None,
) -> Command:
    """Send a control verb; its row. One that nobody holds the run for is carried out at once.

    The row of a restart has the id of the run that follows in `args["next"]`.
    """
    actor = actor or (SERVER if user is None else Actor.from_user(user))
    row = get(run, actor=actor, level=Level.CONTROL)
    verb, cleaned = _clean_verb(verb, args or {})
    body = body_hash(Kind.CONTROL, verb, cleaned)
    sent = known(row, actor, id, body)
    if sent is None:
        limits.check_command(actor)
        with unless_deleted(row):
            sent = _control(row, verb, cleaned, actor, id, body)
    return answered(sent, wait, timeout)


def _clean_verb(verb: str, args: Mapping[str, Any]) -> tuple[Verb, dict[str, Any]]:
    try:
        verb = Verb(verb)
    except ValueError:
        expected = ", ".join(Verb)
        unknown = _("There is no control %(verb)r. Expected one of: %(expected)s.")
        raise UnknownCommand(unknown % {"verb": str(verb)[:80], "expected": expected}) from None
    takes = {Verb.STEP: {"n"}, Verb.SPEED: {"x"}}.get(verb, set())
    if surplus := set(args) - takes:
        names = {"verb": verb, "takes": sorted(takes) or _("no arguments"), "given": sorted(surplus)}
        raise BadArgs(
            _("%(verb)s takes %(takes)s; got %(given)s.") % names,
            fields={name: [_("Not an argument of this control.")] for name in surplus},
        )
    if verb is Verb.STEP:
        return verb, {"n": _steps(args.get("n", 1))}
    if verb is Verb.SPEED:
        return verb, {"x": _speed(args.get("x"))}
    return verb, {}


def _steps(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 1_000_000:
        message = _("n is a number of steps, 1 to 1000000; got %(given)r.") % {"given": n}
        raise BadArgs(message, fields={"n": [message]})
    return n


def _speed(x: Any) -> float:
    """Times real time; 0 stands for as fast as possible."""
    if x == "max":
        return 0.0
    if isinstance(x, bool) or not isinstance(x, int | float) or not 0.01 <= x <= 1000:
        message = _('x is a factor of 0.01 to 1000, or "max"; got %(given)r.') % {"given": x}
        raise BadArgs(message, fields={"x": [message]})
    return float(x)


def _control(
    run: Run, verb: Verb, args: dict[str, Any], actor: Actor, client_id: str | None, body: str
) -> Command:
    """Carry it out where nobody holds the run, else leave it to the worker.

    The row comes first, and what it asks for is done only where the row is
    new, so that two who send one id at once have one effect.
    """
    if verb is Verb.RESTART:
        args = {"next": str(intake.new_run_id())}
    for _attempt in range(5):
        _check_legal(run, verb)
        try:
            with transaction.atomic(using=conf.settings.DATABASE):
                row, created = insert(run, Kind.CONTROL, verb, args, actor, client_id, body, {})
                if created:
                    _carry_out(run, verb, row, actor)
                return row
        except intake.Overtaken:
            run.refresh_from_db()
    raise LivesimError(_("The run is changing hands; try again."), code=Code.BUSY, retry=1)


def _carry_out(run: Run, verb: Verb, row: Command, actor: Actor) -> None:
    """Do what the gateway itself may do; the rest is for the worker."""
    if run.simulation == EXTERNAL:
        producing.ask_to_stop(row, run)
        return
    if verb in DIRECT:
        attaching.free(run)
    target = _direct(run, verb)
    if run.ended and verb in (Verb.RESUME, Verb.RESTART):
        _go_on(run, verb, row, actor)
    elif run.ended and verb is Verb.STOP:
        intake.apply_at_once(row, run.tick)
    elif target is not None:
        intake.carry_out(row, run, target, _reason(verb))
        if verb is Verb.RESTART:
            _follow(run, row)
    if verb is Verb.RESTART:
        limits.check_start(actor)


def _go_on(run: Run, verb: Verb, row: Command, actor: Actor) -> None:
    """Go on with a run that has ended, or follow it: within the quotas, and where no other has yet."""
    limits.enter(actor)
    locked = Run.objects.select_for_update().get(id=run.id)
    if locked.status != run.status:
        raise intake.Overtaken
    check_not_followed(locked)
    if verb is Verb.RESTART:
        intake.apply_at_once(row, locked.tick)
        _follow(locked, row)
    else:
        intake.carry_out(row, locked, Status.WAITING)
    limits.check_quotas(actor, locked)


def _follow(run: Run, row: Command) -> None:
    ring(intake.succeed(run, UUID(row.args["next"]), version=present_version(run)))


def present_version(run: Run) -> int | None:
    """The version of the run's code in this process; None where it has none."""
    try:
        return registry.get(run.simulation).version
    except UnknownSimulation:
        return None


def legal_verbs(status: Status | str) -> frozenset[Verb]:
    """The controls that a run of this status takes."""
    status = Status(status)
    if status in (Status.STOPPED, Status.QUARANTINED):
        return frozenset({Verb.RESUME, Verb.STOP, Verb.RESTART})
    if status in (Status.FINISHED, Status.FAILED):
        return frozenset({Verb.STOP, Verb.RESTART})
    return frozenset(Verb)


def legal_for(run: Run) -> frozenset[Verb]:
    """The controls that a run takes; one that is produced can be asked to stop, and nothing else."""
    if run.simulation == EXTERNAL:
        return frozenset() if run.ended else frozenset({Verb.STOP})
    return legal_verbs(run.status)


def _check_legal(run: Run, verb: Verb) -> None:
    """Raise where the status does not allow the verb, and say what would be legal."""
    if run.simulation == EXTERNAL:
        _check_produced(run, verb)
    status, legal = Status(run.status), legal_verbs(run.status)
    if verb not in legal:
        code = Code.QUARANTINED if status is Status.QUARANTINED else Code.RUN_ENDED
        illegal = _("The run is %(status)s: it cannot %(verb)s. Legal now: %(legal)s.")
        places = {"status": run.get_status_display(), "verb": verb, "legal": ", ".join(sorted(legal))}
        raise RunEnded(illegal % places, code=code)


def _check_produced(run: Run, verb: Verb) -> None:
    names = {"status": run.get_status_display(), "verb": verb}
    if run.ended:
        over = _("The run is %(status)s, and was produced by a program of its own: that begins another.")
        raise RunEnded(over % names)
    if verb is not Verb.STOP:
        other = _("A program of its own produces the run: it can be asked to stop, and not to %(verb)s.")
        raise LivesimError(other % names, code=Code.REFUSED)


def _direct(run: Run, verb: Verb) -> Status | None:
    """The status that the gateway itself may give a run that nobody holds; None: leave it to the worker."""
    if run.worker_id is not None:
        return None
    return DIRECT.get(verb)


def _reason(verb: Verb) -> str:
    return {Verb.STOP: "stopped", Verb.RESTART: "restarted"}.get(verb, "")


def pause(run: Run | UUID | str, **options: Any) -> Command:
    """Hold the run between two steps; commands still apply. Options as for `control`."""
    return control(run, Verb.PAUSE, **options)


def resume(run: Run | UUID | str, **options: Any) -> Command:
    """Go on, from a pause or from where it was stopped. Options as for `control`."""
    return control(run, Verb.RESUME, **options)


def step(run: Run | UUID | str, n: int = 1, **options: Any) -> Command:
    """Make `n` steps and be paused after them. Options as for `control`."""
    return control(run, Verb.STEP, {"n": n}, **options)


def speed(run: Run | UUID | str, x: float | str, **options: Any) -> Command:
    """Run `x` times as fast as declared, or "max". Options as for `control`."""
    return control(run, Verb.SPEED, {"x": x}, **options)


def stop(run: Run | UUID | str, **options: Any) -> Command:
    """Store the state and end the run; `resume` goes on from there. Options as for `control`."""
    return control(run, Verb.STOP, **options)


def restart(run: Run | UUID | str, **options: Any) -> Command:
    """End the run and start another with its parameters, from setup. Options as for `control`."""
    return control(run, Verb.RESTART, **options)
