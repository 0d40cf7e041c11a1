"""Everybody who may ask, as the table in docs/permissions.md names them; and that table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from django_livesim import gateway
from django_livesim.models import Run
from django_livesim.permissions import Actor, Level, hash_session, session_id
from tests.rights.backend import GRANTED

TABLE = (Path(__file__).parents[2] / "docs" / "permissions.md").read_text()
HEADER = "| Who | private | link | public | link, open | public, open | inspect | list |"


def read_table() -> dict[str, dict[str, str]]:
    """The cells of the table by row and column."""
    names = [name.strip() for name in HEADER.strip("|").split("|")]
    lines = TABLE.partition(HEADER)[2].partition("\n\n")[0].strip().splitlines()[1:]
    rows = ([cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in rows}


EXPECTED = read_table()

LEVELS = {"-": None} | {level.name.lower(): level for level in Level}

VISIBILITIES = ("private", "link", "public")


@dataclass(frozen=True)
class Person:
    """One who asks: by a browser, by a socket, and in Python."""

    row: str
    browser: Client
    user: Any = None
    session: str = ""
    has_key: bool = False

    def query(self, run: Run) -> str:
        return f"?key={run.link_token or 'stale'}" if self.has_key else ""

    def actor(self, run: Run) -> Actor:
        return Actor(user=self.user, session=self.session, key=self.query(run)[5:], visitor="v")

    @property
    def cookies(self) -> str:
        cookie = self.browser.cookies.get("sessionid")
        return f"sessionid={cookie.value}" if cookie else ""

    def make_run(self, visibility: str, opened: bool, owner: Any) -> Run:
        """A run of somebody else's, or of their own where they are said to own it."""
        run = gateway.start("arena" if opened else "chess", owner=owner, visibility=visibility)
        if "started it" in self.row:
            Run.objects.filter(id=run.id).update(owner=None, session=self.session)
        elif self.row == "the owner":
            Run.objects.filter(id=run.id).update(owner=self.user)
        return Run.objects.get(id=run.id)

    def expected(self, visibility: str, opened: bool) -> Level | None:
        """By the table. A private run is not opened by open commands."""
        column = visibility if visibility == "private" or not opened else f"{visibility}, open"
        return LEVELS[EXPECTED[self.row][column]]


def make_person(row: str) -> Person:
    users = get_user_model().objects
    browser = Client()
    if row in ("a visitor", "who has the link"):
        return Person(row, browser, has_key="link" in row)
    if row == "the visitor who started it":
        session = browser.session
        session.save()
        return Person(row, browser, session=hash_session(session_id(session)))
    if row.startswith("a superuser"):
        user = users.create_superuser("asker")
    else:
        user = users.create_user("asker", is_staff=row.startswith("staff"))
    browser.force_login(user)
    if row.endswith("not active"):
        users.filter(pk=user.pk).update(is_active=False)
    if row.startswith("with "):
        permission = row.split()[1]
        if row.endswith("on the run"):
            GRANTED.add((user.pk, permission))
        else:
            name = permission.partition(".")[2]
            user.user_permissions.add(Permission.objects.get(codename=name))
    return Person(row, browser, user=users.get(pk=user.pk), has_key=row.endswith("has the link"))
