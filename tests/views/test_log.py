"""What the log of a run's page begins with, and for whom."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from django_livesim import gateway, registry
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor
from django_livesim.views import log
from tests.bath import Bath, registered

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def run(owner: User) -> Run:
    return gateway.start("counter", owner=owner, visibility="public")


def may(user: User, *names: str) -> Client:
    """A browser of that user, who has these permissions."""
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


def page_of(client: Client, run: Run) -> str:
    """What the log on the run's page says."""
    page = client.get(run.get_absolute_url()).content.decode()
    found = re.search(r'<ol class="ls-log".*?</ol>', page, re.DOTALL)
    assert found is not None
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


def sent(run: Run, name: str, given: dict[str, Any], actor: Actor, **outcome: Any) -> None:
    command = gateway.send(run, name, given, actor=actor)
    Command.objects.filter(pk=command.pk).update(**outcome)


def test_each_is_told_what_is_theirs_to_know(run: Run, owner: User) -> None:
    grace, guest, warden = (User.objects.create_user(name) for name in ("grace", "guest", "warden"))
    browser = may(grace, "command_run", "view_run")
    sent(
        run,
        "add",
        {"n": 4711},
        Actor.from_user(User.objects.get(pk=grace.pk)),
        outcome="applied",
        apply_tick=7,
        result=4712,
    )
    sent(run, "add", {"n": 815}, Actor.from_process("cli"), outcome="refused", message="not now")
    of_owner = page_of(may(owner), run)
    assert "7 Add applied n: 4711 → 4712 by grace" in of_owner
    assert "Add refused: not now n: 815 by a program (cli)" in of_owner
    of_warden = page_of(may(warden, "control_run"), run)
    assert "Add applied by grace" in of_warden
    assert "4711" not in of_warden
    of_grace = page_of(browser, run)
    assert "Add applied n: 4711 → 4712 by you" in of_grace
    assert "Add refused: not now" in of_grace
    assert "815" not in of_grace
    assert "program" not in of_grace
    of_guest = page_of(may(guest), run)
    assert "Add applied" in of_guest
    assert not re.search(r" by |4711|4712|815", of_guest)


def test_it_says_what_is_kept(run: Run, owner: User) -> None:
    page = may(owner).get(run.get_absolute_url()).content.decode()
    assert "Commands are kept; events and changes of status are shown from when this page was opened." in page
    assert 'data-empty="Nothing since this page was opened."' in page


def test_what_is_long_is_cut_where_it_is_stored(run: Run, owner: User) -> None:
    long = "W" * 100_000
    sent(
        run,
        "decline",
        {"why": "no"},
        Actor.from_user(owner),
        outcome="refused",
        message=long,
        args={"why": long},
    )
    sent(run, "add", {"n": 1}, Actor.from_user(owner), outcome="applied", result={"ü": long})
    applied, refused = log.newest(Actor.from_user(owner), run, None)
    assert refused.row.get_deferred_fields() >= {"args", "result", "message"}
    assert len(refused.message) == log.MOST
    assert re.fullmatch(r"why: W{250,}…", refused.args)
    assert len(applied.result) == log.MOST + 1


def test_short_values_are_as_people_read_them(run: Run, owner: User) -> None:
    sent(run, "decline", {"why": "Übermut"}, Actor.from_user(owner), outcome="applied", result=[1, "€"])
    sent(run, "add", {"n": 1}, Actor.from_user(owner), args={})
    waiting, applied = log.newest(Actor.from_user(owner), run, None)
    assert (applied.args, applied.result) == ("why: Übermut", '[1,"€"]')
    assert (waiting.args, waiting.result, waiting.label) == ("", "", "add")


def test_controls_and_parameters_are_told_as_the_page_tells_them_live(run: Run, owner: User) -> None:
    actor = Actor.from_user(owner)
    for x in ("max", 2, 0.25):
        gateway.speed(run, x, actor=actor)
    gateway.step(run, 3, actor=actor)
    with registered(Bath):
        bath = gateway.start("bath", owner=owner)
        sent(bath, "set", {"room": 2.0}, actor, outcome="applied", result=[1.0, None, {"a": 2.5}])
        [line] = log.newest(actor, bath, Bath)
    lines = [f"{line.label} {line.args}" for line in log.newest(actor, run, registry.get("counter"))]
    assert lines == ["Step n: 3", "Set speed x: 0.25", "Set speed x: 2", "Set speed x: max"]
    assert (line.label, line.args, line.result) == ("Set parameters", "room: 2", '[1,null,{"a":2.5}]')


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("", ""),
        ("{}", ""),
        ('{"n": null, "flag": true}', "n: , flag: true"),
        ('{"path": [1, 2], "why": "so"}', "path: [1,2], why: so"),
        (f'{{"n": 1, "why": "{"W" * 400}"}}', f"n: 1, why: {'W' * 284}…"),
        (f'{{"why": "{"W" * 290}\\u00e9"}}'[:301], f"why: {'W' * 290}…"),
        (f'{{"all": [{"1, " * 200}1]}}', f'{{"all": [{"1, " * 200}'[: log.MOST] + "…"),
        *(
            (f'{{"w": "{"W" * more}{chr(92)}ud83d{chr(92)}ude00{"W" * 300}"}}', f"w: {'W' * more}…")
            for more in range(283, 295)  # so that an emoji is cut anywhere
        ),
    ],
)
def test_what_is_cut_is_told_by_name_as_far_as_it_can_be(stored: str, told: str) -> None:
    row = Command(kind="command", name="do")
    row.args_text = stored[: log.MOST + 1]  # type: ignore[attr-defined]
    assert log._given(row) == told


def test_it_asks_the_database_few_questions(
    run: Run, owner: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        sent(run, "add", {"n": number}, Actor.from_user(owner))
    with django_assert_max_num_queries(2):
        assert len(log.newest(Actor.from_user(owner), run, None)) == log.SHOWN
