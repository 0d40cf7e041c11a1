"""People who may enter the admin, and runs to look at."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from django_livesim import gateway
from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status


@pytest.fixture
def person() -> Callable[..., User]:
    """`person("bob", "view_run", ...)`: somebody of the staff with these permissions and no others."""

    def make_person(name: str, *permissions: str, **fields: Any) -> User:
        user = User.objects.create_user(name, password=name, is_staff=True, **fields)
        user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
        assert user.user_permissions.count() == len(permissions)
        return user

    return make_person


@pytest.fixture
def enter() -> Callable[[User], Client]:
    """`enter(user)`: a browser in which somebody is logged in."""

    def log_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def owner(person: Callable[..., User]) -> User:
    """Who owns the runs of `make`; no permission at all."""
    return person("ada")


@pytest.fixture
def boss(person: Callable[..., User], enter: Callable[[User], Client]) -> Client:
    """The browser of somebody who may do everything."""
    return enter(person("grace", is_superuser=True))


@pytest.fixture
def make(owner: User) -> Callable[..., Run]:
    """`make("counter", key=..., tick=...)`: arguments of `start`; all else is put into the row."""
    arguments = {"params", "owner", "key", "name", "visibility", "seed", "queue"}

    def make_run(simulation: str = "counter", **fields: Any) -> Run:
        given = {name: fields.pop(name) for name in arguments & set(fields)}
        run: Run = gateway.start(simulation, **({"owner": owner} | given))
        fields["status"] = str(fields.get("status", Status.WAITING))
        Run.objects.filter(id=run.id).update(**fields)
        run.refresh_from_db()
        return run

    return make_run


@pytest.fixture
def worker() -> Worker:
    """One that holds runs and does nothing: what is asked of them waits."""
    return Worker.objects.create(host="mill", pid=7)


def url(what: str, *args: Any) -> str:
    return reverse(f"admin:livesim_run_{what}", args=args)


def text_of(response: Any) -> str:
    """What a page says: its markup without tags, on one line."""
    body = re.sub(r"<script.*?</script>", " ", response.content.decode(), flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def said(response: Any) -> list[str]:
    """The messages of the page that a form led to."""
    return [re.sub(r"<[^>]+>", "", str(message)) for message in response.context["messages"]]
