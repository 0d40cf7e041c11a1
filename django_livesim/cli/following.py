"""`livesim watch`: print what a `Watcher` sees until the run ends or the reader has enough."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from typing import Any

from django.db import OperationalError, connections

from django_livesim import conf
from django_livesim.cli.output import Output, compact, printable, shortened
from django_livesim.cli.refs import find_run
from django_livesim.cli.screen import Lines, opened
from django_livesim.cli.watch import Watcher

ASK_WAIT = 0.5  # seconds a worker has to store a state that it was asked for
STATE_WIDTH = 160  # characters of a state on a line for people


def watch(options: Namespace, out: Output) -> None:
    """Print lines until the run ends; Ctrl-C and a closed pipe end it as well."""
    follow(Watcher(find_run(options.run)), options, out)


def follow(watcher: Watcher, options: Namespace, out: Output) -> None:
    """Print what `watcher` sees until its run ends, or the reader has enough."""
    try:
        with opened(out, _words) as lines:
            _look_on(watcher, options, out, lines)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would say the same on stderr.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.stdout.fileno())


def show_rest(watcher: Watcher, out: Output) -> None:
    """Print what is new now, as lines."""
    _look(watcher, out, Lines(out, _words))


def _look_on(watcher: Watcher, options: Namespace, out: Output, lines: Lines) -> None:
    asked = float("-inf")
    while not watcher.ended:
        asking = bool(options.ask) and time.monotonic() - asked >= options.ask
        asked = time.monotonic() if asking else asked
        _look(watcher, out, lines, ASK_WAIT if asking else 0)
        if not watcher.ended:
            time.sleep(options.interval)


def _look(watcher: Watcher, out: Output, lines: Lines, ask_wait: float = 0) -> None:
    """Show what is new; with `ask_wait` seconds, ask the worker for the state first."""
    try:
        if ask_wait:
            watcher.ask(ask_wait)
        for line in watcher.look():
            lines.show(line)
        lines.looked()
    except OperationalError as exc:
        out.hint(f"db_down: {str(exc).strip()}; trying again")
        connections[conf.settings.DATABASE].close()


def _words(line: dict[str, Any]) -> str:
    """A line for people."""
    return f"{line['type']:<9} {printable(_WORDS[line['type']](line))}".rstrip()


def _status(line: dict[str, Any]) -> str:
    progress = "" if line["progress"] is None else f"  {line['progress']:.0%}"
    speed = "" if line["speed"] == 1 else f"  speed {line['speed'] or 'max'}"
    reason = f"  {line['reason']}" if line["reason"] else ""
    return f"{line['status']}  tick {line['tick']}{progress}{speed}{reason}"


def _snapshot(line: dict[str, Any]) -> str:
    return f"tick {line['tick']}  {shortened(compact(line['state']), STATE_WIDTH)}"


def _applied(line: dict[str, Any]) -> str:
    result = "" if line["result"] is None else f": {compact(line['result'])}"
    return f"{line['command']} at tick {line['tick']}{result}"


def _refused(line: dict[str, Any]) -> str:
    return f"{line['command']}: {line['code']}: {line['message']}"


def _end(line: dict[str, Any]) -> str:
    result = "" if line["result"] is None else f"  result {compact(line['result'])}"
    error = "" if not line["error"] else f"  {line['error'].strip().splitlines()[-1]}"
    following = "" if line["next"] is None else f"  followed by {line['next']}"
    return f"{line['status']}{result}{error}{following}"


_WORDS = {"status": _status, "snapshot": _snapshot, "applied": _applied, "refused": _refused, "end": _end}
