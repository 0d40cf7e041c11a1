"""Workers, as their rows tell, and servers and workers on this machine, as `/proc` does."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings

from django_livesim import __version__, registry
from django_livesim.cli.doctor import machine
from django_livesim.cli.doctor.finding import Finding, advice, ok, problem
from django_livesim.cli.workers import how_to_start_one, live_workers
from django_livesim.gateway import vitals
from django_livesim.models import Worker
from django_livesim.store import identity

APART = 60.0  # seconds that the clocks of a worker and of the database may differ

DESCRIPTORS = 4096
"""What a server may have open: each viewer is one, and systemd gives 1,024 unless told."""


UNSENT = {
    "dropped": (
        "messages to viewers were not taken by the channel layer",
        "It was full, slow or away, at times. Viewers are shown the present once it is there again.",
    ),
    "too_large": (
        "views, events or results were larger than MAX_FRAME_BYTES, and were not sent",
        "Make them smaller, as by a view() that leaves something out, or raise it; the log names the runs.",
    ),
    "not_finite": (
        "numbers in the views of its runs are NaN or infinite, which viewers see as null",
        "The worker's log names the first of each run.",
    ),
}
"""What a worker tells of what it has not sent: in words, and what to do."""


def look_at_workers() -> Iterator[Finding]:
    sign = vitals.look_at_workers()
    if sign.problem:
        yield problem("workers", "none is alive", hint=how_to_start_one())
    for worker in sign.figures["each"]:
        held = f"{worker['runs']} runs"
        if worker["state"] == "silent":
            yield advice(
                "workers",
                f"{worker['name']} has been silent for {worker['beat_age']:.0f} s, with {held}."
                " Expected: a beat every two",
                hint="Where its process is there, look at its log; other workers take its runs over.",
            )
        elif worker["state"] == Worker.State.DRAINING:
            message = f"{worker['name']} is told to leave, and has {held}"
            yield ok("workers", message)
        else:
            queues = ", ".join(worker["queues"]) or "none"
            if calls := worker["load"].get("tasks"):
                held = f"{calls['running']} of {calls['threads']} tasks at once"
            message = f"{worker['name']} is alive with {held}, queues {queues}"
            yield ok("workers", message)
        yield from _look_at_unsent(worker)


def _look_at_unsent(worker: Mapping[str, Any]) -> Iterator[Finding]:
    """What viewers have missed since the worker began."""
    for kind, (what, hint) in UNSENT.items():
        if count := worker["unsent"][kind]:
            yield advice("workers", f"{worker['name']}: {count} {what}", hint=hint)


def look_at_code() -> Iterator[Finding]:
    """Whether all workers, and this process, have the same versions of each simulation."""
    versions: dict[str, dict[int, str]] = defaultdict(dict)
    for target in registry.all():
        versions[target.name][target.version] = "the code here"
    for worker in live_workers():
        for name, version in (worker.load.get("simulations") or {}).items():
            versions[name].setdefault(version, str(worker))
    for name, found in sorted(versions.items()):
        if len(found) > 1:
            told = ", ".join(f"{version} ({who})" for version, who in sorted(found.items()))
            yield advice(
                "workers",
                f"{name} has the versions {told}. Expected: one",
                hint="Have the old ones leave and start anew: python manage.py livesim drain",
            )


def look_at_releases() -> Iterator[Finding]:
    """Whether all workers, and this process, are of one version of this package."""
    found = {__version__: "the code here"}
    for worker in live_workers():
        if version := worker.load.get("version"):
            found.setdefault(str(version), str(worker))
    if len(found) > 1:
        told = ", ".join(f"{version} ({who})" for version, who in sorted(found.items()))
        yield advice(
            "workers",
            f"django-livesim has the versions {told}. Expected: one",
            hint="Have the old ones leave and start anew: python manage.py livesim drain",
        )


def look_at_clocks() -> Iterator[Finding]:
    """Whether the clocks of workers are those of the database, by what their last beat has told.

    Not of one whose run is stepping for long: its parent may beat for it, which leaves its clock as it was.
    """
    for worker in live_workers():
        told = None if worker.load.get("stepping") else worker.load.get("clock")
        ahead = 0.0 if told is None else told - worker.beat_at.timestamp()
        if abs(ahead) > APART:
            which = "ahead of" if ahead > 0 else "behind"
            yield advice(
                "workers",
                f"the clock of {worker}, on {worker.host}, is {abs(ahead):.0f} s {which} the database's."
                f" Expected: {APART:.0f} s at most",
                hint="Have a time service set the clock of that machine, and of the database's: timedatectl",
            )


def look_at_hashing() -> Iterator[Finding]:
    """Whether the workers of this machine order sets of texts alike, by PYTHONHASHSEED."""
    seeds = {worker: machine.variable(worker.pid, "PYTHONHASHSEED") for worker in _workers_here()}
    known = {worker: seed for worker, seed in seeds.items() if seed is not None}
    random = [worker for worker, seed in known.items() if seed in ("", "random")]
    if random or len(set(known.values())) > 1:
        who = f"{random[0]} has none" if random else "the workers here have different ones"
        yield advice(
            "workers",
            f"PYTHONHASHSEED: {who}, so that a run which goes through a set of texts is not recovered alike."
            " Expected: the same number for all",
            hint="Start workers by livesim_worker with one SECRET_KEY, or set PYTHONHASHSEED=0 for each.",
        )


def _workers_here() -> list[Worker]:
    """Those alive whose processes can be looked at: this boot, and these process ids."""
    here = identity.this_process()
    same = (here.boot_id, here.pid_namespace)
    return [each for each in live_workers() if each.boot_id and (each.boot_id, each.pid_namespace) == same]


def look_at_servers() -> Iterator[Finding]:
    """Servers of this project on this machine: how they end, compress, and how many viewers they can have."""
    path = str(getattr(settings, "ASGI_APPLICATION", None) or "")
    application = ":".join(path.rsplit(".", 1))
    servers = [each for each in machine.processes() if application and application in each.command]
    for server in servers:
        if server.program == "uvicorn":
            yield from _uvicorn(server)
        yield from _descriptors(server.pid, f"the server {server.pid}")
    if not servers:
        yield from _descriptors(os.getpid(), "this process (a server may have other limits)")


def _uvicorn(server: machine.Process) -> Iterator[Finding]:
    if not server.has_option("--timeout-graceful-shutdown", "UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN"):
        yield advice(
            "servers",
            f"uvicorn {server.pid} waits for every socket to be closed by its browser before it ends."
            " Expected: --timeout-graceful-shutdown",
            hint="Start it with: --timeout-graceful-shutdown 5",
        )
    if not server.has_option("--ws-per-message-deflate", "UVICORN_WS_PER_MESSAGE_DEFLATE"):
        yield advice(
            "servers",
            f"uvicorn {server.pid} compresses each frame for each viewer anew."
            " Expected: --ws-per-message-deflate false",
            hint="Start it with: --ws-per-message-deflate false",
        )


def _descriptors(pid: int, who: str) -> Iterator[Finding]:
    limit = machine.descriptors(pid)
    if limit is not None and limit < DESCRIPTORS:
        yield advice(
            "servers",
            f"{who} may have {limit} files and sockets open, one for each viewer."
            f" Expected: {DESCRIPTORS} or more",
            hint="Set LimitNOFILE=65536 in its systemd unit, or: ulimit -n 65536",
        )
    elif limit is not None:
        yield ok("servers", f"{who} may have {limit} files and sockets open")
