"""The rules of the entities, with no worker, Redis, database or time."""

# ruff: noqa: PT009  (for `manage.py test`, which is unittest)

from __future__ import annotations

import unittest
from typing import Any

from django_livesim.testing import Trial, assert_deterministic
from sandbox.entities.simulations import LONGEST, MOST, Entities

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"position": [1]}, "'position' is a list of two numbers; got [1]"),
    ({"position": [1, "2"]}, "'position' holds two numbers from -1e+06 to 1e+06; got '2'"),
    ({"velocity": [1, True]}, "'velocity' holds two numbers from -100 to 100; got True"),
    ({"velocity": [0, -101]}, "'velocity' holds two numbers from -100 to 100; got -101"),
    ({"note": "x" * LONGEST}, f"entity_data has at most {LONGEST} characters of JSON"),
]


def added(name: str, **entity_data: Any) -> dict[str, Any]:
    return {"entity_id": name, "entity_data": entity_data}


class EntitiesTests(unittest.TestCase):
    def test_what_has_a_position_and_a_velocity_moves_and_the_rest_stays(self) -> None:
        trial = Trial(Entities)
        trial.send("add_entity", added("moon", position=[0, 1], velocity=[2, -1]))
        trial.send("add_entity", added("rock", position=[5, 5]))
        trial.send("add_entity", added("idea", colour="blue"))
        trial.step(3)
        self.assertEqual(trial.state["time"], 3)
        self.assertEqual(trial.state["entities"]["moon"]["position"], [6, -2])
        self.assertEqual(trial.state["entities"]["rock"], {"position": [5, 5]})
        self.assertEqual(trial.state["entities"]["idea"], {"colour": "blue"})

    def test_what_cannot_be_is_refused_and_changes_nothing(self) -> None:
        trial = Trial(Entities)
        for entity_data, why in REFUSED:
            with self.subTest(why):
                answer = trial.send("add_entity", added("new", **entity_data))
                self.assertEqual((answer.refused, answer.message), (True, why))
        self.assertEqual(trial.state["entities"], {})

    def test_one_of_the_same_name_is_replaced_and_there_is_a_most(self) -> None:
        trial = Trial(Entities)
        for number in range(MOST):
            trial.send("add_entity", added(str(number)))
        self.assertTrue(trial.send("add_entity", added("0", position=[1, 1])).applied)
        self.assertTrue(trial.send("add_entity", added("one more")).refused)
        self.assertEqual(len(trial.state["entities"]), MOST)
        self.assertTrue(trial.send("clear").applied)
        self.assertEqual(trial.state["entities"], {})

    def test_it_goes_on_as_it_would_have_when_its_worker_dies(self) -> None:
        commands = [(5, "add_entity", added("moon", position=[0, 0], velocity=[0.1, 0.2]))]
        assert_deterministic(Entities, commands=commands, steps=40)
