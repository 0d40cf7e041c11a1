"""`livesim prune`: remove what RETENTION says has been kept long enough."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import asdict

from django_livesim import conf
from django_livesim.cli.errors import NotDone
from django_livesim.cli.output import Output
from django_livesim.gateway.pruning import Pruned, prune
from django_livesim.protocol.errors import Code

TOLD_EVERY = 1.0  # seconds between two lines of progress


def prune_rows(options: Namespace, out: Output) -> None:
    """Remove it, or with --dry-run count it; Ctrl-C leaves a part done and nothing harmed."""
    progress = Progress(out)
    try:
        pruned = prune(dry_run=options.dry_run, told=progress.tell)
    except KeyboardInterrupt:
        done = f"{_words(progress.last)} are removed" if progress.last else "nothing is removed"
        raise NotDone(str(Code.ERROR), f"broken off: {done}. Run it again to go on.") from None
    if out.as_json:
        kept = [{"run": run, "message": message} for run, message in pruned.kept]
        out.json({"dry_run": options.dry_run} | asdict(pruned) | {"kept": kept})
    else:
        out.line(f"{_words(pruned)} {'would be' if options.dry_run else 'are'} removed")
        for run, message in pruned.kept:
            out.line(f"{run} is kept: {message}")
    _say_what_is_kept(out)


def _words(pruned: Pruned) -> str:
    counted = f"{pruned.runs} runs, {pruned.journal} commands, {pruned.tasks} tasks"
    return f"{counted} and {pruned.workers} workers that are gone"


def _say_what_is_kept(out: Output) -> None:
    """What is not set is kept for ever, and how to change that."""
    unset = [name for name, days in conf.settings.RETENTION.items() if days is None]
    what = {"RUNS": "ended runs", "JOURNAL": "the journal of runs that stay", "TASKS": "ended tasks"}
    for name in unset:
        out.hint(
            f'{what[name].capitalize()}: kept for ever, since LIVESIM["RETENTION"]["{name}"] is not set.'
            f' Set it to a number of days: LIVESIM = {{"RETENTION": {{"{name}": 30}}}}'
        )


class Progress:
    """A line a second of how much has been removed."""

    def __init__(self, out: Output) -> None:
        self.last: Pruned | None = None
        self._out = out
        self._due = time.monotonic() + TOLD_EVERY

    def tell(self, pruned: Pruned) -> None:
        self.last = pruned
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + TOLD_EVERY
            self._out.hint(f"{_words(pruned)} so far")
