"""A run played again from tick 0: seed and whole journal, through the runtime, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from django_livesim import registry
from django_livesim.models import Checkpoint, Command, Run
from django_livesim.protocol import packed, plain
from django_livesim.protocol.errors import LivesimError
from django_livesim.protocol.names import Kind
from django_livesim.runtime.stepped import Stepped
from django_livesim.simulation import Host
from django_livesim.store import loading
from django_livesim.worker.engine import Catalogue


@dataclass
class History:
    """What a run was at each boundary, by the journal alone."""

    shown: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)
    """By tick and count: the last reference and the mix."""
    hashes: int = 0
    """Checkpoints compared."""
    differing: list[str] = field(default_factory=list)


def play(run: Run, until: int) -> History:
    """Play as far as `until`, and compare each checkpoint that is stored."""
    history = History()
    journal = [loading.entry(row) for row in _rows(run)]
    host = Host(run=loading.run_info(run), live=False)
    program = Stepped(registry.get(run.simulation), host, Catalogue())
    program.begin(None, registry.get(run.simulation).version)
    stored = _checkpoints(run)
    checkpoint = next(stored, None)
    while True:
        _note(history, host, program)
        while checkpoint and checkpoint.tick == host.tick and _is_before(checkpoint, journal):
            _compare(history, checkpoint, program)
            checkpoint = next(stored, None)
        if journal and (journal[0].apply_tick or 0) <= host.tick:
            entry = journal.pop(0)
            if entry.kind is Kind.COMMAND:
                with suppress(LivesimError):
                    program.apply(entry)
        elif host.tick >= until:
            return history
        else:
            program.step()
            host.tick += 1


def _rows(run: Run) -> Any:
    return Command.objects.filter(run=run, apply_seq__isnull=False).order_by("apply_seq")


def _checkpoints(run: Run) -> Iterator[Checkpoint]:
    return Checkpoint.objects.filter(run=run).order_by("tick", "apply_seq").iterator(50)


def _is_before(checkpoint: Checkpoint, journal: list[Any]) -> bool:
    """Whether everything that it holds has been applied."""
    return (
        not journal or journal[0].apply_seq > checkpoint.apply_seq or journal[0].apply_tick > checkpoint.tick
    )


def _note(history: History, host: Host, program: Stepped) -> None:
    view = program.view("view")
    history.shown[host.tick, view["count"]] = (view["last"], view["mix"])


def _compare(history: History, checkpoint: Checkpoint, program: Stepped) -> None:
    data = packed.unpack(bytes(checkpoint.data)) or b""
    history.hashes += 1
    document = orjson.loads(data or b"{}")
    document |= {"state": program.dump(), "random": program.host.random_state()}
    if checkpoint.hash != plain.digest(plain.encode(document)):
        history.differing.append(f"tick {checkpoint.tick}, order {checkpoint.apply_seq}")
