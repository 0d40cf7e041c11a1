"""One look: what is a worker's own, and whether there is anything to do."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_livesim.models import Command, Run
from django_livesim.protocol.names import Kind, Status
from django_livesim.protocol.records import Position
from django_livesim.store import identity, leases, looking
from django_livesim.store.looking import Look

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def me() -> UUID:
    return leases.register(identity.this_process(), ["default"])


def look(me: UUID, **fields: Any) -> Look:
    return looking.look(me, **{"queues": ["default"], "simulations": {"counter": 1}} | fields)


def run(**fields: Any) -> Run:
    return Run.objects.create(**{"simulation": "counter"} | fields)


def send(to: Run, **fields: Any) -> Command:
    facts = {"kind": str(Kind.COMMAND), "name": "add", "sender": "me", "client_id": uuid.uuid4().hex}
    return Command.objects.create(run=to, **facts | fields)


def test_a_worker_without_anything_to_do_sees_its_runs_and_nothing_else(me):
    one, two = run(worker_id=me, epoch=3), run(worker_id=me, epoch=4, status=Status.PAUSED)
    run(worker_id=leases.register(identity.this_process(), ["default"]), epoch=1)
    run(status=Status.STOPPED)
    run(simulation="unknown")
    run(queue="heavy")
    run(version=2)
    run(source="external")
    with CaptureQueriesContext(connection) as captured:
        seen = look(me)
    assert len(captured) == 1
    assert seen == Look(mine={one.id: 3, two.id: 4}, free=False, commands=False, orphans=False)


def test_a_worker_that_holds_nothing_or_has_no_row_or_no_code_sees_nothing(me):
    nothing = Look(mine={}, free=False, commands=False, orphans=False)
    assert look(me) == look(uuid.uuid4()) == look(me, simulations={}) == look(me, queues=[]) == nothing


def test_what_nobody_alive_holds_is_free(me):
    peer = leases.register(identity.this_process(), ["default"])
    run(worker_id=peer, epoch=1)
    assert not look(me).free
    leases.leave(peer)
    assert look(me).free
    Run.objects.all().delete()
    assert not look(me).free
    run()
    assert look(me).free


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({}, True),
        ({"kind": str(Kind.CONTROL), "name": "pause"}, True),
        ({"due_tick": 50}, True),
        ({"due_tick": 10**9}, False),
        ({"apply_seq": 1, "outcome": "applied"}, False),
        ({"outcome": "refused"}, False),
    ],
)
def test_commands_of_its_runs_that_wait_are_seen(me, fields, seen):
    send(run(worker_id=me, epoch=1), **fields)
    assert look(me).commands == seen


@pytest.mark.parametrize(("seconds", "seen"), [(-5, True), (1, True), (60, False)])
def test_a_command_for_later_is_seen_when_it_is_due_soon(me, seconds, seen):
    send(run(worker_id=me, epoch=1), due_at=timezone.now() + timedelta(seconds=seconds))
    assert look(me).commands == seen


def test_commands_of_other_runs_are_not_its_own_and_those_of_ended_runs_are_seen_where_that_is_asked(me):
    send(run())
    assert (look(me).commands, look(me).orphans) == (False, False)
    send(run(status=Status.FINISHED))
    assert (look(me).commands, look(me).orphans) == (False, True)
    assert not look(me, orphans=False).orphans


def test_runs_that_were_deleted_or_taken_or_claimed_anew_are_lost(me):
    kept, taken, anew, gone = (run(worker_id=me, epoch=1) for _ in range(4))
    held = {each.id: Position(1, 0) for each in (kept, taken, anew, gone)}
    assert look(me).lost(held) == frozenset()
    Run.objects.filter(id=taken.id).update(worker=None)
    Run.objects.filter(id=anew.id).update(epoch=2)
    gone_id = gone.id
    gone.delete()
    assert look(me).lost(held) == {taken.id, anew.id, gone_id}
