"""The verbs that act on runs and show them; each takes what was typed and where to say what it did."""

from __future__ import annotations

import contextlib
import shlex
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson
from django.contrib.auth import get_user_model
from django.db.models import Q
from django.urls import NoReverseMatch
from django.utils.timezone import is_aware, localtime

from django_livesim import gateway, params, registry
from django_livesim.cli.doctor import doctor
from django_livesim.cli.draining import drain
from django_livesim.cli.errors import NotDone, UsageError
from django_livesim.cli.following import watch
from django_livesim.cli.foreground import own_queue, step_here
from django_livesim.cli.output import Output, compact
from django_livesim.cli.pruning import prune_rows
from django_livesim.cli.refs import cli_actor, find_command, find_run
from django_livesim.cli.scaffold import scaffold
from django_livesim.cli.tasks import tasks
from django_livesim.cli.troubles import costs, told, troubles
from django_livesim.cli.watch import outcome_line
from django_livesim.cli.workers import how_to_start_one, live_workers, unattended
from django_livesim.models import Command, Run
from django_livesim.protocol.errors import Code
from django_livesim.protocol.names import EXTERNAL, Outcome, Status

PATIENT = 60  # seconds to wait that are proposed where an outcome did not come in time


def start(options: Namespace, out: Output) -> None:
    """Start a run, or go on with the one that has the key."""
    definition = registry.get(options.simulation)
    args = _parsed(definition, options.pairs) if options.pairs else None
    run = gateway.start(
        definition.name,
        args,
        key=options.key,
        name=options.name,
        owner=_owner(options.owner),
        visibility=options.visibility,
        seed=options.seed,
        actor=cli_actor(),
    )
    if out.as_json:
        out.json(gateway.facts(run))
    else:
        out.line(f"{run.simulation} is {run.status} as {run.id}")
        out.hint(f"See it: livesim watch {run.id.hex[:8]}")
    if run.status == Status.WAITING and not live_workers():
        out.hint(f"No worker is alive. {how_to_start_one()}")


def run_here(options: Namespace, out: Output) -> None:
    """Start a run and step it in this process."""
    definition = registry.get(options.simulation)
    run = gateway.start(
        definition.name,
        _parsed(definition, options.pairs),
        name=options.name,
        owner=_owner(options.owner),
        visibility=options.visibility,
        seed=options.seed,
        queue=own_queue(),
        actor=cli_actor(),
    )
    step_here(run, definition.queue, options, out)


def _parsed(definition: Any, pairs: list[str]) -> dict[str, Any]:
    _check_pairs(pairs)
    return params.parse(params.form_class(definition), pairs)


def _check_pairs(pairs: list[str]) -> None:
    names = [pair.partition("=")[0] for pair in pairs]
    for pair, name in zip(pairs, names, strict=True):
        if "=" not in pair or not name:
            raise UsageError(
                f"{pair!r} is not an argument and its value. Expected: key=value, as in bodies=50"
            )
        if names.count(name) > 1:
            raise UsageError(f"{name!r} is given more than once. Expected: each argument once")


def _owner(username: str | None) -> Any:
    if username is None:
        return None
    users = get_user_model()
    try:
        return users._default_manager.get(**{str(users.USERNAME_FIELD): username})
    except users.DoesNotExist:
        raise NotDone(
            str(Code.BAD_ARGS),
            f"there is no user {username!r}. Make one: python manage.py createsuperuser",
        ) from None


def list_runs(options: Namespace, out: Output) -> None:
    """List the runs, newest first."""
    runs = gateway.runs(cli_actor()).prefetch_related("owner", "worker").order_by("-created_at")
    if options.simulation:
        runs = runs.filter(simulation=options.simulation)
    if options.status:
        runs = runs.filter(status=options.status)
    found = list(runs[: options.limit])
    lacking, harm = unattended(found), troubles(found)
    facts = [gateway.facts(run) | _reason(run, lacking) | harm[run.id] for run in found]
    if out.as_json:
        out.json(facts)
    elif facts:
        out.table(
            ["RUN", "SIMULATION", "KEY", "NAME", "STATUS", "TICK", "OWNER", "REASON"], _rows(found, facts)
        )
    else:
        out.hint("No runs. Start one: livesim start SIM")


