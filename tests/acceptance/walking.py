"""Does what a page of the documents says, as somebody would who types it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.documents import BASE

STEP = re.compile(r"(?P<said>[^\n]*)\n\n```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"(At the end|All) of `([\w/.]+)`")
GOES_ON = re.compile(r"manage\.py (runserver|livesim_worker)")
UP = {"runserver": "Quit the server with", "livesim_worker": "Stepping runs of the queues"}
"""What they print once they are there."""
AFTERWARDS = '\nstatus=$?; pwd > "$LEFT/pwd"; env -0 > "$LEFT/env"; exit $status'


def sections(name: str) -> dict[str, str]:
    """The parts of a document by their second-level headings."""
    parts = re.split(r"^## (.+)\n", (BASE / name).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


class Terminal:
    """A shell: it keeps its folder and its variables from one command to the next."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Type one line and wait for its end."""
        command = ["bash", "-c", line + AFTERWARDS]
        with tempfile.TemporaryDirectory() as left:
            env = self.env | {"LEFT": left}
            done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True)
            self.folder = Path(Path(left, "pwd").read_text().strip())
            variables = Path(left, "env").read_text().split("\0")
        self.env = dict(each.split("=", 1) for each in variables if each)
        return done

    def start(self, line: str, output: Path) -> subprocess.Popen[bytes]:
        """Type a line that goes on; its output goes to a file."""
        with output.open("ab") as file:
            command = ["bash", "-c", f"exec {line}"]
            return subprocess.Popen(
                command, cwd=self.folder, env=self.env, stdout=file, stderr=file, start_new_session=True
            )

    def converse(self, line: str, answers: dict[str, str]) -> str:
        """Type a line and answer what it asks for, each question once; gives all that was on the screen."""
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        screen, asked = "", list(answers)
        with contextlib.suppress(OSError):  # Linux says so where the other side is gone
            while shown := os.read(ours, 4096):
                screen += shown.decode()
                if asked and screen.endswith(asked[0]):
                    os.write(ours, answers[asked.pop(0)].encode() + b"\n")
        os.close(ours)
        assert process.wait(10) == 0, screen
        assert asked == [], screen
        return screen


@dataclass
class Walk:
    """Somebody who follows the page. What would meet others' ports is replaced: `replaced`."""

    terminal: Terminal
    logs: Path
    replaced: dict[str, str]
    answers: dict[str, str]
    site: str
    going: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def follow(self, section: str) -> None:
        """Write what the section's code holds to where it says; type its commands."""
        steps = list(STEP.finditer("\n" + section))
        assert steps, section
        for step in steps:
            text = step["text"]
            for old, new in self.replaced.items():
                text = text.replace(old, new)
            if step["language"] in ("python", "html"):
                self.write(step["said"], text)
            else:
                self.type(text)

    def write(self, said: str, text: str) -> None:
        place = PLACE.search(said)
        assert place, f"where does this go? {said!r}\n{text}"
        path = self.terminal.folder / place[2]
        before = path.read_text() if place[1] == "At the end" else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(before + text)

    def type(self, text: str) -> None:
        """Each command, and below it what it is to print; numbers may be others."""
        for command in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            line, _, expected = command.partition("\n")
            if name := GOES_ON.search(line):
                self.begin(name[1], line)
            elif "createsuperuser" in line:
                self.terminal.converse(line, self.answers)
            else:
                self.expect(line, expected.strip())

    def expect(self, line: str, expected: str) -> None:
        done = self.terminal.run(line)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        pattern = re.sub(r"\d+", r"\\d+", re.escape(expected))
        assert re.search(pattern, done.stdout), f"{line}: {done.stdout!r}, expected {expected!r}"

    def begin(self, name: str, line: str) -> None:
        assert name not in self.going, f"{name} is still running"
        (self.logs / name).unlink(missing_ok=True)
        self.going[name] = self.terminal.start(line, self.logs / name)
        self.wait_for(name, UP[name])

    def end(self, name: str) -> None:
        """Press Ctrl-C where it runs."""
        process = self.going.pop(name)
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def wait_for(self, name: str, words: str) -> None:
        """Until the command has printed these words."""
        deadline = time.monotonic() + 30
        while words not in (said := (self.logs / name).read_text()):
            assert self.going[name].poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)

    def close(self) -> None:
        for name in list(self.going):
            self.end(name)


def newcomer(folder: Path) -> Terminal:
    """A terminal of somebody who has this Python as `python3`, and no environment of ours."""
    kept = {
        name: os.environ[name] for name in os.environ if name.startswith(("HOME", "LANG", "PIP_", "SSL_"))
    }
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return Terminal(folder, kept | {"PATH": path, "PIP_NO_COMPILE": "1", "PYTHONUNBUFFERED": "1"})
