"""`livesim watch` on a terminal: where the run stands stays in place, what happens to it goes by above.

It needs rich (`pip install django-livesim[rich]`). Where that is missing, or the output is piped, plain
lines say the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django_livesim.cli.output import Output, printable
from django_livesim.cli.pace import Pace, sparkline
from django_livesim.protocol.names import Status

try:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.text import Text
except ImportError:
    RICH = False
else:
    RICH = True

COLOURS = {
    Status.RUNNING: "green",
    Status.FINISHED: "blue",
    Status.FAILED: "red",
    Status.QUARANTINED: "red",
    Status.STOPPED: "dim",
}
"""Of the statuses; the others are yellow."""

Line = dict[str, Any]
Words = Callable[[Line], str]


@contextmanager
def opened(out: Output, words: Words) -> Iterator[Lines]:
    """What shows the lines of a watched run: in place on a terminal, else one below the other."""
    if out.as_json or not (RICH and out.on_terminal):
        yield Lines(out, words)
        return
    with Live(console=Console(file=out.terminal, highlight=False), auto_refresh=False) as live:
        yield Screen(out, words, live)


class Lines:
    """A line for each thing that is new."""

    def __init__(self, out: Output, words: Words) -> None:
        self._out = out
        self._words = words

    def show(self, line: Line) -> None:
        """Show what is new."""
        if self._out.as_json:
            self._out.json(line)
        else:
            self._out.line(self._words(line))

    def looked(self) -> None:
        """All that is new has been shown."""


class Screen(Lines):
    """The view of one run: its facts, progress, rate and state below, verdicts and the end above."""

    def __init__(self, out: Output, words: Words, live: Live) -> None:
        super().__init__(out, words)
        self._live = live
        self._pace = Pace()
        self._facts: Line = {}
        self._state = ""

    def show(self, line: Line) -> None:
        """Take what is new into the view, or print it above."""
        if line["type"] == "status":
            self._facts = line
        elif line["type"] == "snapshot":
            self._state = self._words(line)
        else:
            self._live.console.print(Text(self._words(line)))

    def looked(self) -> None:
        """Measure the rate, and draw the view."""
        if self._facts.get("status") == Status.RUNNING:
            self._pace.add(time.monotonic(), self._facts["tick"])
        else:
            self._pace.pause()
        self._live.update(self._view(), refresh=True)

    def _view(self) -> Group:
        facts = self._facts
        parts: list[Any] = []
        if facts:
            parts.append(self._head(facts))
            if facts["progress"] is not None:
                share = min(max(facts["progress"], 0.0), 1.0)
                parts.append(ProgressBar(total=1.0, completed=share, width=50))
        if self._pace.rate is not None:
            bars = sparkline(self._pace.rates)
            parts.append(Text.assemble((bars, "cyan"), f"  {self._pace.rate:.1f} ticks/s"))
        if self._state:
            parts.append(Text(self._state, style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

    def _head(self, facts: Line) -> Text:
        name = printable(facts["name"] or facts["key"] or facts["run"][:8])
        text = Text.assemble((name, "bold"), "  ", printable(facts["simulation"]), "  ")
        text.append(printable(facts["status"]), style=COLOURS.get(facts["status"], "yellow"))
        text.append(f"  tick {facts['tick']}")
        if facts["progress"] is not None:
            text.append(f"  {facts['progress']:.0%}")
        if facts["speed"] != 1:
            text.append(f"  speed {facts['speed'] or 'max'}")
        if facts["reason"] and facts["reason"] != facts["status"]:
            text.append(f"  {printable(facts['reason'])}", style="yellow")
        return text
