"""Signals of what happens to runs, for the host's own code: `run_finished.connect(bill_the_owner)`.

Receivers are called as `receiver(sender, *, run, previous, reason, **kwargs)`:

- `sender`: the model `Run`;
- `run`: its row, read when the signal is sent, so it may have come further since;
- `previous`: the status before, a `protocol.names.Status`;
- `reason`: why, in the words of the page; often empty.

Each is sent after the change has committed, by the process that wrote it, at
most once: a process that dies in between sends nothing, and no other does it
in its place. Where a worker held the run, that is the worker, and receivers
are called in its thread `livesim-signals`: a slow one delays later signals of
that worker, and neither its runs nor its lease. Where nobody held the run, it
is the process that was asked, and receivers are called in the thread of
whoever asked, once the outermost transaction has committed. What a receiver
raises is logged and disturbs nobody else. Of what changes twice within one
write of a worker only the outcome is told.

That a run was made is told by Django itself: `post_save` of `Run`, with
`created`, in the process that starts it.
"""

from __future__ import annotations

from django.dispatch import Signal

run_started = Signal()
"""A worker has set the run up, and it runs (or is paused, where it was paused while it waited).

Sent by the worker, once in a run's life: not when another worker takes it up, and not when it is resumed.
`previous` is `waiting` or `paused`.
"""

run_paused = Signal()
"""The run makes no more steps until it is resumed; commands still apply.

Sent by the worker, or by the gateway for a run that nobody holds. `reason` is "nobody is watching" where
`when_unwatched` has paused it.
"""

run_resumed = Signal()
"""The run goes on: a pause is over, or somebody has resumed what was stopped or quarantined.

For what nobody held it is sent by the gateway, when the run begins to wait for a worker: `run.status` is
`waiting` then, and `previous` says from where it came. Otherwise it is sent by the worker.
"""

run_stopped = Signal()
"""A person has ended the run, or `when_unwatched`; it can be resumed from its stored state.

Sent by the worker, or by the gateway for a run that nobody holds.
"""

run_finished = Signal()
"""The run has ended by itself; `run.result` is what it came to. Sent by the worker."""

run_failed = Signal()
"""The run's code has raised, or its state cannot be stored; `run.error` says what. Sent by the worker."""

run_quarantined = Signal()
"""The run is kept from all workers until somebody releases it. Sent by whoever writes that."""

run_restarted = Signal()
"""Another run follows this one, with its parameters and its key; `successor` is that run's row.

Sent for the old run, beside its `run_stopped` if it had not ended before, by the worker or the gateway.
`run_started` comes for the new one when a worker has set it up.
"""
