"""Who may what in the admin: everybody, private and public runs, every page and act, from docs/admin.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from django_livesim import gateway
from django_livesim.models import Checkpoint, Command, Run, Worker
from django_livesim.permissions import Level
from django_livesim.protocol import packed, plain
from django_livesim.protocol.names import Status
from tests.rights.backend import GRANTED
from tests.rights.people import LEVELS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]

DOCUMENT = (Path(__file__).parents[2] / "docs" / "admin.md").read_text()


def read_table(header: str) -> dict[str, list[str]]:
    """The rows of a table by their first cell."""
    lines = DOCUMENT.partition(f"{header}\n")[2].partition("\n\n")[0].splitlines()[1:]
    rows = ([cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: row[1:] for row in rows}


PEOPLE = read_table("| Who | private | public | list | inspect | workers | start |")

NEEDS = {what: row[0] for cell, row in read_table("| What | takes |").items() for what in cell.split(", ")}
"""What each page or act takes: the name of a level, or "inspect"."""

OUTSIDE = (
    "a visitor",
    "no staff, the owner",
    "no staff, with livesim.control_run",
    "a superuser, not active",
)
"""Who cannot enter the admin."""


@pytest.fixture(autouse=True)
def _objects(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for each in ("sending", "inspecting"):
        monkeypatch.setattr(f"django_livesim.admin.{each}.PATIENCE", 0)  # nobody steps these runs
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
    boss = who.startswith("a superuser")
    make = users.create_superuser if boss else users.create_user
    user = make("asker", is_staff=not who.startswith("no staff"))
    client.force_login(user)
    if who.endswith("not active"):
        users.filter(pk=user.pk).update(is_active=False)
    right = re.search(r"livesim\.(\w+)", who)
    if right and who.endswith("on the run"):
        GRANTED.add((user.pk, right[0]))
    elif right:
        user.user_permissions.add(Permission.objects.get(codename=right[1]))
    return client, user


def make_run(who: str, user: Any, visibility: str) -> Run:
    """A failed run with a command and a checkpoint, all of which hold what is not for everybody."""
    owner = user if "the owner" in who else get_user_model().objects.get_or_create(username="owner")[0]
    run = gateway.start("chess", owner=owner, visibility=visibility)
    sent = gateway.send(run, "add", {"n": 471147114711})
    Command.objects.filter(pk=sent.pk).update(
        outcome="applied", apply_tick=1, result={"answer": 471247124712}
    )
    data = orjson.dumps({"state": {"safe": 471347134713}, "random": None, "steps": 0})
    kept = {"apply_seq": 0, "epoch": 1, "hash": plain.digest(data), "data": packed.pack(data)}
    Checkpoint.objects.create(run=run, tick=1, **kept)
    worker = Worker.objects.create(host="mill", pid=7)
    secrets = {"params": {"start": 471447144714}, "error": "ZeroDivisionError"}
    Run.objects.filter(pk=run.pk).update(status=Status.FAILED, worker=worker, **secrets)
    return Run.objects.get(pk=run.pk)


def address(what: str, *args: Any, model: str = "run") -> str:
    return reverse(f"admin:livesim_{model}_{what}", args=args)


def body(client: Client, url: str, **query: Any) -> str:
    """What a page says; nothing where it is refused."""
    response = client.get(url, query)
    return response.content.decode() if response.status_code == 200 else ""


def looks(client: Client, run: Run) -> dict[str, bool]:
    """What is to be seen of a run."""
    page, inside = body(client, address("change", run.pk)), address("inspect", run.pk)
    deep = ["ZeroDivisionError" in page, "471447144714" in page]
    seen = [body(client, inside) != "", body(client, inside, part="now") != ""]
    command = body(client, address("change", run.commands.get().pk, model="command"))
    told = ["471147114711" in command, "471247124712" in command]
    kept = body(client, address("change", run.checkpoints.get().pk, model="checkpoint"))
    assert len(set(deep)) == len(set(seen)) == len(set(told)) == 1
    row = f"/run/{run.pk}/change/"
    return {
        "list": row in body(client, address("changelist")),
        "list of commands": row in body(client, address("changelist", model="command")),
        "list of checkpoints": row in body(client, address("changelist", model="checkpoint")),
        "a command": row in command or str(run) in command,
        "a checkpoint": str(run) in kept,
        "arguments in the list": "471147114711" in body(client, address("changelist", model="command")),
        "page": str(run.pk) in page,
        "history": body(client, address("history", run.pk)) != "",
        "parameters and traceback": all(deep),
        "look inside": all(seen),
        "arguments and answers": all(told),
        "stored states": "471347134713" in kept,
    }


def acts(client: Client, run: Run) -> dict[str, bool]:
    """What is done to a run; the last act deletes it."""
    rows = Run.objects.filter(pk=run.pk)
    rows.update(status=Status.WAITING, worker=None, error="")
    found = {}
    client.post(address("send_command", run.pk, "add"), {"n": "1"})
    found["send a command"] = run.commands.filter(name="add").count() == 2
    chosen = {"action": "pause_runs", "_selected_action": [str(run.pk)]}
    client.post(address("changelist"), chosen)
    found["actions of the list"] = rows.get().status == Status.PAUSED
    rows.update(status=Status.WAITING)
    button = address("act", run.pk, "pause")
    offered = button in body(client, address("change", run.pk))
    client.post(button)
    found["buttons"] = rows.get().status == Status.PAUSED
    assert found["buttons"] == offered
    client.post(address("change", run.pk), {"name": "renamed", "visibility": "link"})
    found["rename"] = rows.get().name == "renamed"
    found["share"] = rows.get().visibility == "link" and rows.get().link_token != ""
    rows.update(visibility="link", link_token="old")
    told = "key=old" in body(client, address("change", run.pk))
    client.post(address("link", run.pk), {"confirmed": "1"})
    found["new link"] = rows.get().link_token != "old"
    assert found["new link"] == (told and found["share"])
    rows.update(visibility=run.visibility, link_token="")
    client.post(address("delete", run.pk), {"post": "yes"})
    found["delete"] = not rows.exists()
    return found


def expected(who: str, visibility: str, level: Level | None) -> dict[str, bool]:
    """By the tables, for who has this level on the run."""
    *_levels, listing, inspecting, _workers, _start = PEOPLE[who]
    inspects = level is not None and inspecting in ("yes", "if seen")
    mine = visibility == "public" or "the owner" in who
    listed = level is not None and (listing == "all" or (listing == "public" and mine))
    recorded = level is not None and (listing == "all" or mine)
    found = {
        what: (level or 0) >= Level[needed.upper()] for what, needed in NEEDS.items() if needed != "inspect"
    }
    found |= {what: inspects for what, needed in NEEDS.items() if needed == "inspect"}
    found["actions of the list"] = found["actions of the list"] and listed
    for what in ("arguments and answers", "stored states"):
        found[what] = found[what] and recorded
    return found | {
        "list": listed,
        "list of commands": listed,
        "list of checkpoints": listed,
        "a command": recorded,
        "a checkpoint": recorded,
        "arguments in the list": listed and inspects and "on the run" not in who,
    }


def test_the_tables_name_every_page_and_act() -> None:
    assert len(PEOPLE) == 12
    assert len(NEEDS) == 13


@pytest.mark.parametrize("visibility", ["private", "public"])
@pytest.mark.parametrize("who", PEOPLE)
def test_who_may_what_with_a_run(who: str, visibility: str) -> None:
    client, user = enter(who)
    run = make_run(who, user, visibility)
    level = LEVELS[PEOPLE[who][("private", "public").index(visibility)]]
    assert looks(client, run) | acts(client, run) == expected(who, visibility, level)


@pytest.mark.parametrize("who", PEOPLE)
def test_who_sees_workers_and_who_starts(who: str) -> None:
    client, _user = enter(who)
    worker = Worker.objects.create(host="mill", pid=7)
    pages = (address("changelist", model="worker"), address("change", worker.pk, model="worker"))
    seen = {"mill" in body(client, page) for page in pages}
    assert seen == {PEOPLE[who][4] == "yes"}
    start(client)
    assert Run.objects.filter(name="begun").exists() == (PEOPLE[who][5] == "yes")


@pytest.mark.parametrize("who", OUTSIDE)
def test_who_cannot_enter_sees_and_does_nothing(who: str) -> None:
    client, user = enter(who)
    run = make_run(who, user, "public")
    assert not any((looks(client, run) | acts(client, run)).values())
    assert body(client, address("changelist", model="worker")) == ""
    start(client)
    assert not Run.objects.filter(name="begun").exists()


def start(client: Client) -> None:
    form = {"run-simulation": "chess", "run-visibility": "private", "run-name": "begun"}
    client.post(address("add") + "?simulation=chess", form)


@pytest.mark.parametrize(
    ("who", "said", "level"),
    [
        # of view, command, control, delete
        ("a superuser", (False, None, None, None), None),
        ("a superuser", (None, False, None, None), Level.VIEW),
        ("a superuser", (None, None, False, None), Level.COMMAND),
        ("a superuser", (None, None, None, False), Level.CONTROL),
        ("with livesim.view_run", (None, True, None, None), Level.COMMAND),
        ("with livesim.view_run", (None, True, True, True), Level.DELETE),
        ("with livesim.control_run on the run", (None, None, False, None), Level.COMMAND),
        ("with livesim.inspect_run", (True, None, None, None), Level.VIEW),
        ("without a permission", (True, True, True, None), Level.CONTROL),
        ("without a permission", (None, True, True, True), None),
    ],
)
def test_what_a_policy_says_holds_on_every_page(
    settings: Any, who: str, said: Any, level: Level | None
) -> None:
    answers = dict(zip(("view", "command", "control", "delete"), said, strict=True))
    client, user = enter(who)
    run = make_run(who, user, "private")
    settings.LIVESIM = {"POLICY": lambda user, action, run, command: answers[action]}
    held = str(run) in body(client, address("change", run.worker_id, model="worker"))
    assert held == (PEOPLE[who][4] == "yes" and level is not None)
    assert looks(client, run) | acts(client, run) == expected(who, "private", level)
