"""The pages, asked as a browser without JavaScript and as htmx ask."""

from __future__ import annotations

import html
import json
import re
from typing import Any
from urllib.parse import quote, unquote

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db import InterfaceError, OperationalError
from django.test import Client
from django.urls import reverse

from django_livesim import gateway, registry
from django_livesim.models import Command, Run, Worker
from django_livesim.protocol.names import Kind, Outcome, Status

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

HOSTILE = '<script>alert("x")</script>{{7*77777777}}'
HTMX = {"HX-Request": "true"}


@pytest.fixture
def owner() -> User:
    user = User.objects.create_user("ada", password="ada")
    user.user_permissions.add(Permission.objects.get(codename="start_run"))
    return user


@pytest.fixture
def browser(owner: User) -> Client:
    """A logged-in person who may start runs, and owns those of `make`."""
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture
def make(owner: User) -> Any:
    def make_run(simulation: str = "counter", **fields: Any) -> Run:
        status = fields.pop("status", Status.WAITING)
        rest = {name: fields.pop(name) for name in ("error", "result", "reason") if name in fields}
        run = gateway.start(simulation, owner=owner, **fields)
        Run.objects.filter(id=run.id).update(status=str(status), **rest)
        run.refresh_from_db()
        return run

    return make_run


@pytest.fixture
def worker() -> Worker:
    return Worker.objects.create(host="mill", pid=7)


def url(name: str, run: Run, *more: str) -> str:
    return reverse(f"livesim:{name}", args=[run.id, *more])


