"""Rows: the truth of every run. Thin; the worker's writes live in `store`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from django_livesim import conf
from django_livesim.protocol.names import CLAIMABLE, ENDED, Kind, Outcome, Status, TaskStatus, run_group
from django_livesim.store.moments import Moment


class Visibility(models.TextChoices):
    PRIVATE = "private", _("private")
    LINK = "link", _("who has the link")
    PUBLIC = "public", _("public")


class Source(models.TextChoices):
    WORKER = "worker", _("worker")
    EXTERNAL = "external", _("external")
    PLAYBACK = "playback", _("playback")


STATUS_LABELS = {
    Status.WAITING: _("waiting"),
    Status.RUNNING: _("running"),
    Status.PAUSED: _("paused"),
    Status.STOPPING: _("stopping"),
    Status.STOPPED: _("stopped"),
    Status.FINISHED: _("finished"),
    Status.FAILED: _("failed"),
    Status.QUARANTINED: _("quarantined"),
}


TASK_LABELS = {
    TaskStatus.WAITING: _("waiting"),
    TaskStatus.RUNNING: _("running"),
    TaskStatus.FINISHED: _("finished"),
    TaskStatus.FAILED: _("failed"),
    TaskStatus.CANCELLED: _("cancelled"),
}

KIND_LABELS = {Kind.COMMAND: _("command"), Kind.CONTROL: _("control")}

OUTCOME_LABELS = {
    Outcome.NONE: _("waiting"),
    Outcome.APPLIED: _("applied"),
    Outcome.REFUSED: _("refused"),
}


def choices(labels: Mapping[Any, Any]) -> list[tuple[str, object]]:
    return [(str(value), label) for value, label in labels.items()]


class Rows(models.Manager[Any]):
    """Rows of the database that `LIVESIM["DATABASE"]` names."""

    def get_queryset(self) -> models.QuerySet[Any]:
        rows = super().get_queryset()
        return rows if self._db else rows.using(conf.settings.DATABASE)


class WorkerQuerySet(models.QuerySet["Worker"]):
    def heard_of(self, within: timedelta) -> WorkerQuerySet:
        """Those not declared gone that gave a sign of life within that time, by the database's clock."""
        return self.exclude(state=Worker.State.GONE).filter(beat_at__gt=Moment() - within)

    def stepping(self) -> WorkerQuerySet:
        """Those that step runs; the others call tasks."""
        return self.exclude(load__has_key="tasks")


class Worker(models.Model):
    """One start of one process that steps runs."""

    class State(models.TextChoices):
        ALIVE = "alive", _("alive")
        DRAINING = "draining", _("draining")
        GONE = "gone", _("gone")

    id = models.UUIDField(_("id"), primary_key=True, default=uuid.uuid4, editable=False)
    beat = models.BigIntegerField(
        _("beat"), default=0, help_text=_("grows while the worker lives; its silence is what peers time")
    )
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.ALIVE)
    host = models.CharField(_("host"), max_length=255, blank=True)
    boot_id = models.CharField(_("boot id"), max_length=64, blank=True)
    pid_namespace = models.CharField(_("process namespace"), max_length=64, blank=True)
    pid = models.IntegerField(_("process"), default=0)
    pid_started = models.CharField(_("process started"), max_length=32, blank=True)
    queues = models.JSONField(_("queues"), default=list)
    load = models.JSONField(_("load"), default=dict, blank=True)
    explained = models.BooleanField(
        _("its end is explained"),
        default=False,
        help_text=_("one of its runs has ended it, the others are innocent"),
    )
    started_at = models.DateTimeField(_("started"), auto_now_add=True)
    beat_at = models.DateTimeField(_("last sign of life"), auto_now=True)

    objects = Rows.from_queryset(WorkerQuerySet)()

    class Meta:
        app_label = "livesim"
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


