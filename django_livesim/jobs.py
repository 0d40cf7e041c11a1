"""What authors write for work that ends: a function, or a class with a method `work`.

A job is a run like any other: a row, a page, rights, a worker that may die. It
is not called again where its worker has died, unless it asks for that with `retries`.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from django_livesim.protocol.errors import BadArgs
from django_livesim.protocol.plain import storable
from django_livesim.simulation import OPTIONS, Declaration, Hosted, Loop, declared_commands
from django_livesim.streaming import Command, check_options, stream

TOLD_EVERY = 0.05  # seconds between two calls of `progress` that pause, stop and viewers get to see
LEFT_AFTER = 1.0  # seconds of an attempt before anybody is told how long it will take
LINES = 200  # of its log that are kept
LINE = 2000  # characters of one line
TEXT = 500  # characters of what it is at


class Job(Hosted, Declaration):
    """A run that ends: what a job's function gets, and the base of those that are classes.

    `state` is the run's dict: plain JSON data, stored now and then, shown to
    who may inspect the run. `attempt` counts from 1, `attempts` is how many
    there may be. A class writes `work(self, **params)`; its annotated
    parameters become the start form, its value the result.
    """

    retries: ClassVar[int] = 0
    """How often it is tried again after it has raised, or its worker has died. It then runs at least once,
    and what it does outside of its state may happen more than once."""
    backoff: ClassVar[float] = 5.0
    """Seconds before the first retry; twice as many before each further one, an hour at most."""

    def __init__(self, program: Any) -> None:
        """`program` is the runtime's, which calls the job."""
        self._program = program
        self._host = program.host
        self.state: dict[str, Any] = {}
        self.resumed = False
        self.attempt = 1
        self.attempts = 1
        self.done: float | None = None
        self.text = ""
        self.lines: list[str] = []
        self._began = time.monotonic()
        self._told = -TOLD_EVERY

    def work(self, **params: Any) -> Any:
        """Do it; the value, plain JSON data, is the result."""
        raise NotImplementedError(f"{type(self).__name__} has no work(self, **params)")

    def progress(self, done: float | None = None, text: str | None = None) -> Any:
        """Say how much is done, from 0 to 1, and in words what it is at. Await it in an `async def` job.

        None leaves either as it was. This is where a job is paused, and where it ends when somebody stops
        it: a `BaseException` comes out of here, by way of `finally` and `with`. Call it as often as you
        like: what comes within 50 ms of the last is not told by itself.

        Raises BadArgs where `done` is no number from 0 to 1, or less than before; nothing has changed then.
        """
        if done is not None:
            self.done = self._checked(done)
        if text is not None:
            self.text = storable(str(text)[:TEXT])[:TEXT]
        now = time.monotonic()
        if now - self._told < TOLD_EVERY:
            return self._program.passing()
        self._told = now
        return self._program.sleep(0.0)

    def _checked(self, done: float) -> float:
        is_number = isinstance(done, int | float) and not isinstance(done, bool)
        if not (is_number and 0 <= done <= 1):
            raise BadArgs(f"progress() got {done!r}. Expected: how much is done, a number from 0 to 1.")
        if self.done is not None and done < self.done:
            raise BadArgs(
                f"progress() got {done!r} after {self.done!r}. Expected: at least as much as before."
            )
        return float(done)

    def sleep(self, seconds: float) -> Any:
        """Wait, as for an external backend that is polled; what `progress` does happens here too."""
        self._told = time.monotonic()
        return self._program.sleep(seconds)

    def log(self, line: str) -> None:
        """Show a line to whoever watches; the last 200 are kept while the job is in memory."""
        self.lines.append(storable(str(line).rstrip("\n")[:LINE])[:LINE])
        del self.lines[:-LINES]

    def stream(self, command: Command, **options: Any) -> Iterator[str]:
        """Run a subprocess and yield its lines, output and errors together. Not in an `async def` job.

        A line ends with a newline or a carriage return, and one of more than 65,536 characters comes in
        pieces; bytes that are no UTF-8 come as U+FFFD. It looks for a pause and a stop as `progress` does.

        `options` are those of `subprocess.Popen`, but for its output and its session. However the iteration
        ends, the process and what it has started get SIGTERM; SIGKILL once the process has ended and nobody
        holds its output, after five seconds at the latest. What has taken a session or process group of its
        own goes on.

        Raises `subprocess.CalledProcessError` where it ends with another status than 0, BadArgs for an option
        that is not yours to give, RuntimeError in an `async def` job.
        """
        if self._program.definition.is_async:
            raise RuntimeError(
                "job.stream() is called in an async def job, where it would hold up all others. "
                "Use asyncio.create_subprocess_exec there, or make the job a def."
            )
        check_options(options)
        return stream(command, options, self.progress)

    @property
    def left(self) -> float | None:
        """Seconds that it will take at the pace of this attempt so far; None where that is not known yet."""
        took = time.monotonic() - self._began
        if not self.done or took < LEFT_AFTER:
            return None
        return took * (1 - self.done) / self.done

    def report(self) -> None:
        """Show viewers how far it is at the next `progress`, however little time has passed."""
        self._program.reports = True
        self._told = -TOLD_EVERY

    def view(self, role: str) -> dict[str, Any]:
        """What viewers of `role` see: how far it is, its log, and no more of its state than a class adds."""
        left = self.left
        return {
            "progress": self.done,
            "text": self.text,
            "left": None if left is None else round(left, 1),
            "attempt": self.attempt,
            "attempts": self.attempts,
            "lines": list(self.lines),
        }

    def metrics(self) -> dict[str, float]:
        """Named figures of how it goes, at most 50: plotted, and shown to whoever may watch."""
        return {}


class JobLoop(Loop):
    """A job as it is registered: a loop whose function is called once for each attempt."""

    is_job = True

    def __init__(self, function: Callable[..., Any], job_class: type[Job] = Job, **options: Any) -> None:
        self.job_class = job_class
        self.retries = options.pop("retries", job_class.retries)
        self.backoff = options.pop("backoff", job_class.backoff)
        super().__init__(function, **options)

    @property
    def views_by_role(self) -> bool:
        return super().views_by_role or self.job_class.view is not Job.view

    @property
    def takes_any_message(self) -> bool:
        """Only what it declares."""
        return False


def of_class(cls: type[Job], options: dict[str, Any]) -> JobLoop:
    """A class with a method `work` as a job; its attributes are the options that are not given."""
    declared = {name: getattr(cls, name) for name in OPTIONS if name != "label" or cls.label}
    declared |= {"params_form": getattr(cls, "Params", None)}
    if not cls.name:
        declared.pop("name")
    loop = JobLoop(_work_of(cls), cls, **(declared | options))
    loop.commands = {spec.name: spec for spec in declared_commands(cls)}
    if cls.metrics is not Job.metrics:
        loop.metrics_function = cls.metrics
    return loop


def _work_of(cls: type[Job]) -> Callable[..., Any]:
    """`work` as a function, called and named like the class."""
    if inspect.iscoroutinefunction(cls.work):

        @functools.wraps(cls.work)
        async def function(job: Any, **params: Any) -> Any:
            return await cls.work(job, **params)

    else:

        @functools.wraps(cls.work)
        def function(job: Any, **params: Any) -> Any:
            return cls.work(job, **params)

    function.__name__, function.__qualname__, function.__doc__ = cls.__name__, cls.__qualname__, cls.__doc__
    return function
