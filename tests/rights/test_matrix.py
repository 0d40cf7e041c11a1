"""Everybody, by every way to ask, for runs of every kind: held against the table in docs/permissions.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.urls import reverse

from django_livesim import gateway, permissions
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import Forbidden, NoRun
from django_livesim.protocol.names import Verb
from tests.rights.backend import GRANTED
from tests.rights.people import EXPECTED, LEVELS, VISIBILITIES, Person, make_person
from tests.test_cli import livesim
from tests.test_socket import Socket

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]

HTMX = {"HX-Request": "true"}
UNKNOWN, REFUSED, DONE = "told of no run", "refused", "done"


@pytest.fixture(autouse=True)
def _objects(settings: Any) -> Iterator[None]:
    model = "django.contrib.auth.backends.ModelBackend"
    settings.AUTHENTICATION_BACKENDS = [model, "tests.rights.backend.ObjectPermissions"]
    yield
    GRANTED.clear()


@pytest.fixture
def owner() -> Any:
    return get_user_model().objects.create_user("owner")


@pytest.fixture(params=EXPECTED)
def person(request: pytest.FixtureRequest, transactional_db: None) -> Person:
    return make_person(request.param)


def answer(level: Level | None, needed: Level) -> str:
    """What becomes of an act that needs one level, asked for by who has another."""
    if level is None:
        return UNKNOWN
    return DONE if level >= needed else REFUSED


def cells(person: Person, owner: Any) -> Iterator[tuple[str, Run, Level | None]]:
    """Each with a run of its own."""
    for visibility in VISIBILITIES:
        for opened in (False, True):
            name = f"{person.row} x {visibility}{' x open' if opened else ''}"
            yield name, person.make_run(visibility, opened, owner), person.expected(visibility, opened)


def wrong(cell: str, what: str, expected: Any, got: Any) -> list[str]:
    return [] if expected == got else [f"{cell} x {what}: expected {expected}, got {got}"]


def told(response: Any, done: bool) -> str:
    if response.status_code == 404 or "HX-Refresh" in response:
        return UNKNOWN
    assert response.status_code in (200, 303, 422), response.status_code
    return DONE if done else REFUSED


def post(person: Person, run: Run, name: str, *args: str, htmx: bool = False, **data: str) -> Any:
    url = reverse(f"livesim:{name}", args=[run.id, *args]) + person.query(run)
    return person.browser.post(url, data, headers=HTMX if htmx else {})


def on_pages(person: Person, run: Run) -> dict[str, str]:
    """What becomes of each act by its form; the last one deletes the run."""
    found = {}
    page = person.browser.get(run.get_absolute_url() + person.query(run))
    found["page"] = DONE if page.status_code == 200 else told(page, False)
    figures = person.browser.get(reverse("livesim:run-series", args=[run.id]) + person.query(run))
    found["figures"] = DONE if figures.status_code == 200 else told(figures, False)
    sent = post(person, run, "run-command", "add", htmx=True, n="1")
    found["command"] = told(sent, Command.objects.filter(run=run, name="add").exists())
    paused = post(person, run, "run-control", "pause")
    found["control"] = told(paused, Run.objects.get(id=run.id).status == "paused")
    target = "private" if run.visibility == "public" else "public"
    shared = post(person, run, "run-share", visibility=target)
    found["share"] = told(shared, Run.objects.get(id=run.id).visibility == target)
    deleted = post(person, run, "run-delete", confirmed="1")
    found["delete"] = told(deleted, not Run.objects.filter(id=run.id).exists())
    return found


NEEDS = {
    "page": Level.VIEW,
    "figures": Level.VIEW,
    "command": Level.COMMAND,
    "control": Level.CONTROL,
    "share": Level.DELETE,
    "delete": Level.DELETE,
}
"""The level that each act takes, by docs/permissions.md."""


def test_every_row_of_the_table_is_asked_for() -> None:
    assert len(EXPECTED) == 20
    assert {cell for row in EXPECTED.values() for cell in list(row.values())[:5]} == set(LEVELS)


def test_pages(person: Person, owner: Any) -> None:
    problems = []
    for cell, run, level in cells(person, owner):
        for what, got in on_pages(person, run).items():
            problems += wrong(cell, what, answer(level, NEEDS[what]), got)
    assert problems == []


def test_lists(person: Person, owner: Any) -> None:
    problems = []
    listed = EXPECTED[person.row]["list"]
    found = {cell: run for cell, run, _ in cells(person, owner)}
    other = gateway.start("chess", owner=owner)
    page = person.browser.get(reverse("livesim:run-list")).content.decode()
    for cell, run in found.items():
        expected = listed in ("all", "own") or run.visibility == "public"
        problems += wrong(cell, "list", expected, f"run-{run.id.hex}" in page)
    if listed == "own":
        problems += wrong(person.row, "somebody else's", False, f"run-{other.id.hex}" in page)
        visible = permissions.visible(person.actor(other))
        problems += wrong(person.row, "somebody else's, in Python", False, other in visible)
    assert problems == []


def attempt(act: Callable[[], Any]) -> str:
    try:
        act()
    except NoRun:
        return UNKNOWN
    except Forbidden:
        return REFUSED
    return DONE


def test_python(person: Person, owner: Any) -> None:
    problems = []
    for cell, run, level in cells(person, owner):
        actor = person.actor(run)
        acts: dict[str, Callable[[], Any]] = {
            "page": lambda run=run, actor=actor: gateway.get(run, actor=actor),
            "figures": lambda run=run, actor=actor: gateway.series(run, actor=actor),
            "command": lambda run=run, actor=actor: gateway.send(run, "add", actor=actor),
            "control": lambda run=run, actor=actor: gateway.pause(run, actor=actor),
            "share": lambda run=run, actor=actor: gateway.share(run, actor=actor),
        }
        for what, act in acts.items():
            problems += wrong(cell, f"gateway, {what}", answer(level, NEEDS[what]), attempt(act))
        inspecting = EXPECTED[person.row]["inspect"]
        expected = UNKNOWN if level is None else DONE if inspecting in ("yes", "if seen") else REFUSED
        got = attempt(lambda run=run, actor=actor: gateway.inspect(run, actor=actor, timeout=0))
        problems += wrong(cell, "inspect", expected, got)
        got = attempt(lambda run=run, actor=actor: gateway.delete(run, actor=actor))
        problems += wrong(cell, "gateway, delete", answer(level, Level.DELETE), got)
    assert problems == []


async def by_socket(person: Person, run: Run) -> dict[str, Any]:
    """Under which role one is let in, or by which code sent away; and what becomes of messages."""
    where = f"/ws/livesim/runs/{run.id}/{person.query(run)}"
    async with Socket(where, cookies=person.cookies) as socket:
        await socket.until(lambda: socket.of("hello") or socket.code)
        if socket.code:
            return {"connect": await socket.closed()}
        found: dict[str, Any] = {"connect": socket.of("hello")[0]["role"]}
        for what in ("command", "control"):
            if what == "command":
                socket.command(what, "add", n=1)
            else:
                socket.say(type="control", id=what, action="pause")
            answers = await socket.until(
                lambda what=what: [
                    each for each in socket.heard if each.get("id") == what and each["type"] != "applied"
                ]
            )
            found[what] = DONE if answers[0]["type"] == "accepted" else answers[0]["code"]
        return found


async def test_sockets(person: Person, owner: Any) -> None:
    problems = []
    gone = 4401 if person.user is None or not person.user.is_active else 4404
    roles = {Level.VIEW: "view", Level.COMMAND: "command", Level.CONTROL: "control", Level.DELETE: "owner"}
    for cell, run, level in await sync_to_async(lambda: list(cells(person, owner)))():
        got = await by_socket(person, run)
        expected: dict[str, Any] = {"connect": gone}
        if level is not None:
            done = {True: DONE, False: "forbidden"}
            expected = {
                "connect": roles[level],
                "command": done[level >= Level.COMMAND],
                "control": done[level >= Level.CONTROL],
            }
        for what in expected | got:
            problems += wrong(cell, f"socket, {what}", expected.get(what), got.get(what))
    assert problems == []


def test_the_command_line_may_do_everything(owner: Any) -> None:
    for visibility in VISIBILITIES:
        run = gateway.start("chess", owner=owner, visibility=visibility)
        assert livesim("list", "--json").json[0]["run"] == str(run.id)
        livesim("send", run.id, "add", "--no-wait")
        livesim("pause", run.id)
        assert livesim("inspect", run.id, "--json").json["status"] == "paused"
        livesim("share", run.id, "public")
        livesim("delete", run.id, "--yes")
        assert not Run.objects.exists()


class TestPolicy:
    """What POLICY says of each level, asked for one who has this level without it."""

    GRANT = (
        # without it, said of view, command, control, delete; with it
        (None, (True, None, None, None), Level.VIEW),
        (None, (True, True, None, None), Level.COMMAND),
        (None, (True, True, True, None), Level.CONTROL),
        (None, (True, True, True, True), Level.DELETE),
        (None, (None, True, True, True), None),  # who may not view may nothing
        (None, (True, None, True, True), Level.VIEW),
        (Level.VIEW, (None, True, None, None), Level.COMMAND),
        (Level.VIEW, (None, None, None, None), Level.VIEW),
        (Level.VIEW, (False, True, True, True), None),
        (Level.COMMAND, (None, False, None, None), Level.VIEW),
        (Level.CONTROL, (None, None, False, None), Level.COMMAND),
        (Level.CONTROL, (None, False, None, None), Level.VIEW),
        (Level.CONTROL, (None, None, None, True), Level.DELETE),
        (Level.DELETE, (None, None, None, False), Level.CONTROL),
        (Level.DELETE, (False, None, None, None), None),
    )

    ROWS = {
        None: "a user",
        Level.VIEW: "with livesim.view_run",
        Level.COMMAND: "with livesim.command_run",
        Level.CONTROL: "with livesim.control_run",
        Level.DELETE: "a superuser",
    }

    @pytest.mark.parametrize(("level", "said", "expected"), GRANT)
    def test_what_it_says_of_a_level_holds_on_every_way(
        self, settings: Any, owner: Any, level: Level | None, said: Any, expected: Level | None
    ) -> None:
        answers = dict(zip(("view", "command", "control", "delete"), said, strict=True))
        person = make_person(self.ROWS[level])
        settings.LIVESIM = {"POLICY": lambda user, action, run, command: answers[action]}
        run = person.make_run("private", False, owner)
        assert permissions.level(person.actor(run), run) == expected
        listed = f"run-{run.id.hex}" in person.browser.get(reverse("livesim:run-list")).content.decode()
        assert listed == (level is not None and expected is not None)  # it hides, and puts nothing in
        got = on_pages(person, run)
        assert got == {what: answer(expected, needed) for what, needed in NEEDS.items()}

    @pytest.mark.parametrize("row", ["the owner", "the visitor who started it"])
    def test_owners_and_the_server_are_not_asked_about(self, settings: Any, owner: Any, row: str) -> None:
        settings.LIVESIM = {"POLICY": lambda *args: False}
        person = make_person(row)
        run = person.make_run("private", False, owner)
        gateway.send(run, "add")
        assert set(on_pages(person, run).values()) == {DONE}

    def test_a_single_command_is_denied_or_granted(self, settings: Any, owner: Any) -> None:
        def policy(user: Any, action: str, run: Run, command: str | None) -> bool | None:
            if action == "command" and command is not None:
                return command != "add" if user.username == "asker" else command == "add"
            return None

        settings.LIVESIM = {"POLICY": policy}
        person = make_person("with livesim.control_run")
        run = person.make_run("public", False, owner)
        actor = person.actor(run)
        with pytest.raises(Forbidden, match="right to command on the run; you have the right to view"):
            gateway.send(run, "add", actor=actor)
        gateway.control(run, Verb.PAUSE, actor=actor)
        stranger = Actor.from_user(get_user_model().objects.create_user("stranger"))
        gateway.send(run, "add", actor=stranger)
        assert Command.objects.get(name="add").sender == stranger.sender
        with pytest.raises(Forbidden):
            gateway.pause(run, actor=stranger)