def _reason(run: Run, lacking: Mapping[UUID, str]) -> dict[str, str]:
    """Instead of what its row says, where nobody is there who could have written it."""
    return {"reason": lacking.get(run.id, run.reason)}


def _rows(runs: list[Run], facts: list[dict[str, Any]]) -> list[list[Any]]:
    names = ("simulation", "key", "name", "status", "tick", "owner")
    return [
        [
            fact["run"][:8],
            *(fact[name] for name in names),
            told(run, fact["strikes"], fact["stepping"], fact["reason"]),
        ]
        for run, fact in zip(runs, facts, strict=True)
    ]


def send(options: Namespace, out: Output) -> None:
    """Send a command and say what became of it."""
    run = find_run(options.run)
    args = _command_args(run, options.command, options.pairs)
    when = {"at_tick": options.at_tick, "delay": options.delay, "every": options.every}
    scheduled = any(each is not None for each in when.values())
    options.no_wait = options.no_wait or scheduled
    row = gateway.send(run, options.command, args, **when, **_sending(options))
    _report(row, options, out)
    if scheduled and not row.outcome:
        out.hint(f"Take it back: livesim cancel {run.id.hex[:8]} {row.client_id}")


def cancel(options: Namespace, out: Output) -> None:
    """Take back a command that waits; say so where it was too late."""
    command = find_command(find_run(options.run), options.command)
    row = gateway.cancel(command, **_sending(options))
    _report(row, options, out)
    if row.result == {"cancelled": 0}:
        raise NotDone(str(Code.REFUSED), _too_late(command))


def _too_late(command: Command) -> str:
    """What has become of it, or of the last of its repetitions."""
    first = command.series or command.pk
    last = Command.objects.filter(Q(pk=first) | Q(series=first)).order_by("-pk")[0]
    if last.code == Code.CANCELLED:
        return f"{last.name} was cancelled already, and does not wait any more"
    if not last.outcome:
        return f"it is too late: the run has {last.name} in hand, and will answer it"
    return f"it is too late: {last.name} was {last.outcome} already"


def _command_args(run: Run, command: str, pairs: list[str]) -> dict[str, Any]:
    """The arguments by the command's form; as JSON or text where there is none."""
    _check_pairs(pairs)
    known = run.simulation != EXTERNAL  # of whose runs the gateway says that they take none
    spec = params.commands(registry.get(run.simulation)).get(command) if known else None
    return params.parse(params.form_class(spec) if spec else None, pairs)


def _sending(options: Namespace) -> dict[str, Any]:
    return {
        "id": options.id,
        "wait": not options.no_wait,
        "timeout": options.timeout,
        "actor": cli_actor(),
    }


def _control(options: Namespace, out: Output) -> None:
    """Send the control verb that was typed and say what became of it."""
    given = {name: value for name, value in vars(options).items() if name in ("n", "x")}
    row = gateway.control(find_run(options.run), options.verb, given, **_sending(options))
    _report(row, options, out)


def _report(row: Command, options: Namespace, out: Output) -> None:
    """Print the outcome; raise where it is a refusal, or did not come in time."""
    if out.as_json:
        out.json(outcome_line(row) | {"type": row.outcome or "accepted", "next": row.args.get("next")})
    if row.outcome == Outcome.REFUSED:
        raise NotDone(row.code, row.message)
    if not row.outcome and not options.no_wait:
        raise NotDone(str(Code.TIMEOUT), _late(row, options))
    if not out.as_json:
        out.line(_outcome_words(row))


def _outcome_words(row: Command) -> str:
    if not row.outcome:
        return f"accepted {row.name} as {row.client_id}"
    result = "" if row.result is None else f": {compact(row.result)}"
    following = f"; it goes on as {row.args['next']}" if "next" in row.args and row.kind == "control" else ""
    return f"applied {row.name} at tick {row.apply_tick}{result}{following}"


