"""A subprocess of a job: its output line by line, and its end with the job's.

It leads a session, and so a process group, of its own. Everything is done by
the one thread that iterates. Where its whole process is killed, a guard beside
it, a shell that waits for that, ends the group.
"""

from __future__ import annotations

import codecs
import logging
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from django_livesim.protocol.errors import BadArgs

logger = logging.getLogger(__name__)

LINE = 65_536  # characters; a longer line comes in pieces
READ = 65_536  # bytes at once
LOOK = 0.1  # seconds between two looks whether a job is to stop while its subprocess says nothing
PATIENCE = 5.0  # seconds for a subprocess that was told to end
OURS = ["stdout", "stderr", "bufsize", "text", "universal_newlines", "encoding", "errors"]
OURS += ["start_new_session", "process_group"]
"""Options of `Popen` that cannot be given."""
SHELL = "/bin/sh"
GUARD = 'trap "" HUP INT TERM; read group && read never; test -z "$group" || kill -s KILL -- "-$group"'
"""Ends the group that the first line of its input names where no further line can come."""

Command = Sequence[str | os.PathLike[str]]


def check_options(options: Mapping[str, Any]) -> None:
    """Raises BadArgs where one of them is not the caller's to give."""
    if taken := [name for name in OURS if name in options]:
        raise BadArgs(
            f"stream() got {', '.join(taken)}. Expected: options of subprocess.Popen,"
            f" without {', '.join(OURS)}:"
            " output and errors come together, as lines of UTF-8, and the process has a session of its own."
            " Leave out what it got."
        )


def stream(command: Command, options: Mapping[str, Any], look: Callable[[], Any]) -> Iterator[str]:
    """Run `command` and yield its lines; see `Job.stream`.

    `look` is called after each read, and every 0.1 s while nothing comes or the process runs on without
    its output. What it raises ends the process, as closing the iterator does; it is not called after that.
    """
    options = {"stdin": subprocess.DEVNULL} | dict(options) | {"start_new_session": True}
    with guarded() as guard:
        started: Any = subprocess.Popen(  # noqa: S603
            command, **options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        process: subprocess.Popen[bytes] = started
        try:
            guard(process.pid)
            lines = Lines()
            for piece in _pieces(process, look):
                yield from lines.feed(piece)
            yield from lines.feed(b"", final=True)
            for seconds in _pauses():
                if _has_ended(process):
                    break
                time.sleep(seconds)
                look()
        finally:
            _end(process)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)


class Lines:
    """Bytes as lines, which end with a newline, a carriage return (progress bars) or both.

    Holds no more than `LINE` characters from one call to the next. Bytes that are no UTF-8 become U+FFFD.
    """

    ENDS = re.compile(r"\r\n|\r|\n")

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._returned = False  # a newline that comes next belongs to the carriage return before

    def feed(self, piece: bytes, *, final: bool = False) -> Iterator[str]:
        """The lines that `piece` ends, and where it is `final` what is left."""
        text = self._decoder.decode(piece, final)
        if text:
            text = text.removeprefix("\n") if self._returned else text
            self._returned = text.endswith("\r")
        first, *others = self.ENDS.split(text)
        *lines, rest = self._rest + first, *others
        for line in lines:
            yield from _cut(line)
        *cut, self._rest = _cut(rest)
        yield from cut
        if final and self._rest:
            yield self._rest


def _cut(line: str) -> Iterator[str]:
    """`line` in pieces of `LINE` characters at most, one at least."""
    for start in range(0, max(1, len(line)), LINE):
        yield line[start : start + LINE]


@contextmanager
def guarded() -> Iterator[Callable[[int], None]]:
    """Gives what is told the group that is to be killed where this process dies inside the block.

    The guard reads from a pipe that only this process can write to, and which the kernel closes with it.
    It runs before there is anything to guard; a death between the start of the process and the line that
    names its group, a few milliseconds, leaves the process alone. A child that is forked here without an
    exec holds the pipe too, and the guard waits for that as well.
    """
    try:
        guard = subprocess.Popen(  # noqa: S603
            [SHELL, "-c", GUARD, "livesim-guard"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={},
        )
    except FileNotFoundError:
        logger.warning("no %s here: the subprocesses of jobs go on where their worker is killed", SHELL)
        yield lambda group: None
        return
    assert guard.stdin is not None
    pipe = guard.stdin

    def name(group: int) -> None:
        with suppress(BrokenPipeError):  # somebody has killed the guard
            pipe.write(b"%d\n" % group)

    try:
        yield name
    finally:
        guard.kill()  # before its pipe is closed, which it would take for the death of this process
        guard.wait()
        pipe.close()


def _pieces(process: subprocess.Popen[bytes], look: Callable[[], Any]) -> Iterator[bytes]:
    """What it writes, until nobody holds its output any more."""
    assert process.stdout is not None
    fd, poll = process.stdout.fileno(), select.poll()  # select.select() takes no number beyond 1023
    poll.register(fd, select.POLLIN)
    while True:
        piece = os.read(fd, READ) if poll.poll(LOOK * 1000) else None
        look()
        if piece:
            yield piece
        elif piece is not None:
            return


def _pauses() -> Iterator[float]:
    """Seconds between looks at a process that is about to end: short at first."""
    seconds = 0.001
    while True:
        yield seconds
        seconds = min(LOOK, seconds * 2)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Look, and leave it to be reaped: until then no other process can get its number, nor its group's.

    macOS has `waitid` since Python 3.13; before, the look does reap.
    """
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # reaped by other code in this process
        return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the group that it leads: what is left of it, where it has ended itself.

    The group has `PATIENCE` to end: for as long as the process runs, or anything holds its output.
    """
    try:
        _signal(process, signal.SIGTERM)
        _wait_until_quiet(process)
    finally:
        _signal(process, signal.SIGKILL)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            logger.error("subprocess %s of a job cannot be ended; it is left alone", process.pid)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _wait_until_quiet(process: subprocess.Popen[bytes]) -> None:
    """Read what it says to the end, so that it does not wait for that, and see it end."""
    until = time.monotonic() + PATIENCE

    def look() -> None:
        if time.monotonic() > until:
            raise TimeoutError

    with suppress(TimeoutError):
        for _ in _pieces(process, look):
            pass
        for seconds in _pauses():
            if _has_ended(process):
                return
            time.sleep(seconds)
            look()
