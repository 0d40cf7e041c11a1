"""How a loop of one's own is tested: it takes its messages in its next tick."""

# ruff: noqa: PT009  (for `manage.py test`, which is unittest)

from __future__ import annotations

import unittest

from django_livesim.testing import Trial
from sandbox.workshop.simulations import workshop


class WorkshopTests(unittest.TestCase):
    def test_tasks_are_added_dropped_and_reordered(self) -> None:
        with Trial(workshop, {"benches": 1}) as trial:
            trial.step()
            self.assertEqual(trial.state["order"], ["job 1", "job 2"])
            answers = [
                trial.send("add", {"task": "a", "work": 5}),
                trial.send("add", {"task": "a"}),
                trial.send("reorder", {"task": "a", "place": 1}),
                trial.send("drop", {"task": "job 1"}),
                trial.send("drop", {"task": "job 1"}),
            ]
            trial.step()
            self.assertEqual([answer.applied for answer in answers], [True, False, True, True, False])
            self.assertEqual(answers[0].result, {"order": ["job 1", "job 2", "a"]})
            self.assertEqual(answers[1].message, "there is a task 'a' already")
            self.assertEqual(answers[3].result, {"order": ["a", "job 2"]})
            self.assertEqual(answers[4].message, "there is no task 'job 1'; there are: a, job 2")
            self.assertEqual(sorted(trial.state["tasks"]), ["a", "job 2"])

    def test_benches_come_and_go_while_it_works(self) -> None:
        with Trial(workshop, {"benches": 1}) as trial:
            trial.step()
            self.assertEqual(len(trial.state["order"]), 2)
            answer = trial.send("set", {"benches": 4})
            trial.step()
            self.assertTrue(answer.applied)
            self.assertEqual((trial.state["benches"], len(trial.state["order"])), (4, 8))

    def test_jobs_get_done_and_say_so(self) -> None:
        with Trial(workshop) as trial:
            trial.advance(120)
            done = [event.data["task"] for event in trial.events if event.name == "finished"]
            self.assertIn("job 1", done)
            self.assertNotIn("job 1", trial.state["tasks"])

    def test_its_figures_tell_what_is_done_and_what_is_not(self) -> None:
        with Trial(workshop) as trial:
            trial.advance(120)
            done = sum(event.name == "finished" for event in trial.events)
            figures = trial.metrics()
            self.assertEqual(figures, {"done": done, "in hand": len(trial.state["tasks"])})

    def test_messages_after_the_last_stored_state_are_not_lost_with_the_worker(self) -> None:
        with Trial(workshop) as trial:
            trial.step(5)
            trial.send("add", {"task": "polish", "work": 1000})
            trial.step(5)
            trial.crash()
            trial.step()
            self.assertIn("polish", trial.state["tasks"])
