"""`assert_deterministic` lets those pass that are, and names the first difference of those that are not."""

from __future__ import annotations

import re

import pytest

from django_livesim import BadArgs
from django_livesim.protocol.errors import BadState, UnknownCommand
from django_livesim.simulation import Loop
from django_livesim.testing import RunFailed, assert_deterministic
from django_livesim.testing.differing import difference
from tests.testing import simulations as these

COMMANDS = [
    (40, "clear", {"cell": 1}),
    (0, "clear", {"cell": 0}),
    (66, "clear", {"cell": 2}),
    (100, "end", {}),
]


@pytest.mark.parametrize("simulation", [these.Good, these.Played])
def test_what_is_deterministic_passes(simulation):
    assert_deterministic(simulation)
    assert_deterministic(simulation, {"size": 5}, seed=7, steps=250, commands=COMMANDS[:3])


@pytest.mark.parametrize("simulation", [these.Good, these.Played])
def test_so_it_does_in_other_processes(simulation):
    assert_deterministic(simulation, {"size": 5}, commands=COMMANDS[:3], new_process=True)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 7])
def test_few_steps_will_do(steps):
    assert_deterministic(these.Good, steps=steps)


@pytest.mark.parametrize("ended", [0, 10, 60, 70])
def test_a_run_that_ends_on_the_way_is_compared_as_far_as_it_goes(ended):
    assert_deterministic(these.Good, commands=[(ended, "end", {})], new_process=ended == 70)


def fails(simulation, **options):
    with pytest.raises(AssertionError) as caught:
        assert_deterministic(simulation, **options)
    return str(caught.value)


def test_numbers_of_another_generator_are_caught_with_tick_and_path():
    text = fails(these.Dice)
    found = (
        r'dice is not deterministic: played a second time, at tick 1 state\["cells"\]\[1\] is 0\.\d+ where'
    )
    assert re.match(found, text)
    assert "no table, and no set in the order in which it comes." in text


def test_what_the_class_keeps_is_caught():
    these.Shared.made.clear()
    expected = 'played a second time, at tick 1 state["by_name"]["made"] is 101 where it was 1.'
    assert fails(these.Shared).startswith(f"shared is not deterministic: {expected}")


def test_what_a_crash_loses_is_caught():
    text = fails(these.Forgetful)
    expected = 'with a crash at tick 66, at tick 66 state["by_name"]["count"] is 33 where it was 66.'
    assert text.startswith(f"forgetful is not deterministic: {expected}")


def test_a_number_drawn_too_much_is_caught_though_the_state_is_the_same():
    assert "self.random has been asked another number of times" in fails(these.Wasteful)


def test_another_end_is_caught():
    assert "at tick 81 it goes on where it ended" in fails(these.Ending)


def test_the_order_of_a_set_is_caught_by_a_new_process_and_by_that_alone():
    assert_deterministic(these.Ordered)
    text = fails(these.Ordered, new_process=True)
    expected = 'in a new process, at tick 1 the keys of state["by_name"] come in the order ['
    assert text.startswith(f"ordered is not deterministic: {expected}")


def test_a_class_inside_a_function_cannot_be_played_elsewhere():
    class Inner(these.Good):
        pass

    assert_deterministic(Inner)
    with pytest.raises(ValueError, match="Inner cannot be imported by a new process"):
        assert_deterministic(Inner, new_process=True)


def test_what_goes_wrong_elsewhere_is_told(monkeypatch):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.no_such_settings")
    with pytest.raises(RuntimeError, match="could not be played in a new process:(.|\n)*no_such_settings"):
        assert_deterministic(these.Good, new_process=True)


def test_what_does_not_claim_to_be_deterministic_is_not_asked():
    async def loop(sim): ...

    class Free(these.Good):
        deterministic = False

    for simulation in (Loop(loop), Free):
        with pytest.raises(ValueError, match="does not claim to be deterministic"):
            assert_deterministic(simulation)


def test_bad_input_is_refused_before_anything_is_played():
    with pytest.raises(BadArgs):
        assert_deterministic(these.Good, {"size": "many"})
    with pytest.raises(BadArgs):
        assert_deterministic(these.Good, commands=[(1, "clear", {})])
    with pytest.raises(UnknownCommand):
        assert_deterministic(these.Good, commands=[(1, "fly", {})])


def test_failures_and_states_that_cannot_be_stored_are_raised_as_they_are():
    class Broken(these.Good):
        def step(self, dt):
            if self.tick == 5:
                raise ZeroDivisionError

    class Paired(these.Good):
        def step(self, dt):
            self.state["pair"] = (1, 2)

    with pytest.raises(RunFailed):
        assert_deterministic(Broken)
    with pytest.raises(BadState, match=r'state\["pair"\] is of type tuple'):
        assert_deterministic(Paired)


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, 'x["a"][1]["b"] is 3 where it was 2'),
        ({"a": 1}, {"a": 1.0}, 'x["a"] is 1.0 where it was 1'),
        ({"a": 1}, {"a": True}, 'x["a"] is True where it was 1'),
        ({"a": 1}, {}, "x has no 'a', which it had"),
        ({}, {"a": 1}, "x has 'a', which it had not"),
        ([1], [1, 2], "x has 2 items where it had 1"),
        ([1, 2], [3], "x[0] is 3 where it was 1"),
        (
            {"a": 1, "b": 2},
            {"b": 2, "a": 1},
            "the keys of x come in the order ['b', 'a'] where it was ['a', 'b']",
        ),
        ("a" * 90, 1, "x is 1 where it was '" + "a" * 75 + " ..."),
        ({"a": [None]}, {"a": [None]}, None),
    ],
)
def test_differences_are_named_by_their_path(was, now, words):
    assert difference(was, now, "x") == words
