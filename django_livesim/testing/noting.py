"""Taking note of the exception that fails a run: the runtime itself keeps its traceback alone."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django_livesim.runtime.ports import Definition
from django_livesim.runtime.runner import Runner
from django_livesim.simulation import Loop

Note = Callable[[BaseException], None]


def noting(definition: Definition, note: Note) -> Definition:
    """The simulation, such that `note` hears of what a loop's function raises."""
    if not isinstance(definition, Loop):
        return definition
    loop = copy.copy(definition)
    wrap = _async_function if definition.is_async else _function
    loop.function = functools.wraps(definition.function)(wrap(definition.function, note))
    return loop


def _function(function: Callable[..., Any], note: Note) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as exc:
            note(exc)
            raise

    return noted


def _async_function(function: Callable[..., Any], note: Note) -> Callable[..., Any]:
    async def noted(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except Exception as exc:
            note(exc)
            raise

    return noted


def note_failure(runner: Runner, note: Note) -> None:
    """Have `note` hear of what fails this run in the step thread."""
    fail = runner.fail

    def noted(exc: BaseException, successor: UUID | None = None) -> None:
        note(exc)
        fail(exc, successor)

    runner.fail = noted  # type: ignore[method-assign]
