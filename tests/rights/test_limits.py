"""QUOTAS and RATE_LIMITS, for whoever asks by whatever way."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.db import connection, connections
from django.test import Client
from django.urls import reverse

from django_livesim import gateway
from django_livesim.gateway import limits
from django_livesim.models import Command, Run, Worker
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import Code, LivesimError, RunEnded
from django_livesim.protocol.names import Status
from tests.test_socket import Socket, log_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    cache.clear()


@pytest.fixture
def ann() -> Any:
    user = get_user_model().objects.create_user("ann")
    user.user_permissions.add(Permission.objects.get(codename="start_run"))
    return user


def too_many(function: Any, *args: Any, **kwargs: Any) -> LivesimError:
    with pytest.raises(LivesimError) as caught:
        function(*args, **kwargs)
    assert caught.value.code == Code.TOO_MANY
    return caught.value


class TestQuotas:
    def test_runs_of_one_person_that_have_not_ended(self, settings: Any, ann: Any) -> None:
        settings.LIVESIM = {"QUOTAS": {"RUNS_PER_USER": 2}}
        actor = Actor.from_user(ann)
        first, _ = gateway.start("counter", actor=actor), gateway.start("counter", actor=actor)
        problem = too_many(gateway.start, "counter", actor=actor)
        assert problem.message == "Too many: 2 runs of one person may go on at a time. Stop one first."
        assert problem.retry == 60 and Run.objects.count() == 2
        bob = get_user_model().objects.create_superuser("bob")
        gateway.start("counter", actor=Actor.from_user(bob))
        gateway.start("counter", owner=ann)  # the server's own code is not limited
        gateway.stop(Run.objects.filter(owner=ann).latest("created_at"))
        gateway.stop(first)
        gateway.start("counter", actor=actor)

    def test_runs_of_one_visitor(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.LIVESIM = {"QUOTAS": {"RUNS_PER_USER": 1}}
        ann, bob = Actor(session="a"), Actor(session="b")
        monkeypatch.setattr("django_livesim.gateway.starting.may_start", lambda *args: True)
        gateway.start("counter", actor=ann)
        too_many(gateway.start, "counter", actor=ann)
        gateway.start("counter", actor=bob)

    def test_runs_of_all(self, settings: Any, ann: Any) -> None:
        settings.LIVESIM = {"QUOTAS": {"RUNS": 2}}
        gateway.start("counter")
        gateway.start("counter", actor=Actor.from_user(ann))
        problem = too_many(gateway.start, "counter", actor=Actor.from_user(ann))
        assert problem.message.startswith("Too many: 2 runs may go on at a time, of all.")

    @pytest.mark.parametrize("act", [gateway.resume, gateway.restart])
    def test_a_run_that_had_ended_goes_on_within_them(self, settings: Any, ann: Any, act: Any) -> None:
        settings.LIVESIM = {"QUOTAS": {"RUNS_PER_USER": 1}}
        actor = Actor.from_user(ann)
        ended = gateway.start("counter", actor=actor)
        gateway.stop(ended, actor=actor)
        going_on = gateway.start("counter", actor=actor)
        too_many(act, ended, actor=actor)
        assert Run.objects.count() == 2 and Run.objects.get(id=ended.id).status == Status.STOPPED
        gateway.restart(going_on, actor=actor)  # one for one
        gateway.delete(Run.objects.get(status=Status.WAITING))
        act(ended, actor=actor)

    def test_a_start_that_goes_on_with_a_run_is_none(self, settings: Any, ann: Any) -> None:
        settings.LIVESIM = {"QUOTAS": {"RUNS_PER_USER": 1}, "RATE_LIMITS": {"STARTS": "1/h"}}
        actor = Actor.from_user(ann)
        run = gateway.start("garden", actor=actor)
        assert gateway.start("garden", actor=actor).id == run.id
        Run.objects.update(status=str(Status.FINISHED))
        too_many(gateway.start, "garden", actor=actor)

    def test_many_at_once_make_no_more(self, settings: Any, ann: Any) -> None:
        settings.LIVESIM = {"QUOTAS": {"RUNS_PER_USER": 2}}
        done, barrier = [], threading.Barrier(6)

        def begin() -> None:
            try:
                barrier.wait()
                done.append(gateway.start("counter", actor=Actor.from_user(ann)))
            except LivesimError as problem:
                done.append(problem.code)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=begin) for _ in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert done.count(Code.TOO_MANY) == 4 and Run.objects.count() == 2, done

    def test_they_are_counted_by_an_index(self) -> None:
        going_on = Run.objects.filter(status__in=limits.GOING_ON)
        Run.objects.bulk_create(Run(simulation="counter", status=str(Status.FINISHED)) for _ in range(5000))
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE livesim_run")
        assert "livesim_run_status" in going_on.order_by().explain()

    def test_a_start_and_a_restart_of_one_run_do_not_wait_for_each_other(
        self, settings: Any, ann: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each waits where runs are counted, and has no row locked that the other wants."""
        settings.LIVESIM = {"QUOTAS": {"RUNS_PER_USER": 5}}
        actor = Actor.from_user(ann)
        run = gateway.start("garden", actor=actor)
        Run.objects.update(status=str(Status.FINISHED))
        both, enter, failed = threading.Barrier(2), limits.turnstile.enter, []

        def meet(name: str) -> None:
            with suppress(threading.BrokenBarrierError):  # on SQLite one of them is inside alone
                both.wait(1 if connection.vendor == "sqlite" else 10)
            enter(name)

        def act(function: Any) -> None:
            try:
                function()
            except RunEnded:  # the start was quicker
                pass
            except Exception as exc:
                failed.append(exc)
            finally:
                connections.close_all()

        monkeypatch.setattr(limits.turnstile, "enter", meet)
        start, restart = (
            threading.Thread(target=act, args=[lambda: gateway.start("garden", actor=actor)]),
            threading.Thread(target=act, args=[lambda: gateway.restart(run, actor=actor)]),
        )
        for each in (start, restart):
            each.start()
        for each in (start, restart):
            each.join()
        assert failed == [] and Run.objects.count() == 2


