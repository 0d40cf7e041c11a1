"""Commands that are inserted together: one statement and one commit for many.

For a thread and a connection of its own, outside any transaction. Where
the process dies before COMMIT nothing is stored, and after it all is; in
neither case has anybody been answered yet.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections
from django.db.models.base import ModelState
from django.utils import timezone

from django_livesim import conf
from django_livesim.models import Command, Run
from django_livesim.store import intake, locks
from django_livesim.store.journal import DATA_ERRORS

logger = logging.getLogger(__name__)

Wanted = Mapping[str, Any]
"""A command to be stored: the keywords of `intake.insert_command`, `run` among them."""

Key = tuple[UUID, str, str]

FAULTS = (*DATA_ERRORS, locks.Locked)
"""What is said of rows, not of the database; nothing is stored then."""

NO_ANSWER = (DatabaseError, InterfaceError)

BRIEFLY = 10  # milliseconds for a further lock, once one was not to be had: all other commands wait meanwhile


@dataclass(frozen=True)
class Stored:
    """A command that has its row; `created` unless it had it before."""

    command: Command
    created: bool


class RunGone(Exception):
    """The run has been deleted; nothing was stored."""


class RunLocked(Exception):
    """A transaction of somebody else's holds the run; nothing was stored."""


class IdLocked(Exception):
    """A transaction of somebody else's, which has not committed, has the id; nothing was stored."""


class Unfit(Exception):
    """The database takes no such row; nothing was stored."""


class NotStored(Exception):
    """The database does not answer; nothing was stored."""


class NotKnown(Exception):
    """The answer to COMMIT was lost, and no row is to be seen; it may still come."""


Outcome = Stored | Exception


def insert_commands(wanted: Sequence[Wanted]) -> list[Outcome]:
    """Store the commands, in this order; what became of each.

    One that has a row already, by an earlier send or by one before it in
    the batch, gets that row, whatever its body was. Where a row is at fault
    it alone fails, with `RunGone`, `RunLocked`, `IdLocked` or `Unfit`. Where
    the database is away all are `NotStored`; where it went while committing,
    they are looked for, and what is not found is `NotKnown`: it is never
    inserted again.
    """
    first: dict[Key, Wanted] = {}
    for each in wanted:
        first.setdefault(_key(each), each)
    if len(first) == len(wanted):
        return _store(wanted)
    outcomes = dict(zip(first, _store(list(first.values())), strict=True))
    return [_as_seen(outcomes[_key(each)], each is first[_key(each)]) for each in wanted]


def _key(wanted: Wanted) -> Key:
    return wanted["run"], wanted["sender"], wanted["client_id"]


def _as_seen(outcome: Outcome, first: bool) -> Outcome:
    return Stored(outcome.command, False) if isinstance(outcome, Stored) and not first else outcome


def _store(wanted: Sequence[Wanted]) -> list[Outcome]:
    try:
        return _together(wanted)
    except FAULTS as exc:
        return _sifted(wanted, _patience(exc))


def _patience(fault: BaseException) -> int:
    """Milliseconds to wait for a lock after `fault`."""
    return BRIEFLY if isinstance(fault, locks.Locked | IdLocked) else locks.PATIENCE


def _together(wanted: Sequence[Wanted], patience: int = locks.PATIENCE) -> list[Outcome]:
    """Store them in one transaction; raises one of `FAULTS` where it cannot take them all."""
    inserted = False
    try:
        with locks.brief(patience):
            left_out = _left_out({each["run"] for each in wanted})
            rows = _insert([each for each in wanted if each["run"] not in left_out])
            outcomes = [left_out.get(each["run"]) or Stored(next(rows), True) for each in wanted]
            inserted = True
    except FAULTS:
        raise
    except NO_ANSWER as exc:
        logger.warning("%s commands were not stored: %s", len(wanted), exc)
        _hang_up()
        return _read_back(wanted, exc) if inserted else _all(wanted, NotStored, exc)
    return outcomes


