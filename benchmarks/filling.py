"""Many rows, quickly: runs, their commands and checkpoints, as months of use would leave them."""

from __future__ import annotations

import random
from datetime import timedelta

import orjson
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from django_livesim.models import Checkpoint, Command, Run, Visibility, Worker
from django_livesim.protocol import packed, plain
from django_livesim.protocol.names import Status

OWNERS = 20
WORKERS = 50
STATUSES = [*[Status.STOPPED] * 5, *[Status.FINISHED] * 8, *[Status.FAILED] * 2, *Status]
SIMULATIONS = ["counter", "echo", "orbit", "workshop"]

SERIES = {
    "postgresql": "(SELECT i FROM generate_series(1, {count}) AS series(i)) AS numbers",
    "sqlite": "(WITH RECURSIVE series(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < {count})"
    " SELECT i FROM series) AS numbers",
}
BEFORE = {
    "postgresql": "now() - ({count} - i) * interval '8 second'",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || (({count} - i) * 8) || ' seconds')",
}

RUN_OF = (
    "JOIN (SELECT id AS run, row_number() OVER (ORDER BY created_at) AS n FROM livesim_run) AS runs"
    " ON runs.n = {n}"
)

COMMANDS = """
INSERT INTO livesim_command (run_id, kind, name, args, sender, client_id, body_hash, durable, apply_seq,
 apply_tick, epoch, outcome, code, message, result, created_at, applied_at)
SELECT run, CASE WHEN i % 500 = 7 THEN 'control' ELSE 'command' END,
 CASE WHEN i % 500 = 7 THEN 'pause' WHEN i % 3 = 0 THEN 'decline' ELSE 'add' END,
 '{{"n": 5}}', 'u:1', 'c' || i, 'x', true, CASE WHEN i % 20000 = 11 THEN NULL ELSE i END, i, 1,
 CASE WHEN i % 20000 = 11 THEN '' WHEN i % 100 = 3 THEN 'refused' ELSE 'applied' END,
 '', CASE WHEN i % 100 = 3 THEN 'not today' ELSE '' END, '{{"value": 5}}', {before}, {before}
FROM {series} {run} ORDER BY numbers.i
"""

CHECKPOINTS = """
INSERT INTO livesim_checkpoint (run_id, tick, apply_seq, epoch, version, hash, data, created_at)
SELECT run, i * 100, i, 1, 1, %s, %s, {before} FROM {series} {run} ORDER BY numbers.i
"""


def fill(runs: int, commands: int, checkpoints: int) -> Run:
    """Fill an empty database; the run that has a tenth of all commands."""
    owners = [User.objects.create_user(f"owner{number}", is_staff=True) for number in range(OWNERS)]
    workers = Worker.objects.bulk_create(
        Worker(host="example", pid=number, queues=["default"], load={"cpu": 0.2, "memory": 50_000_000})
        for number in range(WORKERS)
    )
    make_runs(runs, owners, workers)
    heavy = Run.objects.order_by("created_at")[0]
    Run.objects.filter(pk=heavy.pk).update(name="heavy", status=Status.STOPPED, worker=None)
    insert(COMMANDS, commands, f"CASE WHEN i % 10 = 0 THEN 1 ELSE 1 + (i * 7) % {runs} END")
    state = {f"member-{number}": {"x": number, "y": number / 3} for number in range(50)}
    data = orjson.dumps({"state": state, "random": None, "steps": 0})
    insert(CHECKPOINTS, checkpoints, f"1 + i % {runs}", plain.digest(data), packed.pack(data))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE" if not connection.in_atomic_block else "ANALYZE")
    assert Command.objects.count() == commands
    assert Checkpoint.objects.count() == checkpoints
    return heavy


def make_runs(count: int, owners: list[User], workers: list[Worker]) -> None:
    chance = random.Random(1)
    now = timezone.now()
    rows = []
    for number in range(count):
        status = chance.choice(STATUSES)
        held = status in (Status.RUNNING, Status.PAUSED, Status.STOPPING)
        rows.append(
            Run(
                simulation=chance.choice(SIMULATIONS),
                name=f"Experiment {number}" if number % 3 else "",
                key=f"key-{number}",
                params={"start": number},
                owner=chance.choice([*owners, None]),
                status=status,
                visibility=Visibility.PUBLIC if number % 50 == 0 else Visibility.PRIVATE,
                worker=chance.choice(workers) if held else None,
                tick=chance.randrange(1_000_000),
                error="Traceback" if status is Status.FAILED else "",
            )
        )
    Run.objects.bulk_create(rows, batch_size=500)
    for number, row in enumerate(rows):
        row.created_at = now - timedelta(minutes=50 * (count - number))
    Run.objects.bulk_update(rows, ["created_at"], batch_size=500)


def insert(statement: str, count: int, n: str, *parameters: object) -> None:
    """As many rows of `statement`; `n` is the number of the run to which the i-th belongs."""
    vendor = connection.vendor
    text = statement.format(
        series=SERIES[vendor].format(count=count),
        before=BEFORE[vendor].format(count=count).replace("%", "%%" if parameters else "%"),
        run=RUN_OF.format(n=n.replace("%", "%%") if parameters else n),
    )
    text = text if parameters else text.replace("%%", "%")
    with connection.cursor() as cursor:
        cursor.execute(text, parameters or None)
