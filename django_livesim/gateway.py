"""The one way to act on a run: pages, sockets, admin, command line and Python all come through here.

Every function has an async twin with an `a` before its name. All raise
`LivesimError` and leave nothing half-made. An accepted command is a row
before the function returns; the worker hears of it by a doorbell after
commit, or finds it within a second.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from channels.db import database_sync_to_async
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from django_livesim import conf, params, registry
from django_livesim.bus import doorbells
from django_livesim.models import Checkpoint, Command, Run, Visibility
from django_livesim.permissions import Actor, Level, level, may_inspect, may_start, require, visible
from django_livesim.protocol import packed, plain
from django_livesim.protocol.errors import (
    BadArgs,
    Code,
    Forbidden,
    LivesimError,
    NoRun,
    RunEnded,
    UnknownCommand,
    UnknownSimulation,
)
from django_livesim.protocol.names import CLIENT_ID, INSPECT, Kind, Outcome, Role, Status, Verb
from django_livesim.store import intake, journal

SERVER = Actor.from_process("server")
WAIT_POLL = 0.05  # seconds between two looks for an outcome
INSPECT_WAIT = 2.0  # seconds a worker has to answer `inspect`


# -- finding ------------------------------------------------------------------------------------


def get(ref: Run | UUID | str, *, actor: Actor | None = None, level: Level = Level.VIEW) -> Run:
    """The run that `ref` names: a row, a uuid, a key, or `simulation:key`.

    Raises `NoRun` where there is none that the actor may know of, `Forbidden`
    where the actor may see it but lacks `level`.
    """
    actor = actor or SERVER
    run = _find(ref.id if isinstance(ref, Run) else ref)  # a row in hand may be old
    if run is None or not _sees(actor, run):
        raise NoRun(
            f"There is no run {str(ref)[:80]!r} that you may see. The list of runs shows what there is."
        )
    require(actor, level, run)
    return run


def _find(ref: UUID | str) -> Run | None:
    if isinstance(ref, UUID):
        return Run.objects.filter(id=ref).first()
    try:
        return Run.objects.filter(id=UUID(ref)).first()
    except ValueError:
        pass
    simulation, colon, key = ref.partition(":")
    found = list(
        Run.objects.filter(Q(key=ref) | Q(simulation=simulation, key=key) if colon else Q(key=ref))[:2]
    )
    if len(found) > 1:
        raise NoRun(f"Several runs have the key {ref!r}; write simulation:key, or the run's uuid.")
    return found[0] if found else None


def _sees(actor: Actor, run: Run) -> bool:
    return level(actor, run) is not None


# -- starting -----------------------------------------------------------------------------------


def start(
    simulation: Any,
    params: Mapping[str, Any] | None = None,
    *,
    owner: Any = None,
    key: str | None = None,
    name: str = "",
    visibility: str = "private",
    seed: int | None = None,
    actor: Actor | None = None,
) -> Run:
    """Start a run of `simulation` (its name, class or loop) and return its row.

    With a `key`, a run that has it already is gone on with instead: a
    running one is returned as it is, a paused or stopped one resumes, and
    one that has finished or failed is followed by a new one.
    `owner` is the user who owns it, by default the actor's. Without an
    `actor` nothing is asked: the caller is the server itself.
    """
    definition = _definition(simulation)
    actor = actor or SERVER
    if not may_start(actor, definition):
        raise Forbidden(f"You may not start {definition.name}; ask an administrator for livesim.start_run.")
    cleaned = _clean_params(definition, params or {})
    _check_start(key, visibility, seed)
    existing = Run.objects.filter(simulation=definition.name, key=key).first() if key else None
    if existing is None:
        run = intake.create_run(
            simulation=definition.name,
            version=definition.version,
            queue=definition.queue,
            params=cleaned,
            key=key or None,
            name=name[:200],
            visibility=visibility,
            seed=intake.new_seed() if seed is None else seed,
            owner_id=_owner_id(actor, owner),
            session="" if actor.authenticated else actor.session,
        )
        if run is not None:
            _ring(run)
            return run
        existing = Run.objects.get(simulation=definition.name, key=key)
    return _start_again(existing, cleaned if params is not None else None, actor)


def _check_start(key: str | None, visibility: str, seed: int | None) -> None:
    if key is not None and not 0 < len(key) <= 200:
        raise BadArgs(f"A key is 1 to 200 characters; got {len(key)}.")
    if visibility not in Visibility.values:
        raise BadArgs(f"visibility is one of {', '.join(Visibility.values)}; got {visibility!r}.")
    if seed is not None and not 0 <= seed <= plain.MAX_INTEGER:
        raise BadArgs(f"seed is an integer of 0 to 2^53; got {seed!r}.")


def _owner_id(actor: Actor, owner: Any) -> Any:
    if owner is not None:
        return owner.pk
    return actor.user.pk if actor.authenticated else None


def _definition(simulation: Any) -> Any:
    return registry.get(simulation if isinstance(simulation, str) else simulation.name)


def _clean_params(definition: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    return params.clean(params.form_class(definition), given)


def _start_again(run: Run, cleaned: dict[str, Any] | None, actor: Actor) -> Run:
    """`start` of a key that is taken, by the status of the run that has it."""
    require(actor, Level.VIEW, run)
    if run.status in (Status.FINISHED, Status.FAILED):
        require(actor, Level.CONTROL, run)
        with transaction.atomic(using=conf.settings.DATABASE):
            locked = Run.objects.select_for_update().get(id=run.id)
            if locked.key is None:
                following = Run.objects.filter(simulation=run.simulation, key=run.key).first()
                if following is not None:
                    return following
            following = intake.succeed(locked, intake.new_run_id(), cleaned)
        _ring(following)
        return following
    if run.status in (Status.PAUSED, Status.STOPPED, Status.QUARANTINED):
        control(run, Verb.RESUME, actor=actor)
        run.refresh_from_db()
    return run


# -- commands -----------------------------------------------------------------------------------


def send(
    run: Run | UUID | str,
    command: str,
    args: Mapping[str, Any] | None = None,
    *,
    user: Any = None,
    id: str | None = None,
    at_tick: int | None = None,
    delay: float | None = None,
    every: float | None = None,
    wait: bool = False,
    timeout: float = 5,
    actor: Actor | None = None,
) -> Command:
    """Send a command; its row, which is durable when this returns outside a transaction.

    The same `id` from the same sender is one command, however often it is
    sent. With `wait`, returns when it was applied or refused, or after
    `timeout` seconds with `outcome` still empty.
    """
    actor = actor or (SERVER if user is None else Actor.from_user(user))
    row = get(run, actor=actor, level=Level.COMMAND)
    spec, cleaned = _clean_args(row, command, args or {})
    fields = {"durable": True if spec is None else spec.durable} | _schedule(at_tick, delay, every)
    sent = _known(row, Kind.COMMAND, command, cleaned, actor, id)
    if sent is None:
        _refuse_ended(row)
        sent = _insert(row, Kind.COMMAND, command, cleaned, actor, id, fields)
    return _answered(sent, wait, timeout)


def _refuse_ended(run: Run) -> None:
    if run.ended:
        raise RunEnded(f"The run is {run.status} and takes no commands; start it again first.")
    if run.status == Status.QUARANTINED:
        raise LivesimError("The run is quarantined; an administrator must release it.", code=Code.QUARANTINED)


def _clean_args(run: Run, command: str, args: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The declared command and its arguments as they are stored."""
    try:
        definition = registry.get(run.simulation)
    except UnknownSimulation as exc:
        raise LivesimError(
            f"This process lacks the code of {run.simulation}; it cannot check the command.", code=Code.ERROR
        ) from exc
    spec = definition.commands.get(command)
    if spec is not None:
        return spec, params.clean(params.form_class(spec), args)
    if definition.is_loop and not definition.commands:
        return None, _free_args(command, args)
    expected = ", ".join(sorted(definition.commands)) or "none; this simulation takes no commands"
    raise UnknownCommand(f"{definition.name} has no command {command[:80]!r}. Expected one of: {expected}.")


