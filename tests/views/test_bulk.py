"""Many runs of the list are paused, resumed and stopped at once."""

from __future__ import annotations

import re
import time
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core.cache import cache
from django.test import Client

from django_livesim import gateway
from django_livesim.gateway import limits
from django_livesim.models import Command, Run, Worker
from django_livesim.protocol.names import Status, Verb
from django_livesim.views import bulk
from tests.test_views import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

HTMX = {"HX-Request": "true"}
BULK = "/livesim/bulk/"


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def browser(owner: User) -> Client:
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture
def runs(owner: User) -> list[Run]:
    return [gateway.start("counter", owner=owner, name=f"run {number}") for number in range(3)]


def act(browser: Client, verb: str, runs: Any, htmx: bool = True, **data: Any) -> Any:
    posted = {"verb": verb, "run": [getattr(run, "id", run) for run in runs], **data}
    return browser.post(BULK, posted, headers=HTMX if htmx else {})


def statuses() -> set[str]:
    return set(Run.objects.values_list("status", flat=True))


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_they_are_paused_resumed_and_stopped(browser: Client, runs: list[Run]) -> None:
    for verb, status, told in [
        ("pause", Status.PAUSED, "3 runs paused."),
        ("resume", Status.WAITING, "3 runs resumed."),
        ("stop", Status.STOPPED, "3 runs stopped."),
    ]:
        response = act(browser, verb, runs)
        assert text_of(response) == told and response["HX-Trigger"] == "livesim:list"
        assert statuses() == {status}


def test_the_same_form_has_one_effect_and_another_has_another(browser: Client, runs: list[Run]) -> None:
    for _again in range(2):
        assert text_of(act(browser, "pause", runs, livesim_id="first")) == "3 runs paused."
    assert Command.objects.count() == 3
    act(browser, "resume", runs, livesim_id="first")
    act(browser, "pause", runs, livesim_id="second")
    assert Command.objects.count() == 9 and statuses() == {Status.PAUSED}


def test_what_is_refused_is_told_with_why_and_how_often(browser: Client, runs: list[Run]) -> None:
    ended = [gateway.start("counter", owner=runs[0].owner) for _ in range(2)]
    Run.objects.filter(id__in=[run.id for run in ended]).update(status="finished")
    lathe = gateway.start("counter", owner=User.objects.create_user("bob"), visibility="public")
    text = text_of(act(browser, "pause", [*runs, *ended, lathe]))
    assert text.startswith("3 runs paused. 2 refused: The run is finished: it cannot pause. Legal now:")
    assert "1 refused: This needs the right to control on the run; you have the right to view." in text
    assert Run.objects.get(id=lathe.id).status == Status.WAITING


def test_who_has_been_logged_out_is_told_where_to_log_in(runs: list[Run]) -> None:
    Run.objects.update(visibility="public")
    for htmx in (True, False):
        visitor = Client()
        response = act(visitor, "resume", runs, htmx=htmx)
        page = (response if htmx else visitor.get("/livesim/")).content.decode()
        assert "3 refused: This needs the right to control on the run, and you are not logged in" in page
        assert '<a href="/accounts/login/?next=/livesim/">Log in</a>' in page.replace("%2F", "/")


def test_what_may_not_be_seen_is_told_of_like_what_is_not_there(browser: Client, runs: list[Run]) -> None:
    hidden = gateway.start("counter", owner=User.objects.create_user("bob"))
    for run in (hidden, uuid4(), "no id", "\x00"):
        response = act(browser, "stop", [run])
        assert response.status_code == 422
        assert text_of(response) == "1 is there no more, or you may not see it."
    assert "2 are there no more" in text_of(act(browser, "stop", [hidden, uuid4()]))
    assert Run.objects.get(id=hidden.id).status == Status.WAITING


def test_one_that_is_chosen_twice_is_one(browser: Client, runs: list[Run]) -> None:
    assert text_of(act(browser, "pause", [runs[0], runs[0]])) == "1 run paused."


def test_at_most_a_hundred(browser: Client, runs: list[Run]) -> None:
    text = text_of(act(browser, "stop", [*runs, *(uuid4() for _ in range(bulk.AT_ONCE))]))
    assert text == "Choose at most 100 runs at once; nothing was done."
    assert statuses() == {Status.WAITING}


@pytest.mark.parametrize("verb", ["restart", "step", "delete", "", "\x00"])
def test_other_acts_are_not_for_many(browser: Client, runs: list[Run], verb: str) -> None:
    response = act(browser, verb, runs)
    assert response.status_code == 422 and "Choose pause, resume or stop." in text_of(response)
    assert not Command.objects.exists()


def test_none_chosen(browser: Client) -> None:
    assert "No run is chosen." in text_of(act(browser, "pause", []))
    response = act(browser, "pause", [], htmx=False, back="status=running")
    assert (response.status_code, response["Location"]) == (303, "/livesim/?status=running")
    assert "No run is chosen." in said(response)[0]


