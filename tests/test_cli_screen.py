"""`livesim watch` as a person sees it on a terminal, and the rates that it measures."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from django_livesim.cli.pace import Pace, sparkline

ROOT = Path(__file__).resolve().parent.parent


def test_a_rate_is_taken_over_a_second_of_the_watchers_clock():
    pace = Pace()
    pace.add(10.0, 100)
    pace.add(10.5, 105)
    assert pace.rate is None
    pace.add(12.0, 120)
    assert pace.rate == 10.0
    pace.add(14.0, 160)
    assert list(pace.rates) == [10.0, 20.0]


def test_a_tick_that_comes_late_is_no_standstill_but_five_seconds_without_one_are():
    pace = Pace()
    pace.add(0.0, 100)
    pace.add(2.0, 100)
    assert pace.rate is None
    pace.add(4.0, 140)
    assert pace.rate == 10.0
    pace.add(9.0, 140)
    assert pace.rate == 0.0


def test_a_pause_and_an_older_tick_begin_a_new_measurement():
    pace = Pace()
    pace.add(0.0, 100)
    pace.pause()
    pace.add(60.0, 100)
    pace.add(62.0, 120)
    assert pace.rate == 10.0
    pace.add(63.0, 5)
    pace.add(65.0, 25)
    assert list(pace.rates) == [10.0, 10.0]


@pytest.mark.parametrize(
    ("values", "bars"),
    [([], ""), ([0, 0], "▁▁"), ([0, 5, 10], "▁▅█"), ([3], "█"), ([-1, 2], "▁█"), ([1] * 5 + [2], "▅▅█")],
)
def test_bars_are_from_zero_to_the_greatest_of_the_newest(values, bars):
    assert sparkline(values, width=3 if len(values) > 3 else 40) == bars


class Terminal:
    """A terminal, and what the command in it has drawn so far."""

    def __init__(self, folder: Path, *arguments: str, **env: str) -> None:
        self.env = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
            "DATABASE_URL": f"sqlite:///{folder}/site.sqlite3",
            "DEBUG": "1",
            "COLUMNS": "100",
            "TERM": "xterm-256color",
            **env,
        }
        manage = [sys.executable, "-m", "django"]
        subprocess.run([*manage, "migrate", "-v0"], env=self.env, check=True, cwd=ROOT)
        self._leader, follower = pty.openpty()
        command = [*manage, "livesim", "run", *arguments, "--interval=0.1", "--ask=0.5"]
        self.process = subprocess.Popen(command, env=self.env, cwd=ROOT, stdout=follower, stderr=follower)
        os.close(follower)
        self.text = ""

    def read(self, until: str = "") -> str:
        """All that is drawn, to the end, or until this text is."""
        while not until or until not in self.text:
            try:
                drawn = os.read(self._leader, 65536)
            except OSError:  # the command has ended
                break
            self.text += drawn.decode(errors="replace")
        return self.text


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*arguments: str, **env: str) -> Terminal:
        opened.append(Terminal(tmp_path, *arguments, **env))
        return opened[-1]

    yield open_one
    for each in opened:
        each.process.kill()
        each.process.wait()


def test_a_terminal_shows_progress_in_place_and_the_end_of_a_job(terminal):
    shown = terminal("encode", "lines=20")
    text = shown.read()
    assert shown.process.wait(30) == 0, text
    assert "━" in text
    assert "\x1b[" in text
    assert re.search(r"encode .*running.* [1-9]\d?%", re.sub(r"\x1b\[[0-9;]*m", "", text))
    assert re.search(r"end +finished +result \{\"frames\":20\}", text)


def test_a_terminal_shows_the_rate_of_a_run_as_bars_until_ctrl_c(terminal):
    shown = terminal("painted", "members=3")
    assert "ticks/s" in shown.read(until="ticks/s")
    shown.process.send_signal(signal.SIGINT)
    text = shown.read()
    assert shown.process.wait(30) == 0, text
    assert re.search(r"[▁▂▃▄▅▆▇█]", text)
    assert "stopped" in text


def test_a_terminal_that_can_draw_nothing_gets_lines(terminal, tmp_path):
    (tmp_path / "rich.py").write_text("raise ImportError('not here')")
    shown = terminal("encode", "lines=3", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    text = shown.read()
    assert shown.process.wait(30) == 0, text
    assert re.search(r"^status +running", text, re.MULTILINE)
    assert "━" not in text