def _all(wanted: Sequence[Wanted], kind: type[Exception], exc: Exception) -> list[Outcome]:
    return [kind(str(exc)) for _each in wanted]


def _hang_up() -> None:
    """Close a connection that has failed; the next question makes another."""
    with contextlib.suppress(*NO_ANSWER):
        connections[conf.settings.DATABASE].close()


def _read_back(wanted: Sequence[Wanted], exc: Exception) -> list[Outcome]:
    """What became of commands whose COMMIT was not answered."""
    try:
        found = _find(wanted)
    except NO_ANSWER as again:
        _hang_up()
        return _all(wanted, NotKnown, again)
    rows = [found.get(_key(each)) for each in wanted]
    return [NotKnown(str(exc)) if row is None else Stored(row, True) for row in rows]


def _sifted(wanted: Sequence[Wanted], patience: int) -> list[Outcome]:
    """Store them where some are at fault: those that have a row or no run are taken out first."""
    try:
        found: dict[Key, Outcome] = {key: Stored(row, False) for key, row in _find(wanted).items()}
        runs = _existing({each["run"] for each in wanted})
    except NO_ANSWER as exc:
        _hang_up()
        return _all(wanted, NotStored, exc)
    for each in wanted:
        if each["run"] not in runs:
            found[_key(each)] = RunGone()
    rest = [each for each in wanted if _key(each) not in found]
    try:
        stored = _together(rest, patience) if rest else []
    except FAULTS as exc:
        stored = list(_one_by_one(rest, min(patience, _patience(exc))))
    found.update(zip(map(_key, rest), stored, strict=True))
    return [found[_key(each)] for each in wanted]


def _one_by_one(wanted: Sequence[Wanted], patience: int) -> Iterator[Outcome]:
    """Store each in a transaction of its own; none any more once the database is away.

    After one that finds its run locked the others of that run are left, too:
    it is to be tried again, and must not be stored after them.
    """
    away: Outcome | None = None
    locked: dict[UUID, Outcome] = {}
    for each in wanted:
        outcome = away or locked.get(each["run"]) or _alone(each, patience)
        match outcome:
            case NotStored() | NotKnown():
                away = NotStored(*outcome.args)
            case RunLocked():
                locked[each["run"]] = outcome
            case IdLocked():
                patience = _patience(outcome)
        yield outcome


def _alone(wanted: Wanted, patience: int) -> Outcome:
    try:
        return _together([wanted], patience)[0]
    except FAULTS as exc:
        fault = exc
    try:
        if row := _find([wanted]).get(_key(wanted)):
            return Stored(row, False)
        if not _existing([wanted["run"]]):
            return RunGone()
    except NO_ANSWER as exc:
        _hang_up()
        return NotStored(str(exc))
    if isinstance(fault, locks.Locked):
        return IdLocked(str(fault))
    logger.error("a command cannot be stored run=%s", wanted["run"], exc_info=fault)
    return Unfit(str(fault))


def _find(wanted: Sequence[Wanted]) -> dict[Key, Command]:
    """The rows that there are, in one query."""
    runs, senders, ids = (set(each) for each in zip(*map(_key, wanted), strict=True))
    rows = Command.objects.filter(run__in=runs, sender__in=senders, client_id__in=ids)
    return {(row.run_id, row.sender, row.client_id): row for row in rows}


def _existing(runs: Collection[UUID]) -> set[UUID]:
    return set(Run.objects.filter(id__in=list(runs)).values_list("id", flat=True))