def _late(row: Command, options: Namespace) -> str:
    """That it waits, and how to wait on: under its id it is sent no second time."""
    run = row.run_id.hex[:8]
    typed = [getattr(options, name) for name in ("command", "n", "x") if hasattr(options, name)]
    typed = [shlex.quote(str(each)) for each in [*typed, *getattr(options, "pairs", ())]]
    again = " ".join(["livesim", options.verb, run, *typed, f"--id={row.client_id}", f"--timeout={PATIENT}"])
    accepted = f"{row.name} was accepted as {row.client_id} and is kept"
    start = "" if live_workers() else f"{how_to_start_one()}. "
    advice = f"{start}To wait on for this one, and send no other: {again}; or see: livesim inspect {run}"
    return f"{accepted}, but had no outcome in {options.timeout:g} s. {advice}"


def share(options: Namespace, out: Output) -> None:
    """Say who may watch, and print the link where there is one."""
    run = gateway.share(find_run(options.run), options.visibility, renew=options.renew, actor=cli_actor())
    link = _link(run) if run.link_token else None
    if out.as_json:
        out.json(gateway.facts(run) | {"visibility": run.visibility, "link": link})
        return
    out.line(f"{run.id} is {run.visibility}" + (f": {link}" if link else ""))


def _link(run: Run) -> str:
    """The path that shows the run to whoever has it; its query alone where the host has no pages of ours."""
    with contextlib.suppress(NoReverseMatch):
        return f"{run.get_absolute_url()}?key={run.link_token}"
    return f"?key={run.link_token}"


def delete(options: Namespace, out: Output) -> None:
    """Remove a run for good; one that has not ended only where that was said."""
    run = find_run(options.run)
    if not run.ended and not options.yes:
        unended = f"{run.id} is {run.status}, and has not ended. Stop it first, or delete it with --yes"
        raise NotDone(str(Code.REFUSED), unended)
    gateway.delete(run, actor=cli_actor())
    if out.as_json:
        out.json({"type": "deleted", "run": str(run.id)})
    else:
        out.line(f"deleted {run.id}")


def inspect(options: Namespace, out: Output) -> None:
    """Show a run's facts, state, figures and last commands."""
    run = find_run(options.run)
    seen = gateway.inspect(run, actor=cli_actor())
    run.refresh_from_db()
    seen |= _reason(run, unattended([run])) | troubles([run])[run.id] | {"load": costs(run)}
    if out.as_json:
        out.json(seen)
        return
    apart = ("state", "commands", "error")
    reason = told(run, seen["strikes"], seen["stepping"], seen["reason"])
    out.pairs({name: value for name, value in seen.items() if name not in apart} | {"reason": reason})
    if seen["commands"]:
        out.line()
        names = ("id", "command", "args", "sender", "outcome", "tick", "due", "message")
        rows = [[(command | {"due": _due(command)})[name] for name in names] for command in seen["commands"]]
        out.table([name.upper() for name in names], rows)
    out.line()
    out.line(orjson.dumps(seen["state"], option=orjson.OPT_INDENT_2).decode())
    if seen["error"]:
        out.line()
        out.line(seen["error"].rstrip())


def _due(command: Mapping[str, Any]) -> str:
    """When a command of `inspect` was to act, and how often, in words; empty for one that acts at once."""
    at, tick, every = command["due_at"], command["due_tick"], command["every"]
    if at is not None and is_aware(at):
        at = localtime(at)
    words = [
        "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}",
        "" if tick is None else f"at tick {tick}",
        "" if every is None else f"every {every:g} s",
    ]
    return ", ".join(filter(None, words))


VERBS: dict[str, Callable[[Namespace, Output], None]] = {
    "start": start,
    "list": list_runs,
    "watch": watch,
    "run": run_here,
    "send": send,
    "cancel": cancel,
    "pause": _control,
    "resume": _control,
    "step": _control,
    "speed": _control,
    "stop": _control,
    "restart": _control,
    "share": share,
    "delete": delete,
    "inspect": inspect,
    "tasks": tasks,
    "drain": drain,
    "prune": prune_rows,
    "scaffold": scaffold,
    "doctor": doctor,
}
