"""The list of runs tells nobody of what they may not see, and what is done with many is done by right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from django_livesim.models import Run
from django_livesim.permissions import Level
from tests.rights.backend import GRANTED
from tests.rights.people import EXPECTED, Person, make_person
from tests.rights.test_matrix import DONE, HTMX, REFUSED, UNKNOWN, answer, cells, wrong

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]


@pytest.fixture(autouse=True)
def _objects(settings: Any) -> Iterator[None]:
    model = "django.contrib.auth.backends.ModelBackend"
    settings.AUTHENTICATION_BACKENDS = [model, "tests.rights.backend.ObjectPermissions"]
    yield
    GRANTED.clear()


@pytest.fixture
def owner() -> Any:
    return get_user_model().objects.create_user("owner")


@pytest.fixture(params=EXPECTED)
def person(request: pytest.FixtureRequest, transactional_db: None) -> Person:
    return make_person(request.param)


def bulk(person: Person, run: Run, htmx: bool) -> str:
    """What becomes of a pause by the list's form."""
    data = {"verb": "pause", "run": [run.id.hex], "confirmed": "1"}
    url = reverse("livesim:run-bulk") + person.query(run)
    response = person.browser.post(url, data, headers=HTMX if htmx else {}, follow=not htmx)
    text = response.content.decode()
    if Run.objects.get(id=run.id).status == "paused":
        assert "1 run paused." in text
        return DONE
    return UNKNOWN if "is there no more, or you may not see it" in text else REFUSED


@pytest.mark.parametrize("htmx", [True, False])
def test_many_are_acted_on_by_the_right_on_each(person: Person, owner: Any, htmx: bool) -> None:
    problems = []
    for cell, run, level in cells(person, owner):
        problems += wrong(cell, "bulk", answer(level, Level.CONTROL), bulk(person, run, htmx))
    assert problems == []


def test_filters_counts_and_boxes_are_those_of_the_list(person: Person, owner: Any) -> None:
    made = {str(run.id): (run, level) for _cell, run, level in cells(person, owner)}
    listed = EXPECTED[person.row]["list"]
    seen = {run for run, _ in made.values() if listed != "public" or run.visibility == "public"}
    for query in ("", "q=chess", "status=waiting", "sim=chess", "q=own", "part=rows&status=waiting"):
        body = person.browser.get(f"/livesim/?{query}").content.decode()
        shown = set(re.findall(r'<tr data-run="(\w+)"', body))
        of = {run for run in seen if "chess" not in query or run.simulation == "chess"}
        if query == "q=own":
            of = {run for run in seen if run.owner == owner}
        assert shown == {run.id.hex for run in of}, query
        waiting = {run for run in of if "sim=" not in query or run.simulation == "chess"}
        assert re.findall(r'id="ls-count-waiting"[^>]*>(\d+)<', body) == [str(len(waiting))], query
        boxes = set(re.findall(r'name="run" value="(\w+)"', body))
        may = {str(each) for each, (_run, level) in made.items() if (level or 0) >= Level.CONTROL}
        may = {each.replace("-", "") for each in may}
        if "on the run" not in person.row:  # which lists do not ask for
            assert boxes == shown & may, query
