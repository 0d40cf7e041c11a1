"""`sharing`: one run of each user, or of each browser, whose key nobody chooses."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connections
from django.test import Client
from django.urls import reverse

from django_livesim import checks, gateway, registry
from django_livesim.gateway import autostart, controls, starting
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import Code, Forbidden, LivesimError, RegistrationError, RunEnded
from django_livesim.protocol.names import Status
from django_livesim.store import intake
from tests.test_views import text_of

pytestmark = pytest.mark.django_db(transaction=True)

LIST = reverse("livesim:run-list")


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def bob() -> Any:
    return get_user_model().objects.create_user("bob")


def browser_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def start(browser: Client, simulation: str, **data: str) -> Any:
    return browser.post(
        reverse("livesim:run-start"),
        {"run-simulation": simulation, "run-visibility": "private", "beds": "1", **data},
    )


class TestPerUser:
    def test_each_user_has_one_and_starts_it_again_and_again(self, ann: Any, bob: Any) -> None:
        first = gateway.start("garden", actor=Actor.from_user(ann))
        assert (first.key, first.owner_id, str(first)) == (f"u:{ann.pk}", ann.pk, "Garden")
        assert gateway.start("garden", {"beds": 3}, actor=Actor.from_user(ann)).id == first.id
        assert gateway.start("garden", owner=ann).id == first.id  # the server, for the same person
        second = gateway.start("garden", actor=Actor.from_user(bob))
        assert second.id != first.id and Run.objects.count() == 2

    @pytest.mark.parametrize("status", [Status.PAUSED, Status.STOPPED])
    def test_one_that_is_held_goes_on(self, ann: Any, status: Status) -> None:
        run = gateway.start("garden", owner=ann)
        Run.objects.update(status=str(status))
        again = gateway.start("garden", actor=Actor.from_user(ann))
        assert (again.id, again.status) == (run.id, Status.WAITING)

    @pytest.mark.parametrize("status", [Status.FINISHED, Status.FAILED])
    def test_one_that_is_over_is_followed(self, ann: Any, status: Status) -> None:
        run = gateway.start("garden", owner=ann)
        Run.objects.update(status=str(status))
        again = gateway.start("garden", {"beds": 9}, actor=Actor.from_user(ann))
        assert (again.parent_id, again.key, again.params) == (run.id, f"u:{ann.pk}", {"beds": 9})
        assert gateway.start("garden", actor=Actor.from_user(ann)).id == again.id

    def test_a_key_is_a_persons_own_too(self, ann: Any, bob: Any) -> None:
        mine = gateway.start("garden", key="north", actor=Actor.from_user(ann))
        assert mine.key == f"u:{ann.pk}/north"
        theirs = gateway.start("garden", key=f"u:{ann.pk}", actor=Actor.from_user(bob))
        assert theirs.key == f"u:{bob.pk}/u:{ann.pk}"
        assert gateway.start("garden", actor=Actor.from_user(ann)).owner_id == ann.pk

    def test_no_users_id_can_be_made_to_look_like_anothers_key(self, ann: Any) -> None:
        ann.pk = "1/north"
        assert gateway.owning.own_key(registry.get("garden"), Actor.from_user(ann)) == "u:1%2Fnorth"

    def test_nobody_in_particular_is_told_to_log_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry.get("garden"), "may_start", "anyone")
        for actor in (Actor(), Actor(session="abc")):
            with pytest.raises(Forbidden, match=r"Each person has a run of Garden of their own\. Log in"):
                gateway.start("garden", actor=actor)
        assert "Start Garden" not in Client().get(LIST, {"simulation": "garden"}).content.decode()

    def test_the_server_starts_as_many_as_it_likes_for_nobody(self) -> None:
        keys = {
            gateway.start("garden").key,
            gateway.start("garden").key,
            gateway.start("garden", key="x").key,
        }
        assert keys == {None, "x"} and Run.objects.count() == 3

    def test_two_at_once_make_one(self, ann: Any) -> None:
        ids, barrier = [], threading.Barrier(4)

        def begin() -> None:
            try:
                barrier.wait()
                ids.append(gateway.start("garden", actor=Actor.from_user(ann)).id)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=begin) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(ids) == 4 and len(set(ids)) == 1 and Run.objects.count() == 1

    @pytest.mark.parametrize("limits", [{"QUOTAS": {"RUNS_PER_USER": 1}}, {"RATE_LIMITS": {"STARTS": "1/h"}}])
    def test_the_second_of_two_at_once_is_led_to_the_run_where_one_is_all_they_may(
        self, settings: Any, ann: Any, monkeypatch: pytest.MonkeyPatch, limits: Any
    ) -> None:
        settings.LIVESIM = limits
        cache.clear()
        barrier, done, new_seed = threading.Barrier(2), [], intake.new_seed

        def slow() -> int:
            barrier.wait(10)
            return new_seed()

        def begin() -> None:
            try:
                done.append(gateway.start("garden", actor=Actor.from_user(ann)).id)
            except LivesimError as problem:
                done.append(problem.code)
            finally:
                connections.close_all()

        monkeypatch.setattr(intake, "new_seed", slow)
        threads = [threading.Thread(target=begin) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert done == [Run.objects.get().id] * 2

    def test_one_that_was_followed_is_gone_on_with_no_more(self, ann: Any) -> None:
        actor = Actor.from_user(ann)
        first = gateway.start("garden", actor=actor)
        gateway.restart(first, actor=actor)
        second = Run.objects.get(parent=first.id)
        for act in (gateway.restart, gateway.resume):
            with pytest.raises(RunEnded) as caught:
                act(first, actor=actor)
            assert caught.value.message == (
                f"There is one run of garden for each, and this one was followed. Go on with {second.id}."
            )
        gateway.delete(second)
        with pytest.raises(RunEnded, match="this one was followed. Start it anew."):
            gateway.restart(first, actor=actor)
        assert Run.objects.count() == 1 and not first.commands.filter(name="resume").exists()

    def test_two_restarts_at_once_of_one_that_has_ended_make_one(
        self, ann: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = gateway.start("garden", owner=ann)
        gateway.stop(first)
        barrier, done, check = threading.Barrier(2), [], controls.limits.check_command

        def slow(actor: Actor) -> None:
            barrier.wait(10)
            check(actor)

        def again() -> None:
            try:
                done.append(gateway.restart(first).name)
            except RunEnded:
                done.append("refused")
            finally:
                connections.close_all()

        monkeypatch.setattr(controls.limits, "check_command", slow)
        threads = [threading.Thread(target=again) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(done) == ["refused", "restart"] and first.children.count() == 1

    def test_what_the_server_started_for_nobody_is_restarted_as_often_as_it_likes(self) -> None:
        run = gateway.start("garden")
        gateway.restart(run)
        gateway.restart(run)
        assert run.children.count() == 2

    def test_a_start_makes_a_new_run_where_the_one_before_is_deleted_meanwhile(
        self, ann: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone = gateway.start("garden", owner=ann)
        Run.objects.update(status=str(Status.FINISHED))
        require = starting.require

        def slow(*args: Any) -> None:
            require(*args)
            gateway.delete(gone)

        monkeypatch.setattr(starting, "require", slow)
        browser = browser_of(ann)
        assert start(browser, "garden").status_code == 303
        run = Run.objects.get()
        assert run.id != gone.id and run.key == f"u:{ann.pk}"

    @pytest.mark.parametrize("becomes", [None, Status.FINISHED])
    def test_a_start_goes_on_with_what_there_is_where_a_stopped_one_changes_meanwhile(
        self, ann: Any, monkeypatch: pytest.MonkeyPatch, becomes: Status | None
    ) -> None:
        before = gateway.start("garden", owner=ann)
        gateway.stop(before)
        control = starting.control

        def slow(run: Run, *args: Any, **kwargs: Any) -> Any:
            if becomes is None:
                gateway.delete(run)
            else:
                Run.objects.filter(id=run.id).update(status=str(becomes))
            return control(run, *args, **kwargs)

        monkeypatch.setattr(starting, "control", slow)
        run = gateway.start("garden", actor=Actor.from_user(ann))
        assert (run.id != before.id, run.status, run.key) == (True, Status.WAITING, f"u:{ann.pk}")

    def test_a_key_that_is_given_up_again_and_again_is_told_as_busy(
        self, ann: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create = intake.create_run

        def beaten(**fields: Any) -> None:
            rival = create(**fields)
            assert rival is not None and create(**fields) is None
            rival.delete()

        monkeypatch.setattr(intake, "create_run", beaten)
        with pytest.raises(LivesimError, match="is changing hands; try again") as caught:
            gateway.start("garden", actor=Actor.from_user(ann))
        assert (caught.value.code, caught.value.retry) == (Code.BUSY, 1)

    def test_another_may_not_have_it_though_they_may_see_it(self, ann: Any, bob: Any) -> None:
        gateway.start("garden", owner=ann, visibility="public")
        assert gateway.own_run(registry.get("garden"), actor=Actor.from_user(bob)) is None
        assert gateway.own_run(registry.get("garden"), actor=Actor()) is None


class TestPerSession:
    def test_each_browser_has_one(self) -> None:
        first, second = Client(), Client()
        for browser in (first, second, first):
            assert start(browser, "kiosk").status_code == 303
        runs = Run.objects.all()
        assert len(runs) == 2 and all(run.key == f"s:{run.session}" for run in runs)
        assert (
            first.get(reverse("livesim:run-mine", args=["kiosk"]))["Location"]
            != (second.get(reverse("livesim:run-mine", args=["kiosk"]))["Location"])
        )

    def test_a_user_has_one_in_each_browser(self, ann: Any) -> None:
        for browser in (browser_of(ann), browser_of(ann)):
            first, again = start(browser, "kiosk"), start(browser, "kiosk")
            assert first["Location"] == again["Location"]
        assert Run.objects.filter(owner=ann, key__startswith="s:").count() == 2

    def test_one_that_was_followed_is_restarted_no_more(self, ann: Any) -> None:
        """Neither a visitor's nor a user's; one that the server starts for a user never had a key."""
        visitor = start(Client(), "kiosk")["Location"]
        user = start(browser_of(ann), "kiosk")["Location"]
        for place in (visitor, user):
            run = Run.objects.get(id=place.rstrip("/").rpartition("/")[2])
            gateway.restart(run)
            with pytest.raises(RunEnded, match="There is one run of kiosk for each"):
                gateway.restart(run)
        servers = gateway.start("kiosk", owner=ann)
        gateway.stop(servers)
        assert gateway.resume(servers).outcome == "applied"

    def test_facts_do_not_tell_the_hash_of_a_session(self, ann: Any) -> None:
        start(Client(), "kiosk")
        start(browser_of(ann), "kiosk")
        for run in Run.objects.all():
            assert run.key and gateway.facts(run)["key"] is None
        assert gateway.facts(gateway.start("garden", owner=ann))["key"] == f"u:{ann.pk}"
        assert gateway.facts(gateway.start("counter", key="s:mine"))["key"] == "s:mine"

    def test_without_a_session_it_cannot_be_told_whose_it_is(self, ann: Any) -> None:
        for actor in (Actor(visitor="v"), Actor.from_user(ann)):
            with pytest.raises(Forbidden, match="Each browser has a run of Kiosk of its own. Allow cookies"):
                gateway.start("kiosk", actor=actor)


class TestPages:
    def test_they_say_which_it_is(self, ann: Any) -> None:
        browser = browser_of(ann)
        said = {
            "garden": "Each person has a run of their own. While nobody watches, it pauses.",
            "kiosk": "Each browser has a run of its own. When nobody watches any more, it stops;",
        }
        for name, words in said.items():
            assert words in text_of(browser.get(LIST, {"simulation": name}))
            assert words in text_of(browser.get(start(browser, name)["Location"]))
        shared = gateway.start("counter", owner=ann)
        words = "One run for all: everybody who may watch sees the same. While nobody watches, it goes on."
        assert words in text_of(browser.get(shared.get_absolute_url()))

    def test_who_has_one_is_led_to_it(self, ann: Any) -> None:
        browser = browser_of(ann)
        panel = text_of(browser.get(LIST, {"simulation": "garden"}))
        assert "Start Garden" in panel and "You have one already" not in panel
        url = start(browser, "garden")["Location"]
        page = browser.get(LIST, {"simulation": "garden"})
        assert "You have one already. Open it" in text_of(page) and "Start Garden" not in text_of(page)
        assert f'id="own-run" href="{url}"' in page.content.decode()
        assert "To begin anew, restart it." not in text_of(browser.get(url))

    def test_a_start_that_leads_to_the_one_there_is_says_so(self, ann: Any) -> None:
        browser = browser_of(ann)
        url = start(browser, "garden")["Location"]
        assert start(browser, "garden")["Location"] == url
        words = "You have one already, and this is it. To begin anew, restart it."
        assert words in text_of(browser.get(url))

    def test_one_that_is_over_is_followed_without_a_word(self, ann: Any) -> None:
        browser = browser_of(ann)
        url = start(browser, "garden")["Location"]
        Run.objects.update(status=str(Status.FINISHED))
        assert "Start Garden" in text_of(browser.get(LIST, {"simulation": "garden"}))
        following = start(browser, "garden")["Location"]
        assert following != url and "You have one already" not in text_of(browser.get(following))

    def test_mine_leads_to_ones_own(self, ann: Any, bob: Any) -> None:
        url = reverse("livesim:run-mine", args=["garden"])
        run = gateway.start("garden", owner=ann, visibility="public")
        assert browser_of(ann).get(url)["Location"] == run.get_absolute_url()
        none = browser_of(bob).get(url)
        assert none.status_code == 404
        assert "You have no run of Garden yet Each person has a run of their own." in text_of(none)
        assert "Start one" in text_of(none) and "Log in" not in text_of(none)
        visitor = Client().get(url)
        assert (visitor.status_code, "Start one" in text_of(visitor)) == (404, False)
        assert "Log in" in text_of(visitor)

    def test_mine_is_a_key_like_any_other_where_a_run_is_for_all(self, ann: Any) -> None:
        run = gateway.start("counter", key="mine", owner=ann)
        url = reverse("livesim:run-mine", args=["counter"])
        assert browser_of(ann).get(url)["Location"] == run.get_absolute_url()
        assert Client().get(url).status_code == 404
        assert Client().get(reverse("livesim:run-mine", args=["nothing"])).status_code == 404


def test_one_of_each_person_cannot_start_by_itself(settings: Any) -> None:
    bad = type(
        "Bad", (registry.get("garden"),), {"autostart": True, "__module__": "tests.rights.simulations"}
    )
    with pytest.raises(
        RegistrationError, match="autostart is True and sharing is 'per_user', so that nobody"
    ):
        registry.register(bad)
    settings.LIVESIM = {"AUTOSTART": ["garden", "counter"]}
    (message,) = checks.check_settings()
    assert (message.id, "names 'garden', of which each person has" in message.msg) == ("livesim.E008", True)
    autostart.start_all(["default"])
    assert Run.objects.get().simulation == "counter"
