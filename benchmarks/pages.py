"""The pages of the admin that are measured."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from django_livesim.admin.reading import COUNTED, RecordAdmin
from django_livesim.models import Checkpoint, Command, Run, Worker
from django_livesim.protocol.names import Status


def clients() -> tuple[Client, Client]:
    """The browser of a superuser, and that of an owner of some runs who may start some and no more."""
    boss = User.objects.create_superuser("boss")
    owner = User.objects.get(username="owner1")
    owner.user_permissions.add(Permission.objects.get(codename="start_run"))
    found = []
    for user in (boss, owner):
        found.append(Client())
        found[-1].force_login(user)
    return found[0], found[1]


def pages(heavy: Run) -> dict[str, str]:
    """Addresses by the names that the table shows; those that begin `owner` are for the owner."""
    runs, commands = listed("run"), listed("command")
    checkpoints, workers = listed("checkpoint"), listed("worker")
    of_heavy = f"{commands}?run__id__exact={heavy.pk}"
    middle = Run.objects.order_by("created_at")[Run.objects.count() // 2]
    day = middle.created_at - timedelta(days=1)
    last = last_page(Command.objects.count())
    return {
        "runs": runs,
        "runs, searched": f"{runs}?q=Experiment+77",
        "runs of a month": f"{runs}?created_at__year={day.year}&created_at__month={day.month}",
        "runs, running": f"{runs}?status__exact={Status.RUNNING}",
        "a run": reverse("admin:livesim_run_change", args=[heavy.pk]),
        "inspect": reverse("admin:livesim_run_inspect", args=[heavy.pk]),
        "send": reverse("admin:livesim_run_send", args=[heavy.pk]),
        "commands": commands,
        "commands, last page": f"{commands}?p={last}",
        "commands, older": f"{commands}?id__lt={Command.objects.count() // 2}",
        "commands, waiting": f"{commands}?outcome=waiting",
        "commands, refused": f"{commands}?outcome=refused",
        "commands, controls": f"{commands}?kind=control",
        "commands of one run": of_heavy,
        "commands of one run, last page": f"{of_heavy}&p={last_page(heavy.commands.count())}",
        "commands of one run, searched": f"{of_heavy}&q=c10",
        "commands of one run, refused controls": f"{of_heavy}&outcome=refused&kind=control",
        "a command": changed("command", Command.objects.order_by("-id")[0].pk),
        "checkpoints": checkpoints,
        "checkpoints of one run": f"{checkpoints}?run__id__exact={heavy.pk}",
        "a checkpoint": changed("checkpoint", Checkpoint.objects.order_by("-id")[0].pk),
        "workers": workers,
        "a worker": changed("worker", Worker.objects.all()[0].pk),
        "owner: runs": runs,
        "owner: commands": commands,
        "owner: commands, waiting": f"{commands}?outcome=waiting",
    }


def listed(model: str) -> str:
    return reverse(f"admin:livesim_{model}_changelist")


def changed(model: str, pk: object) -> str:
    return reverse(f"admin:livesim_{model}_change", args=[pk])


def last_page(rows: int) -> int:
    """The number of the last page that the list has."""
    return -(-min(rows, COUNTED) // RecordAdmin.list_per_page)
