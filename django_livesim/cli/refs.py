"""Which run is meant: by id, by the beginning of an id, by key, or by simulation and key."""

from __future__ import annotations

import re
from uuid import UUID

from django_livesim import gateway
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import BadArgs, NoRun
from django_livesim.protocol.names import Kind

PREFIX = re.compile(r"[0-9a-f]{8,31}\Z")
ADVICE = "Give an id, at least 8 of its digits, a key, or simulation:key; `livesim list` shows them."


def cli_actor() -> Actor:
    """Whoever may run management commands may do everything."""
    return Actor.from_process("cli")


def find_run(ref: str) -> Run:
    """The run that `ref` names. Raises NoRun that says what would have been one."""
    try:
        return gateway.get(ref, actor=cli_actor())
    except NoRun as exc:
        digits = ref.lower().replace("-", "")
        if PREFIX.match(digits):
            return _by_prefix(ref, digits)
        raise NoRun(f"{exc.message.rstrip('.')}. {ADVICE}") from exc


def _by_prefix(ref: str, digits: str) -> Run:
    low, high = (UUID(digits.ljust(32, fill)) for fill in "0f")
    found: list[Run] = list(Run.objects.filter(id__gte=low, id__lte=high)[:2])
    if len(found) == 1:
        return found[0]
    problem = "more than one run" if found else "no run"
    raise NoRun(f"There is {problem} whose id begins {ref!r}. {ADVICE}")


def find_command(run: Run, client_id: str) -> Command:
    """The run's command of that id. Raises BadArgs where there is none, or where several senders have one."""
    found = list(Command.objects.filter(run=run.id, client_id=client_id, kind=str(Kind.COMMAND))[:2])
    if len(found) == 1:
        return found[0]
    several = "The commands of several senders have" if found else "No command of this run has"
    raise BadArgs(f"{several} the id {client_id!r}. `livesim inspect` shows the last ones.")
