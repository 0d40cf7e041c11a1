"""Follow a run by its rows alone: status, stored states, outcomes of commands, and the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from django.db.models import Q

from django_livesim import gateway
from django_livesim.cli.refs import cli_actor
from django_livesim.models import Checkpoint, Command, Run
from django_livesim.protocol.errors import NoRun
from django_livesim.protocol.names import INSPECT, Outcome, Status
from django_livesim.store import loading

Line = dict[str, Any]


class Watcher:
    """One person's look at one run.

    `look` gives what has changed since the last look, each a dict whose
    `type` is `status` (all facts of the run), `snapshot` (`tick`, `state`),
    `applied` or `refused` (`id`, `command`, `tick`, `result`, `code`,
    `message`) or `end` (`status`, `result`, `error`, `next`). A snapshot is a
    state that the worker has stored: by itself every few seconds and when the
    run pauses or ends, and when it is asked. What passed between two looks
    and is no command is not shown.
    """

    def __init__(self, run: Run) -> None:
        self.id = run.id
        self.ended = False
        self._shown: Line | None = None
        self._position: tuple[int, int] | None = None
        self._last_seq = run.next_seq - 1
        self._waiting: set[int] = set()

    def look(self) -> Iterator[Line]:
        """What is new. Raises NoRun where the run has been deleted."""
        run = Run.objects.filter(id=self.id).prefetch_related("owner").first()
        if run is None:
            raise NoRun("The run was deleted while it was watched. `livesim list` shows what there is.")
        yield from self._verdicts(run)
        yield from self._status(run)
        yield from self._snapshot(run)
        if run.ended and not self.ended:
            self.ended = True
            yield self._end(run)

    def ask(self, timeout: float) -> None:
        """Have the worker store the state of now; waits for it at most `timeout` seconds.

        A row of the journal each time, so one that it has not answered is not followed by another.
        """
        unanswered = Command.objects.filter(run=self.id, name=INSPECT, outcome=str(Outcome.NONE))
        held = Run.objects.filter(id=self.id, status=str(Status.RUNNING)).exclude(worker=None)
        if held.exists() and not unanswered.exists():
            gateway.inspect(self.id, actor=cli_actor(), timeout=timeout)

    def _status(self, run: Run) -> Iterator[Line]:
        shown = {"type": "status"} | gateway.facts(run) | {"speed": run.speed}
        if shown != self._shown:
            self._shown = shown
            yield shown

    def _snapshot(self, run: Run) -> Iterator[Line]:
        newest = Checkpoint.objects.filter(run=run.id).order_by(*loading.NEWEST)
        position = newest.values_list("tick", "apply_seq").first()
        if position is None or position == self._position:
            return
        stored = loading.newest_checkpoint(run.id)
        if stored is None or not stored.data:
            return
        self._position = (stored.tick, stored.apply_seq)
        state = orjson.loads(stored.data)["state"]
        yield {"type": "snapshot", "run": str(run.id), "tick": stored.tick, "state": state}

    def _verdicts(self, run: Run) -> Iterator[Line]:
        asked = Command.objects.filter(run=run.id).exclude(name=INSPECT)
        new = asked.filter(Q(apply_seq__gt=self._last_seq) | Q(id__in=self._waiting))
        for row in new.exclude(outcome=str(Outcome.NONE)).order_by("apply_seq", "id"):
            self._last_seq = max(self._last_seq, row.apply_seq or 0)
            self._waiting.discard(row.pk)
            yield outcome_line(row)
        self._waiting |= set(asked.filter(outcome=str(Outcome.NONE)).values_list("pk", flat=True))

    def _end(self, run: Run) -> Line:
        following = Run.objects.filter(parent=run.id, parent_tick=None).order_by("-created_at").first()
        return {
            "type": "end",
            "run": str(run.id),
            "status": run.status,
            "result": run.result,
            "error": run.error,
            "next": str(following.id) if following else None,
        }


def outcome_line(row: Command) -> Line:
    """What became of a command, under the names of the contract."""
    return {
        "type": row.outcome,
        "run": str(row.run_id),
        "id": row.client_id,
        "command": row.name,
        "tick": row.apply_tick,
        "result": row.result,
        "code": row.code,
        "message": row.message,
    }
