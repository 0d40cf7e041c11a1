"""Start, pause, resume, stop and restart in the admin: by buttons, and for many by actions."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.cache import cache
from django.db import connections
from django.test import Client

from django_livesim import gateway
from django_livesim.admin import acting
from django_livesim.admin.plans import Act, verb_of, why_not
from django_livesim.models import Command, Run, Worker
from django_livesim.permissions import Level
from django_livesim.protocol.errors import LivesimError
from django_livesim.protocol.names import Status, Verb
from tests.admin.conftest import said, text_of, url

pytestmark = pytest.mark.django_db

LIST = "/admin/livesim/run/"

LEFT_THE_LIST = "1 chosen run is not in this list any more and was left out; choose it again."


def choose(browser: Client, action: str, *runs: Run, **fields: Any) -> Any:
    """Tick runs in the list and choose an action."""
    data = {"action": action, "_selected_action": [str(run.pk) for run in runs]} | fields
    return browser.post(LIST, data, follow=True)


def hidden(response: Any) -> dict[str, Any]:
    """What the form of a page that asks would post."""
    fields: dict[str, Any] = {}
    for name, value in re.findall(
        r'<input type="hidden" name="(\w+)" value="([^"]*)"', response.content.decode()
    ):
        fields.setdefault(name, []).append(value)
    del fields["csrfmiddlewaretoken"]
    return fields


def status_of(run: Run) -> str:
    return Run.objects.get(pk=run.pk).status


TABLE = {
    Act.START: {
        "paused": Verb.RESUME,
        "stopped": Verb.RESUME,
        "finished": Verb.RESTART,
        "failed": Verb.RESTART,
    },
    Act.PAUSE: dict.fromkeys(["waiting", "running"], Verb.PAUSE),
    Act.RESUME: dict.fromkeys(["paused", "stopped", "quarantined"], Verb.RESUME),
    Act.STOP: dict.fromkeys(["waiting", "running", "paused", "quarantined"], Verb.STOP),
    Act.RESTART: dict.fromkeys(map(str, Status), Verb.RESTART),
    Act.RELEASE: {"quarantined": Verb.RESUME},
}
"""Which control an act comes to in which status; in the others the run is left out."""


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("act", Act)
def test_an_act_touches_legal_states_only_and_says_why_not(act: Act, status: Status, make: Any) -> None:
    run = make(status=status)
    expected = TABLE[act].get(str(status))
    why = why_not(act, run, Level.CONTROL)
    assert bool(why) == (expected is None)
    if expected is not None:
        assert verb_of(act, run.status) is expected
        assert expected in gateway.legal_verbs(status)


def test_an_illegal_transition_says_from_which_state_and_what_would_be_legal(make: Any) -> None:
    run = make(status=Status.FINISHED)
    assert why_not(Act.PAUSE, run, Level.CONTROL) == (
        "it is finished: it cannot pause; possible now: stop, restart"
    )
    assert why_not(Act.STOP, run, Level.CONTROL) == "it is finished: there is nothing to do"
    assert why_not(Act.STOP, run, Level.VIEW) == "you have no right to control it"


class TestButtons:
    def test_pause_and_resume(self, boss: Client, make: Any) -> None:
        run = make(name="run")
        response = boss.post(url("act", run.pk, "pause"), follow=True)
        assert status_of(run) == Status.PAUSED
        assert said(response) == ["“run”: pause: applied at tick 0."]
        assert [act for act, _label in response.context["acts"]] == ["resume", "stop", "restart"]
        boss.post(url("act", run.pk, "resume"))
        assert status_of(run) == Status.WAITING

    def test_each_act_is_in_the_history_and_in_the_journal(self, boss: Client, make: Any) -> None:
        run = make(name="run")
        boss.post(url("act", run.pk, "pause"))
        entry = LogEntry.objects.get()
        assert (entry.action_flag, entry.object_repr, entry.user.username) == (CHANGE, "run", "grace")
        assert entry.get_change_message() == "pause: applied at tick 0."
        command = Command.objects.get()
        assert (command.name, command.sender) == ("pause", f"u:{entry.user_id}")

    def test_stop_is_asked_about_first(self, boss: Client, make: Any) -> None:
        run = make(name="run")
        page = boss.post(url("act", run.pk, "stop"))
        assert "Stop? Each state is stored, and a stopped run can be resumed." in text_of(page)
        assert status_of(run) == Status.WAITING
        response = boss.post(url("act", run.pk, "stop"), hidden(page), follow=True)
        assert status_of(run) == Status.STOPPED
        assert said(response) == ["“run”: stop: applied at tick 0."]

    def test_restart_leads_to_the_run_that_follows(self, boss: Client, make: Any) -> None:
        run = make(name="run", status=Status.FAILED)
        page = boss.post(url("act", run.pk, "restart"))
        response = boss.post(url("act", run.pk, "restart"), hidden(page), follow=True)
        following = Run.objects.exclude(pk=run.pk).get()
        assert response.redirect_chain[-1][0] == url("change", following.pk)
        assert f'<a href="{url("change", following.pk)}">' in response.content.decode()

    def test_a_confirmation_posted_twice_has_one_effect(self, boss: Client, make: Any) -> None:
        run = make(name="run", status=Status.FAILED)
        answer = hidden(boss.post(url("act", run.pk, "restart")))
        first = boss.post(url("act", run.pk, "restart"), answer, follow=True)
        again = boss.post(url("act", run.pk, "restart"), answer, follow=True)
        assert Run.objects.count() == 2
        assert again.redirect_chain == first.redirect_chain
        assert said(first) == ["“run”: restart: applied at tick 0. Go to the run that follows it"]
        assert said(again) == [
            (
                "“run”: restart: this form did it already, at tick 0; load the page again to repeat it. "
                "Go to the run that follows it"
            )
        ]
        assert LogEntry.objects.count() == Command.objects.count() == 1

    def test_what_is_no_act_is_not_found(self, boss: Client, make: Any) -> None:
        assert boss.post(url("act", make().pk, "explode")).status_code == 404
        assert boss.post(url("act", "00000000-0000-4000-8000-000000000000", "stop")).status_code == 404

    def test_a_look_at_the_address_of_a_button_does_nothing(self, boss: Client, make: Any) -> None:
        run = make()
        assert boss.get(url("act", run.pk, "pause")).headers["Location"] == url("change", run.pk)
        assert status_of(run) == Status.WAITING

    def test_a_post_from_elsewhere_is_refused(self, person: Any, make: Any) -> None:
        stranger, run = Client(enforce_csrf_checks=True), make()
        stranger.force_login(person("eve", is_superuser=True))
        assert stranger.post(url("act", run.pk, "pause")).status_code == 403
        assert status_of(run) == Status.WAITING

    def test_what_is_illegal_is_left_out_with_words(self, boss: Client, make: Any) -> None:
        run = make(name="run", status=Status.FINISHED)
        response = boss.post(url("act", run.pk, "resume"), follow=True)
        assert said(response) == [
            "“run”: resume: left out: it is finished: it cannot resume; possible now: stop, restart"
        ]
        assert not LogEntry.objects.exists()

    def test_what_a_worker_has_not_done_yet_is_said_so(self, boss: Client, make: Any, worker: Worker) -> None:
        run = make(name="run", status=Status.RUNNING, worker=worker)
        response = boss.post(url("act", run.pk, "pause"), follow=True)
        assert said(response) == ["“run”: pause: accepted, not applied yet; load the page again to see."]
        command = Command.objects.get()
        assert command.outcome == ""
        assert LogEntry.objects.get().get_change_message() == f"pause: asked for, command #{command.pk}."

    def test_what_the_gateway_refuses_is_in_the_history_too(
        self, boss: Client, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise LivesimError("The run is changing hands; try again.")

        monkeypatch.setattr(gateway, "control", refuse)
        response = boss.post(url("act", make(name="run").pk, "pause"), follow=True)
        assert said(response) == ["“run”: pause: refused: The run is changing hands; try again."]
        assert LogEntry.objects.get().get_change_message() == (
            "pause: refused: The run is changing hands; try again."
        )


@pytest.mark.parametrize(
    ("permission", "code"),
    [("view_run", 403), ("command_run", 403), ("control_run", 302), ("start_run", 404)],
)
def test_only_who_controls_a_run_has_its_buttons(
    enter: Any, person: Any, make: Any, permission: str, code: int
) -> None:
    run = make()
    response = enter(person("bob", permission)).post(url("act", run.pk, "pause"))
    assert response.status_code in (code, 303 if code == 302 else code)
    assert status_of(run) == (Status.PAUSED if code == 302 else Status.WAITING)


class TestMany:
    def test_pause_tells_of_each(self, boss: Client, make: Any, worker: Worker) -> None:
        runs = [
            make(name="free"),
            make(name="held", status=Status.RUNNING, worker=worker),
            make(name="over", status=Status.FINISHED),
            make(name="still", status=Status.PAUSED),
        ]
        response = choose(boss, "pause_runs", *runs)
        assert sorted(said(response)) == [
            "“free”: pause: applied at tick 0.",
            "“held”: pause: accepted, not applied yet; load the page again to see.",
            "“over”: pause: left out: it is finished: it cannot pause; possible now: stop, restart",
            "“still”: pause: left out: it is paused: there is nothing to do",
        ]
        assert sorted(LogEntry.objects.values_list("object_repr", flat=True)) == ["free", "held"]

    def test_start_goes_on_or_begins_anew(self, boss: Client, make: Any) -> None:
        stopped, failed = make(name="a", status=Status.STOPPED), make(name="b", key="k", status=Status.FAILED)
        choose(boss, "start_runs", stopped, failed, make(name="c", status=Status.RUNNING))
        assert status_of(stopped) == Status.WAITING
        assert status_of(failed) == Status.FAILED
        following = Run.objects.get(parent=failed)
        assert (following.key, following.status) == ("k", Status.WAITING)
        assert Run.objects.count() == 4

    def test_stop_is_asked_about_with_what_is_touched_and_what_is_left_out(
        self, boss: Client, make: Any
    ) -> None:
        runs = [make(name="one"), make(name="two"), make(name="over", status=Status.FAILED)]
        page = choose(boss, "stop_runs", *runs)
        text = text_of(page)
        assert "2 runs: two waiting one waiting" in text
        assert "Left out: over: it is failed: there is nothing to do" in text
        assert Command.objects.count() == 0
        response = boss.post(LIST, hidden(page), follow=True)
        assert sorted(said(response)) == [
            "“one”: stop: applied at tick 0.",
            "“two”: stop: applied at tick 0.",
        ]
        assert [status_of(run) for run in runs] == [Status.STOPPED, Status.STOPPED, Status.FAILED]

    def test_a_confirmation_posted_twice_has_one_effect(self, boss: Client, make: Any) -> None:
        runs = [make(name=f"run-{number}") for number in range(3)]
        answer = hidden(choose(boss, "restart_runs", *runs))
        first, again = (boss.post(LIST, answer, follow=True) for _ in range(2))
        assert all("applied at tick 0" in text for text in said(first))
        assert all("this form did it already, at tick 0" in text for text in said(again))
        assert Run.objects.count() == 6
        assert LogEntry.objects.count() == Command.objects.count() == 3

    def test_an_action_posted_twice_has_one_effect(self, boss: Client, make: Any) -> None:
        run = make(name="run", status=Status.FAILED)
        (own_id,) = set(re.findall(r'name="livesim_id" value="(\w+)"', boss.get(LIST).content.decode()))
        for _ in range(2):
            choose(boss, "start_runs", run, livesim_id=own_id)
        assert Run.objects.count() == 2

    def test_with_nothing_to_touch_nothing_is_asked(self, boss: Client, make: Any) -> None:
        response = choose(boss, "stop_runs", make(name="over", status=Status.STOPPED))
        assert said(response) == ["“over”: stop: left out: it is stopped: there is nothing to do"]

    def test_long_lists_are_summed_up(self, boss: Client, make: Any) -> None:
        runs = [make(name=f"run-{number}") for number in range(22)]
        runs += [make(name=f"over-{number}", status=Status.FAILED) for number in range(3)]
        told = said(choose(boss, "pause_runs", *runs))
        assert len(told) == 21
        assert told[-1] == "And 5 runs more: applied: 5."

    def test_too_many_at_once_are_refused(
        self, boss: Client, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(acting, "AT_ONCE", 2)
        response = choose(boss, "pause_runs", *(make() for _ in range(3)))
        assert said(response) == ["Choose at most 2 runs at once, by a filter for example; nothing was done."]
        assert not Command.objects.exists()

    def test_those_of_others_are_left_out(self, enter: Any, person: Any, make: Any) -> None:
        bob = person("bob", "view_run")
        theirs, own = make(name="theirs"), make(name="own", owner=bob)
        response = choose(enter(bob), "pause_runs", theirs, own)
        assert sorted(said(response)) == [
            "“own”: pause: applied at tick 0.",
            "“theirs”: pause: left out: you have no right to control it",
        ]
        assert status_of(theirs) == Status.WAITING

    def test_what_who_asks_may_not_see_is_not_even_named(self, enter: Any, person: Any, make: Any) -> None:
        bob = person("bob", "start_run")
        secret, own = make(name="secret"), make(name="own", owner=bob)
        response = choose(enter(bob), "pause_runs", secret, own)
        assert said(response) == [LEFT_THE_LIST, "“own”: pause: applied at tick 0."]
        assert status_of(secret) == Status.WAITING

    def test_a_policy_is_heard(self, boss: Client, make: Any, settings: Any) -> None:
        settings.LIVESIM = {
            "POLICY": lambda user, action, run, command: False if action == "control" else None
        }
        run = make(name="run")
        assert said(choose(boss, "pause_runs", run)) == [
            "“run”: pause: left out: you have no right to control it"
        ]
        settings.LIVESIM = {"POLICY": lambda user, action, run, command: False}
        assert said(choose(boss, "pause_runs", run)) == [LEFT_THE_LIST]

    def test_a_run_whose_code_is_gone_can_still_be_stopped(self, boss: Client, make: Any) -> None:
        run = make(name="run")
        Run.objects.filter(pk=run.pk).update(simulation="vanished", owner_id=987)
        boss.post(LIST, hidden(choose(boss, "stop_runs", run)))
        assert status_of(run) == Status.STOPPED

    def test_one_action_is_one_command_of_the_sender(self, boss: Client, make: Any, settings: Any) -> None:
        cache.clear()
        settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "2/h"}}
        runs = [make() for _ in range(5)]
        choose(boss, "pause_runs", *runs)
        assert {status_of(run) for run in runs} == {Status.PAUSED}
        choose(boss, "resume_runs", *runs)
        assert {status_of(run) for run in runs} == {Status.WAITING}
        told = said(choose(boss, "pause_runs", *runs))
        assert len(told) == 5 and all("refused: Too many" in text for text in told)
        assert {status_of(run) for run in runs} == {Status.WAITING}

    def test_a_run_that_left_a_narrowed_list_is_missed_aloud(self, boss: Client, make: Any) -> None:
        run = make(status=Status.PAUSED)
        data = {"action": "resume_runs", "_selected_action": [str(run.pk)]}
        response = boss.post(f"{LIST}?status__exact=running", data, follow=True)
        assert said(response) == [LEFT_THE_LIST]
        assert status_of(run) == Status.PAUSED

    def test_all_of_a_list_are_not_missed(self, boss: Client, make: Any) -> None:
        runs = [make(name="one"), make(name="two")]
        response = choose(boss, "pause_runs", runs[0], select_across="1")
        assert len(said(response)) == 2

    def test_a_confirmed_act_finds_runs_that_left_the_narrowed_list_meanwhile(
        self, boss: Client, make: Any
    ) -> None:
        run = make(name="run")
        data = {"action": "stop_runs", "_selected_action": [str(run.pk)]}
        page = boss.post(f"{LIST}?status__exact=waiting", data)
        Run.objects.update(status=Status.PAUSED)
        target = re.search(r'<form method="post" action="([^"]*)">', page.content.decode())
        assert target is not None and target[1] == LIST
        response = boss.post(target[1], hidden(page), follow=True)
        assert said(response) == ["“run”: stop: applied at tick 0."]
        assert response.redirect_chain == [(f"{LIST}?status__exact=waiting", 303)]
        assert status_of(run) == Status.STOPPED

    def test_what_a_form_did_is_not_told_as_done_again(self, boss: Client, make: Any) -> None:
        run = make(name="run")
        choose(boss, "pause_runs", run, livesim_id="abc")
        choose(boss, "resume_runs", run)
        response = choose(boss, "pause_runs", run, livesim_id="abc")
        assert said(response) == [
            "“run”: pause: this form did it already, at tick 0; load the page again to repeat it."
        ]
        assert status_of(run) == Status.WAITING

    def test_runs_that_a_form_acted_on_before_are_summed_up_as_such(
        self, boss: Client, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(acting, "SHOWN", 0)
        run = make()
        for expected in ("applied", "done already"):
            told = said(choose(boss, "pause_runs", run, livesim_id="abc"))
            assert told == [f"And 1 run more: {expected}: 1."]


@contextmanager
def meanwhile(asked: int, act: Callable[[], object]) -> Iterator[None]:
    """While a page waits: what happens once so many commands are asked for."""
    happened = []

    def go() -> None:
        until = time.monotonic() + 10
        while Command.objects.filter(name="pause").count() < asked and time.monotonic() < until:
            time.sleep(0.01)
        act()
        happened.append(True)
        connections.close_all()

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert happened, "it went wrong in its thread"


@pytest.mark.django_db(transaction=True)
class TestWaiting:
    @pytest.fixture(autouse=True)
    def _patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What happens meanwhile takes its time, too, on a busy machine."""
        monkeypatch.setattr(acting, "PATIENCE", 6.0)

    def test_a_silent_worker_of_one_run_does_not_hide_what_became_of_the_others(
        self, boss: Client, make: Any, worker: Worker
    ) -> None:
        healthy = [make(name="healthy", worker=worker, status=Status.RUNNING) for _ in range(3)]
        stuck = make(name="stuck", worker=worker, status=Status.RUNNING)

        def apply() -> None:
            Command.objects.exclude(run=stuck).update(outcome="applied", apply_tick=7)

        with meanwhile(4, apply):
            told = said(choose(boss, "pause_runs", *healthy, stuck))
        assert sorted(told) == [
            *["“healthy”: pause: applied at tick 7."] * 3,
            "“stuck”: pause: accepted, not applied yet; load the page again to see.",
        ]

    def test_a_run_that_is_deleted_meanwhile_is_told_with_the_others(
        self, boss: Client, make: Any, worker: Worker
    ) -> None:
        gone, free = make(name="gone", worker=worker, status=Status.RUNNING), make(name="free")
        with meanwhile(2, lambda: gateway.delete(gone)):
            told = said(choose(boss, "pause_runs", gone, free))
        assert sorted(told) == [
            "“free”: pause: applied at tick 0.",
            "“gone”: pause: left out: it was deleted meanwhile",
        ]
        assert set(LogEntry.objects.values_list("object_repr", flat=True)) == {"gone", "free"}

    def test_a_button_of_a_run_that_is_deleted_meanwhile_leads_to_the_list(
        self, boss: Client, make: Any, worker: Worker
    ) -> None:
        run = make(name="gone", worker=worker, status=Status.RUNNING)
        with meanwhile(1, lambda: gateway.delete(run)):
            response = boss.post(url("act", run.pk, "pause"), follow=True)
        assert response.redirect_chain == [(LIST, 303)]
        assert said(response) == ["“gone”: pause: left out: it was deleted meanwhile"]
