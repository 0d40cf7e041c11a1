"""Commands sent from the admin."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from django_livesim import gateway
from django_livesim.models import Command, Run
from django_livesim.protocol.names import Status
from django_livesim.testing import wait_until, worker_in_process
from tests.admin.conftest import said, text_of, url

Make = Callable[..., Any]

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(autouse=True)
def no_waiting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no worker is there, none is waited for; where one is, it may take its time, on a busy machine."""
    alone = request.node.get_closest_marker("django_db").kwargs.get("transaction") is None
    monkeypatch.setattr("django_livesim.admin.sending.PATIENCE", 0 if alone else 30)


def send(client: Client, run: Run, command: str = "", /, **data: Any) -> Any:
    address = url("send_command", run.pk, command) if command else url("send", run.pk)
    return client.post(address, data, follow=True)


@pytest.mark.django_db
class TestForms:
    def test_there_is_one_for_each_command(self, boss: Client, make: Make) -> None:
        response = boss.get(url("send", make().pk))
        forms = re.findall(r'id="send-(\w+)"', response.content.decode())
        assert forms == ["add", "decline", "fail", "explode", "end"]
        assert "Add to the value." in text_of(response)

    def test_one_command_has_a_page_of_its_own(self, boss: Client, make: Make) -> None:
        run = make()
        response = boss.get(url("send_command", run.pk, "add"))
        assert re.findall(r'id="send-(\w+)"', response.content.decode()) == ["add"]
        assert url("send", run.pk) in response.content.decode()

    def test_a_loop_that_declares_none_takes_any_message(self, boss: Client, make: Make) -> None:
        run = make("echo")
        response = send(boss, run, name="saw", args='{"planks": 3}', livesim_id="one")
        assert said(response) == ["saw: accepted, not applied yet; see the run's commands."]
        sent = Command.objects.get()
        assert (sent.name, sent.args, sent.client_id) == ("saw", {"planks": 3}, "one")

    def test_an_unknown_command_is_not_found(self, boss: Client, make: Make) -> None:
        assert boss.get(url("send_command", make().pk, "no")).status_code == 404
        assert send(boss, make(), "no").status_code == 404

    def test_a_simulation_without_its_code_says_so(self, boss: Client, make: Make) -> None:
        run = make()
        Run.objects.update(simulation="gone.away")
        assert "The code of gone.away is not installed here" in text_of(boss.get(url("send", run.pk)))
        assert send(boss, run, n="1").status_code == 200
        assert not Command.objects.exists()