def test_what_is_done_and_what_is_to_come_are_told_apart(
    browser: Client, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "HTMX_PATIENCE", 0.1)
    Run.objects.filter(pk=runs[0].pk).update(worker=Worker.objects.create(), status="running")
    assert text_of(act(browser, "pause", runs)) == "2 runs paused. 1 run is pausing."


def test_one_that_was_asked_to_stop_and_takes_its_time_is_stopping(runs: list[Run]) -> None:
    became = bulk.Outcomes(verb=Verb.STOP, taken=[gateway.control(run, Verb.STOP) for run in runs])
    Run.objects.filter(pk=runs[1].pk).update(status="stopping")
    bulk._await(became, 0.0)
    assert became.told == "2 runs stopped. 1 run is stopping."


def test_what_is_refused_or_deleted_while_it_is_waited_for_is_told(runs: list[Run]) -> None:
    Run.objects.update(worker=Worker.objects.create(), status="running")
    became = bulk.Outcomes(verb=Verb.PAUSE, taken=[gateway.control(run, Verb.PAUSE) for run in runs])
    Command.objects.filter(run=runs[0]).update(outcome="refused", message="not now", apply_seq=1)
    Run.objects.filter(pk=runs[1].pk).delete()
    bulk._await(became, 0.0)
    assert became.told == "1 run is pausing."
    assert became.problems == ["1 refused: not now", "1 is there no more, or you may not see it."]


def test_many_count_as_one_command(
    browser: Client, runs: list[Run], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.clear()
    now = time.time()  # else each may be told another second
    monkeypatch.setattr(limits.time, "time", lambda: now)
    settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "1/h"}}
    assert text_of(act(browser, "pause", runs)) == "3 runs paused."
    assert "3 refused: Too many: 1 commands may be sent in 3600 s." in text_of(act(browser, "resume", runs))


def test_a_get_is_no_act(browser: Client) -> None:
    assert browser.get(BULK).status_code == 405


def test_a_form_of_another_site_is_refused(owner: User, runs: list[Run]) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    assert act(browser, "stop", runs).status_code == 403 and statuses() == {Status.WAITING}


class TestWithoutJavaScript:
    @pytest.mark.parametrize(("verb", "then"), [("pause", "paused"), ("stop", "stopped")])
    def test_it_is_confirmed_first(self, browser: Client, runs: list[Run], verb: str, then: str) -> None:
        hidden = gateway.start("counter", owner=User.objects.create_user("bob"), name="hidden")
        asked = act(browser, verb, [*runs, hidden, "no id"], htmx=False, back="mine=1&status=waiting")
        text = text_of(asked)
        assert f"{verb.capitalize()} 5 runs?" in text and "run 0" in text and "hidden" not in text
        assert statuses() == {Status.WAITING}
        body = asked.content.decode()
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', body)
        data: dict[str, list[str]] = {}
        for name, value in fields:
            data.setdefault(name, []).append(value.replace("&amp;", "&"))
        done = browser.post(BULK, data)
        assert (done.status_code, done["Location"]) == (303, "/livesim/?mine=1&status=waiting")
        told = {"pause": "3 runs paused.", "stop": "3 runs stopped."}[verb]
        assert said(done) == [told, "2 are there no more, or you may not see them."]
        assert set(Run.objects.exclude(id=hidden.id).values_list("status", flat=True)) == {then}

    def test_to_resume_nothing_is_asked(self, browser: Client, runs: list[Run]) -> None:
        Run.objects.update(status="stopped")
        response = act(browser, "resume", runs, htmx=False)
        assert (response.status_code, response["Location"]) == (303, "/livesim/")
        assert said(response) == ["3 runs resumed."] and statuses() == {Status.WAITING}

    @pytest.mark.parametrize(
        "back", ["https://example.com/", "//example.com", "next=//example.com&page=%2F", "\x00", "a" * 9000]
    )
    def test_the_way_back_leads_to_the_list_alone(self, browser: Client, back: str) -> None:
        assert act(browser, "resume", [uuid4()], htmx=False, back=back)["Location"] == "/livesim/"

    def test_what_a_worker_does_is_waited_for_and_not_for_long(
        self, browser: Client, runs: list[Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bulk, "PATIENCE", 0.2)
        Run.objects.update(worker=Worker.objects.create(), status="running")
        response = act(browser, "pause", runs, htmx=False, confirmed="1")
        assert said(response) == ["3 runs are pausing."]
        assert statuses() == {Status.RUNNING}


def test_a_run_is_one_however_its_id_is_written(browser: Client, runs: list[Run]) -> None:
    one = runs[0].id
    written = [str(one), one.hex, f"{{{one}}}", f"urn:uuid:{one}"]
    answer = browser.post(BULK, {"verb": "pause", "run": written}, headers=HTMX)
    assert "1 run paused." in text_of(answer)
    assert Command.objects.filter(run=one, name="pause").count() <= 1


def test_what_is_no_way_back_leads_to_the_list(browser: Client, runs: list[Run]) -> None:
    answer = browser.post(
        BULK, {"verb": "pause", "run": [str(runs[0].id)], "confirmed": "1", "back": "&" * 1900}
    )
    assert answer.status_code == 303
    assert answer["Location"] == "/livesim/"
