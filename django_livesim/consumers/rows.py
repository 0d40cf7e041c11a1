"""The rows, read for the hub."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ParamSpec, TypeVar
from uuid import UUID

import orjson
from channels.db import database_sync_to_async

from django_livesim import conf, gateway, permissions
from django_livesim.bus.rows import Facts, Rows
from django_livesim.bus.watch import AWAY
from django_livesim.consumers.together import Together
from django_livesim.gateway.senders import names_of
from django_livesim.models import Command, Run
from django_livesim.protocol.frames import Verdict
from django_livesim.protocol.names import EXTERNAL

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8  # and so connections to the database, at most, that all sockets of a process take

_executor = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="livesim-database")


def in_database(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """`function` for coroutines: it runs in one of our own threads.

    Channels has one thread for every consumer's queries; a slow one of
    somebody else's would hold up all sockets. Who stops waiting leaves the
    thread to end by itself, which it does: the question is given up.
    """
    twin: Callable[P, Awaitable[T]] = database_sync_to_async(
        gateway.asked(function), thread_sensitive=False, executor=_executor
    )
    return twin


def facts_of(runs: Sequence[Run]) -> dict[UUID, Facts]:
    """What viewers are told of the rows of these runs."""
    following = _successors([run.id for run in runs if run.ended])
    return {run.id: _facts(run, following.get(run.id)) for run in runs}


def _facts(run: Run, following: UUID | None) -> Facts:
    return Facts(
        status=run.status,
        reason=run.reason,
        tick=run.tick,
        progress=run.progress,
        speed=run.speed,
        epoch=run.epoch,
        worker=run.worker_id,
        result=run.result,
        next=following,
        produced=run.simulation == EXTERNAL,
        sharing=(run.visibility, run.link_token, run.owner_id),
    )


def _successors(run_ids: list[UUID]) -> dict[UUID, UUID]:
    """The runs that restarts began, by those before them; a fork has a `parent_tick` and is none."""
    if not run_ids:
        return {}
    following = Run.objects.filter(parent__in=run_ids, parent_tick=None).order_by("created_at")
    return {parent: run for parent, run in following.values_list("parent", "id") if parent is not None}


def verdict_of(command: Command) -> Verdict:
    """The outcome in a command's row."""
    verdict = Verdict(
        sender=command.sender,
        id=command.client_id,
        command=command.name,
        outcome=command.outcome,
        tick=command.apply_tick or 0,
        result=orjson.dumps(command.result).decode(),
        code=command.code,
        message=command.message,
    )
    return verdict.within(conf.settings.MAX_FRAME_BYTES)


def facts_of_all(run_ids: list[UUID]) -> dict[UUID, Facts]:
    """Of those there are, with the beats of their workers."""
    runs = list(Run.objects.filter(id__in=run_ids).select_related("worker").defer("worker__load"))
    facts = facts_of(runs)
    return {run.id: replace(facts[run.id], beat=run.worker.beat if run.worker else None) for run in runs}


@in_database
def read_stored_view(run_id: UUID, role: str) -> tuple[int, bytes] | None:
    run = Run.objects.filter(id=run_id).first()
    found = gateway.stored_view(run, role) if run else None
    if found is None or found[1] is None:
        return None
    tick, view = found
    return tick, orjson.dumps(view)


@in_database
def read_answers(run_id: UUID, asked: Sequence[tuple[str, str]]) -> list[Verdict]:
    return [verdict_of(row) for row in gateway.answers(run_id, asked)]


@in_database
def read_names(senders: Sequence[str]) -> dict[str, str]:
    return names_of(senders)


read_facts = Together(in_database(facts_of_all), AWAY)
ROWS = Rows(
    facts=read_facts,
    stored_view=read_stored_view,
    answers=read_answers,
    names=read_names,
    know_senders=permissions.KNOW_SENDERS,
)
