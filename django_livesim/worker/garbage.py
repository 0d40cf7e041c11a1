"""How often a process that steps runs looks for garbage in cycles: Python's way, and less often.

Steps that make new objects in place of old ones fill the youngest generation: with many runs, each look
through it takes tens of milliseconds, in which no run is stepped. What is there once Django and all
simulations are loaded is never garbage, and is looked through no more.
"""

from __future__ import annotations

import gc

MORE = 50_000  # objects that there are more of than at the last look, before the next one


def look_seldom() -> None:
    """For the whole process, once all is loaded. A larger threshold of the host's stays, and so does none."""
    youngest, *older = gc.get_threshold()
    gc.collect()
    gc.freeze()
    if youngest:
        gc.set_threshold(max(MORE, youngest), *older)
