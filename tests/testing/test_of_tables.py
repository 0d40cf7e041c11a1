"""What a test sees of a view with tables: that which viewers get, from the first frame to the last word."""

from __future__ import annotations

import orjson

from django_livesim import Simulation, Table
from django_livesim.runtime.screen import views
from django_livesim.testing import Trial


class Fleet(Simulation):
    """Ships with plans that are nobody's business."""

    tick_rate = 10
    tables = [Table("ships", x=0.1)]

    def setup(self) -> None:
        self.state = {"ships": {"s1": {"x": 3.14159, "secret_plan": "attack at dawn"}}, "n": 0}

    def step(self, dt: float) -> None:
        self.state["n"] += 1


SHOWN = {"s1": {"x": 3.1}}


def test_members_that_are_not_declared_are_shown_to_nobody():
    with Trial(Fleet) as trial:
        trial.step(3)
        assert trial.view() == {"ships": SHOWN, "n": 3}
        trial.stop()
        assert trial.frames
        assert all(frame.view["ships"] == SHOWN for frame in trial.frames)
        stored = orjson.loads(views(trial._runner.screen.all_frames(3)))
        assert stored == {"all": {"ships": SHOWN, "n": 3}}
        assert trial.state["ships"]["s1"]["secret_plan"] == "attack at dawn"
