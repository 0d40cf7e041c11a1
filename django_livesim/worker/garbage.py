"""How often a process that steps runs looks for garbage in cycles: Python's way, or `GC_THRESHOLD`.

Steps that make new objects in place of old ones fill the youngest generation: with many runs, each look
through it takes tens of milliseconds, in which no run is stepped. What is there once Django and all
simulations are loaded is never garbage, and is looked through no more.

It is the operator's to ask for, since Python counts objects and not bytes: what a simulation leaves behind
in cycles stays in memory for so much longer.
"""

from __future__ import annotations

import gc

from django_livesim import conf


def look_as_set() -> None:
    """For the whole process, once all is loaded; nothing is changed where `GC_THRESHOLD` is None."""
    threshold: int | None = conf.settings.GC_THRESHOLD
    if threshold is None:
        return
    _youngest, *older = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(threshold, *older)
