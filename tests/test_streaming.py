"""Subprocesses of jobs: real ones, most of them shells that sleep."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest

from django_livesim import streaming
from django_livesim.jobs import TEXT, Job, JobLoop
from django_livesim.protocol.errors import BadArgs
from django_livesim.protocol.names import Status
from django_livesim.streaming import LINE, Lines
from django_livesim.testing import wait_until
from tests.runtime.world import World

DEADLINE = 30.0  # seconds, on a machine with much else to do


class Stopped(BaseException):
    """What comes out of `progress` once a job is to stop."""


class Program:
    """What calls a job, as far as `progress` goes: it raises once the stop was asked for."""

    host = None
    definition = SimpleNamespace(is_async=False)

    def __init__(self):
        self.stops = threading.Event()
        self.looks = 0

    def passing(self):
        self.looks += 1
        if self.stops.is_set():
            raise Stopped

    def sleep(self, seconds):
        self.passing()


class Streaming:
    """A job in a thread of its own that streams `command` and keeps the lines."""

    def __init__(self, *command, **options):
        self.program = Program()
        self.lines = []
        self.raised = None
        self._stream = (command, options)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        command, options = self._stream
        try:
            for line in Job(self.program).stream(command, **options):
                self.lines.append(line)
        except BaseException as exc:
            self.raised = exc

    def is_over(self):
        return not self._thread.is_alive()

    def stop(self):
        self.program.stops.set()
        wait_until(self.is_over, DEADLINE)
        assert isinstance(self.raised, Stopped)


@pytest.fixture
def shell(tmp_path):
    """Stream a script of the shell, which notes in `$pids` whom it has started; what is left is killed."""
    begun, pids = [], tmp_path / "pids"

    def run(script, **options):
        env = os.environ | {"pids": str(pids)}
        begun.append(Streaming("sh", "-c", script, env=env, **options))
        return begun[-1]

    run.pids = lambda count: wait_until(lambda: noted(pids, count), DEADLINE)
    yield run
    for streaming_job in begun:
        streaming_job.program.stops.set()
    for pid in noted(pids, 0) or []:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def noted(path, count):
    found = [int(line) for line in path.read_text().splitlines()] if path.exists() else []
    return found if len(found) >= count else None


def is_alive(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def guards():
    """The lines that `ps` has for the guards of this process."""
    shown = subprocess.run(
        ["ps", "-A", "-o", "ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    ours = [line for line in shown.splitlines() if line.split()[0] == str(os.getpid())]
    return [line for line in ours if "livesim-guard" in line or "defunct" in line]


def are_gone(pids):
    return not any(is_alive(pid) for pid in pids)


def all_lines(*pieces):
    lines = Lines()
    return [line for piece in pieces for line in lines.feed(piece)] + list(lines.feed(b"", final=True))


def test_a_stop_is_seen_while_output_comes_all_the_time(shell):
    job = shell("echo $$ >> $pids; while :; do echo x; sleep 0.02; done")
    wait_until(lambda: len(job.lines) > 5, DEADLINE)
    job.stop()
    assert are_gone(shell.pids(1))


def test_a_stop_is_seen_while_the_process_runs_on_without_its_output(shell):
    job = shell("echo $$ >> $pids; exec >&- 2>&-; exec sleep 300")
    pids = shell.pids(1)
    looks = job.program.looks
    wait_until(lambda: job.program.looks > looks + 3, DEADLINE)
    job.stop()
    assert are_gone(pids)


def test_what_holds_the_output_of_a_process_that_has_ended_ends_with_the_job(shell):
    job = shell("sleep 300 & echo $! >> $pids; exit 0")
    pids = shell.pids(1)
    job.stop()
    wait_until(lambda: are_gone(pids), DEADLINE)


def test_what_ignores_the_request_to_end_is_killed_though_its_parent_has_obeyed(shell, monkeypatch):
    monkeypatch.setattr(streaming, "PATIENCE", 0.3)
    job = shell("(trap '' TERM; echo ready; exec sleep 300) & echo $! >> $pids; wait")
    pids = shell.pids(1)
    wait_until(lambda: job.lines, DEADLINE)
    job.stop()
    wait_until(lambda: are_gone(pids), DEADLINE)


def test_what_a_process_has_left_behind_ends_when_its_lines_do(shell):
    job = shell("sleep 300 >/dev/null 2>&1 & echo $! >> $pids; echo done")
    pids = shell.pids(1)
    wait_until(job.is_over, DEADLINE)
    assert (job.lines, job.raised) == (["done"], None)
    wait_until(lambda: are_gone(pids), DEADLINE)


def test_a_process_may_end_in_good_order_and_say_much_on_its_way(shell, tmp_path):
    script = (
        "trap 'head -c 300000 /dev/zero; echo cleared > $pids.ok; exit 0' TERM; echo ready; sleep 300 & wait"
    )
    job = shell(script)
    wait_until(lambda: job.lines, DEADLINE)
    job.stop()
    assert (tmp_path / "pids.ok").read_text() == "cleared\n"


def test_what_holds_the_output_may_end_in_good_order_though_its_parent_is_gone(shell, tmp_path):
    clearing = "trap 'sleep 0.2; echo cleared > $pids.ok; exit 0' TERM; echo ready; sleep 300 & wait"
    job = shell(f"({clearing}) & exit 0")
    wait_until(lambda: job.lines, DEADLINE)
    job.stop()
    assert (tmp_path / "pids.ok").read_text() == "cleared\n"


def test_leaving_the_lines_ends_the_process():
    for line in Job(Program()).stream(["sh", "-c", "echo $$; exec sleep 300"]):
        pid = int(line)
        break
    wait_until(lambda: not is_alive(pid), DEADLINE)


def test_its_status_is_raised_after_its_lines(shell):
    job = shell("echo one; exit 3")
    wait_until(job.is_over, DEADLINE)
    assert job.lines == ["one"]
    assert isinstance(job.raised, subprocess.CalledProcessError) and job.raised.returncode == 3


def test_a_command_that_is_not_there_says_so_and_leaves_nothing():
    with pytest.raises(FileNotFoundError, match="no-such-command"):
        list(Job(Program()).stream(["no-such-command"]))
    assert guards() == []


@pytest.mark.parametrize(
    "option", [{"start_new_session": False}, {"process_group": 0}, {"stdout": None}, {"text": True}]
)
def test_an_option_that_is_not_the_authors_to_give_is_refused_before_anything_runs(option):
    with pytest.raises(BadArgs, match=f"stream\\(\\) got {next(iter(option))}\\. Expected: options of"):
        Job(Program()).stream(["true"], **option)


def test_other_options_of_popen_are_taken(tmp_path):
    stream = Job(Program()).stream(["sh", "-c", "pwd; echo $word"], cwd=tmp_path, env={"word": "so"})
    assert list(stream) == [str(tmp_path), "so"]


def test_lines_are_read_where_more_than_1024_files_are_open():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        assert list(Job(Program()).stream(["echo", "x"])) == ["x"]
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_output_without_an_end_of_line_comes_in_pieces_and_the_stop_is_looked_at():
    size, program = 4 * 2**20, Program()
    script = f"import sys; sys.stdout.write('x' * {size})"
    longest = total = 0
    for line in Job(program).stream([sys.executable, "-S", "-c", script]):
        longest, total = max(longest, len(line)), total + len(line)
    assert (longest, total) == (LINE, size)
    assert program.looks >= size / streaming.READ


def test_lines_end_with_a_newline_a_carriage_return_or_both_wherever_the_output_is_cut():
    text = b"a\r\n\r\n10%\r20%\r\xc3\xa4 z\n\nlast"
    expected = ["a", "", "10%", "20%", "ä z", "", "last"]
    for cut in range(len(text) + 1):
        assert all_lines(text[:cut], text[cut:]) == expected
    assert all_lines(*(bytes([byte]) for byte in text)) == expected


def test_a_progress_bar_is_shown_before_its_next_word():
    assert list(Lines().feed(b"10%\r")) == ["10%"]


def test_a_line_is_cut_at_the_limit_and_nothing_is_lost_or_added():
    for size in (LINE - 1, LINE, LINE + 1, 2 * LINE):
        pieces = all_lines(b"x" * size + b"\nend")
        assert [len(piece) for piece in pieces[:-1]] == [
            min(LINE, size - done) for done in range(0, size, LINE)
        ]
        assert pieces[-1] == "end"


def test_bytes_that_are_no_text_are_replaced():
    assert all_lines(b"a\xff\nb\xc3") == ["a\ufffd", "b\ufffd"]


KILLED = """
import sys
from types import SimpleNamespace
from django_livesim.jobs import Job
program = SimpleNamespace(
    host=None, definition=SimpleNamespace(is_async=False), passing=lambda: None, sleep=lambda seconds: None
)
for line in Job(program).stream(["sh", "-c", sys.argv[1]]):
    print(line, flush=True)
