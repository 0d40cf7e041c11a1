"""The list of runs and the page of one, for everybody who may enter the admin."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_livesim import gateway
from django_livesim.admin import RunAdmin
from django_livesim.admin.plans import Act, verb_of
from django_livesim.models import Run
from django_livesim.protocol.names import Status
from tests.admin.conftest import said, text_of, url
from tests.rights.backend import ASKED

pytestmark = pytest.mark.django_db

LIST = "/admin/livesim/run/"
HOSTILE = '<script>alert("x")</script>{{7*7}}'


def shown(response: Any) -> list[str]:
    return [str(run) for run in response.context["cl"].result_list]


class TestList:
    def test_a_row_has_the_facts_of_its_run(self, boss: Client, make: Any, worker: Any) -> None:
        make(name="first", status=Status.RUNNING, tick=4321, worker=worker)
        text = text_of(boss.get(LIST))
        assert "first counter running 4321 ada mill:7 just now" in text

    def test_hostile_names_are_text(self, boss: Client, make: Any) -> None:
        run = make(name=HOSTILE, status=Status.FAILED, error=HOSTILE)
        for page in (LIST, url("change", run.pk), url("delete", run.pk)):
            assert "<script>alert" not in boss.get(page).content.decode()

    @pytest.mark.parametrize("rows", [3, 120])
    def test_it_takes_the_same_few_queries_for_any_number_of_rows(
        self, boss: Client, make: Any, person: Any, worker: Any, rows: int
    ) -> None:
        owners = [person(f"owner-{number}") for number in range(3)]
        for number in range(rows):
            make(name=f"run-{number}", owner=owners[number % 3], worker=worker)
        boss.get(LIST)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            response = boss.get(LIST, {"q": "owner"})
        assert len(shown(response)) == min(rows, 100)
        assert len(queries) <= 15, [each["sql"][:90] for each in queries]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"status__exact": "paused"}, ["two"]),
            ({"simulation": "echo"}, ["three"]),
            ({"visibility__exact": "public"}, ["two"]),
            ({"source__exact": "external"}, ["three"]),
            ({"queue": "night"}, ["one"]),
            ({"q": "wo"}, ["two"]),
            ({"q": "key-3"}, ["three"]),
            ({"q": "COUNTER"}, ["two", "one"]),
            ({"q": "lovelace"}, ["one"]),
            ({"q": "nobody"}, []),
            ({"created_at__year": "1999"}, []),
        ],
    )
    def test_filters_and_search(
        self, boss: Client, make: Any, person: Any, query: dict[str, str], found: list[str]
    ) -> None:
        make(name="one", queue="night", owner=person("lovelace"))
        make(name="two", status=Status.PAUSED, visibility="public")
        make("echo", name="three", key="key-3", source="external")
        assert shown(boss.get(LIST, query)) == found

    def test_search_by_an_id_or_its_beginning(self, boss: Client, make: Any) -> None:
        run, _other = make(name="one"), make(name="two")
        Run.objects.filter(name="two").update(id="00000000-0000-4000-8000-000000000000")
        for term in (str(run.pk), run.pk.hex, str(run.pk)[:13], run.pk.hex[:4].upper()):
            assert shown(boss.get(LIST, {"q": term})) == ["one"]

    def test_of_a_long_search_the_beginning_is_looked_for(self, boss: Client, make: Any) -> None:
        make(name="x" * 120)
        assert boss.get(LIST, {"q": "x" * 60_000}).status_code == 200

    def test_a_search_with_nul_finds_nothing_and_harms_nothing(self, boss: Client) -> None:
        assert boss.get(LIST, {"q": "a\0b"}).status_code == 200

    def test_ten_thousand_runs_have_pages(self, boss: Client, make: Any) -> None:
        Run.objects.bulk_create(Run(simulation="counter", name=f"run-{n}") for n in range(10_000))
        with CaptureQueriesContext(connection) as queries:
            response = boss.get(LIST, {"p": 100})
        assert len(shown(response)) == 100
        assert len(queries) <= 15

    def test_what_is_gone_leaves_the_list_standing(self, boss: Client, make: Any) -> None:
        run = make(name="orphan")
        Run.objects.filter(pk=run.pk).update(simulation="vanished", owner_id=987)
        text = text_of(boss.get(LIST))
        assert "orphan vanished waiting 0 gone (987)" in text
        text = text_of(boss.get(url("change", run.pk)))
        assert "gone (987)" in text

    def test_a_policy_hides_rows(self, boss: Client, make: Any, settings: Any) -> None:
        make(name="open")
        make(name="secret")
        settings.LIVESIM = {
            "POLICY": lambda user, action, run, command: False if run.name == "secret" else None
        }
        assert shown(boss.get(LIST)) == ["open"]

    def test_what_a_policy_hides_is_neither_counted_nor_a_choice_of_a_filter(
        self, boss: Client, make: Any, settings: Any
    ) -> None:
        make(name="open", queue="weather")
        make(name="secret", queue="nuclear")
        assert "nuclear" in text_of(boss.get(LIST))
        settings.LIVESIM = {
            "POLICY": lambda user, action, run, command: False if run.name == "secret" else None
        }
        page = boss.get(LIST)
        assert page.context["cl"].result_count == 1
        assert "nuclear" not in text_of(page)
        assert "2 total" not in text_of(boss.get(LIST, {"status__exact": "waiting"}))
        assert boss.get(LIST, {"q": "secret"}).context["cl"].result_count == 0
        assert boss.get(LIST, {"queue": "nuclear"}).status_code == 400

    @pytest.mark.parametrize(
        "lookup",
        [
            {"link_token__regex": "^a"},
            {"error__contains": "password"},
            {"params__icontains": "7"},
            {"session__startswith": "a"},
            {"seed__gt": "5"},
            {"owner__password__startswith": "a"},
            {"commands__args__icontains": "7"},
            {"worker__host__startswith": "m"},
            {"status__regex": "(.*)*x"},
            {"created_at__iregex": "1"},
        ],
    )
    def test_no_other_lookups_are_taken_than_those_that_the_list_offers(
        self, enter: Any, person: Any, make: Any, lookup: dict[str, str]
    ) -> None:
        make(visibility="link")
        assert enter(person("bob", "view_run")).get(LIST, lookup).status_code == 400

    def test_links_to_some_runs_are_taken(self, boss: Client, make: Any, worker: Any) -> None:
        run = make(name="one", worker=worker)
        make(name="two")
        today = timezone.localtime(run.created_at).date()
        for lookup in (
            {"id__exact": str(run.pk)},
            {"id__in": str(run.pk)},
            {"worker__id__exact": str(worker.pk)},
            {"status__in": "waiting", "worker__isnull": "0"},
            {"created_at__day": str(today.day), "worker": str(worker.pk)},
        ):
            assert shown(boss.get(LIST, lookup)) == ["one"], lookup

    def test_a_back_end_for_single_runs_is_not_asked_about_each_row(
        self, enter: Any, person: Any, make: Any, settings: Any
    ) -> None:
        model = "django.contrib.auth.backends.ModelBackend"
        settings.AUTHENTICATION_BACKENDS = [model, "tests.rights.backend.ObjectPermissions"]
        run = make(visibility="public")
        gateway.send(run, "add")
        browser = enter(person("bob", "view_run"))
        ASKED.clear()
        commands = reverse("admin:livesim_command_changelist")
        for page in (LIST, commands, reverse("livesim:run-list")):
            assert browser.get(page).status_code == 200
        assert ASKED == []
        browser.get(url("change", run.pk))
        assert ("livesim.control_run", run.pk) in ASKED


class TestRights:
    def test_staff_alone_gives_nothing(self, enter: Any, person: Any, make: Any) -> None:
        browser, run = enter(person("bob")), make()
        assert browser.get(LIST).status_code == 403
        assert LIST not in browser.get("/admin/").content.decode()
        assert browser.get(url("change", run.pk)).status_code == 403
        assert browser.get("/admin/livesim/run/add/").status_code == 403
        assert browser.post(url("act", run.pk, "stop"), {"confirmed": 1}).status_code == 404
        assert Run.objects.get().status == Status.WAITING

    def test_without_staff_the_permissions_do_not_open_the_admin(self, enter: Any, person: Any) -> None:
        user = person("bob", "view_run")
        User.objects.filter(pk=user.pk).update(is_staff=False)
        assert enter(user).get(LIST).status_code == 302

    @pytest.mark.parametrize("permission", ["view_run", "command_run", "control_run", "delete_run"])
    def test_each_permission_shows_all_runs(
        self, enter: Any, person: Any, make: Any, permission: str
    ) -> None:
        run = make(name="mine")
        browser = enter(person("bob", permission))
        assert shown(browser.get(LIST)) == ["mine"]
        assert browser.get(url("change", run.pk)).status_code == 200

    @pytest.mark.parametrize("permission", ["start_run", "inspect_run"])
    def test_the_others_show_what_is_public_or_their_own(
        self, enter: Any, person: Any, make: Any, permission: str
    ) -> None:
        bob = person("bob", permission)
        make(name="another's")
        make(name="public", visibility="public")
        make(name="own", owner=bob)
        assert shown(enter(bob).get(LIST)) == ["own", "public"]

    def test_who_may_only_view_gets_no_box_to_tick_and_no_button(
        self, enter: Any, person: Any, make: Any
    ) -> None:
        bob = person("bob", "view_run")
        run = make(name="another's")
        browser = enter(bob)
        assert "_selected_action" not in browser.get(LIST).content.decode()
        assert 'name="action"' not in browser.get(LIST).content.decode()
        own = make(name="own", owner=bob)
        boxes = re.findall(r'name="_selected_action" value="([^"]+)"', browser.get(LIST).content.decode())
        assert boxes == [str(own.pk)]
        page = browser.get(url("change", run.pk)).content.decode()
        assert "/act/" not in page and 'name="name"' not in page and "/delete/" not in page

    def test_an_owner_changes_and_a_controller_does_not(
        self, enter: Any, person: Any, make: Any, owner: User
    ) -> None:
        run = make(name="mine")
        controller = enter(person("bob", "control_run"))
        assert controller.post(url("change", run.pk), {"name": "his"}).status_code == 403
        assert "/act/pause/" in controller.get(url("change", run.pk)).content.decode()
        response = enter(owner).post(url("change", run.pk), {"name": "hers", "visibility": "private"})
        assert response.status_code == 302
        run.refresh_from_db()
        assert run.name == "hers"

    def test_what_a_policy_denies_is_not_there(
        self, enter: Any, person: Any, make: Any, settings: Any
    ) -> None:
        run = make()
        browser = enter(person("bob", "view_run"))
        settings.LIVESIM = {"POLICY": lambda user, action, run, command: False}
        assert browser.get(url("change", run.pk)).status_code in (302, 403)


class TestPage:
    def test_it_links_to_what_there_is_about_the_run(self, boss: Client, make: Any) -> None:
        run = make()
        links = dict(boss.get(url("change", run.pk)).context["tools"])
        assert links["Live page"] == run.get_absolute_url()
        assert links["Inspect"] == url("inspect", run.pk)
        assert links["Send a command"] == url("send", run.pk)
        assert links["Commands"] == f"/admin/livesim/command/?run__id__exact={run.pk}"
        assert links["Checkpoints"] == f"/admin/livesim/checkpoint/?run__id__exact={run.pk}"
        for label, link in links.items():
            assert boss.get(link).status_code == 200, label

    def test_it_takes_few_queries(self, boss: Client, make: Any, worker: Any) -> None:
        run = make(worker=worker, status=Status.FAILED, error="Traceback", result={"value": 1})
        boss.get(url("change", run.pk))
        with CaptureQueriesContext(connection) as queries:
            boss.get(url("change", run.pk))
        assert len(queries) <= 15, [each["sql"][:90] for each in queries]

    def test_the_traceback_is_for_who_controls(
        self, enter: Any, person: Any, make: Any, boss: Client
    ) -> None:
        run = make(status=Status.FAILED, error="ZeroDivisionError", params={"start": 7777777})
        seen = text_of(enter(person("bob", "view_run")).get(url("change", run.pk)))
        assert "ZeroDivisionError" not in seen and "7777777" not in seen
        seen = text_of(boss.get(url("change", run.pk)))
        assert "ZeroDivisionError" in seen and "7777777" in seen

    def test_only_the_name_is_written(self, boss: Client, make: Any) -> None:
        run = make(name="old")
        Run.objects.filter(pk=run.pk).update(tick=99)
        boss.post(
            url("change", run.pk),
            {"name": "new", "visibility": "private", "tick": "5", "status": "failed", "simulation": "echo"},
        )
        run.refresh_from_db()
        assert (run.name, run.tick, run.status, run.simulation) == ("new", 99, "waiting", "counter")
        entry = LogEntry.objects.get()
        assert (entry.object_id, entry.get_change_message()) == (str(run.pk), "Changed Name.")

    def test_sharing_goes_through_the_gateway_and_shows_the_link(self, boss: Client, make: Any) -> None:
        run = make(name="run")
        response = boss.post(
            url("change", run.pk), {"name": "run", "visibility": "link", "_continue": 1}, follow=True
        )
        run.refresh_from_db()
        assert run.visibility == "link" and run.link_token
        assert f"http://testserver{run.get_absolute_url()}?key={run.link_token}" in text_of(response)
        assert LogEntry.objects.get().get_change_message() == "Changed Visibility."
        boss.post(url("change", run.pk), {"name": "run", "visibility": "private"})
        run.refresh_from_db()
        assert run.link_token == ""

    def test_a_link_is_taken_back_by_a_new_one(self, boss: Client, make: Any) -> None:
        run = make(visibility="link")
        old = run.link_token
        page = boss.post(url("link", run.pk), {"livesim_id": "abc"})
        assert "Make a new link? The one before opens nothing any more." in text_of(page)
        assert Run.objects.get().link_token == old
        answer = {"livesim_id": "abc", "confirmed": "1"}
        response = boss.post(url("link", run.pk), answer, follow=True)
        run.refresh_from_db()
        assert run.link_token and run.link_token != old
        assert "has a new link" in said(response)[0]
        assert "new link" in LogEntry.objects.get().get_change_message()
        assert boss.get(url("link", run.pk)).status_code == 303
        again = said(boss.post(url("link", run.pk), answer, follow=True))
        assert again == [
            "This form made the new link already, and no other; load the page again to make one."
        ]
        assert Run.objects.get().link_token == run.link_token, "a form that is posted twice has one effect"

    def test_a_form_for_a_new_link_has_an_id_of_its_own_and_so_has_the_question(
        self, boss: Client, make: Any
    ) -> None:
        run = make(visibility="link")
        form = re.search(
            r'<form method="post" action="[^"]*/link/">.*?</form>',
            boss.get(url("change", run.pk)).content.decode(),
            re.S,
        )
        assert form is not None
        own_id = re.search(r'name="livesim_id" value="(\w+)"', form[0])
        assert own_id is not None
        page = boss.post(url("link", run.pk), {"livesim_id": own_id[1]}).content.decode()
        assert f'name="livesim_id" value="{own_id[1]}"' in page

    def test_a_link_that_is_none_is_refused_with_words(self, boss: Client, make: Any) -> None:
        response = boss.post(url("link", make().pk), follow=True)
        assert said(response) == [
            "Only a run that is shared by link has one to renew; this one would be private."
        ]

    def test_an_owner_who_is_refused_comes_to_a_page_that_they_may_see(
        self, owner: Any, enter: Any, make: Any
    ) -> None:
        response = enter(owner).post(url("link", make().pk), follow=True)
        assert response.status_code == 200
        assert response.redirect_chain == [("/admin/", 303)]
        assert said(response) == [
            "Only a run that is shared by link has one to renew; this one would be private."
        ]

    def test_the_link_is_not_for_who_may_only_control(self, enter: Any, person: Any, make: Any) -> None:
        run = make(visibility="link")
        browser = enter(person("bob", "control_run"))
        assert run.link_token not in browser.get(url("change", run.pk)).content.decode()
        assert browser.post(url("link", run.pk)).status_code == 403

    def test_nothing_that_is_secret_is_on_the_page(self, boss: Client, make: Any) -> None:
        run = make()
        Run.objects.filter(pk=run.pk).update(session="sessionhash", owner=None)
        page = boss.get(url("change", run.pk)).content.decode()
        assert "sessionhash" not in page and "a visitor" in page

    def test_the_history_is_djangos(self, boss: Client, make: Any) -> None:
        run = make(name="run")
        boss.post(url("act", run.pk, "pause"))
        assert "pause: applied at tick 0." in text_of(boss.get(url("history", run.pk)))

    def test_no_script_and_no_style_is_in_the_markup(self, boss: Client, make: Any) -> None:
        run = make(status=Status.PAUSED, visibility="link")
        ask = boss.post(url("act", run.pk, "stop"))
        pages = [boss.get(LIST), boss.get(url("change", run.pk)), boss.get(url("delete", run.pk)), ask]
        pages += [boss.get(url("add")), boss.get(url("add"), {"simulation": "counter"})]
        for page in pages:
            html = page.content.decode()
            assert not re.search(
                r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)(?![^>]*application/json)", html
            )


def test_the_gateway_knows_every_button(boss: Client, make: Any) -> None:
    for status in Status:
        run = make(status=status)
        legal = gateway.legal_verbs(status)
        acts = [act for act, _label in boss.get(url("change", run.pk)).context["acts"]]
        assert {verb_of(Act(act), str(status)) for act in acts} <= legal
        assert ("release" in acts, "resume" in acts) == (
            status == Status.QUARANTINED,
            status in (Status.PAUSED, Status.STOPPED),
        )


def test_the_admin_of_runs_has_no_errors_that_django_finds() -> None:
    assert RunAdmin(Run, admin.site).check() == []
    assert reverse("admin:livesim_run_changelist") == LIST
