"""How a simulation is tested: with no worker, Redis, database or time."""

# ruff: noqa: PT009, PT027  (for `manage.py test`, which is unittest)

from __future__ import annotations

import unittest
from typing import Any

from django_livesim import BadArgs
from django_livesim.testing import Trial, assert_deterministic
from sandbox.orbit.simulations import Orbit

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "entity_data needs 'position': a list of two numbers; got None"),
    ({"position": [1, 2]}, "entity_data needs 'velocity': a list of two numbers; got None"),
    ({"position": [1]}, "entity_data needs 'position': a list of two numbers; got [1]"),
    ({"position": [1, "2"]}, "'position' must hold two numbers from 0 to 100; got '2'"),
    ({"position": [1, True]}, "'position' must hold two numbers from 0 to 100; got True"),
    ({"position": [1, 101]}, "'position' must hold two numbers from 0 to 100; got 101"),
    (
        {"position": [1, 1], "velocity": [0, -1e9]},
        "'velocity' must hold two numbers from -100 to 100; got -1000000000.0",
    ),
    (
        {"position": [1, 1], "velocity": [0, 0], "mass": 3, "id": 4},
        "entity_data holds position and velocity only; got id, mass",
    ),
]


class OrbitTests(unittest.TestCase):
    def test_bodies_move_by_their_velocity_and_stay_in_the_box(self) -> None:
        trial = Trial(Orbit, {"bodies": 0})
        trial.send("add_entity", added("a", position=[10, 99], velocity=[20, 40]))
        trial.step()
        self.assertEqual(body(trial, "a"), {"position": [11.0, 100.0], "velocity": [20.0, -40.0]})
        trial.step()
        self.assertEqual(body(trial, "a"), {"position": [12.0, 98.0], "velocity": [20.0, -40.0]})

    def test_the_same_seed_gives_the_same_bodies(self) -> None:
        self.assertEqual(Trial(Orbit, seed=5).state, Trial(Orbit, seed=5).state)
        self.assertNotEqual(Trial(Orbit, seed=5).state, Trial(Orbit, seed=6).state)

    def test_a_body_that_cannot_be_is_refused_and_changes_nothing(self) -> None:
        trial = Trial(Orbit, {"bodies": 1})
        before = trial.state
        for entity_data, why in REFUSED:
            with self.subTest(why):
                answer = trial.send("add_entity", {"entity_id": "new", "entity_data": entity_data})
                self.assertEqual((answer.refused, answer.message), (True, why))
                self.assertEqual(trial.state, before)

    def test_a_body_is_added_once_and_taken_out_once(self) -> None:
        trial = Trial(Orbit, {"bodies": 1})
        twice = trial.send("add_entity", added("body-0", position=[1, 1], velocity=[0, 0]))
        self.assertEqual(twice.message, "that body is there already")
        self.assertTrue(trial.send("remove_entity", {"entity_id": "body-0"}).applied)
        gone = trial.send("remove_entity", {"entity_id": "body-0"})
        self.assertEqual(gone.message, "there is no body 'body-0'")

    def test_a_click_adds_a_body_with_a_name_that_nobody_has(self) -> None:
        trial = Trial(Orbit, {"bodies": 2})
        trial.send("add_entity", added("body-3", position=[1, 1], velocity=[0, 0]))
        answers = [trial.send("add", {"x": 20, "y": 30}) for _click in range(3)]
        self.assertEqual([answer.result for answer in answers], ["body-2", None, "body-4"])
        self.assertEqual(body(trial, "body-2")["position"], [20, 30])

    def test_the_box_takes_500_bodies_at_the_start(self) -> None:
        self.assertEqual(Trial(Orbit, {"bodies": 500}).metrics()["bodies"], 500)
        with self.assertRaises(BadArgs):
            Trial(Orbit, {"bodies": 501})

    def test_gravity_is_set_while_they_move(self) -> None:
        trial = Trial(Orbit, {"bodies": 0})
        trial.send("add_entity", added("a", position=[10, 50], velocity=[0, 0]))
        trial.step()
        self.assertTrue(trial.send("set", {"gravity": 10}).applied)
        trial.step()
        self.assertEqual(body(trial, "a"), {"position": [10.0, 50.025], "velocity": [0.0, 0.5]})
        with self.assertRaises(BadArgs):
            trial.send("set", {"bodies": 3})

    def test_it_goes_on_as_it_would_have_when_its_worker_dies(self) -> None:
        commands = [
            (5, "set", {"gravity": -3.5}),
            (10, "add_entity", added("late", position=[50, 50], velocity=[99, -99])),
            (70, "remove_entity", {"entity_id": "body-1"}),
        ]
        assert_deterministic(Orbit, {"bodies": 20}, commands=commands)


def added(name: str, **entity_data: list[float]) -> dict[str, Any]:
    return {"entity_id": name, "entity_data": entity_data}


def body(trial: Trial, name: str) -> Any:
    return trial.state["entities"][name]