def _free_args(command: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """What an own loop that declares nothing accepts: any name, any plain dict."""
    if not command or len(command) > 200:
        raise UnknownCommand("A command needs a name of 1 to 200 characters.")
    free = dict(args)
    if difference := plain.first_difference(free, "args"):
        raise BadArgs(f"The arguments are not plain JSON: {difference}.")
    return free


def _schedule(at_tick: int | None, delay: float | None, every: float | None) -> dict[str, Any]:
    if every is not None:
        raise BadArgs("Repeated commands (every=...) are not available yet; send each one.")
    if at_tick is not None and (isinstance(at_tick, bool) or not isinstance(at_tick, int) or at_tick < 0):
        raise BadArgs(f"at_tick is a tick, an integer of 0 or more; got {at_tick!r}.")
    if delay is not None and not 0 <= delay <= 366 * 86400:
        raise BadArgs(f"delay is seconds, 0 up to a year; got {delay!r}.")
    due_at = None if delay is None else timezone.now() + timedelta(seconds=delay)
    return {"due_tick": at_tick, "due_at": due_at}


def _insert(
    run: Run,
    kind: Kind,
    name: str,
    args: Mapping[str, Any],
    actor: Actor,
    client_id: str | None,
    fields: Mapping[str, Any],
) -> Command:
    row, created = intake.insert_command(
        run.id,
        kind=kind,
        name=name,
        args=args,
        sender=actor.sender,
        client_id=_client_id(client_id),
        body_hash=_body_hash(kind, name, args),
        **fields,
    )
    if created:
        _ring(run)
        return row
    return _same(row, kind, name, args)


def _known(
    run: Run, kind: Kind, name: str, args: Mapping[str, Any], actor: Actor, client_id: str | None
) -> Command | None:
    """The row of a command sent before under the same id; a retry gets its answer whatever came since."""
    if client_id is None:
        return None
    row = Command.objects.filter(run=run.id, sender=actor.sender, client_id=client_id).first()
    return None if row is None else _same(row, kind, name, args)


def _same(row: Command, kind: Kind, name: str, args: Mapping[str, Any]) -> Command:
    if row.body_hash != _body_hash(kind, name, args):
        raise LivesimError(
            f"The id {row.client_id!r} was used for another command ({row.name}); use a new id for each.",
            code=Code.DUPLICATE_ID,
        )
    return row


def _client_id(given: str | None) -> str:
    if given is None:
        return uuid.uuid4().hex
    if not CLIENT_ID.match(given):
        raise BadArgs(f"An id is 1 to 64 of A-Z a-z 0-9 _ -; got {given[:80]!r}.")
    return given


def _body_hash(kind: Kind, name: str, args: Mapping[str, Any]) -> str:
    """What must be alike for two sends of one id to be the same command."""
    shown = {key: value for key, value in args.items() if key != "next"}
    return plain.digest(orjson.dumps([kind, name, shown], option=orjson.OPT_SORT_KEYS))


def _ring(run: Run) -> None:
    """Tell whoever should look, after commit."""
    bell = partial(doorbells.ring, run.id, run.worker_id, look=True)
    transaction.on_commit(bell, using=conf.settings.DATABASE, robust=True)


def wait(command: Command, timeout: float = 5) -> Command:
    """Read the row until it has an outcome, for at most `timeout` seconds."""
    until = time.monotonic() + timeout
    while not command.outcome and time.monotonic() < until:
        time.sleep(WAIT_POLL)
        command.refresh_from_db()
    return command


def _answered(command: Command, wanted: bool, timeout: float) -> Command:
    return wait(command, timeout) if wanted else command


def answers(run: UUID, senders_and_ids: Iterable[tuple[str, str]]) -> list[Command]:
    """The rows of these commands that have an outcome, in one query."""
    wanted = Q(pk__in=[])
    for sender, client_id in senders_and_ids:
        wanted |= Q(sender=sender, client_id=client_id)
    return list(
        Command.objects.filter(wanted, run=run).exclude(outcome=str(Outcome.NONE)).order_by("apply_seq")
    )


# -- controls -----------------------------------------------------------------------------------


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
    sent = _known(row, Kind.CONTROL, verb, cleaned, actor, id) or _control(row, verb, cleaned, actor, id)
    return _answered(sent, wait, timeout)


def _clean_verb(verb: str, args: Mapping[str, Any]) -> tuple[Verb, dict[str, Any]]:
    try:
        verb = Verb(verb)
    except ValueError:
        expected = ", ".join(Verb)
        raise UnknownCommand(
            f"There is no control {str(verb)[:80]!r}. Expected one of: {expected}."
        ) from None
    takes = {Verb.STEP: {"n"}, Verb.SPEED: {"x"}}.get(verb, set())
    if surplus := set(args) - takes:
        raise BadArgs(
            f"{verb} takes {sorted(takes) or 'no arguments'}; got {sorted(surplus)}.",
            fields={name: ["Not an argument of this control."] for name in surplus},
        )
    if verb is Verb.STEP:
        return verb, {"n": _steps(args.get("n", 1))}
    if verb is Verb.SPEED:
        return verb, {"x": _speed(args.get("x"))}
    return verb, {}


def _steps(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 1_000_000:
        message = f"n is a number of steps, 1 to 1000000; got {n!r}."
        raise BadArgs(message, fields={"n": [message]})
    return n


def _speed(x: Any) -> float:
    """Times real time; 0 stands for as fast as possible."""
    if x == "max":
        return 0.0
    if isinstance(x, bool) or not isinstance(x, int | float) or not 0.01 <= x <= 1000:
        message = f'x is a factor of 0.01 to 1000, or "max"; got {x!r}.'
        raise BadArgs(message, fields={"x": [message]})
    return float(x)


def _control(run: Run, verb: Verb, args: dict[str, Any], actor: Actor, client_id: str | None) -> Command:
    """Carry it out where nobody holds the run, else leave it to the worker."""
    if verb is Verb.RESTART:
        args = {"next": str(intake.new_run_id())}
    for _ in range(5):
        _check_legal(run, verb)
        if run.ended and verb in (Verb.STOP, Verb.RESTART):
            return _control_ended(run, verb, args, actor, client_id)
        target = _direct(run, verb)
        if target is None:
            return _insert(run, Kind.CONTROL, verb, args, actor, client_id, {})
        with transaction.atomic(using=conf.settings.DATABASE):
            if intake.set_status(run, target, _reason(verb)):
                fields = intake.applied_fields(run)
                if verb is Verb.RESTART:
                    intake.succeed(run, UUID(args["next"]))
                run.status = str(target)
                return _insert(run, Kind.CONTROL, verb, args, actor, client_id, fields)
        run.refresh_from_db()
    raise LivesimError("The run is changing hands; try again.", code=Code.BUSY, retry=1)


def _control_ended(
    run: Run, verb: Verb, args: dict[str, Any], actor: Actor, client_id: str | None
) -> Command:
    """Stop of an ended run changes nothing; restart begins the run that follows it."""
    done = {"outcome": str(Outcome.APPLIED), "apply_tick": run.tick, "applied_at": timezone.now()}
    with transaction.atomic(using=conf.settings.DATABASE):
        if verb is Verb.RESTART:
            following = intake.succeed(Run.objects.select_for_update().get(id=run.id), UUID(args["next"]))
            _ring(following)
        return _insert(run, Kind.CONTROL, verb, args, actor, client_id, done)


def _check_legal(run: Run, verb: Verb) -> None:
    """Raise where the status does not allow the verb, and say what would be legal."""
    status = Status(run.status)
    legal: frozenset[Verb] = frozenset(Verb)
    if status is Status.STOPPED:
        legal = frozenset({Verb.PAUSE, Verb.RESUME, Verb.STOP, Verb.RESTART})
    elif status in (Status.FINISHED, Status.FAILED):
        legal = frozenset({Verb.STOP, Verb.RESTART})
    elif status is Status.QUARANTINED:
        legal = frozenset({Verb.PAUSE, Verb.RESUME, Verb.STOP, Verb.RESTART})
    if verb not in legal:
        names = ", ".join(sorted(legal))
        raise RunEnded(f"The run is {status}: it cannot {verb}. Legal now: {names}.")


def _direct(run: Run, verb: Verb) -> Status | None:
    """The status that the gateway itself may give a run that nobody holds; None: leave it to the worker."""
    if run.worker_id is not None:
        return None
    return {
        Verb.RESTART: Status.STOPPED,
        Verb.STOP: Status.STOPPED,
        Verb.RESUME: Status.WAITING,
        Verb.PAUSE: Status.PAUSED,
    }.get(verb)


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


# -- looking ------------------------------------------------------------------------------------


def facts(run: Run) -> dict[str, Any]:
    """A run's facts under the names of the contract."""
    return {
        "run": str(run.id),
        "key": run.key,
        "name": run.name,
        "simulation": run.simulation,
        "status": run.status,
        "reason": run.reason,
        "tick": run.tick,
        "progress": run.progress,
        "owner": None if run.owner_id is None else str(run.owner),
        "worker": None if run.worker_id is None else str(run.worker_id),
        "group": run.group_name,
    }


def inspect(
    run: Run | UUID | str, *, actor: Actor | None = None, timeout: float = INSPECT_WAIT
) -> dict[str, Any]:
    """Facts, and the whole state with its position, parameters, figures, commands and error.

    Asks the worker that holds the run to store its state now; where it does
    not answer within `timeout` seconds, the state last stored is given.
    """
    actor = actor or SERVER
    row = get(run, actor=actor)
    if not may_inspect(actor, row):
        raise Forbidden("To inspect a state needs livesim.inspect_run, or to be the owner.")
    metrics: dict[str, Any] = {}
    if row.worker_id is not None and timeout > 0:
        asked = _insert(row, Kind.CONTROL, INSPECT, {}, actor, None, {})
        metrics = (wait(asked, timeout).result or {}).get("metrics", {})
        row.refresh_from_db()
    stored = journal.newest_checkpoint(row.id)
    recent = Command.objects.filter(run=row.id).exclude(name=INSPECT).order_by("-id")[:20]
    return facts(row) | {
        "state": orjson.loads(stored.data)["state"] if stored and stored.data else None,
        "position": None if stored is None else {"tick": stored.tick, "apply_seq": stored.apply_seq},
        "params": row.params,
        "metrics": metrics,
        "commands": [command_facts(command) for command in recent],
        "error": row.error,
    }


def command_facts(command: Command) -> dict[str, Any]:
    """A command under the names of the contract."""
    return {
        "id": command.client_id,
        "command": command.name,
        "args": command.args,
        "sender": command.sender,
        "outcome": command.outcome or "waiting",
        "tick": command.apply_tick,
        "code": command.code,
        "message": command.message,
        "result": command.result,
    }


def stored_view(run: Run, role: Role | str) -> tuple[int, Any] | None:
    """The tick and the view of `role` in the newest checkpoint; None where nothing may be shown of it."""
    row = Checkpoint.objects.filter(run=run.id).order_by("-tick", "-apply_seq").first()
    if row is None:
        return None
    if row.views is not None:
        views = orjson.loads(packed.unpack(bytes(row.views)) or b"{}")
        return row.tick, views.get("all", views.get(str(role)))
    if _shows_state(run):
        data = packed.unpack(bytes(row.data))
        return (row.tick, orjson.loads(data)["state"]) if data else None
    return None


def _shows_state(run: Run) -> bool:
    """Whether everybody sees the whole state, so that a stored state may be shown."""
    try:
        return not registry.get(run.simulation).views_by_role
    except UnknownSimulation:
        return False


def runs(actor: Actor) -> Any:
    """The runs in the list of `actor`, newest first."""
    return visible(actor)


def _async(function: Callable[..., Any]) -> Callable[..., Any]:
    """The async twin: the same function in the thread of the database."""
    twin = database_sync_to_async(function)

    async def call(*args: Any, **kwargs: Any) -> Any:
        return await twin(*args, **kwargs)

    call.__name__ = call.__qualname__ = f"a{function.__name__}"
    call.__doc__ = f"Async twin of `{function.__name__}`."
    return call


aget = _async(get)
astart = _async(start)
asend = _async(send)
acontrol = _async(control)
apause = _async(pause)
aresume = _async(resume)
astep = _async(step)
aspeed = _async(speed)
astop = _async(stop)
arestart = _async(restart)
await_outcome = _async(wait)
aanswers = _async(answers)
ainspect = _async(inspect)
astored_view = _async(stored_view)
