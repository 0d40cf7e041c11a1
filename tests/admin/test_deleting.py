"""Deleting runs in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_livesim import gateway
from django_livesim.models import Checkpoint, Command, Run
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import LivesimError
from tests.admin.conftest import said, text_of, url
from tests.admin.test_acting import LEFT_THE_LIST, LIST, choose, hidden

pytestmark = pytest.mark.django_db


def fill(run: Run, commands: int = 3) -> None:
    """Give a run rows that go with it."""
    Command.objects.bulk_create(
        Command(run=run, name=f"command-{number}", sender="u:1", client_id=f"id{number}", body_hash="x")
        for number in range(commands)
    )
    Checkpoint.objects.create(run=run, tick=1, apply_seq=0, epoch=1, hash="x", data=b"{}")


class TestOne:
    def test_it_is_asked_about_with_what_goes_with_it(self, boss: Client, make: Any) -> None:
        run = make(name="run")
        fill(run)
        text = text_of(boss.get(url("delete", run.pk)))
        assert "Commands: 3" in text and "Checkpoints: 1" in text and "Runs: 1" in text
        assert "command-1" not in text
        assert Run.objects.exists()

    def test_it_goes_with_all_its_rows_and_is_in_the_history(self, boss: Client, make: Any) -> None:
        run, other = make(name="run"), make(name="other")
        fill(run)
        fill(other)
        response = boss.post(url("delete", run.pk), {"post": "yes"}, follow=True)
        assert list(Run.objects.all()) == [other]
        assert (Command.objects.count(), Checkpoint.objects.count()) == (3, 1)
        assert said(response) == ["The run “run” was deleted successfully."]
        entry = LogEntry.objects.get()
        assert (entry.action_flag, entry.object_id, entry.object_repr) == (DELETION, str(run.pk), "run")

    def test_a_refusal_is_told_and_nothing_is_gone(
        self, boss: Client, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = make(name="run")

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise LivesimError("The run cannot be deleted now.")

        monkeypatch.setattr(gateway, "delete", refuse)
        response = boss.post(url("delete", run.pk), {"post": "yes"}, follow=True)
        assert said(response) == ["The run cannot be deleted now."]
        assert Run.objects.exists() and not LogEntry.objects.exists()

    @pytest.mark.parametrize("permission", ["view_run", "command_run", "control_run", "start_run"])
    def test_it_needs_the_right(self, enter: Any, person: Any, make: Any, permission: str) -> None:
        run = make()
        browser = enter(person("bob", permission))
        assert browser.get(url("delete", run.pk)).status_code == 403
        assert browser.post(url("delete", run.pk), {"post": "yes"}).status_code == 403
        assert Run.objects.exists()

    def test_an_owner_needs_no_permission(self, enter: Any, owner: Any, make: Any) -> None:
        run = make()
        enter(owner).post(url("delete", run.pk), {"post": "yes"})
        assert not Run.objects.exists()


class TestMany:
    def test_it_is_asked_about_with_counts(self, boss: Client, make: Any) -> None:
        runs = [make(name="one"), make(name="two")]
        fill(runs[0])
        page = choose(boss, "delete_selected", *runs)
        text = text_of(page)
        assert "Delete for ever? This cannot be undone." in text
        assert "Runs: 2 Commands: 3 Checkpoints: 1" in text
        assert Run.objects.count() == 2
        response = boss.post(LIST, hidden(page), follow=True)
        assert said(response) == ["2 runs were deleted."]
        assert not Run.objects.exists() and not Command.objects.exists()
        assert LogEntry.objects.filter(action_flag=DELETION).count() == 2

    def test_those_of_others_are_left_out(self, enter: Any, person: Any, make: Any) -> None:
        bob = person("bob", "control_run")
        theirs, own = make(name="theirs"), make(name="own", owner=bob)
        browser = enter(bob)
        page = choose(browser, "delete_selected", theirs, own)
        assert "Left out: theirs: you have no right to delete it" in text_of(page)
        browser.post(LIST, hidden(page) | {"_selected_action": [str(theirs.pk), str(own.pk)]})
        assert list(Run.objects.all()) == [theirs]
        assert LogEntry.objects.count() == 1

    def test_with_nothing_to_delete_nothing_is_asked(self, enter: Any, person: Any, make: Any) -> None:
        response = choose(enter(person("bob", "control_run")), "delete_selected", make(name="theirs"))
        assert said(response) == ["“theirs”: left out: you have no right to delete it"]
        assert Run.objects.exists()

    def test_a_refused_one_stays_and_the_others_go(
        self, boss: Client, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept, gone = make(name="kept"), make(name="gone")
        delete = gateway.delete

        def refuse_one(run: Run, *, actor: Actor) -> None:
            if run == kept:
                raise LivesimError("Not this one.")
            delete(run, actor=actor)

        monkeypatch.setattr(gateway, "delete", refuse_one)
        response = boss.post(LIST, hidden(choose(boss, "delete_selected", kept, gone)), follow=True)
        assert sorted(said(response)) == ["1 run was deleted.", "“kept”: Not this one."]
        assert LogEntry.objects.get().object_repr == "gone"

    def test_posted_twice_it_says_that_there_is_nothing_left_to_delete(self, boss: Client, make: Any) -> None:
        answer = hidden(choose(boss, "delete_selected", make()))
        boss.post(LIST, answer, follow=True)
        assert said(boss.post(LIST, answer, follow=True)) == [LEFT_THE_LIST]

    def test_a_hundred_thousand_commands_are_counted_and_not_loaded(self, boss: Client, make: Any) -> None:
        run = make(name="run")
        fill(run, 20_000)
        with CaptureQueriesContext(connection) as queries:
            page = choose(boss, "delete_selected", run)
            assert "Commands: 20000" in text_of(page)
            boss.post(LIST, hidden(page))
        assert not any('SELECT "livesim_command"."id"' in each["sql"] for each in queries)
        assert len(queries) < 45
        assert not Command.objects.exists()
