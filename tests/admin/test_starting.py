"""The add form of the admin, which starts runs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import User
from django.test import Client

from django_livesim import registry
from django_livesim.models import Run
from tests.admin.conftest import said, text_of, url

pytestmark = pytest.mark.django_db

ADD = "/admin/livesim/run/add/"


def data(**fields: Any) -> dict[str, Any]:
    return {"run-simulation": "counter", "run-name": "mine", "run-visibility": "private"} | fields


def test_first_a_simulation_is_chosen(boss: Client) -> None:
    page = boss.get(ADD)
    assert 'href="?simulation=counter"' in page.content.decode()
    assert "Counts its steps." in text_of(page)
    assert 'name="run-name"' not in page.content.decode()


def test_then_its_own_parameters_are_asked_for(boss: Client) -> None:
    page = boss.get(ADD, {"simulation": "counter"}).content.decode()
    assert re.search(r'name="start" value="0"', page)
    assert 'name="run-name"' in page and 'name="run-visibility"' in page


def test_it_starts_a_run_of_who_asks(boss: Client) -> None:
    response = boss.post(ADD, data(start="5"), follow=True)
    run = Run.objects.get()
    assert (run.name, run.params, run.owner) == ("mine", {"start": 5}, User.objects.get(username="grace"))
    assert response.redirect_chain == [(url("change", run.pk), 303)]
    assert said(response) == ["“mine” was started."]
    entry = LogEntry.objects.get()
    assert (entry.action_flag, entry.object_id, entry.get_change_message()) == (
        ADDITION,
        str(run.pk),
        "Started.",
    )


def test_bad_parameters_are_shown_at_their_fields_and_nothing_is_made(boss: Client) -> None:
    page = boss.post(ADD, data(start="many", **{"run-visibility": "everybody"}))
    html = page.content.decode()
    assert page.status_code == 422
    assert re.search(r"field-start.*?Enter a whole number.*?field-name", html, re.DOTALL)
    assert re.search(r"field-visibility.*?Select a valid choice", html, re.DOTALL)
    assert 'name="start" value="many"' in html and "Nothing was started." in text_of(page)
    assert not Run.objects.exists() and not LogEntry.objects.exists()


def test_what_only_the_gateway_knows_is_shown_as_well(boss: Client, settings: Any) -> None:
    settings.LIVESIM = {"QUOTAS": {"RUNS": 0}}
    page = boss.post(ADD, data())
    assert page.status_code == 422
    assert len(page.context["params_form"].non_field_errors()) == 1
    assert not Run.objects.exists()


def test_a_form_posted_twice_starts_one_run(boss: Client) -> None:
    for _ in range(2):
        response = boss.post(ADD, data(livesim_id="abc"), follow=True)
    assert response.redirect_chain == [(url("change", Run.objects.get().pk), 303)]


def test_a_refused_form_keeps_its_id(boss: Client) -> None:
    page = boss.post(ADD, data(start="many", livesim_id="abc"))
    assert 'name="livesim_id" value="abc"' in page.content.decode()


@pytest.mark.parametrize("name", ["nothing", "<script>", "a\0b"])
def test_a_simulation_that_is_not_there_is_said_so(boss: Client, name: str) -> None:
    page = boss.get(ADD, {"simulation": name}, follow=True)
    (message,) = page.context["messages"]
    assert str(message) == f"There is no simulation “{name}” that you may start; choose one of these."
    assert "“<script>" not in page.content.decode()
    assert boss.post(ADD, data(**{"run-simulation": name})).status_code == 200
    assert not Run.objects.exists()


def test_without_the_right_there_is_no_form(enter: Any, person: Any) -> None:
    browser = enter(person("bob", "view_run"))
    assert browser.get(ADD).status_code == 403
    assert browser.post(ADD, data()).status_code == 403
    assert "/run/add/" not in browser.get("/admin/livesim/run/").content.decode()


def test_what_anybody_of_the_users_may_start_is_offered_to_them(
    enter: Any, person: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.get("counter"), "may_start", "users")
    browser = enter(person("bob", "view_run"))
    page = browser.get(ADD).content.decode()
    assert "?simulation=counter" in page and "?simulation=echo" not in page
    assert browser.post(ADD, data(**{"run-simulation": "echo"}), follow=True).status_code == 200
    assert not Run.objects.exists()
    browser.post(ADD, data())
    assert Run.objects.get().simulation == "counter"


def test_help_of_an_author_is_text(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from django_livesim import params

    form = params.form_class(registry.get("counter"))
    monkeypatch.setattr(form.base_fields["start"], "help_text", "less < more <b>")
    page = boss.get(ADD, {"simulation": "counter"}).content.decode()
    assert "less &lt; more &lt;b&gt;" in page
    assert "less &lt; more" in boss.get(ADD, {"simulation": "counter"}).content.decode()


@pytest.mark.parametrize("sharing", ["per_user", "per_session"])
def test_where_each_has_one_of_their_own_a_second_start_goes_on_with_it(
    boss: Client, monkeypatch: pytest.MonkeyPatch, sharing: str
) -> None:
    monkeypatch.setattr(registry.get("counter"), "sharing", sharing)
    assert said(boss.post(ADD, data(), follow=True)) == ["“mine” was started."]
    Run.objects.update(status="stopped")
    response = boss.post(ADD, data(), follow=True)
    assert said(response) == ["You have one already, and this is it. To begin anew, restart it."]
    assert Run.objects.get().status == "waiting"
    changes = [entry.get_change_message() for entry in LogEntry.objects.order_by("id")]
    assert changes == ["Started.", "Went on."]
