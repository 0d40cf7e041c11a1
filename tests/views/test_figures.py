"""Figures on a run's page, and by themselves as JSON and CSV."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from django_livesim import gateway, registry
from django_livesim.gateway import figures
from django_livesim.models import Run, Sample
from django_livesim.templatetags.livesim import figure
from django_livesim.views.figures import figures_context
from tests.test_views import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

DASH = "\N{EN DASH}"
HOSTILE = '=HYPERLINK("http://x/")'


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def browser(owner: User) -> Client:
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture
def run(owner: User) -> Run:
    made: Run = gateway.start("gauge", owner=owner, name="Über <Wehr>")
    for tick in (3, 4, 8):
        Sample.objects.create(run=made, tick=tick, values={"value": tick, "root": -0.5, HOSTILE: None})
    return made


def series(browser: Client, run: Run, **query: Any) -> Any:
    return browser.get(reverse("livesim:run-series", args=[run.id]), query)


# -- JSON ----------------------------------------------------------------------------------------


def test_json_has_columns(browser, run):
    response = series(browser, run)
    assert response.json() == gateway.series(run)
    assert "no-store" in response["Cache-Control"]
    assert series(browser, run, since=3, name=["root", "value"]).json()["series"] == {
        "root": [-0.5, -0.5],
        "value": [4, 8],
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"since": "soon"}, "since: Expected a tick, an integer."),
        ({"since": ""}, "since: Expected a tick, an integer."),
        ({"since": "9" * 50}, None),
        ({"format": "xml"}, "format: Expected one of: json, csv."),
        ({"name": "x" * 101}, None),
        ({"name": ["x"] * 51}, "name: Expected at most 50 names. Got: 51."),
    ],
)
def test_bad_parameters_are_refused_with_a_code(browser, run, query, message):
    response = series(browser, run, **query)
    answer = response.json()
    assert (response.status_code, answer["code"]) == (422, "bad_args")
    assert list(answer["fields"]) == [next(iter(query))]
    assert message in (None, answer["message"])


def test_others_are_told_of_no_run(run):
    for other in (Client(), _eve()):
        response = series(other, run)
        assert (response.status_code, response.json()["code"]) == (404, "no_run")


def _eve() -> Client:
    browser = Client()
    browser.force_login(User.objects.create_user("eve"))
    return browser


def test_who_has_the_link_may_see_them(run):
    gateway.share(run, visibility="link")
    run.refresh_from_db()
    assert series(Client(), run, key=run.link_token).status_code == 200
    assert series(Client(), run, key="stale").status_code == 404
    page = Client().get(f"{run.get_absolute_url()}?key={run.link_token}").content.decode()
    assert f'data-series="/livesim/runs/{run.id}/series/?key={run.link_token}"' in page
    (address,) = re.findall(r'href="([^"]*format=csv)"', page)
    assert Client().get(address.replace("&amp;", "&")).status_code == 200


def test_nothing_is_posted_there(browser, run):
    assert browser.post(reverse("livesim:run-series", args=[run.id])).status_code == 405


def test_without_its_database_it_says_so(browser, run, monkeypatch):
    def away(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(figures, "get", away)
    response = series(browser, run)
    assert (response.status_code, response.json()["code"]) == (503, "db_down")
    assert response["Retry-After"] == "5"


# -- CSV -----------------------------------------------------------------------------------------


def test_csv_has_a_line_for_each_tick_and_no_formula(browser, run):
    response = series(browser, run, format="csv")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == f'attachment; filename="gauge-uber-wehr-{run.id.hex[:8]}.csv"'
    head, *rows = csv.reader(io.StringIO(response.content.decode(), newline=""))
    assert head == ["tick", "time", f"'{HOSTILE}", "root", "value"]
    assert [row[:1] + row[2:] for row in rows] == [
        ["3", "", "-0.5", "3"],
        ["4", "", "-0.5", "4"],
        ["8", "", "-0.5", "8"],
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}\+00:00", row[1]) for row in rows)


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t=", "\r+"])
def test_no_heading_begins_as_a_formula(browser, run, first):
    Sample.objects.create(run=run, tick=9, values={f"{first}1": 1})
    response = series(browser, run, format="csv", name=f"{first}1")
    assert next(csv.reader(io.StringIO(response.content.decode(), newline="")))[2] == f"'{first.strip()}1"


# -- the page ------------------------------------------------------------------------------------


def test_the_page_shows_the_newest_without_scripts(browser, run):
    page = browser.get(run.get_absolute_url())
    text = text_of(page)
    assert "Figures" in text and "As stored at tick 8" in text
    assert HOSTILE.replace('"', "&quot;") in page.content.decode()
    assert re.search(r"root -0\.5 value 8", text)


def test_the_card_is_there_before_there_are_any(browser, owner):
    run = gateway.start("gauge", owner=owner)
    assert "No figures have been stored yet." in text_of(browser.get(run.get_absolute_url()))


def test_a_simulation_without_figures_has_no_card(browser, owner, django_assert_num_queries):
    run = gateway.start("counter", owner=owner)
    assert "data-series" not in browser.get(run.get_absolute_url()).content.decode()
    with django_assert_num_queries(0):
        assert figures_context(run, registry.get("counter")) == {"has_figures": False}


def test_a_run_whose_code_is_not_here_shows_what_it_has(browser, owner):
    run = gateway.start("gauge", owner=owner)
    Run.objects.filter(id=run.id).update(simulation="gone")
    assert "data-series" not in browser.get(run.get_absolute_url()).content.decode()
    Sample.objects.create(run=run, tick=1, values={"n": 1})
    assert "data-series" in browser.get(run.get_absolute_url()).content.decode()


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (12345, "12,345"), (0.123456789, "0.123457"), (10**12, "1e+12"), (None, DASH), ("x", DASH)],
)
def test_a_figure_is_short(value, text):
    assert figure(value) == text


def test_no_heading_parts_a_line_or_begins_a_formula(browser: Client, owner: User) -> None:
    run = gateway.start("counter", owner=owner)
    hostile = ["a;=cmd()", " =1+1", "b\n=2+2", "\t@x"]
    Sample.objects.create(run=run, tick=1, values=dict.fromkeys(hostile, 1))
    address = reverse("livesim:run-series", args=[run.id])
    asked = {"format": "csv", "name": [*hostile, "x;=nobody has it"]}
    text = browser.get(address, asked).content.decode()
    assert text.splitlines()[0] == "tick,time,a =cmd(),'=1+1,b =2+2,'@x,x =nobody has it"
    assert len(text.splitlines()) == 2