def disown(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """What becomes of the runs of a deleted user: they have no owner, whichever database they are in."""
    models.SET_NULL(collector, field, sub_objs.using(conf.settings.DATABASE), using)


disown.lazy_sub_objs = True  # type: ignore[attr-defined]  # else the runs are looked for in the users' database


class RunQuerySet(models.QuerySet["Run"]):
    def claimable(self) -> RunQuerySet:
        """Runs that want a worker, held or not."""
        return self.filter(status__in=[str(status) for status in CLAIMABLE], source=Source.WORKER)

    def ended(self) -> RunQuerySet:
        return self.filter(status__in=[str(status) for status in ENDED])


class Run(models.Model):
    """One execution of a simulation."""

    id = models.UUIDField(_("id"), primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(_("key"), max_length=200, null=True, blank=True)
    name = models.CharField(_("name"), max_length=200, blank=True)
    simulation = models.CharField(_("simulation"), max_length=200, db_index=True)
    version = models.IntegerField(_("version"), default=1)
    params = models.JSONField(_("parameters"), default=dict, blank=True)
    params_set = models.JSONField(
        _("parameters set"), default=dict, blank=True, help_text=_("live parameters that were changed since")
    )
    seed = models.BigIntegerField(_("seed"), default=0)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=disown,
        db_constraint=False,  # users may be in another database
        related_name="livesim_runs",
        verbose_name=_("owner"),
    )
    session = models.CharField(
        _("session"), max_length=64, blank=True, help_text=_("hash of the session that started it")
    )
    visibility = models.CharField(
        _("visibility"), max_length=8, choices=Visibility.choices, default=Visibility.PRIVATE
    )
    link_token = models.CharField(_("link token"), max_length=64, blank=True)
    source = models.CharField(_("source"), max_length=8, choices=Source.choices, default=Source.WORKER)
    queue = models.CharField(_("queue"), max_length=64, default="default")
    status = models.CharField(
        _("status"), max_length=12, choices=choices(STATUS_LABELS), default=str(Status.WAITING), db_index=True
    )
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    epoch = models.BigIntegerField(_("epoch"), default=0)
    worker = models.ForeignKey(
        Worker,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="runs",
        verbose_name=_("worker"),
    )
    tick = models.BigIntegerField(_("tick"), default=0)
    horizon = models.BigIntegerField(
        _("horizon"), default=0, help_text=_("the last tick that somebody may have been shown")
    )
    hash = models.CharField(_("hash of the state at the tick"), max_length=32, blank=True)
    next_seq = models.BigIntegerField(_("next number"), default=1)
    speed = models.FloatField(_("speed"), default=1.0, help_text=_("0 means as fast as possible"))
    progress = models.FloatField(_("progress"), null=True, blank=True)
    result = models.JSONField(_("result"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)
    attempts = models.IntegerField(_("attempts"), default=0, help_text=_("of a job: how many were begun"))
    adoptions = models.IntegerField(_("adoptions"), default=0)
    unproven = models.IntegerField(
        _("adoptions without a state"), default=0, help_text=_("since a worker has last stored its state")
    )
    strikes = models.IntegerField(_("strikes"), default=0, help_text=_("times it has harmed its worker"))
    struck_tick = models.BigIntegerField(
        _("struck at tick"),
        null=True,
        blank=True,
        help_text=_("once it has come further, its strikes are forgiven"),
    )
    struck_at = models.DateTimeField(_("struck"), null=True, blank=True, help_text=_("the last time"))
    struck_epoch = models.BigIntegerField(
        _("struck in epoch"), null=True, blank=True, help_text=_("each holding is struck once")
    )
    held_back_until = models.DateTimeField(
        _("held back until"), null=True, blank=True, help_text=_("no worker takes it before")
    )
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="children",
        verbose_name=_("parent"),
    )
    parent_tick = models.BigIntegerField(_("tick of the parent"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True, db_index=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = Rows.from_queryset(RunQuerySet)()

    class Meta:
        app_label = "livesim"
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["simulation", "key"], name="livesim_run_key"),
        ]
        permissions = [
            ("command_run", _("Can send commands to any run")),
            ("control_run", _("Can pause, step, stop and restart any run")),
            ("start_run", _("Can start runs")),
            ("inspect_run", _("Can inspect the state of any run")),
        ]

    def __str__(self) -> str:
        return self.name or self.key or f"{self.simulation} {self.id.hex[:8]}"

    def get_absolute_url(self) -> str:
        return reverse("livesim:run-detail", args=[self.id])

    @property
    def group_name(self) -> str:
        """The channel-layer group that carries this run's messages."""
        return run_group(self.id)

    @property
    def present_params(self) -> dict[str, Any]:
        """Its parameters as they are now: those of its start, and what was set since."""
        return {**self.params, **self.params_set}

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class Command(models.Model):
    """What somebody asked of a run: the journal, in order of `apply_seq`."""

    id = models.BigAutoField(_("id"), primary_key=True)
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="commands", db_index=False, verbose_name=_("run")
    )
    kind = models.CharField(_("kind"), max_length=8, choices=choices(KIND_LABELS), default=str(Kind.COMMAND))
    name = models.CharField(_("name"), max_length=200)
    args = models.JSONField(_("arguments"), default=dict, blank=True)
    sender = models.CharField(_("sender"), max_length=80)
    client_id = models.CharField(_("client id"), max_length=64)
    body_hash = models.CharField(_("hash of the body"), max_length=32)
    durable = models.BooleanField(_("durable"), default=True)
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    due_tick = models.BigIntegerField(_("due at tick"), null=True, blank=True)
    every = models.FloatField(_("every"), null=True, blank=True, help_text=_("seconds to the next"))
    series = models.BigIntegerField(
        _("series"), null=True, blank=True, help_text=_("the first of the commands that this one repeats")
    )
    apply_seq = models.BigIntegerField(_("order"), null=True, blank=True)
    apply_tick = models.BigIntegerField(_("applied at tick"), null=True, blank=True)
    epoch = models.BigIntegerField(_("epoch"), null=True, blank=True)
    outcome = models.CharField(
        _("outcome"), max_length=8, choices=choices(OUTCOME_LABELS), blank=True, default=""
    )
    code = models.CharField(_("code"), max_length=32, blank=True)
    message = models.TextField(_("message"), blank=True)
    result = models.JSONField(_("result"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    applied_at = models.DateTimeField(_("applied"), null=True, blank=True)

    objects = Rows()

    class Meta:
        app_label = "livesim"
        verbose_name = _("command")
        verbose_name_plural = _("commands")
        constraints = [
            models.UniqueConstraint(fields=["run", "sender", "client_id"], name="livesim_command_once"),
            models.UniqueConstraint(fields=["run", "apply_seq"], name="livesim_command_order"),
        ]
        indexes = [
            models.Index(fields=["run", "id"], name="livesim_command_of_run"),
            models.Index(
                fields=["run", "id"], name="livesim_command_waiting", condition=models.Q(outcome="")
            ),
            models.Index(
                fields=["id"], name="livesim_command_refused", condition=models.Q(outcome="refused")
            ),
            models.Index(fields=["id"], name="livesim_command_control", condition=models.Q(kind="control")),
        ]

    def __str__(self) -> str:
        return f"{self.name} #{self.pk}"


class Checkpoint(models.Model):
    """A run's stored state at a position."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="checkpoints", verbose_name=_("run"))
    tick = models.BigIntegerField(_("tick"))
    apply_seq = models.BigIntegerField(_("order"))
    epoch = models.BigIntegerField(_("epoch"))
    version = models.IntegerField(_("version"), default=1)
    hash = models.CharField(_("hash"), max_length=64)
    data = models.BinaryField(_("data"))
    views = models.BinaryField(
        _("views"), null=True, help_text=_("what each role was shown, for runs that nobody holds")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = Rows()

    class Meta:
        app_label = "livesim"
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")
        constraints = [
            models.UniqueConstraint(fields=["run", "tick", "apply_seq"], name="livesim_checkpoint_position"),
        ]

    def __str__(self) -> str:
        return str(_("%(run)s at %(tick)s") % {"run": self.run_id, "tick": self.tick})


class Sample(models.Model):
    """The figures of a run at a tick: one point of each of its plots. Older ones are thinned."""

    id = models.BigAutoField(_("id"), primary_key=True)
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="samples", db_index=False, verbose_name=_("run")
    )
    tick = models.BigIntegerField(_("tick"))
    values = models.JSONField(_("values"), default=dict)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = Rows()

    class Meta:
        app_label = "livesim"
        verbose_name = _("sample")
        verbose_name_plural = _("samples")
        constraints = [
            models.UniqueConstraint(fields=["run", "tick"], name="livesim_sample_tick"),
        ]

    def __str__(self) -> str:
        return str(_("%(run)s at %(tick)s") % {"run": self.run_id, "tick": self.tick})


class TaskQuerySet(models.QuerySet["Task"]):
    def open(self) -> TaskQuerySet:
        """Those that wait or run."""
        return self.filter(status__in=[str(TaskStatus.WAITING), str(TaskStatus.RUNNING)])


def new_key() -> str:
    """The key of a task that is given none."""
    return uuid.uuid4().hex


class Task(models.Model):
    """A call that a worker is to make: of a task, or of the handler of a channel with one message."""

    class Kind(models.TextChoices):
        TASK = "task", _("task")
        MESSAGE = "message", _("message")

    id = models.BigAutoField(_("id"), primary_key=True)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices, default=Kind.TASK)
    name = models.CharField(_("name"), max_length=200, help_text=_("of the task, or of the channel"))
    key = models.CharField(_("key"), max_length=200, default=new_key)
    queue = models.CharField(_("queue"), max_length=64, default="default")
    args = models.JSONField(_("arguments"), default=list, blank=True)
    status = models.CharField(
        _("status"), max_length=9, choices=choices(TASK_LABELS), default=str(TaskStatus.WAITING)
    )
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    attempts = models.IntegerField(_("attempts"), default=0, help_text=_("how many were begun"))
    retries = models.IntegerField(_("retries"), default=0)
    backoff = models.FloatField(_("pause"), default=5.0, help_text=_("seconds before the first retry"))
    worker = models.ForeignKey(
        Worker,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="tasks",
        verbose_name=_("worker"),
    )
    error = models.TextField(_("error"), blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True, db_index=True)

    objects = Rows.from_queryset(TaskQuerySet)()

    class Meta:
        app_label = "livesim"
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "name", "key"], name="livesim_task_key"),
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(kind="message", status="running"),
                name="livesim_task_one_of_channel",
            ),
        ]
        indexes = [
            models.Index(
                fields=["kind", "queue", "id"],
                condition=models.Q(status="waiting"),
                name="livesim_task_waiting",
            ),
            models.Index(
                fields=["name", "id"],
                condition=models.Q(kind="message", status="waiting"),
                name="livesim_task_of_channel",
            ),
            models.Index(
                fields=["worker"], condition=models.Q(status="running"), name="livesim_task_running"
            ),
            models.Index(
                fields=["id"],
                condition=models.Q(status__in=["failed", "cancelled"]),
                name="livesim_task_not_done",
            ),
            models.Index(
                fields=["name", "attempts"],
                condition=models.Q(kind="message", status="waiting"),
                name="livesim_task_again",
            ),
            models.Index(
                fields=["due_at"],
                condition=models.Q(status="waiting", due_at__isnull=False),
                name="livesim_task_later",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} #{self.pk}"
