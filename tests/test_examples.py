"""The sandbox's simulations, without a worker: their rules and what they refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_livesim import registry
from django_livesim.testing import Trial, assert_deterministic
from sandbox.epidemic.simulations import Epidemic
from sandbox.epidemic.tests import EpidemicTests
from sandbox.life.simulations import Life
from sandbox.orbit.simulations import Orbit
from sandbox.orbit.tests import OrbitTests
from sandbox.workshop.simulations import workshop
from sandbox.workshop.tests import WorkshopTests

__all__ = ["EpidemicTests", "OrbitTests", "WorkshopTests"]  # run here; in the sandbox by `manage.py test`

BASE = Path(__file__).resolve().parent.parent

for example in (Epidemic, Life, Orbit, workshop):  # other tests have simulations of these names
    registry.unregister(example.name)


def field(cells, **params):
    """A life with these cells alone alive."""
    trial = Trial(Life, params | {"density": 0})
    for x, y in cells:
        assert trial.send("toggle", {"x": x, "y": y}).result is True
    return trial


def test_a_blinker_blinks_and_a_glider_comes_round_the_torus():
    blinker = field([(1, 2), (2, 2), (3, 2)], width=6, height=6)
    blinker.step()
    assert blinker.simulation.alive() == {(2, 1), (2, 2), (2, 3)}
    glider = field([(1, 0), (2, 1), (0, 2), (1, 2), (2, 2)], width=6, height=6)
    before = glider.state
    glider.step(23)
    assert glider.state != before
    glider.step()  # it moves one cell along the diagonal in four steps
    assert glider.state == before


def test_a_click_beside_the_field_is_refused():
    answer = field([], width=6, height=5).send("toggle", {"x": 6, "y": 0})
    assert (answer.refused, answer.message) == (True, "there is no cell 6, 0: the field is 6 by 5")


def test_noise_wakes_dead_cells_while_it_is_set():
    dead = field([], width=20, height=20)
    dead.step(5)
    assert dead.metrics() == {"alive": 0}
    assert dead.send("set", {"noise": 0.01}).applied
    dead.step(5)
    assert dead.metrics()["alive"] > 0


def test_life_goes_on_as_it_would_have_when_its_worker_dies():
    commands = [
        (10, "set", {"noise": 0.005}),
        (20, "toggle", {"x": 3, "y": 3}),
        (60, "scatter", {"density": 0.3}),
    ]
    assert_deterministic(Life, {"width": 20, "height": 20}, commands=commands, new_process=True)


SHOW_SETTINGS = """
from sandbox.config import settings
layer = getattr(settings, "CHANNEL_LAYERS", {}).get("default", {}).get("CONFIG")
print(layer and layer["hosts"][0]["address"], settings.DATABASES["default"]["NAME"], settings.DEBUG)
print(settings.INSTALLED_APPS[0])
"""


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, f"None {BASE}/var/sandbox.sqlite3 True"),
        ({"REDIS_URL": "redis://a/0", "DEBUG": "no"}, f"redis://a/0 {BASE}/var/sandbox.sqlite3 False"),
        (
            {"REDIS_URL": "redis://a/0", "CHANNELS_REDIS": "redis://b/0"},
            f"redis://b/0 {BASE}/var/sandbox.sqlite3 True",
        ),
        ({"DATABASE_URL": "postgres://u:p@h/shop"}, "None shop True"),
    ],
)
def test_the_sandbox_is_set_by_its_environment(given, shown):
    names = ("REDIS_URL", "CHANNELS_REDIS", "DATABASE_URL", "DEBUG", "SECRET_KEY", "ALLOWED_HOSTS")
    env = {name: value for name, value in os.environ.items() if name not in names} | given
    command = [sys.executable, "-c", SHOW_SETTINGS]
    done = subprocess.run(command, cwd=BASE, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [shown, "daphne"]
