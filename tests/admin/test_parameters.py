"""Live parameters in the admin: what holds now, what was set since, and the form that sets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from django.test import Client

from django_livesim import param, registry
from django_livesim.models import Command, Run
from django_livesim.simulation import Loop
from tests.admin.conftest import said, text_of, url
from tests.bath import Bath, registered

Make = Callable[..., Any]
SHOWN = {
    "initial-room": "20.0",
    "initial-stirred": "False",
    "initial-scent": "",
    "initial-soak": "00:05:00",
}
SAME = {"room": "20.0", "scent": "", "soak": "00:05:00"}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def bath(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("django_livesim.admin.sending.PATIENCE", 0)
    with registered(Bath):
        yield


def test_the_page_of_a_run_has_the_present_ones_and_those_that_were_set(boss: Client, make: Make) -> None:
    run = make("bath", params={"room": 11.25}, params_set={"room": 31.75})
    text = text_of(boss.get(url("change", run.pk)))
    assert "11.25" not in text
    assert text.count("31.75") == 2
    assert "Set since the start" in text
    untouched = make("bath")
    assert "Set since the start" not in text_of(boss.get(url("change", untouched.pk)))


def test_to_inspect_shows_the_present_ones(boss: Client, make: Make) -> None:
    run = make("bath", params={"room": 11.25}, params_set={"room": 31.75})
    text = text_of(boss.get(url("inspect", run.pk)))
    assert "31.75" in text and "11.25" not in text


def test_set_has_a_form_with_the_present_values(boss: Client, make: Make) -> None:
    run = make("bath", params_set={"room": 31.75})
    page = boss.get(url("send_command", run.pk, "set")).content.decode()
    assert 'name="room" value="31.75"' in page
    assert 'name="initial-room" value="31.75"' in page
    assert 'id="send-set"' in boss.get(url("send", run.pk)).content.decode()


def test_what_differs_is_sent(boss: Client, make: Make) -> None:
    run: Run = make("bath")
    data = SHOWN | SAME | {"room": "3", "livesim_id": "one"}
    response = boss.post(url("send_command", run.pk, "set"), data, follow=True)
    assert said(response) == ["set: accepted, not applied yet; see the run's commands."]
    sent = Command.objects.get()
    assert (sent.name, sent.args) == ("set", {"room": 3.0})


def test_a_wrong_value_is_told_at_its_field(boss: Client, make: Make) -> None:
    run: Run = make("bath")
    response = boss.post(url("send_command", run.pk, "set"), SHOWN | SAME | {"room": "99"})
    assert response.status_code == 422
    assert "Ensure this value is less than or equal to 40." in text_of(response)
    assert not Command.objects.exists()


def test_a_loop_that_takes_any_message_has_both_forms(boss: Client, make: Make) -> None:

    def sieve(sim: Any, mesh: Annotated[int, param(live=True)] = 3) -> None: ...

    registry.register(sieve)
    try:
        page = boss.get(url("send", make("sieve").pk)).content.decode()
    finally:
        registry.unregister("sieve")
    assert Loop(sieve).takes_any_message
    assert 'id="send-message"' in page and 'id="send-set"' in page
