"""`livesim run`: a run that this process steps itself, while the terminal shows it."""

from __future__ import annotations

import signal
import threading
import uuid
from argparse import Namespace

from django_livesim import conf, gateway
from django_livesim.cli.errors import NotDone
from django_livesim.cli.following import follow, show_rest
from django_livesim.cli.output import Output
from django_livesim.cli.refs import cli_actor
from django_livesim.cli.watch import Watcher
from django_livesim.models import Run
from django_livesim.protocol.errors import Code
from django_livesim.protocol.names import Status

LEAVE = 10.0  # seconds beyond the grace for the worker's thread to end


def step_here(run: Run, queue: str, options: Namespace, out: Output) -> None:
    """Step `run`, which waits in a queue of its own, until it ends, or is stopped by Ctrl-C or SIGTERM.

    Its state is stored at the end, and it goes over to `queue`: `livesim
    resume` has an ordinary worker go on with it.
    """
    from django_livesim.worker import Engine

    engine = Engine(queues=[run.queue])
    thread = threading.Thread(target=engine.run, name="livesim-steps", daemon=True)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    watcher = Watcher(run)
    thread.start()
    try:
        follow(watcher, options, out)
        _stop(run)
        show_rest(watcher, out)
    finally:
        engine.drain()
        thread.join(conf.settings.GRACE + LEAVE)
        Run.objects.filter(id=run.id).update(queue=queue)
        signal.signal(signal.SIGTERM, before)
    run.refresh_from_db()
    if run.status == Status.FAILED:
        raise NotDone(str(Code.ERROR), f"the run failed: {run.reason}. See: livesim inspect {run.id.hex[:8]}")


def own_queue() -> str:
    """A queue that no other worker serves."""
    return f"foreground-{uuid.uuid4().hex}"


def _stop(run: Run) -> None:
    run.refresh_from_db()
    if not run.ended:
        gateway.stop(run, actor=cli_actor(), wait=True, timeout=conf.settings.GRACE)
