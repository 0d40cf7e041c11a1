"""How a simulation on a network is tested."""

# ruff: noqa: PT009  (for `manage.py test`, which is unittest)

from __future__ import annotations

import unittest

from django_livesim.testing import Trial, assert_deterministic
from sandbox.epidemic.simulations import ILL, IMMUNE, WELL, Epidemic

SURE = {"infectious": 1.0, "recovery": 0.0}


class EpidemicTests(unittest.TestCase):
    def test_everybody_is_linked_to_the_others(self) -> None:
        trial = Trial(Epidemic, {"people": 50, "friends": 2})
        reached = {"p0"}
        for _person in trial.state["people"]:
            reached |= {name for pair in trial.state["meetings"] if reached & set(pair) for name in pair}
        self.assertEqual(reached, set(trial.state["people"]))

    def test_it_goes_along_the_meetings_one_a_step(self) -> None:
        trial = Trial(Epidemic, {"people": 30, **SURE})
        met = {name for pair in trial.state["meetings"] if "p0" in pair for name in pair}
        trial.step()
        ill = {name for name, person in trial.state["people"].items() if person["health"] == ILL}
        self.assertEqual(ill, met)
        trial.step(30)
        self.assertEqual(trial.metrics(), {WELL: 0, ILL: 30, IMMUNE: 0})

    def test_who_was_ill_is_immune_for_a_while(self) -> None:
        trial = Trial(Epidemic, {"people": 2, "infectious": 0.0, "recovery": 1.0})
        trial.step()
        self.assertEqual(trial.metrics(), {WELL: 1, ILL: 0, IMMUNE: 1})
        trial.send("infect", {"person": "p1"})
        self.assertEqual(trial.state["people"]["p1"]["health"], ILL)

    def test_where_nobody_is_ill_illness_comes_again_from_outside(self) -> None:
        trial = Trial(Epidemic, {"people": 20, "infectious": 0.0, "recovery": 1.0})
        trial.step()
        self.assertEqual(trial.metrics()[ILL], 0)
        self.assertTrue(any(trial.step() is None and trial.metrics()[ILL] for _step in range(400)))

    def test_who_comes_knows_somebody_and_who_is_not_there_cannot_be_ill(self) -> None:
        trial = Trial(Epidemic, {"people": 3})
        self.assertEqual(trial.send("arrive", {"friends": 5}).result, "p3")
        self.assertTrue(any("p3" in pair for pair in trial.state["meetings"]))
        self.assertEqual(trial.send("infect", {"person": "p9"}).message, "there is nobody 'p9'")

    def test_it_goes_on_as_it_would_have_when_its_worker_dies(self) -> None:
        commands = [(10, "infect", {"person": "p7"}), (40, "arrive", {"friends": 3})]
        assert_deterministic(Epidemic, {"people": 40}, commands=commands)
