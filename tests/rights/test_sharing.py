"""Sharing a run: visibility, links that are made and taken back, and those who watched by them."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from django_livesim import gateway
from django_livesim.bus import doorbells, watch
from django_livesim.consumers import socket as socket_module
from django_livesim.gateway import controls
from django_livesim.models import Run
from django_livesim.permissions import Actor, level
from django_livesim.protocol.errors import BadArgs, Forbidden, NoRun
from tests.test_socket import Socket, log_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner() -> Any:
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def run(owner: Any) -> Run:
    return gateway.start("counter", owner=owner)


def test_a_link_is_made_kept_renewed_and_taken_back(run: Run) -> None:
    first = gateway.share(run, "link").link_token
    assert len(first) >= 32
    assert gateway.share(run, "link").link_token == first == gateway.share(run).link_token
    second = gateway.share(run, renew=True).link_token
    assert second not in ("", first)
    assert gateway.share(run, "public").link_token == ""
    assert gateway.share(run, "link").link_token not in (first, second)
    stored = Run.objects.get(id=run.id)
    assert (stored.visibility, len(stored.link_token) >= 32) == ("link", True)
    assert gateway.share(run, "private").link_token == Run.objects.get(id=run.id).link_token == ""


def test_what_is_asked_must_make_sense(run: Run) -> None:
    with pytest.raises(BadArgs, match="visibility is one of private, link, public; got 'secret'"):
        gateway.share(run, "secret")
    with pytest.raises(BadArgs, match="Only a run that is shared by link has one to renew"):
        gateway.share(run, "public", renew=True)
    assert Run.objects.get().visibility == "private"


def test_the_holder_of_a_link_does_not_share_it_on(run: Run) -> None:
    token = gateway.share(run, "link").link_token
    holder = Actor(key=token)
    assert gateway.get(run, actor=holder).id == run.id
    with pytest.raises(Forbidden, match="needs the right to delete"):
        gateway.share(run, "public", actor=holder)
    gateway.share(run, renew=True)
    with pytest.raises(NoRun):
        gateway.get(run, actor=holder)


def test_only_what_is_asked_for_is_written(run: Run) -> None:
    """A worker that writes meanwhile is not undone."""
    Run.objects.filter(id=run.id).update(tick=77, status="running")
    assert (gateway.share(run, "public").tick, Run.objects.get().status) == (77, "running")


@pytest.mark.parametrize("before", ["public", "link"])
def test_a_restart_does_not_bring_back_what_is_taken_back_meanwhile(
    monkeypatch: pytest.MonkeyPatch, run: Run, before: str
) -> None:
    """Shared otherwise between the restart's look at the row and its transaction."""
    token = gateway.share(run, before).link_token
    check = controls.limits.check_command

    def slow(actor: Actor) -> None:
        gateway.share(run, "private")
        check(actor)

    monkeypatch.setattr(controls.limits, "check_command", slow)
    gateway.restart(run)
    following = Run.objects.get(parent=run.id)
    assert (following.visibility, following.link_token) == ("private", "")
    assert level(Actor(key=token), following) is None


class TestRunsWithOneLink:
    """A restarted run has the link of the one before."""

    @pytest.fixture
    def chain(self, run: Run) -> list[Run]:
        gateway.share(run, "link")
        for _ in range(2):
            gateway.restart(Run.objects.latest("created_at"))
        return list(Run.objects.order_by("created_at"))

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_a_new_link_of_one_is_that_of_all(self, chain: list[Run], place: int) -> None:
        stranger = Actor(key=chain[0].link_token)
        assert all(gateway.get(run, actor=stranger) for run in chain)
        token = gateway.share(chain[place], renew=True).link_token
        for run in chain:
            with pytest.raises(NoRun):
                gateway.get(run, actor=stranger)
            assert gateway.get(run, actor=Actor(key=token)).visibility == "link"

    @pytest.mark.parametrize("visibility", ["private", "public"])
    def test_a_link_that_is_taken_back_opens_none_of_them(self, chain: list[Run], visibility: str) -> None:
        gateway.share(chain[1], visibility)
        stored = Run.objects.order_by("created_at").values_list("visibility", "link_token")
        assert list(stored) == [("private", ""), (visibility, ""), ("private", "")]

    def test_other_links_stay(self, chain: list[Run], owner: Any) -> None:
        others = [gateway.start("counter", owner=owner, visibility=each) for each in ("link", "public")]
        gateway.share(chain[0], "private")
        for each in others:
            now = Run.objects.get(id=each.id)
            assert (now.visibility, now.link_token) == (each.visibility, each.link_token)

    def test_viewers_of_each_are_looked_at_again(
        self, monkeypatch: pytest.MonkeyPatch, chain: list[Run]
    ) -> None:
        rung: list[Any] = []
        monkeypatch.setattr(doorbells, "ring", lambda run, worker, look: rung.append((run, look)))
        gateway.share(chain[2], "private")
        assert sorted(rung) == sorted((run.id, True) for run in chain)


@pytest.mark.parametrize("change", [{"renew": True}, {"visibility": "private"}], ids=["renewed", "private"])
async def test_who_watched_by_a_link_is_sent_away_when_it_is_taken_back(
    monkeypatch: pytest.MonkeyPatch, run: Run, owner: Any, change: dict[str, Any]
) -> None:
    monkeypatch.setattr(socket_module, "RECHECK", 600.0)
    monkeypatch.setattr(watch, "INTERVAL", 600.0)
    run = await gateway.ashare(run, "link")
    cookies = await sync_to_async(log_in)(owner)
    where = f"/ws/livesim/runs/{run.id}/?key={run.link_token}"
    async with Socket(where) as guest, Socket(run.id, cookies=cookies) as mine:
        await guest.until(lambda: guest.of("status"))
        await mine.until(lambda: mine.of("status"))
        await gateway.ashare(run, **change)
        await guest.until(lambda: guest.code)
        assert (guest.code, mine.code) == (4403, None)
        await guest.closed()
        mine.say(type="ping")
        await mine.until(lambda: mine.of("pong"))