def text_of(response: Any) -> str:
    """What a page says: its markup without tags, on one line."""
    body = re.sub(r"<script.*?</script>", " ", response.content.decode(), flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


class TestList:
    def test_no_run_says_what_to_do(self, browser: Client) -> None:
        text = text_of(browser.get(reverse("livesim:run-list")))
        assert "There are no runs to see yet. Choose a simulation and start it" in text

    def test_a_visitor_is_told_to_log_in(self, client: Client) -> None:
        response = client.get(reverse("livesim:run-list"))
        assert "To start a run, log in." in text_of(response)
        assert 'href="/accounts/login/?next=%2Flivesim%2F"' in response.content.decode()

    def test_a_visitor_who_may_start_some_is_told_that_there_may_be_more(
        self, client: Client, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry.all()[0], "may_start", "anyone")
        more = "There may be more to start once you are logged in. Log in"
        assert more in text_of(client.get(reverse("livesim:run-list")))
        assert more not in text_of(browser.get(reverse("livesim:run-list")))

    def test_a_user_without_the_permission_is_told_which(self, client: Client) -> None:
        client.force_login(User.objects.create_user("bob"))
        assert "“Can start runs”" in text_of(client.get(reverse("livesim:run-list")))

    def test_nothing_registered_says_where_to_write_one(
        self, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("django_livesim.registry.all", list)
        text = text_of(browser.get(reverse("livesim:run-list")))
        assert "No simulation is registered. Write one in the file simulations.py" in text

    def test_runs_are_newest_first_with_their_facts(self, browser: Client, make: Any, worker: Worker) -> None:
        first, second = make(name="first"), make(name="second", status=Status.RUNNING)
        Run.objects.filter(id=second.id).update(worker=worker, tick=321)
        text = text_of(browser.get(reverse("livesim:run-list")))
        assert text.index("second") < text.index("first")
        assert "running second counter ada 321 \N{EN DASH} \N{EN DASH} mill:7 just now" in text
        assert first.get_absolute_url() in browser.get(reverse("livesim:run-list")).content.decode()

    def test_only_what_the_asker_may_see_is_shown(self, client: Client, make: Any) -> None:
        make(name="hidden")
        make(name="shown", visibility="public")
        text = text_of(client.get(reverse("livesim:run-list")))
        assert "shown" in text and "hidden" not in text

    def test_pages(self, browser: Client, make: Any) -> None:
        for number in range(27):
            make(name=f"run-{number:02}")
        text = text_of(browser.get(reverse("livesim:run-list")))
        assert "Page 1 of 2" in text and "run-26" in text and "run-01" not in text
        text = text_of(browser.get(reverse("livesim:run-list"), {"page": 2}))
        assert "Page 2 of 2" in text and "run-01" in text and "run-26" not in text
        assert "Page 2 of 2" in text_of(browser.get(reverse("livesim:run-list"), {"page": "999"}))

    def test_rows_are_a_part_of_their_own(self, browser: Client, make: Any) -> None:
        make(name="first")
        response = browser.get(reverse("livesim:run-list"), {"part": "rows"})
        assert "first" in text_of(response) and b"<html" not in response.content

    def test_waiting_runs_without_a_worker_are_noticed(
        self, browser: Client, make: Any, worker: Worker
    ) -> None:
        make()
        alive = text_of(browser.get(reverse("livesim:run-list")))
        Worker.objects.update(state=Worker.State.GONE)
        gone = text_of(browser.get(reverse("livesim:run-list")))
        assert "livesim_worker" not in alive
        assert "No worker is running" in gone and "python manage.py livesim_worker" in gone

    def test_a_paused_run_says_why(self, browser: Client, make: Any) -> None:
        make(status=Status.PAUSED, reason="nobody is watching")
        make(status=Status.RUNNING, reason="goes on from tick 7")
        text = text_of(browser.get(reverse("livesim:run-list")))
        assert "counter · nobody is watching" in text
        assert "goes on" not in text

    def test_hostile_names_are_text(self, browser: Client, make: Any) -> None:
        run = make(name=HOSTILE)
        for page in (reverse("livesim:run-list"), run.get_absolute_url()):
            body = browser.get(page).content.decode()
            assert HOSTILE not in body and "544444439" not in body


class TestStart:
    def start(self, client: Client, htmx: bool = False, **data: Any) -> Any:
        given = {"run-simulation": "counter", "run-visibility": "private", "start": "3"} | data
        return client.post(reverse("livesim:run-start"), given, headers=HTMX if htmx else {})

    def test_the_panel_shows_the_form_of_the_chosen_simulation(self, browser: Client) -> None:
        text = text_of(browser.get(reverse("livesim:run-list"), {"simulation": "counter"}))
        assert "Counts its steps." in text and "Start Counter" in text and "Who may watch" in text

    def test_it_starts_the_run_and_goes_there(self, browser: Client, owner: User) -> None:
        response = self.start(browser, **{"run-name": "mine", "run-visibility": "public"})
        run = Run.objects.get()
        assert (response.status_code, response["Location"]) == (303, run.get_absolute_url())
        assert (run.params, run.name, run.visibility, run.owner) == ({"start": 3}, "mine", "public", owner)

    def test_htmx_is_sent_there_too(self, browser: Client) -> None:
        assert self.start(browser, htmx=True)["HX-Redirect"] == Run.objects.get().get_absolute_url()

    @pytest.mark.parametrize("htmx", [False, True])
    def test_a_bad_parameter_is_shown_at_its_field(self, browser: Client, htmx: bool) -> None:
        response = self.start(browser, htmx, start="many")
        body = response.content.decode()
        assert response.status_code == 422 and not Run.objects.exists()
        assert 'id="id_param_start_error"' in body and 'value="many"' in body
        assert ("<html" in body) is not htmx

    def test_errors_at_fields_are_summed_up_and_other_refusals_speak_for_themselves(
        self, browser: Client, settings: Any
    ) -> None:
        told = "Nothing was started. Correct what is wrong below."
        assert told in text_of(self.start(browser, start="many"))
        settings.LIVESIM = {"QUOTAS": {"RUNS": 0}}
        response = self.start(browser, start="1")
        assert (response.status_code, told in text_of(response)) == (429, False)

    def test_a_visibility_that_there_is_not(self, browser: Client) -> None:
        assert self.start(browser, **{"run-visibility": "all"}).status_code == 422
        assert not Run.objects.exists()

    def test_an_unknown_simulation(self, browser: Client) -> None:
        response = self.start(browser, **{"run-simulation": "nosuch"})
        assert response.status_code == 422 and "nosuch" in text_of(response)

    def test_one_that_the_asker_may_not_start(self, client: Client) -> None:
        assert self.start(client).status_code == 422
        assert not Run.objects.exists()

    def test_a_visitor_owns_by_the_session_what_anyone_may_start(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry.get("counter"), "may_start", "anyone")
        page = self.start(client)["Location"]
        assert Run.objects.get().session
        assert client.get(page).status_code == 200
        assert Client().get(page).status_code == 404

    def test_posted_again_it_leads_to_the_run_that_it_started(self, browser: Client) -> None:
        first, again = (self.start(browser, livesim_id="abc") for _ in range(2))
        other = self.start(browser, livesim_id="abd")
        assert first["Location"] == again["Location"] != other["Location"]
        assert Run.objects.count() == 2

    def test_the_form_has_an_id_and_keeps_it_when_refused(self, browser: Client) -> None:
        page = browser.get(reverse("livesim:run-list"), {"simulation": "counter"}).content.decode()
        assert re.search(r'name="livesim_id" value="[0-9a-f]{32}"', page)
        refused = self.start(browser, livesim_id="abc", start="many").content.decode()
        assert 'name="livesim_id" value="abc"' in refused
        assert self.start(browser, livesim_id="abc").status_code == 303

    def test_the_session_remembers_the_newest_forms_alone(self, browser: Client) -> None:
        for number in range(25):
            self.start(browser, livesim_id=str(number))
        assert len(browser.session["livesim_started"]) == 20

    def test_sessions_in_signed_cookies_identify_too(
        self, client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
        monkeypatch.setattr(registry.get("counter"), "may_start", "anyone")
        first = self.start(client, livesim_id="abc")["Location"]
        second = self.start(client, livesim_id="abd")["Location"]
        assert Run.objects.exclude(session="").count() == 2
        for page in (first, second):
            assert client.get(page).status_code == 200
            assert Client().get(page).status_code == 404

    def test_a_get_is_no_start(self, browser: Client) -> None:
        assert browser.get(reverse("livesim:run-start")).status_code == 405

    def test_a_form_of_another_site_is_refused(self, owner: User) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(owner)
        assert self.start(strict).status_code == 403


class TestLivePage:
    @pytest.mark.parametrize("status", list(Status))
    def test_every_status_has_a_page(self, browser: Client, make: Any, status: Status) -> None:
        text = text_of(browser.get(make(status=status).get_absolute_url()))
        assert status.value in text and "Commands" in text and "State" in text

    def test_no_such_run_and_no_right_look_alike(self, client: Client, make: Any) -> None:
        hidden = client.get(make().get_absolute_url())
        missing = client.get(reverse("livesim:run-detail", args=["0" * 8 + "-0000-4000-8000-" + "0" * 12]))
        assert hidden.status_code == missing.status_code == 404
        assert text_of(hidden) == text_of(missing) and "Log in" in text_of(hidden)

    def test_htmx_is_told_to_load_the_page_anew(self, client: Client, make: Any) -> None:
        response = client.get(make().get_absolute_url(), {"part": "facts"}, headers=HTMX)
        assert response["HX-Refresh"] == "true"

    def test_who_may_only_watch_gets_no_forms(self, client: Client, make: Any) -> None:
        response = client.get(make(visibility="public").get_absolute_url())
        assert "You may watch this run, not steer it." in text_of(response)
        assert b"<form" not in response.content

    def test_the_key_of_a_link_goes_along(self, client: Client, make: Any) -> None:
        run = make(visibility="link")
        Run.objects.filter(id=run.id).update(link_token="opensesame")
        assert client.get(run.get_absolute_url()).status_code == 404
        body = client.get(run.get_absolute_url(), {"key": "opensesame"}).content.decode()
        assert f'data-socket="/ws/livesim/runs/{run.id}/?key=opensesame"' in body

    def test_each_command_has_a_form(self, browser: Client, make: Any) -> None:
        run = make()
        body = browser.get(run.get_absolute_url()).content.decode()
        assert f'action="{url("run-command", run, "add")}"' in body and 'id="id_add_n"' in body

    def test_a_loop_without_commands_has_a_free_form(self, browser: Client, make: Any) -> None:
        run = make("echo")
        body = browser.get(run.get_absolute_url()).content.decode()
        assert f'action="{url("run-message", run)}"' in body

    def test_what_the_simulation_is_stands_under_its_name_and_folded_where_it_is_long(
        self, browser: Client, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        address = make().get_absolute_url()
        assert '<p class="ls-brief">Counts its steps.</p>' in browser.get(address).content.decode()
        monkeypatch.setattr(registry.get("counter"), "description", "<i>" * 40)
        assert f'<details class="ls-brief"><summary>{"&lt;i&gt;" * 40}</summary>' in (
            browser.get(address).content.decode()
        )

    def test_what_happens_unwatched_is_said_while_it_can_happen(self, browser: Client, make: Any) -> None:
        hidden = {}
        for status in (Status.RUNNING, Status.STOPPED):
            page = browser.get(make(status=status).get_absolute_url()).content.decode()
            hidden[status] = " hidden>While nobody watches" in page
        assert hidden == {Status.RUNNING: False, Status.STOPPED: True}

    def test_who_may_watch_is_said_in_two_words(self, browser: Client, make: Any) -> None:
        shared = text_of(browser.get(make(visibility="link").get_absolute_url()))
        assert "started by ada · shared by link ·" in shared
        assert "started by ada · private ·" in text_of(browser.get(make().get_absolute_url()))

    def test_code_that_is_not_installed(self, browser: Client, make: Any) -> None:
        run = make()
        Run.objects.filter(id=run.id).update(simulation="gone_away")
        text = text_of(browser.get(run.get_absolute_url()))
        assert "The code of “gone_away” is not installed on this server" in text

    def test_the_stored_state_is_shown_and_only_as_text(
        self, browser: Client, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gateway, "stored_view", lambda run, role: (12, {"name": HOSTILE}))
        response = browser.get(make().get_absolute_url())
        assert "As stored at tick 12." in text_of(response)
        assert "&lt;script&gt;" in response.content.decode() and HOSTILE not in response.content.decode()

    def test_a_failed_run_shows_its_traceback_to_who_may_control_it(
        self, browser: Client, client: Client, make: Any
    ) -> None:
        run = make(status=Status.FAILED, error="Traceback: boom", visibility="public")
        assert "Traceback: boom" in text_of(browser.get(run.get_absolute_url()))
        other = text_of(client.get(run.get_absolute_url()))
        assert "boom" not in other and "Its owner can read what went wrong." in other

    def test_a_finished_run_shows_its_result(self, browser: Client, make: Any) -> None:
        run = make(status=Status.FINISHED, result={"value": 42})
        assert "&quot;value&quot;: 42" in browser.get(run.get_absolute_url()).content.decode()

    def test_the_facts_are_a_part_of_their_own(self, browser: Client, make: Any) -> None:
        response = browser.get(make(status=Status.STOPPED).get_absolute_url(), {"part": "facts"})
        assert "This run has been stopped." in text_of(response) and b"<html" not in response.content

    def test_the_log_tells_the_last_commands(self, browser: Client, make: Any) -> None:
        run = make()
        gateway.send(run, "add", {"n": 1}, actor=None)
        assert "Add pending" in text_of(browser.get(run.get_absolute_url()))

    def test_by_key(self, browser: Client, client: Client, make: Any) -> None:
        run = make(key="town/square")
        page = reverse("livesim:run-by-key", args=["counter", "town/square"])
        assert browser.get(page)["Location"] == run.get_absolute_url()
        assert client.get(page).status_code == 404

    def test_no_run_has_a_key_that_no_database_takes(self, browser: Client) -> None:
        assert browser.get("/livesim/counter/a%00b/").status_code == 404
        assert browser.get("/livesim/a%00b/key/").status_code == 404

    def test_nothing_inline_for_a_strict_policy(self, browser: Client, make: Any) -> None:
        for page in (reverse("livesim:run-list"), make().get_absolute_url()):
            body = browser.get(page).content.decode()
            assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|hx-on", body)
            inline = [tag for tag in re.findall(r"<script[^>]*>", body) if "src=" not in tag]
            assert all('type="application/json"' in tag for tag in inline)


class TestCommand:
    def send(self, client: Client, run: Run, name: str = "add", htmx: bool = True, **data: Any) -> Any:
        return client.post(url("run-command", run, name), data, headers=HTMX if htmx else {})

    def test_it_is_accepted_and_pending(self, browser: Client, make: Any, owner: User) -> None:
        run = make()
        response = self.send(browser, run, n="4", livesim_id="abc")
        row = Command.objects.get()
        assert (row.name, row.args, row.client_id, row.sender) == ("add", {"n": 4}, "abc", f"u:{owner.pk}")
        assert 'data-command-id="abc"' in response.content.decode() and response.status_code == 200

    def test_the_next_form_has_another_id(self, browser: Client, make: Any) -> None:
        body = self.send(browser, make(), n="4", livesim_id="abc").content.decode()
        assert re.search(r'name="livesim_id" value="[0-9a-f]{32}"', body)

    def test_submitted_twice_it_is_one_command(self, browser: Client, make: Any) -> None:
        run = make()
        for _ in range(2):
            assert self.send(browser, run, n="4", livesim_id="abc").status_code == 200
        assert Command.objects.count() == 1

    def test_an_id_used_for_another_command(self, browser: Client, make: Any) -> None:
        run = make()
        self.send(browser, run, n="4", livesim_id="abc")
        response = self.send(browser, run, n="5", livesim_id="abc")
        assert response.status_code == 422 and 'value="abc"' not in response.content.decode()
        assert Command.objects.count() == 1

    @pytest.mark.parametrize("htmx", [False, True])
    def test_bad_arguments_are_shown_at_their_field(self, browser: Client, make: Any, htmx: bool) -> None:
        response = self.send(browser, make(), n="lots", htmx=htmx)
        body = response.content.decode()
        assert response.status_code == 422 and not Command.objects.exists()
        assert 'id="id_add_n_error"' in body and 'value="lots"' in body and ("<html" in body) is not htmx

    def test_an_unknown_command(self, browser: Client, make: Any) -> None:
        response = self.send(browser, make(), "nosuch")
        assert response.status_code == 422 and "nosuch" in text_of(response)

    def test_an_ended_run_takes_none(self, browser: Client, make: Any) -> None:
        run = make(status=Status.FINISHED)
        assert self.send(browser, run, n="1").status_code == 422
        assert self.send(browser, run, n="1", htmx=False).status_code == 409
        assert not Command.objects.exists()

    def test_visitors_of_an_open_run_are_told_apart(
        self, client: Client, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry.get("counter"), "open_commands", True)
        run = make(visibility="public")
        for visitor in (client, Client()):
            visitor.get(run.get_absolute_url())
            assert "sessionid" not in visitor.cookies  # a look makes none
            assert self.send(visitor, run, n="1", livesim_id="abc").status_code == 200
            assert "pending" in text_of(visitor.get(url("run-answer", run, "abc"), headers=HTMX))
        assert Client().get(url("run-answer", run, "abc")).status_code == 404
        assert Session.objects.count() == 2
        assert len({row.sender for row in Command.objects.all()} - {"s:"}) == 2

    def test_who_may_only_watch_may_not(self, client: Client, make: Any) -> None:
        run = make(visibility="public")
        response = self.send(client, run, n="1")
        assert not Session.objects.exists()
        assert response.status_code == 422
        told = (
            "This needs the right to command on the run, and you are not logged in, or have been logged out."
            " Log in and try again, or ask its owner for the right. Log in"
        )
        assert told in text_of(response)
        login = f'<a href="/accounts/login/?next={quote(run.get_absolute_url(), safe="")}">Log in</a>'
        assert login in response.content.decode()
        assert self.send(client, run, n="1", htmx=False).status_code == 403
        assert not Command.objects.exists()

    def test_without_javascript_the_outcome_is_a_message(
        self, browser: Client, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("django_livesim.views.acts.PATIENCE", 0.05)
        run = make()
        response = browser.post(url("run-command", run, "add"), {"n": "1"}, follow=True)
        assert response.redirect_chain == [(run.get_absolute_url(), 303)]
        assert "Add: accepted, not yet applied." in text_of(response)

    def test_a_message_to_a_loop(self, browser: Client, make: Any) -> None:
        run = make("echo")
        data = {"name": "greet", "args": json.dumps({"to": "all"})}
        assert browser.post(url("run-message", run), data, headers=HTMX).status_code == 200
        row = Command.objects.get()
        assert (row.name, row.args) == ("greet", {"to": "all"})

    @pytest.mark.parametrize(
        "args",
        [
            "[1]",
            "{",
            '"x"',
            "NaN",
            '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
            '{"a":' + "[" * 500 + "]" * 500 + "}",
            '{"a":' + "[" * 20 + "]" * 20 + "}",
            '{"a":' + "9" * 5000 + "}",
            r'{"a": "\u0000"}',
            r'{"\u0000": 1}',
        ],
        ids=lambda args: args[:20],
    )
    def test_a_message_needs_an_object(self, browser: Client, make: Any, args: str) -> None:
        data = {"name": "greet", "args": args}
        response = browser.post(url("run-message", make("echo")), data, headers=HTMX)
        assert response.status_code == 422 and 'id="id_args_error"' in response.content.decode()
        assert not Command.objects.exists()

    @pytest.mark.parametrize(
        ("outcome", "said"),
        [
            (Outcome.NONE, "pending"),
            (Outcome.APPLIED, "Applied at tick 9."),
            (Outcome.REFUSED, "Refused: no room"),
        ],
    )
    def test_the_answer(self, browser: Client, make: Any, outcome: Outcome, said: str) -> None:
        run = make()
        self.send(browser, run, n="1", livesim_id="abc")
        Command.objects.update(outcome=str(outcome), apply_tick=9, message="no room")
        response = browser.get(url("run-answer", run, "abc"), headers=HTMX)
        assert said in text_of(response)
        assert (b"hx-trigger" in response.content) is (outcome is Outcome.NONE)

    def test_the_answer_is_for_its_sender_alone(self, client: Client, browser: Client, make: Any) -> None:
        run = make(visibility="public")
        self.send(browser, run, n="1", livesim_id="abc")
        assert client.get(url("run-answer", run, "abc")).status_code == 404


class TestControl:
    def post(self, client: Client, run: Run, verb: str, htmx: bool = True, **data: Any) -> Any:
        return client.post(url("run-control", run, verb), data, headers=HTMX if htmx else {})

    @pytest.mark.parametrize(
        ("verb", "data", "args"),
        [("step", {"n": "5"}, {"n": 5}), ("step", {}, {"n": 1}), ("speed", {"x": "2"}, {"x": 2.0})],
    )
    def test_the_arguments_go_along(
        self, browser: Client, make: Any, worker: Worker, verb: str, data: Any, args: Any
    ) -> None:
        run = make(status=Status.RUNNING)
        Run.objects.filter(id=run.id).update(worker=worker)
        assert self.post(browser, run, verb, **data).status_code == 200
        row = Command.objects.get()
        assert (row.kind, row.name, row.args) == (Kind.CONTROL, verb, args)

    @pytest.mark.parametrize(
        ("verb", "data"),
        [("step", {"n": "0"}), ("step", {"n": "x"}), ("speed", {"x": "-1"}), ("speed", {}), ("fly", {})],
    )
    @pytest.mark.parametrize("htmx", [False, True])
    def test_bad_input_changes_nothing(
        self, browser: Client, make: Any, verb: str, data: Any, htmx: bool
    ) -> None:
        response = self.post(browser, make(), verb, htmx, **data)
        assert response.status_code == (422 if htmx else 303)
        assert not Command.objects.exists()

    def test_stop_and_resume_of_a_run_that_nobody_holds(self, browser: Client, make: Any) -> None:
        run = make()
        self.post(browser, run, "stop", htmx=False, confirmed="1")
        run.refresh_from_db()
        assert run.status == Status.STOPPED
        self.post(browser, run, "resume", htmx=False)
        run.refresh_from_db()
        assert run.status == Status.WAITING

    def test_restart_goes_to_the_new_run(self, browser: Client, make: Any) -> None:
        run = make(name="again")
        response = self.post(browser, run, "restart", htmx=False, confirmed="1")
        new = Run.objects.exclude(id=run.id).get()
        assert response["Location"] == new.get_absolute_url()
        assert "Go to the run that follows it" in text_of(browser.get(run.get_absolute_url()))

    @pytest.mark.parametrize("verb", ["stop", "restart"])
    def test_what_ends_the_run_is_confirmed_without_javascript_too(
        self, browser: Client, client: Client, make: Any, verb: str
    ) -> None:
        run = make(visibility="public")
        page = self.post(browser, run, verb, htmx=False)
        assert page.status_code == 200 and f"{verb.capitalize()} this run" in text_of(page)
        assert 'name="confirmed"' in page.content.decode() and not Command.objects.exists()
        assert self.post(client, run, verb, htmx=False).status_code == 303  # may not, and is not asked
        run.refresh_from_db()
        assert run.status == Status.WAITING

    def test_a_fork_does_not_follow_a_run(self, browser: Client, make: Any) -> None:
        run = make(status=Status.STOPPED)
        Run.objects.filter(id=make(name="fork").id).update(parent=run, parent_tick=3)
        assert "Go to the run that follows it" not in text_of(browser.get(run.get_absolute_url()))

    def test_what_the_status_forbids_is_said(self, browser: Client, make: Any) -> None:
        response = self.post(browser, make(status=Status.FINISHED), "step")
        assert response.status_code == 422 and "cannot step" in text_of(response)

    def test_who_may_only_watch_may_not(self, client: Client, make: Any) -> None:
        run = make(visibility="public")
        assert self.post(client, run, "stop").status_code == 422
        run.refresh_from_db()
        assert run.status == Status.WAITING


class TestNoDatabase:
    """The pages while the database is down."""

    @pytest.fixture(params=[OperationalError, InterfaceError])
    def down(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
        def cut(*names: str) -> None:
            def broken(*_args: Any, **_options: Any) -> None:
                raise request.param("server closed the connection")

            for name in names:
                monkeypatch.setattr(name, broken)

        return cut

    def test_a_page_says_so(self, browser: Client, make: Any, down: Any) -> None:
        run = make()
        down("django_livesim.permissions.visible", "django_livesim.gateway.get")
        for page in (reverse("livesim:run-list"), run.get_absolute_url()):
            response = browser.get(page)
            assert response.status_code == 503 and "The database does not answer" in text_of(response)
            assert f'href="{page}"' in response.content.decode()

    def test_sessions_may_be_in_the_database_too(self, browser: Client, make: Any, down: Any) -> None:
        run = make()
        down("django.contrib.sessions.backends.db.SessionStore._get_session_from_db")
        for page in (reverse("livesim:run-list"), run.get_absolute_url()):
            assert browser.get(page).status_code == 503

    def test_htmx_changes_nothing_on_the_page(self, browser: Client, make: Any, down: Any) -> None:
        run = make()
        down("django_livesim.store.intake.insert_command")
        data = {"n": "1", "livesim_id": "abc"}
        response = browser.post(url("run-command", run, "add"), data, headers=HTMX)
        assert (response.status_code, response["Livesim-Code"]) == (503, "db_down")
        assert "Livesim-Fragment" not in response and not response.content

    def test_what_was_posted_is_kept_with_its_id(self, browser: Client, make: Any, down: Any) -> None:
        run = make()
        down("django_livesim.store.intake.insert_command")
        data = {"n": "1", "livesim_id": "abc", "x": '"7"'}
        response = browser.post(url("run-command", run, "add"), data)
        body = response.content.decode()
        assert response.status_code == 503 and f'action="{url("run-command", run, "add")}"' in body
        assert 'name="x" value="&quot;7&quot;"' in body and 'name="livesim_id" value="abc"' in body

    def test_a_start_is_kept_too(self, browser: Client, down: Any) -> None:
        down("django_livesim.store.intake.create_run")
        data = {"run-simulation": "counter", "run-visibility": "private", "start": "3", "livesim_id": "abc"}
        response = browser.post(reverse("livesim:run-start"), data)
        assert response.status_code == 503 and 'name="start" value="3"' in response.content.decode()


@pytest.mark.django_db
def test_the_owner_of_a_run_shared_by_link_is_shown_the_link_and_nobody_else(client, django_user_model):
    ann = django_user_model.objects.create_user("ann-with-a-link")
    run = gateway.start("counter", owner=ann, visibility="link")
    link = f"http://testserver{run.get_absolute_url()}?key={run.link_token}"
    seen = client.get(link)
    assert seen.status_code == 200
    assert "Link to share" not in seen.content.decode()
    client.force_login(ann)
    assert link in client.get(run.get_absolute_url()).content.decode()
    assert client.get(link.replace("key=", "key=x")).status_code == 200
    client.logout()
    assert client.get(link.replace("key=", "key=x")).status_code in (302, 404)


@pytest.mark.django_db
def test_cpu_and_memory_of_the_worker_are_shown(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("root-of-load"))
    worker = Worker.objects.create(host="h", pid=7, load={"runs": 1, "cpu": 0.25, "memory": 50 * 2**20})
    run = gateway.start("counter")
    Run.objects.update(worker=worker, status=Status.RUNNING)
    for page in (reverse("livesim:run-list"), run.get_absolute_url()):
        text = client.get(page).content.decode()
        assert "h:7" in text
        assert "25 % CPU, 50.0" in text


@pytest.mark.django_db
def test_which_worker_has_a_run_is_for_those_who_may_control_it(client, django_user_model):
    def seen_by(user):
        client.logout()
        if user:
            client.force_login(user)
        facts = client.get(run.get_absolute_url(), {"part": "facts"})
        pages = [client.get(page) for page in (reverse("livesim:run-list"), run.get_absolute_url())]
        return [("mill" in text_of(page), "CPU" in text_of(page)) for page in [*pages, facts]]

    users = [django_user_model.objects.create_user(name) for name in ("ann", "bob", "cyd")]
    for user, right in zip(users[1:], ("view_run", "control_run"), strict=True):
        user.user_permissions.add(Permission.objects.get(codename=right))
    worker = Worker.objects.create(host="mill", pid=7, load={"cpu": 0.25, "memory": 2**20})
    run = gateway.start("counter", owner=users[0], visibility="public")
    Run.objects.update(worker=worker, status=Status.RUNNING)
    assert [seen_by(user) for user in (None, users[1])] == [[(False, False)] * 3] * 2
    assert "yes" in text_of(client.get(reverse("livesim:run-list")))
    assert [seen_by(user) for user in (users[0], users[2])] == [[(True, True)] * 3] * 2


@pytest.mark.django_db
def test_a_traceback_is_not_for_an_anonymous_owner(client, monkeypatch):
    monkeypatch.setattr(registry.get("counter"), "may_start", "anyone")
    client.post(reverse("livesim:run-start"), {"run-simulation": "counter", "run-visibility": "private"})
    Run.objects.update(status=Status.FAILED, error="Traceback: boom")
    text = text_of(client.get(Run.objects.get().get_absolute_url()))
    assert "This run has failed." in text and "boom" not in text


@pytest.mark.django_db
def test_the_key_of_a_link_is_for_no_other_page(client):
    run = gateway.start("counter", visibility="link")
    page = client.get(run.get_absolute_url(), {"key": run.link_token, "part": "all"}).content.decode()
    assert (
        re.findall(r'href="/accounts/login/\?next=([^"]*)"', page)
        == [f"{run.get_absolute_url()}?part=all".replace("/", "%2F").replace("?", "%3F").replace("=", "%3D")]
        * 2
    )
    assert '<meta name="referrer" content="same-origin">' in page


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["run-control", "run-start"])
def test_who_was_logged_out_comes_back_to_a_page_and_not_to_where_only_forms_go(client, owner, make, name):
    run = make("counter")
    places = {
        "run-control": (url("run-control", run, "pause"), run.get_absolute_url()),
        "run-start": (reverse("livesim:run-start"), reverse("livesim:run-list")),
    }
    target, leads_to = places[name]
    page = client.post(target, {"run-simulation": "counter"}).content.decode()
    (link, *_others) = re.findall(r'href="/accounts/login/\?next=([^"]*)"', page)
    client.force_login(owner)
    assert unquote(link) == leads_to
    assert client.get(leads_to).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("page", "leads_to"),
    [
        ("http://testserver/board/7/?tab=2&key=secret", "/board/7/?tab=2"),
        ("http://elsewhere.example/board/", None),
        ("http://testserver//elsewhere.example/", None),
        ("", None),
    ],
)
def test_who_was_logged_out_comes_back_to_the_page_that_asked_where_it_is_of_this_site(
    client, make, page, leads_to
):
    run = make(visibility="public")
    headers = {"HX-Request": "true", "HX-Current-URL": page}
    shown = client.post(url("run-control", run, "pause"), headers=headers).content.decode()
    (link, *_others) = re.findall(r'href="/accounts/login/\?next=([^"]*)"', shown)
    assert unquote(link) == (leads_to or run.get_absolute_url())


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["page", "fragment"])
def test_a_start_of_what_may_not_be_started_says_so_at_once_and_only_once(client, headers):
    client.force_login(User.objects.create_user("bob"))
    told = "There is no simulation 'counter' that you may start."
    answer = client.post(reverse("livesim:run-start"), {"run-simulation": "counter"}, headers=headers)
    assert answer.status_code == 422
    assert html.unescape(text_of(answer)).count(told) == 1
    assert told not in html.unescape(text_of(client.get(reverse("livesim:run-list"))))


@pytest.mark.django_db
def test_numbers_in_addresses_are_not_for_people(client, settings):
    settings.USE_THOUSAND_SEPARATOR = True
    settings.NUMBER_GROUPING = 1
    Run.objects.bulk_create(
        Run(simulation="counter", visibility="public", seed=0) for _ in range(25 * 11 + 1)
    )
    page = client.get(reverse("livesim:run-list"), {"page": 12}).content.decode()
    assert "part=rows&amp;page=12" in page and "?page=11" in page


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("login_url", "leads_to"),
    [
        ("/accounts/login/", "/accounts/login/"),
        ("/no/such/page/", "/admin/login/"),
        ("https://sso.example/", "https://sso."),
    ],
)
def test_the_login_link_leads_to_a_page_that_there_is(client, settings, login_url, leads_to):
    settings.LOGIN_URL = login_url
    text = client.get(reverse("livesim:run-list")).content.decode()
    assert f'href="{leads_to}' in text
    assert "/no/such/page/" not in text