class TestRates:
    def test_starts(self, settings: Any, ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.LIVESIM = {"RATE_LIMITS": {"STARTS": "2/m"}}
        now = 1000 * 60 + 20.0
        monkeypatch.setattr(limits.time, "time", lambda: now)
        actor = Actor.from_user(ann)
        gateway.start("counter", actor=actor)
        gateway.start("counter", actor=actor)
        problem = too_many(gateway.start, "counter", actor=actor)
        assert problem.retry == 40 and Run.objects.count() == 2
        assert problem.message == "Too many: 2 runs may be started in 60 s. Try again in 40 s."
        gateway.start("counter", owner=ann)
        now += 40
        gateway.start("counter", actor=actor)

    def test_a_start_whose_run_is_deleted_was_one(self, settings: Any, ann: Any) -> None:
        settings.LIVESIM = {"RATE_LIMITS": {"STARTS": "2/h"}}
        actor = Actor.from_user(ann)
        for _ in range(2):
            gateway.delete(gateway.start("counter", actor=actor), actor=actor)
        too_many(gateway.start, "counter", actor=actor)

    @pytest.mark.parametrize("held", [False, True])
    def test_a_restart_is_a_start(self, settings: Any, ann: Any, held: bool) -> None:
        settings.LIVESIM = {"RATE_LIMITS": {"STARTS": "2/h"}}
        actor = Actor.from_user(ann)
        run = gateway.start("counter", actor=actor)
        Run.objects.update(worker=Worker.objects.create() if held else None)
        gateway.restart(run, id="a", actor=actor)
        gateway.restart(run, id="a", actor=actor)  # one sent again is no new one
        too_many(gateway.restart, run, actor=actor)
        assert Command.objects.count() == 1 and run.children.count() == (0 if held else 1)

    def test_a_start_that_is_refused_for_another_reason_is_none(self, settings: Any, ann: Any) -> None:
        settings.LIVESIM = {"RATE_LIMITS": {"STARTS": "2/h"}, "QUOTAS": {"RUNS_PER_USER": 1}}
        actor = Actor.from_user(ann)
        run = gateway.start("counter", actor=actor)
        too_many(gateway.start, "counter", actor=actor)
        gateway.stop(run, actor=actor)
        gateway.start("counter", actor=actor)

    def test_a_look_into_a_state_that_asks_the_worker_is_a_command(self, settings: Any, ann: Any) -> None:
        settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "1/h"}}
        run = gateway.start("counter", owner=ann)
        actor = Actor.from_user(ann)
        for _ in range(3):
            gateway.inspect(run, actor=actor)  # nobody is asked
        Run.objects.update(worker=Worker.objects.create())
        gateway.inspect(run, actor=actor, timeout=0.01)
        too_many(gateway.inspect, run, actor=actor, timeout=0.01)
        assert not Command.objects.exists()

    def test_commands_and_controls(self, settings: Any, ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "3/m"}}
        now = 1000 * 60 + 45.0
        monkeypatch.setattr(limits.time, "time", lambda: now)
        run, other = gateway.start("counter", owner=ann), gateway.start("counter", owner=ann)
        actor = Actor.from_user(ann)
        gateway.send(run, "add", id="a", actor=actor)
        gateway.send(other, "add", actor=actor)
        gateway.pause(run, actor=actor)
        problem = too_many(gateway.send, run, "add", actor=actor)
        assert problem.retry == 15
        assert problem.message == "Too many: 3 commands may be sent in 60 s. Try again in 15 s."
        too_many(gateway.pause, other, actor=actor)
        assert gateway.send(run, "add", id="a", actor=actor).client_id == "a"  # one sent again is no new one
        bob = Actor.from_user(get_user_model().objects.create_superuser("bob"))
        gateway.send(run, "add", actor=bob)
        gateway.send(run, "add")
        now += 15
        gateway.send(run, "add", actor=actor)

    def test_what_is_refused_for_another_reason_counts_for_nothing(self, settings: Any, ann: Any) -> None:
        settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "1/h"}}
        run = gateway.start("counter", owner=ann)
        for _ in range(3):
            with pytest.raises(LivesimError, match="has no command"):
                gateway.send(run, "fly", actor=Actor.from_user(ann))
        gateway.send(run, "add", actor=Actor.from_user(ann))

    def test_a_cache_that_fails_limits_nobody(self, settings: Any, ann: Any) -> None:
        settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "1/h"}}
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
        run = gateway.start("counter", owner=ann)
        for _ in range(3):
            gateway.send(run, "add", actor=Actor.from_user(ann))
        assert Command.objects.count() == 3

    def test_pages_say_it(self, settings: Any, ann: Any) -> None:
        settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "1/h", "STARTS": "1/h"}}
        browser = Client()
        browser.force_login(ann)
        form = {"run-simulation": "counter", "run-visibility": "private", "start": "0"}
        url = browser.post(reverse("livesim:run-start"), form)["Location"]
        again = browser.post(reverse("livesim:run-start"), form)
        assert 1 <= int(again["Retry-After"]) <= 3600
        assert again.status_code == 429 and "1 runs may be started in 3600 s." in again.content.decode()
        add = f"{url}commands/add/"
        assert browser.post(add, {"n": "1"}, headers={"HX-Request": "true"}).status_code == 200
        refused = browser.post(add, {"n": "1"})
        assert refused.status_code == 429 and 1 <= int(refused["Retry-After"]) <= 3600
        htmx = browser.post(add, {"n": "1"}, headers={"HX-Request": "true"})
        assert "1 commands may be sent in 3600 s." in htmx.content.decode()
        assert Command.objects.count() == 1

    async def test_sockets_say_it_with_the_seconds(self, settings: Any, ann: Any) -> None:
        settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "1/h"}}
        run = await gateway.astart("counter", owner=ann)
        async with Socket(run.id, cookies=await sync_to_async(log_in)(ann)) as socket:
            socket.command("a", "add", n=1)
            socket.command("b", "add", n=1)
            error = await socket.error()
            assert (error["id"], error["code"], 1 <= error["retry"] <= 3600) == ("b", "too_many", True)
            await socket.until(lambda: socket.of("accepted"))
            socket.say(type="control", id="c", action="pause")
            assert (await socket.error(2))["id"] == "c"