async def test_one_who_was_let_in_by_a_row_that_is_no_more_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, run: Run, owner: Any
) -> None:
    """The link is taken back between the look at the rights and the joining of the hub, which knows it."""
    monkeypatch.setattr(socket_module, "RECHECK", 600.0)
    monkeypatch.setattr(watch, "INTERVAL", 600.0)
    run = await gateway.ashare(run, "link")
    cookies = await sync_to_async(log_in)(owner)
    admit = socket_module.aadmit

    async def slow(scope: Any, run_id: Any) -> Any:
        admission = await admit(scope, run_id)
        if b"key=" in scope["query_string"]:
            await gateway.ashare(run, "private")
            async with Socket(run.id, cookies=cookies) as second:
                await second.until(lambda: second.of("status"))
        return admission

    async with Socket(run.id, cookies=cookies) as mine:
        await mine.until(lambda: mine.of("status"))
        monkeypatch.setattr(socket_module, "aadmit", slow)
        async with Socket(f"/ws/livesim/runs/{run.id}/?key={run.link_token}") as guest:
            await guest.until(lambda: guest.code)
            assert guest.code == 4403
            await guest.closed()


def test_who_comes_by_a_link_that_works_no_longer_is_told_whom_to_ask_and_nothing_of_the_run(
    run: Run, owner: Any
) -> None:
    key = gateway.share(run, "link").link_token
    gateway.share(run, renew=True)
    user, guest = Client(), Client()
    user.force_login(get_user_model().objects.create_user("bob"))
    other = uuid4()
    nowhere = reverse("livesim:run-detail", args=[other])
    for browser in (guest, user):
        pages = [browser.get(f"{address}?key={key}") for address in (run.get_absolute_url(), nowhere)]
        assert [page.status_code for page in pages] == [404, 404]
        known, unknown = (
            re.sub(r'(csrfmiddlewaretoken" value=")\w+', r"\1", page.content.decode()) for page in pages
        )
        known, unknown = known.replace(str(run.id), "it"), unknown.replace(str(other), "it")
        assert known == unknown
        assert "If you came by a link: it works no longer; ask who sent it for a new one." in known
        assert key not in known
        assert "If you came by a link" not in browser.get(nowhere).content.decode()


class TestPage:
    def share(self, browser: Client, run: Run, htmx: bool = False, **data: str) -> Any:
        headers = {"HX-Request": "true"} if htmx else {}
        return browser.post(reverse("livesim:run-share", args=[run.id]), data, headers=headers)

    def test_the_owner_shares_a_run_by_link_and_takes_it_back(self, browser: Client, run: Run) -> None:
        page = browser.get(run.get_absolute_url()).content.decode()
        assert "Who may watch" in page and "You, and those to whom" in page and "new-link" not in page
        assert self.share(browser, run, visibility="link")["Location"] == run.get_absolute_url()
        run.refresh_from_db()
        page = browser.get(run.get_absolute_url()).content.decode()
        assert "Whoever has the link may watch this run now." in page
        link = f"http://testserver{run.get_absolute_url()}?key={run.link_token}"
        assert link in page and 'id="new-link"' in page
        assert Client().get(link).status_code == 200
        self.share(browser, run, visibility="private")
        assert Client().get(link).status_code == 404

    def test_a_new_link_is_asked_for_twice_without_scripts(self, browser: Client, run: Run) -> None:
        self.share(browser, run, visibility="link")
        token = Run.objects.get().link_token
        asked = self.share(browser, run, visibility="link", renew="1").content.decode()
        assert "Make a new link?" in asked and Run.objects.get().link_token == token
        for kept in (
            'name="visibility" value="link"',
            'name="renew" value="1"',
            'name="confirmed" value="1"',
        ):
            assert kept in asked
        self.share(browser, run, visibility="link", renew="1", confirmed="1")
        assert Run.objects.get().link_token not in ("", token)
        assert "The old one opens nothing any more." in browser.get(run.get_absolute_url()).content.decode()

    def test_with_htmx_the_panel_comes_back_with_what_was_done(self, browser: Client, run: Run) -> None:
        done = self.share(browser, run, htmx=True, visibility="public")
        text = done.content.decode()
        assert done["Livesim-Fragment"] == "1" and "<html" not in text
        assert 'id="ls-share"' in text and "It is public now." in text
        assert '<span id="ls-visibility" hx-swap-oob="true">public</span>' in text

    def test_nobody_else_sees_the_panel_or_may_use_it(self, run: Run) -> None:
        gateway.share(run, "public")
        page = Client().get(run.get_absolute_url()).content.decode()
        assert "ls-share" not in page and "run-share" not in page
        refused = self.share(Client(), run, htmx=True, visibility="private")
        assert refused.status_code == 422 and "needs the right to delete" in refused.content.decode()
        assert self.share(Client(), run, htmx=True, visibility="nobody").status_code == 422
        assert Run.objects.get().visibility == "public"
        gateway.share(run, "private")
        assert self.share(Client(), run, visibility="public").status_code == 404
