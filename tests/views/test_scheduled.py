"""Commands for later on a run's page: who sees them, when they are due, and how they are taken back."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from django_livesim import gateway
from django_livesim.models import Command, Run, Worker
from django_livesim.protocol.names import Outcome
from django_livesim.templatetags.livesim import beat, until
from django_livesim.views.scheduled import SHOWN
from tests.test_views import HTMX, text_of

pytestmark = pytest.mark.django_db


def person(name: str, *permissions: str) -> tuple[User, Client]:
    user = User.objects.create_user(name)
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(user)
    return user, browser


@pytest.fixture
def owner() -> tuple[User, Client]:
    return person("ada")


@pytest.fixture
def sender() -> tuple[User, Client]:
    """Who may command every run and control none."""
    return person("bob", "command_run")


@pytest.fixture
def run(owner: tuple[User, Client]) -> Run:
    return gateway.start("counter", owner=owner[0])


def cancel_url(run: Run, command: Command | int) -> str:
    return reverse("livesim:run-cancel", args=[run.id, getattr(command, "pk", command)])


def cancel(browser: Client, run: Run, command: Command | int, **more: Any) -> Any:
    return browser.post(cancel_url(run, command), {"livesim_id": uuid4().hex}, **more)


def offered(browser: Client, run: Run) -> list[int]:
    """The commands that the page offers to cancel."""
    page = browser.get(run.get_absolute_url()).content.decode()
    return [int(number) for number in re.findall(r'id="cancel-(\d+)"', page)]


class TestWhoSees:
    def test_the_sender_sees_its_own_and_who_may_control_sees_all(self, owner, sender, run):
        mine = gateway.send(run, "add", {"n": 414141414141}, user=owner[0], delay=60)
        others = gateway.send(run, "add", {"n": 434343434343}, user=sender[0], delay=30)
        assert offered(owner[1], run) == [others.pk, mine.pk]
        assert offered(sender[1], run) == [others.pk]
        text = text_of(sender[1].get(run.get_absolute_url()))
        assert "434343434343" in text and "414141414141" not in text

    def test_who_may_control_but_not_inspect_sees_no_arguments_of_others(self, run):
        gateway.send(run, "add", {"n": 424342434243}, delay=60)
        _, browser = person("carol", "control_run")
        page = browser.get(run.get_absolute_url())
        assert "Commands for later add in 60 s" in text_of(page)
        assert "424342434243" not in text_of(page)

    def test_who_only_watches_sees_none(self, run):
        gateway.send(run, "add", {"n": 424342434243}, delay=60)
        _, browser = person("dan", "view_run")
        page = browser.get(run.get_absolute_url())
        assert page.status_code == 200
        assert "Commands for later" not in text_of(page)
        assert text_of(browser.get(f"{run.get_absolute_url()}?part=scheduled")) == ""

    def test_what_acts_at_once_and_what_has_acted_is_not_there(self, owner, run):
        gateway.send(run, "add", user=owner[0])
        acted = gateway.send(run, "add", user=owner[0], delay=5)
        Command.objects.filter(pk=acted.pk).update(outcome=str(Outcome.APPLIED), apply_seq=1000)
        assert offered(owner[1], run) == []

    def test_of_very_many_the_first_are_shown_and_the_others_counted(self, owner, run):
        rows = [gateway.send(run, "add", delay=1000 - number) for number in range(SHOWN + 2)]
        assert offered(owner[1], run) == [row.pk for row in reversed(rows)][:SHOWN]
        assert "2 more wait." in text_of(owner[1].get(run.get_absolute_url()))


class TestWhen:
    def test_a_tick_a_moment_and_a_beat_are_told(self, owner, run, now):
        gateway.send(run, "add", {"n": 1}, user=owner[0], at_tick=500)
        gateway.send(run, "add", {"n": 2}, user=owner[0], every=90)
        Command.objects.filter(every=90).update(due_at=now + timedelta(seconds=90))
        text = text_of(owner[1].get(f"{run.get_absolute_url()}?part=scheduled"))
        assert "in 90 s · every 90 s · by you" in text
        assert text.index("in 90 s") < text.index("at tick 500 · by you")

    @pytest.mark.parametrize(
        ("seconds", "told"),
        [(-1, "due now"), (41.5, "in 42 s"), (3 * 3600 + 61, "in 3\xa0hours, 1\xa0minute")],
    )
    def test_how_long_it_is(self, now, seconds, told):
        assert until(now + timedelta(seconds=seconds)) == told

    @pytest.mark.parametrize(
        ("seconds", "told"),
        [
            (0.5, "every 0.5 s"),
            (90, "every 90 s"),
            (5400, "every 90 min"),
            (7200, "every 2 h"),
            (172800, "every 2 d"),
        ],
    )
    def test_how_far_apart_exactly(self, seconds, told):
        assert beat(float(seconds)) == told


class TestCancel:
    def test_without_javascript_the_page_is_gone_back_to_and_says_so(self, owner, run):
        row = gateway.send(run, "add", user=owner[0], delay=60)
        response = cancel(owner[1], run, row)
        assert (response.status_code, response["Location"]) == (303, run.get_absolute_url())
        row.refresh_from_db()
        assert (row.outcome, row.code) == ("refused", "cancelled")
        text = text_of(owner[1].get(run.get_absolute_url()))
        assert "“add” was cancelled." in text
        assert "Commands for later add" not in text

    def test_htmx_gets_the_list_and_the_answer(self, owner, run):
        row = gateway.send(run, "add", user=owner[0], every=5)
        kept = gateway.send(run, "decline", user=owner[0], delay=60)
        response = cancel(owner[1], run, row, headers=HTMX)
        page = response.content.decode()
        assert response["Livesim-Fragment"] == "1"
        assert f"cancel-{kept.pk}" in page and f"cancel-{row.pk}" not in page
        assert '<div id="ls-scheduled-answer" hx-swap-oob="innerHTML">' in page
        assert 'data-outcome="applied">“add” was cancelled.' in page

    def test_what_has_acted_meanwhile_is_said_to_be_too_late(self, owner, run):
        row = gateway.send(run, "add", user=owner[0], delay=60)
        Command.objects.filter(pk=row.pk).update(outcome=str(Outcome.APPLIED), apply_seq=1000)
        assert "It was too late to cancel “add”" in text_of(cancel(owner[1], run, row, follow=True))

    def test_a_worker_that_does_not_answer_has_been_asked(self, owner, run):
        Run.objects.filter(id=run.id).update(worker=Worker.objects.create(host="mill"), status="running")
        row = gateway.send(run, "add", user=owner[0], delay=60)
        told = "The worker has been asked to cancel “add”, and has not answered yet."
        assert told in text_of(cancel(owner[1], run, row, headers=HTMX))

    def test_a_form_sent_twice_cancels_once(self, owner, run):
        row = gateway.send(run, "add", user=owner[0], delay=60)
        for _ in range(2):
            again = owner[1].post(cancel_url(run, row), {"livesim_id": "once"}, follow=True)
            assert "“add” was cancelled." in text_of(again)
        assert run.commands.filter(name="cancel").count() == 1

    def test_it_takes_a_post(self, owner, run):
        row = gateway.send(run, "add", user=owner[0], delay=60)
        assert owner[1].get(cancel_url(run, row)).status_code == 405

    @pytest.mark.parametrize("number", [0, 2**63 - 1, 2**64])
    def test_another_senders_command_is_as_one_that_is_not_there(self, owner, sender, run, number):
        row = gateway.send(run, "add", user=owner[0], delay=60)
        refused, absent = cancel(sender[1], run, row), cancel(sender[1], run, number)
        assert refused.status_code == absent.status_code == 404
        assert text_of(refused) == text_of(absent)
        row.refresh_from_db()
        assert row.outcome == ""

    def test_a_command_of_another_run_is_not_there(self, owner, run):
        other = gateway.start("counter", owner=person("eve")[0])
        row = gateway.send(other, "add", user=owner[0], delay=60, actor=gateway.SERVER)
        assert cancel(owner[1], run, row).status_code == 404

    def test_who_may_send_no_more_is_told_so_and_nothing_is_changed(self, owner, sender, run):
        row = gateway.send(run, "add", user=sender[0], delay=60)
        sender[0].user_permissions.set(Permission.objects.filter(codename="view_run"))
        assert offered(sender[1], run) == []
        assert re.search(r"in (60|59|58) s · by you", text_of(sender[1].get(run.get_absolute_url())))
        response = cancel(sender[1], run, row, headers=HTMX)
        assert response.status_code == 422
        assert "This needs the right to command on the run; you have the right to view." in text_of(response)
        row.refresh_from_db()
        assert row.outcome == ""
