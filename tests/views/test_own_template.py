"""The page of a simulation that has a template of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from django_livesim import gateway
from django_livesim.models import Run

pytestmark = pytest.mark.django_db

PAGE = """{% extends "django_livesim/run_detail.html" %}
{% block log %}the {{ simulation.label }} of {{ run }}{% endblock %}
"""


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def browser(owner: User) -> Client:
    browser = Client()
    browser.force_login(owner)
    return browser


@pytest.fixture(autouse=True)
def own_template(tmp_path: Path, settings: Any) -> None:
    folder = tmp_path / "django_livesim" / "simulations"
    folder.mkdir(parents=True)
    (folder / "counter.html").write_text(PAGE)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]


def shown(response: Any) -> bool:
    return b"the Counter of morning" in response.content


def test_it_is_used_for_that_simulation_alone(owner: User, browser: Client) -> None:
    counter = gateway.start("counter", owner=owner, name="morning")
    echo = gateway.start("echo", owner=owner, name="morning")
    assert shown(browser.get(counter.get_absolute_url()))
    assert b"the Echo" not in browser.get(echo.get_absolute_url()).content


def test_it_is_used_where_a_form_has_errors(owner: User, browser: Client) -> None:
    run = gateway.start("counter", owner=owner, name="morning")
    response = browser.post(reverse("livesim:run-command", args=[run.id, "add"]), {"n": "many"})
    assert response.status_code == 422
    assert shown(response)


def test_a_name_that_is_not_registered_names_no_template(owner: User, browser: Client) -> None:
    run = gateway.start("counter", owner=owner, name="morning")
    Run.objects.filter(id=run.id).update(simulation="../simulations/counter")
    response = browser.get(run.get_absolute_url())
    assert response.status_code == 200
    assert not shown(response)