@pytest.mark.django_db
class TestSending:
    def test_it_is_stored_under_the_senders_name_and_noted_in_the_runs_history(
        self, boss: Client, make: Make
    ) -> None:
        run = make()
        response = send(boss, run, "add", n="7", livesim_id="one")
        assert said(response) == ["add: accepted, not applied yet; see the run's commands."]
        sent = Command.objects.get()
        assert (sent.args, sent.client_id) == ({"n": 7}, "one")
        entry = LogEntry.objects.get(object_id=str(run.pk))
        assert sent.sender == f"u:{entry.user_id}"
        assert entry.get_change_message() == f"Sent command {sent.pk}, add."

    def test_posted_twice_it_has_one_effect_and_one_entry(self, boss: Client, make: Make) -> None:
        run = make()
        for _ in range(2):
            assert send(boss, run, "add", n="7", livesim_id="one").status_code == 200
        assert Command.objects.count() == 1
        assert LogEntry.objects.filter(object_id=str(run.pk)).count() == 1

    def test_its_id_for_another_command_is_refused_and_the_form_gets_a_new_one(
        self, boss: Client, make: Make
    ) -> None:
        run = make()
        send(boss, run, "add", n="7", livesim_id="one")
        response = send(boss, run, "add", n="8", livesim_id="one")
        assert "was used for another command" in text_of(response)
        assert 'name="livesim_id" value="one"' not in response.content.decode()
        assert Command.objects.get().args == {"n": 7}

    def test_bad_arguments_are_told_at_their_fields_and_nothing_is_stored(
        self, boss: Client, make: Make
    ) -> None:
        run = make()
        response = send(boss, run, "add", n="many", livesim_id="one")
        assert response.status_code == 422
        assert "Nothing was sent. Correct what is wrong below" in text_of(response)
        rows = response.content.decode().split('<div class="form-row')
        (field,) = (row for row in rows if "field-n" in row)
        assert "Enter a whole number." in field
        assert 'name="livesim_id" value="one"' in response.content.decode()
        assert not Command.objects.exists()
        assert not LogEntry.objects.exists()

    def test_markup_in_a_command_is_text(self, boss: Client, make: Make) -> None:
        response = send(boss, make("echo"), name=HOSTILE, args="{}")
        assert "<script>alert" not in response.content.decode()

    @pytest.mark.parametrize(
        ("status", "says"),
        [
            (Status.FINISHED, "finished and takes no commands. Possible now: stop, restart."),
            (Status.STOPPED, "stopped and takes no commands. Possible now: resume, stop, restart."),
            (Status.QUARANTINED, "quarantined and takes no commands. Possible now: resume, stop, restart."),
        ],
    )
    def test_where_none_is_taken_the_page_says_why_and_what_is_possible(
        self, boss: Client, make: Make, status: Status, says: str
    ) -> None:
        run = make(status=status)
        assert says in text_of(boss.get(url("send", run.pk)))
        response = send(boss, run, "add", n="1")
        assert response.status_code == 409
        assert says in text_of(response)
        assert not Command.objects.exists()


@pytest.mark.django_db
class TestRights:
    @pytest.mark.parametrize(
        ("permissions", "status"),
        [
            (["view_run"], 403),
            (["view_run", "inspect_run", "start_run"], 403),
            (["command_run"], 200),
            (["control_run"], 200),
            (["start_run"], 404),
        ],
    )
    def test_it_needs_the_right_to_command(
        self, person: Make, enter: Make, make: Make, permissions: list[str], status: int
    ) -> None:
        client, run = enter(person("bob", *permissions)), make()
        assert client.get(url("send", run.pk)).status_code == status
        assert send(client, run, "add", n="1").status_code == status
        assert Command.objects.exists() is (status == 200)

    def test_an_anonymous_visitor_is_asked_to_log_in(self, client: Client, make: Make) -> None:
        response = client.post(url("send_command", make().pk, "add"), {"n": "1"})
        assert response.status_code == 302 and "/login/" in response["Location"]
        assert not Command.objects.exists()

    def test_a_form_from_elsewhere_is_refused(self, person: Make, make: Make) -> None:
        client, run = Client(enforce_csrf_checks=True), make()
        client.force_login(person("grace", is_superuser=True))
        assert client.post(url("send_command", run.pk, "add"), {"n": "1"}).status_code == 403


@pytest.mark.django_db(transaction=True)
class TestWithAWorker:
    def test_the_outcome_is_told(self, boss: Client, make: Make) -> None:
        run = make(params={"start": 1000})
        with worker_in_process():
            gateway.pause(run, wait=True)
            applied = send(boss, run, "add", n="5")
            refused = send(boss, run, "decline", why="not today")
        history = text_of(boss.get(url("history", run.pk)))
        assert re.match(r"add: applied at tick \d+\. → 10\d\d$", said(applied)[0])
        assert said(refused) == ["decline: refused: not today"]
        assert re.search(r"Sent command \d+, add: applied at tick \d+\.", history)
        assert re.search(r"Sent command \d+, decline: refused\.", history)
        assert "→" not in history and "not today" not in history  # viewers read it

    def test_it_is_waited_for_where_requests_are_transactions(
        self, boss: Client, make: Make, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django.db import connection

        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        run = make()
        with worker_in_process():
            wait_until(lambda: Run.objects.get(pk=run.pk).status == Status.RUNNING)
            assert "applied at tick" in said(send(boss, run, "add", n="5"))[0]
