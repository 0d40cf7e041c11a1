"""What authors declare for work beside the runs: functions that workers call, and handlers of own channels.

Such a function is called by a worker, in one of a few threads of a process that steps nothing. What has a
page, is stopped, or may hang belongs into a job.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

from django_livesim.params.signatures import where
from django_livesim.protocol.errors import BadArgs, RegistrationError
from django_livesim.protocol.names import check_author_channel

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\Z")
MOST_RETRIES = 1000


class Handler:
    """A function that workers call: a task, or what handles the messages of one channel.

    `name` is the task's, by default that of the function with its module, or the channel's. `queue` says
    which workers call it, `retries` how often it is tried again after it has raised, or its worker has died;
    it then runs at least once. The first retry comes after `backoff` seconds, each further one after twice
    as many, an hour at most.
    """

    is_channel = False

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        queue: str = "default",
        retries: int = 0,
        backoff: float = 5.0,
    ) -> None:
        """Raises RegistrationError where it cannot work."""
        if not inspect.isroutine(function):
            raise RegistrationError(f"@task and @on_channel got {function!r}. Expected: a function.")
        self.function = function
        self.name = f"{function.__module__}.{function.__qualname__}" if name is None else name
        self.queue, self.retries, self.backoff = queue, retries, backoff
        self.__name__, self.__qualname__ = function.__name__, function.__qualname__
        self.__doc__, self.__module__ = function.__doc__, function.__module__
        self.__wrapped__ = function
        self._signature = inspect.signature(function)
        self._check()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself, here and now."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise BadArgs unless the function can be called so."""
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as exc:
            expected = f"{self.__name__}{self._signature}"
            raise BadArgs(f"{self.name} cannot be called so: {exc}. Expected: {expected}.") from None

    @property
    def place(self) -> str:
        """Where it is written, for messages."""
        return where(self.function)

    def _check(self) -> None:
        queue, retries, backoff = self.queue, self.retries, self.backoff
        if "<locals>" in self.name:
            self._refuse("name", self.name, "one of its own, since the function is within another")
        if not isinstance(self.name, str) or not NAME.match(self.name):
            self._refuse("name", self.name, "1 to 200 letters, digits, '_', '-' and '.'")
        if not isinstance(queue, str) or not 0 < len(queue) <= 64:
            self._refuse("queue", queue, "a text of 1 to 64 characters")
        if type(retries) is not int or not 0 <= retries <= MOST_RETRIES:
            self._refuse("retries", retries, f"an integer from 0 to {MOST_RETRIES}")
        if type(backoff) not in (int, float) or not (math.isfinite(backoff) and backoff > 0):
            self._refuse("backoff", backoff, "seconds, a number above 0")

    def _refuse(self, option: str, value: Any, expected: str) -> None:
        raise RegistrationError(f"{self.place}: {option} is {value!r}. Expected: {expected}.")


class ChannelHandler(Handler):
    """What handles the messages of a channel, one after the other."""

    is_channel = True

    def _check(self) -> None:
        super()._check()
        try:
            check_author_channel(self.name)
        except ValueError as exc:
            raise RegistrationError(f"{self.place}: {exc}.") from None
        try:
            self.bind(({},), {})
        except BadArgs as exc:
            raise RegistrationError(f"{self.place}: a handler gets the message, a dict. {exc}") from None


class Handlers:
    """Those of this process; changed at import, read by any thread."""

    def __init__(self) -> None:
        self.tasks: dict[str, Handler] = {}
        """By name."""
        self.channels: dict[str, Handler] = {}
        """By the channel that they handle."""

    def __bool__(self) -> bool:
        return bool(self.tasks or self.channels)

    def add(self, handler: Handler) -> None:
        """Raises RegistrationError where the name is taken by another function."""
        known = self.channels if handler.is_channel else self.tasks
        there = known.get(handler.name)
        if there is not None and _home(there) != _home(handler):
            raise RegistrationError(
                f"{handler.place}: {handler.name!r} is taken by {there.place}. Expected: another name."
            )
        known[handler.name] = handler

    @property
    def queues(self) -> set[str]:
        return {each.queue for each in (*self.tasks.values(), *self.channels.values())}


def _home(handler: Handler) -> tuple[str, str]:
    """The same where a module is imported once more."""
    return handler.function.__module__, handler.function.__qualname__


handlers = Handlers()
