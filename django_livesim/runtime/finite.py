"""Numbers of a view that JSON has no word for: NaN and infinities, which viewers see as null.

The encoder writes them without a word, as a null that was meant. So now and then a view is looked through,
where its JSON holds a null at all; others cost no more than a look at the clock.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson

from django_livesim.protocol import plain
from django_livesim.protocol.errors import BadState

LOOK_EVERY = 5.0  # seconds between two looks through one run's views,
SHARE = 0.01  # of the time at most, since a large view takes long to be looked through
SAY_EVERY = 60.0  # seconds between two log lines of one run

logger = logging.getLogger(__name__)


class ViewEncoder:
    """Encodes the views of one run. Of the step thread, but for `found`, which any thread may read."""

    def __init__(self, run: UUID, epoch: int) -> None:
        self._run = run
        self._epoch = epoch
        self._look_at = -math.inf
        self._say_at = -math.inf
        self.found = 0
        """Numbers that are none, in the views that were looked through."""

    def encode(self, view: Any, *parts: Any) -> list[bytes]:
        """Each of these parts of a view as JSON. Raises BadState, which names what cannot be sent."""
        encoded = [_encoded(part) for part in parts]
        began = time.monotonic()
        if began >= self._look_at:
            if any(b"null" in data for data in encoded):
                self._look(view)
            now = time.monotonic()
            self._look_at = now + max(LOOK_EVERY, (now - began) / SHARE)
        return encoded

    def _look(self, view: Any) -> None:
        first, count = "", 0
        for path in unsayable(view, "view"):
            first, count = first or path, count + 1
        if count:
            self.count(first, count, "the view")

    def count(self, first: str, number: int, of: str) -> None:
        """Note that viewers see null for so many, and log it, now and then."""
        self.found += number
        now = time.monotonic()
        if now >= self._say_at:
            self._say_at = now + SAY_EVERY
            logger.warning(
                "viewers see null for %s numbers of %s that JSON has no word for, the first being %s;"
                " expected finite numbers run=%s epoch=%s",
                number,
                of,
                first,
                self._run,
                self._epoch,
            )


def _encoded(part: Any) -> bytes:
    try:
        return orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as exc:
        difference = plain.first_difference(part, "view") or str(exc)
        raise BadState(f"The view cannot be sent: {difference}.") from exc


def unsayable(value: Any, path: str, depth: int = 0) -> Iterator[str]:
    """The path and value of each number in `value` that is not finite, as `view["bodies"][3] (nan)`."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield f"{path} ({value})"
    elif depth > plain.MAX_DEPTH:
        return
    elif isinstance(value, dict):
        for name, item in value.items():
            if item.__class__ is not str:  # most of what is in views, and never one
                yield from unsayable(item, f'{path}["{name!s:.80}"]', depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from unsayable(item, f"{path}[{index}]", depth + 1)
    elif hasattr(value, "tolist"):  # of numpy, which need not be there
        yield from unsayable(value.tolist(), path, depth + 1)
