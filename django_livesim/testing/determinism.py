"""Whether a class comes to the same when it is played again: what an heir of its worker relies on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django_livesim.protocol.names import SET
from django_livesim.testing.asking import clean_args, clean_params, definition_of
from django_livesim.testing.child import play_elsewhere
from django_livesim.testing.differing import difference
from django_livesim.testing.playing import Command, Player, Positions, read

HASH_SEEDS = ("1", "2", "3")  # a set of two texts has the same order under one in two

HINT = (
    "Take random numbers from self.random alone, keep all that matters in the state, and in step read no"
    " clock, no table, and no set in the order in which it comes. In view and metrics change nothing, and"
    " draw no numbers: how often they are called depends on who watches."
)


def assert_deterministic(
    simulation: Any,
    params: Mapping[str, Any] | None = None,
    *,
    seed: int = 1,
    steps: int = 100,
    commands: Iterable[Command] = (),
    new_process: bool = False,
) -> None:
    """Play a class twice, and once with a worker that dies in the middle; every tick must be the same.

    `commands` are tuples of the tick after which one acts, its name and its
    arguments. With `new_process`, it is played in new processes too, in
    which sets have another order. Raises AssertionError with the first tick
    and path that differ, BadState for a state that cannot be stored, and
    ValueError for a simulation that does not claim to be deterministic.
    """
    definition = definition_of(simulation)
    if not definition.deterministic:
        raise ValueError(
            f"{definition.name} does not claim to be deterministic."
            " Expected: a class, and not deterministic = False."
        )
    given = clean_params(definition, params or {})
    cleaned = list(_cleaned(definition, given, commands))
    first = _played(definition, given, seed, steps, cleaned)
    _compare(definition.name, first, _played(definition, given, seed, steps, cleaned), "played a second time")
    crash = 2 * steps // 3
    heirs = _played(definition, given, seed, steps, cleaned, store=steps // 3, crash=crash)
    _compare(definition.name, first, heirs, f"with a crash at tick {crash}")
    if new_process:
        for positions in play_elsewhere(definition, given, seed, steps, cleaned, hash_seeds=HASH_SEEDS):
            _compare(definition.name, first, positions, "in a new process")


def _cleaned(definition: Any, params: Mapping[str, Any], commands: Iterable[Command]) -> Iterator[Command]:
    """The commands in their order, each as it is stored."""
    present = dict(params)
    for tick, name, args in sorted(commands, key=lambda command: command[0]):
        args = clean_args(definition, name, args, present)
        if name == SET:
            present |= args
        yield tick, name, args


def _played(
    definition: Any,
    params: Mapping[str, Any],
    seed: int,
    steps: int,
    commands: Iterable[Command],
    *,
    store: int | None = None,
    crash: int | None = None,
) -> Positions:
    """The positions of one play; of one that crashes, those of the heir."""
    player = Player(definition, params, seed, commands)
    if store is not None and crash is not None:
        player.play(store)
        player.store()
        player.play(crash)
        player.trial.crash()
        player.positions.clear()
    player.play(steps)
    player.trial.close()
    return player.positions


def _compare(name: str, first: Positions, again: Positions, how: str) -> None:
    for tick in sorted(first.keys() | again.keys()):
        if tick < min(again):
            continue
        found = _difference(first.get(tick), again.get(tick))
        if found:
            raise AssertionError(f"{name} is not deterministic: {how}, at tick {tick} {found}. {HINT}")


def _difference(was: bytes | None, now: bytes | None) -> str | None:
    if was == now:
        return None
    if was is None or now is None:
        return "it goes on where it ended" if was is None else "it has ended where it went on"
    before, after = read(was), read(now)
    for part in ("state", "view", "result"):
        if found := difference(before.get(part), after.get(part), part):
            return found
    return "self.random has been asked another number of times"
