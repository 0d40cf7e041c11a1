"""The sandbox's simulations, without a worker: their rules and what they refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest

from django_livesim import Refused, registry
from django_livesim.simulation import Host, RunInfo
from sandbox.life.simulations import Life
from sandbox.orbit.simulations import Orbit
from sandbox.workshop import simulations as workshop

BASE = Path(__file__).resolve().parent.parent

for example in (Life, Orbit, workshop.workshop):  # other tests have simulations of these names
    registry.unregister(example.name)


def hosted(simulation, seed=1, **params):
    made = simulation()
    made._host = Host(run=RunInfo(id=uuid4(), simulation=simulation.name, seed=seed))
    made.setup(**params)
    return made


def test_bodies_move_by_their_velocity_and_stay_in_the_box():
    orbit = hosted(Orbit, bodies=0)
    orbit.add_entity("a", {"position": [10, 99], "velocity": [20, 40]})
    orbit.step(0.05)
    assert orbit.state["entities"]["a"] == {"position": [11.0, 100.0], "velocity": [20.0, -40.0]}
    orbit.step(0.05)
    assert orbit.state["entities"]["a"] == {"position": [12.0, 98.0], "velocity": [20.0, -40.0]}


def test_the_same_seed_gives_the_same_bodies():
    assert hosted(Orbit, seed=5).state == hosted(Orbit, seed=5).state
    assert hosted(Orbit, seed=5).state != hosted(Orbit, seed=6).state


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "entity_data needs 'position': a list of two numbers; got None"),
        ({"position": [1, 2]}, "entity_data needs 'velocity': a list of two numbers; got None"),
        (
            {"position": [1], "velocity": [0, 0]},
            "entity_data needs 'position': a list of two numbers; got [1]",
        ),
        (
            {"position": [1, "2"], "velocity": [0, 0]},
            "'position' must hold two numbers from 0 to 100; got '2'",
        ),
        (
            {"position": [1, True], "velocity": [0, 0]},
            "'position' must hold two numbers from 0 to 100; got True",
        ),
        (
            {"position": [1, 101], "velocity": [0, 0]},
            "'position' must hold two numbers from 0 to 100; got 101",
        ),
        (
            {"position": [1, 1], "velocity": [0, -1e9]},
            "'velocity' must hold two numbers from -100 to 100; got -1000000000.0",
        ),
        (
            {"position": [1, 1], "velocity": [0, 0], "mass": 3, "id": 4},
            "entity_data holds position and velocity only; got id, mass",
        ),
    ],
)
def test_a_body_that_cannot_be_is_refused_and_changes_nothing(data, why):
    orbit = hosted(Orbit, bodies=1)
    before = repr(orbit.state)
    with pytest.raises(Refused) as caught:
        orbit.add_entity("new", data)
    assert str(caught.value) == why
    assert repr(orbit.state) == before


def test_a_body_is_added_once_and_taken_out_once():
    orbit = hosted(Orbit, bodies=1)
    with pytest.raises(Refused, match="that body is there already"):
        orbit.add_entity("body-0", {"position": [1, 1], "velocity": [0, 0]})
    orbit.remove_entity("body-0")
    with pytest.raises(Refused, match="there is no body 'body-0'"):
        orbit.remove_entity("body-0")


def test_a_blinker_blinks_and_a_glider_comes_round_the_torus():
    life = hosted(Life, width=6, height=6, density=0)
    for cell in [(1, 2), (2, 2), (3, 2)]:
        assert life.toggle(*cell) is True
    life.step(0.2)
    assert life.alive() == {(2, 1), (2, 2), (2, 3)}
    life = hosted(Life, width=6, height=6, density=0)
    glider = {(1, 0), (2, 1), (0, 2), (1, 2), (2, 2)}
    life.draw(glider)
    for _ in range(4 * 6):  # a glider moves one cell along the diagonal in four steps
        life.step(0.2)
    assert life.alive() == glider


def test_a_click_beside_the_field_is_refused():
    life = hosted(Life, width=6, height=5)
    with pytest.raises(Refused, match="there is no cell 6, 0: the field is 6 by 5"):
        life.toggle(6, 0)


class Message(SimpleNamespace):
    def reply(self, data):
        self.answer = data

    def refuse(self, why):
        self.answer = why


def test_tasks_are_added_dropped_and_reordered():
    tasks, order = {}, []

    def ask(name, **args):
        message = Message(name=name, args=args)
        workshop.handle(tasks, order, message)
        return message.answer

    assert ask("add", task="a", work=5) == {"order": ["a"]}
    assert ask("add", task="b", work=5) == {"order": ["a", "b"]}
    assert ask("add", task="c", work=5) == {"order": ["a", "b", "c"]}
    assert ask("add", task="a", work=1) == "there is a task 'a' already"
    assert ask("reorder", task="c", place=1) == {"order": ["c", "a", "b"]}
    assert ask("drop", task="a") == {"order": ["c", "b"]}
    assert ask("drop", task="a") == "there is no task 'a'; there are: c, b"
    assert sorted(tasks) == ["b", "c"]


SHOW_SETTINGS = """
from sandbox.config import settings
layer = getattr(settings, "CHANNEL_LAYERS", {}).get("default", {}).get("CONFIG")
print(layer and layer["hosts"][0]["address"], settings.DATABASES["default"]["NAME"], settings.DEBUG)
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
    assert done.stdout.strip() == shown
