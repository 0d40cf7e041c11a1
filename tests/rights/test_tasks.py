"""Who sees and handles tasks in the admin: everybody in the table of docs/permissions.md, every page."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from django_livesim.models import Task
from tests.rights.people import TABLE

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

HEADER = "| Who | sees the list | arguments and tracebacks | cancels and calls again | deletes |"
LINES = TABLE.partition(f"{HEADER}\n")[2].partition("\n\n")[0].splitlines()[1:]
CELLS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES]
PEOPLE = {who: [cell == "yes" for cell in cells] for who, *cells in CELLS}

LIST = "admin:livesim_task_changelist"


def enter(who: str) -> Client:
    client = Client()
    user = get_user_model().objects.create_user("asker", is_staff=True, is_superuser=who == "a superuser")
    names = re.findall(r"livesim\.(\w+)", who)
    user.user_permissions.add(*Permission.objects.filter(codename__in=names))
    assert user.user_permissions.count() == len(names)
    client.force_login(user)
    return client


def made(status: str) -> Task:
    row: Task = Task.objects.create(
        name="photos.resize", status=status, args=[["471147114711"], {}], error="KeyError 471247124712"
    )
    return row


def becomes(client: Client, action: str, before: str) -> str:
    """What becomes of a task by an action of the list that is confirmed."""
    row = made(before)
    form = {"action": action, "_selected_action": [row.pk], "confirmed": "1"}
    client.post(reverse(LIST), form)
    return "".join(Task.objects.filter(pk=row.pk).values_list("status", flat=True))


def test_the_table_is_read() -> None:
    assert len(PEOPLE) == 10 and {len(cells) for cells in PEOPLE.values()} == {4}


@pytest.mark.parametrize("who", PEOPLE)
def test_who_may_what_with_tasks(who: str) -> None:
    client, row = enter(who), made("failed")
    listed = client.get(reverse(LIST))
    page = client.get(reverse("admin:livesim_task_change", args=[row.pk]))
    history = client.get(reverse("admin:livesim_task_history", args=[row.pk]))
    text = page.content.decode()
    sees, looks, changes, deletes = PEOPLE[who]
    assert [each.status_code == 200 for each in (listed, page, history)] == [sees] * 3
    assert ["471147114711" in text, "471247124712" in text] == [looks] * 2
    assert "471147114711" not in listed.content.decode()
    assert ("livesim/task/" in client.get(reverse("admin:index")).content.decode()) == sees
    assert (becomes(client, "cancel_tasks", "waiting") == "cancelled") == changes
    assert (becomes(client, "call_again", "failed") == "waiting") == changes
    assert (becomes(client, "delete_selected", "failed") == "") == deletes
    assert becomes(client, "delete_selected", "waiting") == "waiting"


@pytest.mark.parametrize("fields", [{"is_staff": False, "is_superuser": True}, {"is_active": False}])
def test_who_cannot_enter_sees_and_does_nothing(fields: dict[str, bool]) -> None:
    client = enter("a superuser")
    get_user_model().objects.update(**fields)
    made("failed")
    assert client.get(reverse(LIST)).status_code == 302
    assert becomes(client, "call_again", "failed") == "failed"
