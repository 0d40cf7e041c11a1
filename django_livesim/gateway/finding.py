"""Which run is meant, and whether the one who asks may know of it."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from django_livesim import permissions
from django_livesim.models import Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol import plain
from django_livesim.protocol.errors import NoRun

SERVER = Actor.from_process("server")
"""Who asks where nobody is named: the server's own code, trusted."""


def get(
    ref: Run | UUID | str,
    *,
    actor: Actor | None = None,
    level: Level = Level.VIEW,
    command: str | None = None,
    lock: bool = False,
) -> Run:
    """The run that `ref` names: a row, a uuid, a key, or `simulation:key`.

    `command` names what is about to be sent, where that is why it is asked.
    With `lock`, which needs a transaction, nobody else changes the row before its end.

    Raises `NoRun` where there is none that the actor may know of, `Forbidden`
    where the actor may see it but lacks `level`.
    """
    run = _find(ref.id if isinstance(ref, Run) else ref, lock)  # a row in hand may be old
    return allowed(run, ref, actor or SERVER, level, command)


def allowed(
    run: Run | None, ref: Run | UUID | str, actor: Actor, level: Level, command: str | None = None
) -> Run:
    """`run`, which was found for `ref`, where the actor has `level` on it; raises as `get`."""
    if run is None or permissions.level(actor, run) is None:
        raise NoRun(
            _("There is no run %(ref)r that you may see. The list of runs shows what there is.")
            % {"ref": str(ref)[:80]}
        )
    permissions.require(actor, level, run, command)
    return run


def _find(ref: UUID | str, lock: bool) -> Run | None:
    runs = Run.objects.select_for_update() if lock else Run.objects.all()
    if isinstance(ref, UUID):
        return runs.filter(id=ref).first()
    try:
        return runs.filter(id=UUID(ref)).first()
    except ValueError:
        pass
    if plain.storable(ref) != ref:
        return None
    simulation, colon, key = ref.partition(":")
    found = list(runs.filter(Q(key=ref) | Q(simulation=simulation, key=key) if colon else Q(key=ref))[:2])
    if len(found) > 1:
        several = _("Several runs have the key %(key)r; write simulation:key, or the run's uuid.")
        raise NoRun(several % {"key": ref})
    return found[0] if found else None


def ids_from(term: str) -> Q:
    """The run of that uuid, or those whose ids begin so; as a range, which every database can look up."""
    digits = term.replace("-", "").lower()
    if not 4 <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return Q(pk__in=[])
    return Q(pk__gte=UUID(digits.ljust(32, "0")), pk__lte=UUID(digits.ljust(32, "f")))
