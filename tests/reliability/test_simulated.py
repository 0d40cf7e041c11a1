"""Several workers over a database that fails: seeded worlds, and what is found where something is missing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.reliability.controls import CONTROLS
from tests.reliability.simulate import again, play, world
from tests.reliability.witness import Rule, Violation
from tests.reliability.world import World, silence

SEEDS = 300
TROUBLES = (
    "cut off from the database",
    "outages",
    "processes ended",
    "stopped and continued",
    "writes of zombies refused",
)
WITHIN = 300
"""Worlds within which each control must be found out."""


def test_in_every_world_the_promises_are_kept() -> None:
    """And the worlds have all the troubles that they are there for."""
    played = play(range(SEEDS))
    for seed, text in played.broken[:1]:
        one = world(seed)
        with silence(), pytest.raises(Violation):
            one.run()
        pytest.fail(f"{one.tail()}\nseed {seed}: {text}\n{again(seed)}")
    for trouble in TROUBLES:
        assert played.counts[trouble] > SEEDS / 20, trouble
    assert played.counts["acknowledged"] > 10 * SEEDS
    assert played.counts["frames seen"] > 50 * SEEDS


@pytest.mark.parametrize("without", CONTROLS)
def test_what_is_missing_is_found_out(without: str) -> None:
    control = CONTROLS[without]
    with silence():
        found = ((seed, rule) for seed in range(WITHIN) if (rule := broken(world(seed, without))))
        seed, rule = next(found, (None, None))
    assert rule, f"{WITHIN} worlds without {control.missing}, and nobody has noticed"
    assert rule in control.breaks, again(seed, without)


def broken(one: World) -> Rule | None:
    """The first rule that a world breaks."""
    try:
        one.run()
    except Violation as violation:
        return violation.rule
    return None


def test_a_violation_of_a_rule_that_is_not_watched_over_is_passed_over() -> None:
    one = world(0)
    one.witness.rules -= {Rule.LOST}
    one.witness.demand(False, Rule.LOST, "something")
    with pytest.raises(Violation, match="no command takes effect twice: anna-1"):
        one.witness.demand(False, Rule.ONCE, "anna-1")


def test_one_seed_is_one_history_in_every_process() -> None:
    """Whatever the hashes of strings are there."""
    command = [sys.executable, *again(7).split()[1:]]
    told = {
        subprocess.run(
            command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=False
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert len(told.pop().splitlines()) > 90
