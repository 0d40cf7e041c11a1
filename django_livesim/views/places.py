"""Where on a page a run is shown: what the ids there begin with, so that a page may hold several.

On the pages of our own that is nothing. What is embedded has a prefix, which its scripts send
along with whatever they ask for, so that what is answered has the same ids.
"""

from __future__ import annotations

import re

from django.http import HttpRequest

from django_livesim.models import Run

HEADER = "Livesim-Prefix"
"""Of a request for a part of what is embedded."""

PANEL, CONTROLS, PLOT, FRAME = KINDS = ("panel", "controls", "plot", "frame")

PREFIX = re.compile(rf"({'|'.join(KINDS)})-[0-9a-f]{{32}}-(?:[1-9][0-9]{{0,3}}-)?\Z")


def prefix_for(kind: str, run: Run, number: int = 1) -> str:
    """What the ids begin with in the `number`th place of that kind on one page that shows the run."""
    return f"{kind}-{run.id.hex}-" + (f"{number}-" if number > 1 else "")


def prefix_of(request: HttpRequest) -> str:
    """The prefix of the place that asks; empty on the pages of our own, and where it is none."""
    prefix = request.headers.get(HEADER, "")
    return prefix if PREFIX.match(prefix) else ""


def is_read_only(prefix: str) -> bool:
    """Whether nothing can be done in a place, whatever the rights of who looks are."""
    return prefix.startswith(f"{FRAME}-")