"""


def test_a_worker_that_is_killed_takes_its_subprocess_and_what_that_has_started_with_it():
    script = "trap '' TERM HUP; echo $$; sleep 300 & echo $!; wait"
    worker = subprocess.Popen([sys.executable, "-c", KILLED, script], stdout=subprocess.PIPE, text=True)
    with worker:
        pids = [int(worker.stdout.readline()) for _ in range(2)]
        assert not are_gone(pids)
        worker.kill()
    wait_until(lambda: are_gone(pids), DEADLINE)


def test_the_guard_is_gone_with_the_lines():
    lines = Job(Program()).stream(["sh", "-c", "echo x; echo y"])
    next(lines)
    assert len(guards()) == 1
    assert list(lines) == ["y"]
    assert guards() == []


def test_where_there_is_no_shell_to_guard_it_a_subprocess_runs_all_the_same(monkeypatch, caplog):
    monkeypatch.setattr(streaming, "SHELL", "/no/shell")
    assert list(Job(Program()).stream(["echo", "x"])) == ["x"]
    assert "/no/shell" in caplog.text


def test_an_async_job_is_told_what_to_use_instead():
    async def work(job):
        job.stream(["true"])

    definition = JobLoop(work, name="shell")
    world = World(definition)
    run = world.start(definition)
    world.run_for(0.5, by=0.25)
    row = world.row(run)
    assert row["status"] is Status.FAILED and "asyncio.create_subprocess_exec" in row["error"]


def test_names_of_files_that_are_no_text_may_be_logged_and_told():
    def work(job):
        job.log("file \udcff.csv")
        job.progress(0.5, "file \udcff\x00" + "x" * TEXT)
        job.sleep(1.0)

    definition = JobLoop(work, name="list")
    world = World(definition)
    run = world.start(definition)
    world.run_for(0.5, by=0.25)
    shown = world.frames(run)[-1][1]
    assert shown["lines"] == ["file \\udcff.csv"]
    assert shown["text"].startswith("file \\udcff\\x00x") and len(shown["text"]) == TEXT
    world.run_for(2.0, by=0.25)
    assert world.row(run)["status"] is Status.FINISHED