def _left_out(runs: Collection[UUID]) -> dict[UUID, Exception]:
    """The runs for which nothing can be inserted now, and why.

    On PostgreSQL the others can be neither deleted nor locked before the
    transaction's end, so that COMMIT, which looks at foreign keys, waits for
    nobody. Elsewhere COMMIT raises where one is gone.
    """
    connection = connections[conf.settings.DATABASE]
    if connection.vendor != "postgresql":
        return {}
    table = connection.ops.quote_name(Run._meta.db_table)
    free = f"SELECT id FROM {table} WHERE id = ANY(%s) FOR KEY SHARE SKIP LOCKED"  # noqa: S608  (a name of ours)
    with connection.cursor() as cursor:
        cursor.execute(free, [list(runs)])
        left = set(runs) - {found for (found,) in cursor.fetchall()}
    if not left:
        return {}
    locked = _existing(left)
    return {run: RunLocked() if run in locked else RunGone() for run in left}


# -- one statement for many rows ---------------------------------------------------------------------

GIVEN = (
    "run_id",
    "args",
    "created_at",
    "kind",
    "name",
    "sender",
    "client_id",
    "body_hash",
    "durable",
    "due_tick",
    "every",
    "series",
)
"""The columns that a batch fills; all others are empty in a new row."""

ADAPTED = 3
"""So many of them, the first, are not what the database takes."""


def _insert(wanted: Sequence[Wanted]) -> Iterator[Command]:
    """Their new rows. One that is due by the database's clock has a statement of its own."""
    connection = connections[conf.settings.DATABASE]
    several = connection.features.can_return_rows_from_bulk_insert
    size = max(1, connection.ops.bulk_batch_size(GIVEN, wanted))
    for plain, group in groupby(wanted, lambda each: several and each.get("due_at") is None):
        if plain:
            alike = list(group)
            for start in range(0, len(alike), size):
                yield from _insert_some(connection, alike[start : start + size])
        else:
            for each in group:
                yield intake.create_command(**each)


def _insert_some(connection: Any, wanted: Sequence[Wanted]) -> Iterator[Command]:
    """One INSERT. Django's own takes three times as long, most of it for columns that are empty."""
    fields = {each.attname: each for each in Command._meta.concrete_fields}
    blank = {name: each.get_default() for name, each in fields.items()} | {"created_at": timezone.now()}
    run, args, created = (fields[name].get_db_prep_save for name in GIVEN[:ADAPTED])
    runs = {each: run(each, connection) for each in {each["run"] for each in wanted}}
    created_at = created(blank["created_at"], connection)
    plain = itemgetter(*GIVEN[ADAPTED:])
    rows = [_row(blank, **each) for each in wanted]
    given: list[Any] = []
    for row in rows:
        given += runs[row["run_id"]], args(row["args"], connection), created_at, *plain(row)
    with connection.cursor() as cursor:
        cursor.execute(_statement(connection, len(rows)), given)
        ids = sorted(found for (found,) in cursor.fetchall())
    for pk, row in zip(ids, rows, strict=True):
        row["id"] = pk
        yield _instance(connection.alias, row)


def _instance(alias: str, row: Mapping[str, Any]) -> Command:
    """As `Command.from_db`, which takes as long as all else that is done for a row here."""
    command = Command.__new__(Command)
    command._state = ModelState()
    command._state.adding, command._state.db = False, alias
    vars(command).update(row)
    return command


def _row(blank: Mapping[str, Any], *, run: UUID, kind: str, **given: Any) -> dict[str, Any]:
    """All columns, in the order of the fields."""
    return {**blank, **given, "run_id": run, "kind": str(kind)}


def _statement(connection: Any, rows: int) -> str:
    quote, fields = connection.ops.quote_name, Command._meta.concrete_fields
    empty = [each.column for each in fields if not (each.null or each.primary_key or each.attname in GIVEN)]
    columns = ", ".join(map(quote, [*GIVEN, *empty]))
    one = "(" + ", ".join(["%s"] * len(GIVEN) + ["''"] * len(empty)) + ")"
    values = ", ".join([one] * rows)
    table, key = quote(Command._meta.db_table), quote("id")
    return f"INSERT INTO {table} ({columns}) VALUES {values} RETURNING {key}"  # noqa: S608  (names of ours)
