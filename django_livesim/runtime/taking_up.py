"""Taking a run up: states that older code has stored, checkpoints that cannot be used, what is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django_livesim.protocol.errors import BadState
from django_livesim.protocol.records import DAMAGED, Held, Passed, Stored
from django_livesim.runtime.ports import Definition

Upgrade = Callable[[dict[str, Any], int], dict[str, Any]]


def upgraded(
    definition: Definition, state: dict[str, Any], from_version: int, upgrade: Upgrade | None
) -> dict[str, Any]:
    """The state of an older version as the present one has it, and any other as it is.

    Raises BadState where the author's `upgrade` gives anything but a dict, and what it raises itself.
    """
    if upgrade is None or from_version >= definition.version:
        return state
    present = upgrade(state, from_version)
    if not isinstance(present, dict):
        raise BadState(
            f"upgrade() of {definition.name} gave {type(present).__name__} for a state of version"
            f" {from_version}. Expected: the state of version {definition.version}, a dict."
        )
    return present


def is_taken_over(held: Held, definition: Definition) -> bool:
    """Whether older code has stepped the run: the same commands may come out differently now."""
    return held.begun and held.version < definition.version


def stored_tick(held: Held) -> int:
    """The tick from which the run goes on, or is played again."""
    return held.stored.tick if held.stored is not None and held.stored.data else 0


def loses_ticks(held: Held, definition: Definition) -> bool:
    """Whether ticks that were told of come again, and may come out differently."""
    alike = definition.deterministic and not is_taken_over(held, definition)
    return not alike and held.tick > stored_tick(held)


def unusable(stored: Stored, exc: BaseException) -> Passed:
    """A checkpoint that raised; the exception's own text is for the log."""
    why = exc.message if isinstance(exc, BadState) else f"its code raised {type(exc).__name__}"
    return Passed(stored.tick, stored.apply_seq, why)


def refuse_nothing(held: Held, definition: Definition) -> None:
    """Raise BadState where there were checkpoints and none can be taken up, unless all can be played again.

    That is so where they were all damaged, the simulation is deterministic and its journal is whole: from
    the first place on, with no gap, as it has where old commands were pruned.
    """
    if not held.passed or held.stored is not None:
        return
    whole = [each.apply_seq for each in held.journal] == list(range(1, held.next_seq))
    at_fault = any(passed.why != DAMAGED for passed in held.passed)
    if at_fault or not definition.deterministic or not whole:
        raise BadState(f"None of its stored states can be taken up: {said(held.passed)}.")


def said(passed: Iterable[Passed]) -> str:
    """The checkpoints that were passed over, in words."""
    return "; ".join(f"that of tick {each.tick}: {each.why}" for each in passed)


def told(held: Held, definition: Definition, *, loses_ticks: bool = False) -> str:
    """The reason of the status with which a run is taken up; `loses_ticks` where nothing is played again."""
    tick = stored_tick(held)
    lost = held.tick - tick if loses_ticks and tick else 0
    reason = ""
    if is_taken_over(held, definition):
        reason = f"taken over by version {definition.version} from tick {tick}"
    elif lost > 0:
        reason = f"recovered from tick {tick}"
    elif held.stored is not None and held.stored.data:
        reason = f"goes on from tick {held.tick}"
    if lost > 0:
        reason += f", {lost} ticks lost"
    if held.passed:
        reason += f"; a stored state could not be taken up, {said(held.passed)}"
    return reason.removeprefix("; ")
