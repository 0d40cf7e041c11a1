"""The card of parameters: who sees what of them, and what its form does with and without htmx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from django_livesim import gateway, registry
from django_livesim.models import Command, Run
from django_livesim.protocol.names import Outcome, Status
from tests.bath import Bath, registered
from tests.test_views import HTMX, text_of

pytestmark = pytest.mark.django_db

SHOWN = {
    "initial-room": "20.0",
    "initial-stirred": "False",
    "initial-scent": "",
    "initial-soak": "00:05:00",
}
SAME = {"room": "20.0", "scent": "", "soak": "00:05:00"}


@pytest.fixture(autouse=True)
def bath() -> Iterator[None]:
    with registered(Bath):
        yield


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
def run(owner: tuple[User, Client]) -> Run:
    return gateway.start("bath", {"litres": 64206.0}, owner=owner[0])


def card(browser: Client, run: Run, **query: str) -> str:
    """The markup of the card on the page, empty where there is none."""
    page = browser.get(run.get_absolute_url(), query).content.decode()
    found = re.search(r'<section class="[^"]*ls-parameters".*?</section>', page, flags=re.S)
    return found[0] if found else ""


def values(markup: str) -> dict[str, str]:
    """What the fields of the card hold."""
    inputs = re.findall(r"<input[^>]*>", markup)
    found = ((re.search(r' name="([^"]+)"', each), re.search(r' value="([^"]*)"', each)) for each in inputs)
    return {name[1]: value[1] if value else "" for name, value in found if name}


def post(browser: Client, run: Run, *, shown: dict[str, str] = SHOWN, more: Any = None, **given: str) -> Any:
    address = reverse("livesim:run-command", args=[run.id, "set"])
    return browser.post(address, {"livesim_id": uuid4().hex} | shown | SAME | given, **(more or {}))


def by_htmx(browser: Client, run: Run, **given: str) -> Any:
    return post(browser, run, more={"headers": HTMX}, **given)


class TestWhoSees:
    def test_the_owner_gets_a_form_of_the_live_and_the_others_folded(self, owner: Any, run: Run) -> None:
        markup = card(owner[1], run)
        found = values(markup)
        assert (found["room"], found["initial-room"], found["soak"]) == ("20.0", "20.0", "00:05:00")
        assert "litres" not in found
        assert re.search(r'<input type="number" name="room"[^>]* min="0" max="40"|min="0"', markup)
        assert "How warm the room is" in markup
        details = markup[markup.index("<details>") :]
        assert "64206.0" in details and "20.0" not in details

    def test_who_may_command_sets_the_live_and_sees_no_others(self, run: Run) -> None:
        markup = card(person("bob", "command_run")[1], run)
        assert values(markup)["room"] == "20.0"
        assert "64206" not in markup and "<details" not in markup

    def test_who_may_inspect_and_not_command_sees_all_as_text(self, run: Run) -> None:
        markup = card(person("ivy", "inspect_run", "view_run")[1], run)
        assert "<form" not in markup
        assert '<dd data-param="room">20.0</dd>' in markup
        assert "64206.0" in markup

    def test_who_only_watches_sees_none_of_it(self, run: Run) -> None:
        _user, browser = person("dan", "view_run")
        assert card(browser, run) == ""
        assert "64206" not in browser.get(run.get_absolute_url()).content.decode()
        assert browser.get(run.get_absolute_url(), {"part": "parameters"}).content.decode().strip() == ""

    def test_who_watches_a_run_with_open_commands_may_set(self, client: Client) -> None:
        open_run = gateway.start("bath", visibility="public")
        assert "<form" in card(client, open_run)

    def test_a_policy_that_denies_set_leaves_the_values_as_text(self, run: Run, settings: Any) -> None:
        settings.LIVESIM = {"POLICY": lambda user, act, run, name: False if name == "set" else None}
        markup = card(person("bob", "command_run")[1], run)
        assert "<form" not in markup
        assert '<dd data-param="room">20.0</dd>' in markup

    def test_where_nothing_is_live_the_others_are_there_for_who_may_see_them(self, owner: Any) -> None:
        counter = gateway.start("counter", {"start": 424242}, owner=owner[0])
        markup = card(owner[1], counter)
        assert "<form" not in markup and "424242" in markup
        assert card(person("bob", "command_run")[1], counter) == ""

    def test_a_run_without_parameters_has_no_card(self, owner: Any) -> None:
        assert card(owner[1], gateway.start("echo", owner=owner[0])) == ""

    def test_where_the_code_is_not_installed_the_names_are_those_that_were_stored(
        self, owner: Any, run: Run
    ) -> None:
        registry.unregister("bath")
        try:
            markup = card(owner[1], run)
        finally:
            registry.register(Bath)
        assert "<form" not in markup
        assert "Litres" in markup and "64206.0" in markup and "P0DT00H05M00S" in markup

    def test_a_run_that_has_ended_shows_what_held_and_takes_nothing(self, owner: Any, run: Run) -> None:
        Run.objects.filter(pk=run.pk).update(status=str(Status.STOPPED), params_set={"room": 31.0})
        markup = card(owner[1], run)
        assert "disabled" in markup[markup.index("<fieldset") : markup.index("<legend")]
        assert values(markup)["room"] == "31.0"


class TestPresent:
    def test_the_page_and_the_part_have_what_was_set_last(self, owner: Any, run: Run) -> None:
        Run.objects.filter(pk=run.pk).update(params_set={"room": 31.5, "stirred": True})
        part = owner[1].get(run.get_absolute_url(), {"part": "parameters"}, headers=HTMX)
        assert part.headers["Livesim-Fragment"] == "1"
        for markup in (part.content.decode(), card(owner[1], run)):
            assert values(markup)["room"] == values(markup)["initial-room"] == "31.5"
            assert re.search(r'<input type="checkbox" name="stirred"[^>]*checked', markup)

    def test_the_key_of_a_link_goes_along(self, owner: Any, client: Client) -> None:
        shared = gateway.start("bath", owner=owner[0], visibility="link")
        markup = card(client, shared, key=shared.link_token)
        address = f"{shared.get_absolute_url()}?key={shared.link_token}"
        assert f'data-ls-parameters="{address}"' in markup
        assert f'hx-post="{shared.get_absolute_url()}commands/set/?key={shared.link_token}"' in markup


class TestPost:
    def test_what_differs_from_what_was_shown_is_sent(self, owner: Any, run: Run) -> None:
        Run.objects.filter(pk=run.pk).update(params_set={"room": 33.0})  # by somebody else, meanwhile
        answer = by_htmx(owner[1], run, scent="pine")
        assert answer.status_code == 200
        command = Command.objects.get()
        assert (command.name, command.args) == ("set", {"scent": "pine"})
        assert answer.headers["HX-Reswap"] == "none"
        assert f'data-command-id="{command.client_id}"' in answer.content.decode()
        assert 'id="command-set-answer" hx-swap-oob="innerHTML"' in answer.content.decode()

    def test_a_wrong_value_is_told_at_its_field_which_keeps_it(self, owner: Any, run: Run) -> None:
        answer = by_htmx(owner[1], run, room="77")
        assert (answer.status_code, "HX-Reswap" in answer.headers) == (422, False)
        assert "Ensure this value is less than or equal to 40." in text_of(answer)
        assert values(answer.content.decode())["room"] == "77"
        assert values(answer.content.decode())["initial-room"] == "20.0"
        assert not Command.objects.exists()

    def test_without_htmx_it_is_the_whole_page(self, owner: Any, run: Run) -> None:
        answer = post(owner[1], run, room="77")
        assert answer.status_code == 422
        assert "Ensure this value is less than or equal to 40." in text_of(answer)
        assert answer.content.decode().count('id="command-set"') == 1

    def test_nothing_changed_says_so(self, owner: Any, run: Run) -> None:
        answer = by_htmx(owner[1], run)
        assert answer.status_code == 422
        assert "Nothing is different from what it was." in text_of(answer)

    def test_without_javascript_it_comes_back_to_the_page_and_says_so(
        self, owner: Any, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("django_livesim.views.acts.PATIENCE", 0.0)
        answer = post(owner[1], run, room="30")
        assert (answer.status_code, answer.headers["Location"]) == (303, run.get_absolute_url())
        assert "Set parameters: accepted, not yet applied." in text_of(owner[1].get(run.get_absolute_url()))

    def test_the_same_form_twice_is_one_command(self, owner: Any, run: Run) -> None:
        for _ in range(2):
            by_htmx(owner[1], run, room="30", livesim_id="once")
        assert Command.objects.count() == 1

    def test_who_may_not_is_refused_and_learns_nothing(self, run: Run) -> None:
        Run.objects.filter(pk=run.pk).update(params_set={"scent": "secret"})
        _user, browser = person("dan", "view_run")
        answer = by_htmx(browser, run, room="30")
        assert answer.status_code == 422
        assert "This needs the right to command on the run" in text_of(answer)
        assert "secret" not in answer.content.decode()
        assert not Command.objects.exists()

    def test_where_nothing_is_live_there_is_no_such_command(self, owner: Any) -> None:
        counter = gateway.start("counter", owner=owner[0])
        answer = by_htmx(owner[1], counter, start="3")
        assert answer.status_code == 422
        assert "There is no command" in text_of(answer)

    def test_what_became_of_it_is_in_the_list_of_events(self, owner: Any, run: Run) -> None:
        by_htmx(owner[1], run, room="30")
        Command.objects.update(outcome=str(Outcome.REFUSED), apply_seq=1, apply_tick=3, message="no")
        assert "Set parameters refused: no" in text_of(owner[1].get(run.get_absolute_url()))
