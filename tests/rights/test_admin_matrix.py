"""Who may what in the admin: everybody, private and public runs, every page and act, from docs/admin.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from django_livesim import gateway
from django_livesim.models import Command, Run
from tests.rights.backend import GRANTED

pytestmark = pytest.mark.django_db(transaction=True)

COLUMNS = ("list", "page", "send", "pause", "inspect", "share", "delete")

EXPECTED = {
    # who: what they may with a private run; with a public one; whether they may start chess
    "a visitor": ("", "", False),
    "the owner, no staff": ("", "", False),
    "control_run, no staff": ("", "", False),
    "an inactive superuser": ("", "", False),
    "staff": ("", "page", False),
    "staff, the owner": (
        "page send pause inspect share delete",
        "page send pause inspect share delete",
        False,
    ),
    "staff, view_run": ("list page", "list page", False),
    "staff, command_run": ("list page send", "list page send", False),
    "staff, control_run": ("list page send pause", "list page send pause", False),
    "staff, delete_run": ("list page send pause share delete", "list page send pause share delete", False),
    "staff, start_run": ("", "list page", True),
    "staff, inspect_run": ("", "list page inspect", False),
    "staff, control_run on the run": ("", "page send pause", False),
    "a superuser": (" ".join(COLUMNS), " ".join(COLUMNS), True),
}


@pytest.fixture(autouse=True)
def _objects(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("django_livesim.admin.sending.PATIENCE", 0)  # nobody steps these runs
    model = "django.contrib.auth.backends.ModelBackend"
    settings.AUTHENTICATION_BACKENDS = [model, "tests.rights.backend.ObjectPermissions"]
    yield
    GRANTED.clear()


def enter(who: str) -> tuple[Client, Any]:
    """A browser, and the user who is logged in there."""
    client = Client()
    if who == "a visitor":
        return client, None
    users = get_user_model().objects
    make = users.create_superuser if who.endswith("superuser") else users.create_user
    user = make("asker", is_staff=who.startswith("staff") or who.endswith("superuser"))
    client.force_login(user)
    if who == "an inactive superuser":
        users.filter(pk=user.pk).update(is_active=False)
    right = next((part for part in who.replace(",", " ").split() if part.endswith("_run")), "")
    if right and who.endswith("on the run"):
        GRANTED.add((user.pk, f"livesim.{right}"))
    elif right:
        user.user_permissions.add(Permission.objects.get(codename=right))
    return client, user


def make_run(who: str, user: Any, visibility: str) -> Run:
    owner = user if "the owner" in who else get_user_model().objects.get_or_create(username="owner")[0]
    return gateway.start("chess", owner=owner, visibility=visibility)


def admin_url(what: str, *args: Any) -> str:
    return reverse(f"admin:livesim_run_{what}", args=args)


def shows(client: Client, url: str, run: Run) -> bool:
    response = client.get(url)
    return response.status_code == 200 and str(run.id) in response.content.decode()


def may(client: Client, run: Run) -> str:
    """What of COLUMNS is done with a run; the last one deletes it."""
    found = {
        "list": shows(client, admin_url("changelist"), run),
        "page": shows(client, admin_url("change", run.id), run),
        "inspect": client.get(admin_url("inspect", run.id)).status_code == 200,
    }
    client.post(admin_url("send_command", run.id, "add"), {"n": "1"})
    found["send"] = Command.objects.filter(run=run, name="add").exists()
    client.post(admin_url("act", run.id, "pause"))
    found["pause"] = Run.objects.get(id=run.id).status == "paused"
    client.post(admin_url("change", run.id), {"name": "renamed", "visibility": "link"})
    after = Run.objects.get(id=run.id)
    found["share"] = after.visibility == "link" and after.link_token != ""
    assert found["share"] == (after.name == "renamed")
    Run.objects.filter(id=run.id).update(visibility=run.visibility)
    client.post(admin_url("delete", run.id), {"post": "yes"})
    found["delete"] = not Run.objects.filter(id=run.id).exists()
    return " ".join(name for name in COLUMNS if found[name])


@pytest.mark.parametrize("who", EXPECTED)
def test_who_may_what(who: str) -> None:
    client, user = enter(who)
    private, public, starts = EXPECTED[who]
    assert {
        "private": may(client, make_run(who, user, "private")),
        "public": may(client, make_run(who, user, "public")),
    } == {"private": private, "public": public}
    client.post(
        admin_url("add") + "?simulation=chess",
        {"run-simulation": "chess", "run-visibility": "private", "run-name": "begun"},
    )
    assert Run.objects.filter(name="begun").exists() == starts
