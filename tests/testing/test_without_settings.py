"""A trial in a process that has no settings at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent.parent

CODE = """
from django.core.exceptions import ImproperlyConfigured
from django_livesim.testing import Trial, assert_deterministic
from tests.testing.simulations import Good

trial = Trial(Good, {"size": 4})
trial.step(3)
assert trial.send("clear", {"cell": 1}).applied
assert_deterministic(Good, steps=10)
try:
    Trial(Good, {"size": "many"})
except ImproperlyConfigured as exc:
    print(exc)
"""


def test_a_run_needs_no_settings_and_what_is_wrong_with_a_parameter_does():
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-W", "error", "-c", CODE]
    done = subprocess.run(command, cwd=BASE, env=env, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == (
        "A parameter or argument is wrong, or its form needs settings, and without settings Django cannot"
        " say so. Set DJANGO_SETTINGS_MODULE, or call django.conf.settings.configure() before.\n"
    )
