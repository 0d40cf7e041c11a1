"""Deleting a run: its rows, its worker, its viewers, and who waits for its commands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection, models, transaction
from django.db.models import F
from django.db.models.signals import post_delete, pre_delete
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_livesim import gateway
from django_livesim.bus import watch
from django_livesim.gateway import controls, deleting, sending
from django_livesim.models import Checkpoint, Command, Run, Worker
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import Forbidden, LivesimError, NoRun
from django_livesim.protocol.names import Status
from tests.test_socket import Socket, log_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner() -> Any:
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def run(owner: Any) -> Run:
    return gateway.start("counter", owner=owner, name="mill")


@pytest.fixture
def veto() -> Any:
    """A receiver of the host's that will not have a run deleted, while the block lasts."""

    def refuse(**kwargs: Any) -> None:
        raise RuntimeError("not this one")

    @contextmanager
    def refusing() -> Iterator[None]:
        pre_delete.connect(refuse, sender=Run)
        try:
            yield
        finally:
            pre_delete.disconnect(refuse, sender=Run)

    return refusing()


@pytest.fixture
def invoice(transactional_db: None) -> Iterator[Any]:
    """A model of the host's own whose rows keep a run from being deleted."""
    body = {
        "__module__": __name__,
        "run": models.ForeignKey(Run, on_delete=models.PROTECT, related_name="+"),
        "Meta": type("Meta", (), {"app_label": "app"}),
    }
    model: Any = type("Invoice", (models.Model,), body)
    with connection.schema_editor() as editor:
        editor.create_model(model)
    yield model
    with connection.schema_editor() as editor:
        editor.delete_model(model)
    del apps.all_models["app"]["invoice"]
    apps.clear_cache()


def test_a_deleted_run_leaves_nothing_but_the_runs_that_came_of_it(run: Run) -> None:
    other = gateway.start("counter")
    for each in (run, other):
        gateway.send(each, "add")
        Checkpoint.objects.create(run=each, tick=1, apply_seq=1, epoch=1, hash="x", data=b"x")
    gateway.stop(run)
    following = Run.objects.get(id=gateway.restart(run).args["next"])
    gateway.delete(run)
    assert set(Run.objects.all()) == {other, following}
    following.refresh_from_db()
    assert following.parent is None
    assert set(Command.objects.values_list("run", flat=True)) == {other.id}
    assert set(Checkpoint.objects.values_list("run", flat=True)) == {other.id}
    with pytest.raises(NoRun):
        gateway.delete(run)


def test_a_long_journal_is_deleted_unseen_whoever_listens(run: Run) -> None:
    """A listener to all deletions makes Django load every row before it deletes it."""
    names = [f"c{number}" for number in range(5000)]
    Command.objects.bulk_create(Command(run=run, name="add", sender="p:x", client_id=each) for each in names)
    heard = []

    def hear(instance: Any, **kwargs: Any) -> None:
        heard.append(type(instance))

    post_delete.connect(hear)
    try:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            gateway.delete(run)
    finally:
        post_delete.disconnect(hear)
    assert not Command.objects.exists() and heard == [Run]
    assert len(queries) <= 20


class TestALongJournal:
    """Deleted in parts, each a transaction of its own."""

    @pytest.fixture(autouse=True)
    def _long(self, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
        monkeypatch.setattr(deleting, "BATCH", 10)
        Run.objects.update(worker=Worker.objects.create(), status=Status.RUNNING, epoch=3)
        rows = (Command(run=run, name="add", sender="p:x", client_id=f"c{each}") for each in range(35))
        Command.objects.bulk_create(rows)
        Checkpoint.objects.create(run=run, tick=1, apply_seq=1, epoch=1, hash="x", data=b"x")

    def test_goes_while_others_write_and_its_worker_no_more(self, run: Run) -> None:
        other = gateway.start("counter")
        left: list[int] = []

        def meanwhile() -> None:
            with transaction.atomic():
                now = Run.objects.select_for_update(nowait=connection.vendor == "postgresql").get(id=run.id)
                assert (now.status, now.worker, now.epoch) == (Status.STOPPED, None, 4)
                Run.objects.filter(id=other.id).update(tick=F("tick") + 1)
                left.append(Command.objects.filter(run=run).count())
            connection.close()

        def between(execute: Any, sql: str, *args: Any) -> Any:
            if sql.startswith("DELETE") and not connection.in_atomic_block:
                thread = threading.Thread(target=meanwhile)
                thread.start()
                thread.join()
            return execute(sql, *args)

        with connection.execute_wrapper(between):
            gateway.delete(run)
        assert left == [35, 25, 15]
        assert Run.objects.get().tick == 3 and Run.objects.get().id == other.id
        assert not Command.objects.exists() and not Checkpoint.objects.exists()

    def test_is_deleted_again_after_that_was_broken_off(self, run: Run, veto: Any) -> None:
        with veto, pytest.raises(RuntimeError):
            gateway.delete(run)
        run.refresh_from_db()
        assert (run.status, run.reason, run.worker) == (Status.STOPPED, "is being deleted", None)
        gateway.delete(run)
        assert not Run.objects.exists() and not Command.objects.exists()

    def test_is_left_as_it_is_where_rows_of_the_hosts_keep_the_run(self, run: Run, invoice: Any) -> None:
        invoice.objects.create(run=run)
        with pytest.raises(LivesimError, match="cannot be deleted while invoices point to it"):
            gateway.delete(run)
        run.refresh_from_db()
        assert (run.status, run.epoch, Command.objects.count()) == (Status.RUNNING, 3, 35)

    def test_within_a_transaction_of_the_callers_it_is_all_or_nothing(self, run: Run) -> None:
        with transaction.atomic():
            gateway.delete(run)
            assert not Run.objects.exists()
            transaction.set_rollback(True)
        run.refresh_from_db()
        assert (run.status, run.epoch, Command.objects.count()) == (Status.RUNNING, 3, 35)


def test_a_short_journal_is_all_or_nothing(run: Run, veto: Any) -> None:
    gateway.send(run, "add")
    with veto, pytest.raises(RuntimeError):
        gateway.delete(run)
    run.refresh_from_db()
    assert run.status == Status.WAITING and Command.objects.count() == 1


@pytest.mark.parametrize("right", ["view_run", "command_run", "control_run"])
def test_who_lacks_the_right_deletes_nothing_and_is_told(run: Run, right: str) -> None:
    from django.contrib.auth.models import Permission

    bob = get_user_model().objects.create_user("bob")
    with pytest.raises(NoRun):
        gateway.delete(run, actor=Actor.from_user(bob))
    bob.user_permissions.add(Permission.objects.get(codename=right))
    bob = get_user_model().objects.get(pk=bob.pk)
    with pytest.raises(Forbidden, match="needs the right to delete"):
        gateway.delete(run, actor=Actor.from_user(bob))
    assert Run.objects.filter(id=run.id).exists()


def test_a_run_that_a_worker_holds_is_dropped_by_it_and_the_worker_goes_on(
    run: Run, manage: Callable[..., Any], wait: Callable[..., Any], redis_layer: Any
) -> None:
    process = manage("livesim_worker")
    wait(lambda: Run.objects.get(id=run.id).status == Status.RUNNING, 20)
    gateway.delete(run)
    wait(lambda: Worker.objects.get().load.get("runs") == 0)
    other = gateway.start("counter")
    sent = gateway.send(other, "add", {"n": 5}, wait=True, timeout=20)
    assert (sent.outcome, process.poll()) == ("applied", None)
    assert not Run.objects.filter(id=run.id).exists()
    assert not Command.objects.exclude(run=other).exists() and not Checkpoint.objects.exclude(run=other)


def deleted_meanwhile(monkeypatch: pytest.MonkeyPatch, module: Any, run: Run) -> None:
    """Have the run deleted after it was found, and before anything is written for it."""
    body_hash = module.body_hash

    def slow(*args: Any) -> Any:
        deleting = threading.Thread(target=delete, args=[run])
        deleting.start()
        deleting.join()
        return body_hash(*args)

    monkeypatch.setattr(module, "body_hash", slow)


def delete(run: Run) -> None:
    try:
        gateway.delete(run)
    finally:
        connection.close()


@pytest.mark.parametrize("held", [True, False], ids=["held", "free"])
@pytest.mark.parametrize(
    ("module", "act"),
    [(sending, lambda run: gateway.send(run, "add")), (controls, gateway.pause)],
    ids=["command", "control"],
)
def test_a_command_for_a_run_deleted_meanwhile_meets_no_run(
    monkeypatch: pytest.MonkeyPatch, run: Run, module: Any, act: Any, held: bool
) -> None:
    if held:
        Run.objects.update(worker=Worker.objects.create(), status=Status.RUNNING)
    deleted_meanwhile(monkeypatch, module, run)
    with pytest.raises(NoRun):
        act(run)
    assert not Command.objects.exists()


def test_whoever_waits_for_a_command_learns_that_the_run_is_gone(run: Run) -> None:
    Run.objects.update(worker=Worker.objects.create(), status=Status.RUNNING)
    command = gateway.send(run, "add")
    gateway.delete(run)
    with pytest.raises(NoRun):
        gateway.wait(command)


async def test_viewers_are_sent_away_at_once(run: Run, owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from asgiref.sync import sync_to_async

    monkeypatch.setattr(watch, "INTERVAL", 600.0)
    cookies = await sync_to_async(log_in)(owner)
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        await gateway.adelete(run)
        await socket.until(lambda: socket.code)
        assert socket.code == 4410
        await socket.closed()


class TestPage:
    def test_without_scripts_it_is_asked_first_then_done_and_said(self, browser: Client, run: Run) -> None:
        url = reverse("livesim:run-delete", args=[run.id])
        assert url in browser.get(run.get_absolute_url()).content.decode()
        asked = browser.post(url)
        assert "Delete this run for good?" in asked.content.decode() and Run.objects.exists()
        done = browser.post(url, {"confirmed": "1"}, follow=True)
        assert done.redirect_chain == [(reverse("livesim:run-list"), 303)]
        assert "The run mill has been deleted." in done.content.decode() and not Run.objects.exists()

    def test_with_htmx_the_page_has_asked(self, browser: Client, run: Run) -> None:
        url = reverse("livesim:run-delete", args=[run.id])
        done = browser.post(url, headers={"HX-Request": "true"})
        assert done["HX-Redirect"] == reverse("livesim:run-list") and not Run.objects.exists()

    def test_who_may_watch_is_told_why_not_and_who_may_not_learns_nothing(self, owner: Any) -> None:
        public = gateway.start("counter", owner=owner, visibility="public")
        private = gateway.start("counter", owner=owner)
        client = Client()
        assert "Delete this run" not in client.get(public.get_absolute_url()).content.decode()
        urls = [reverse("livesim:run-delete", args=[each.id]) for each in (public, private)]
        refused = client.post(urls[0], {"confirmed": "1"}, follow=True)
        assert "This needs the right to delete on the run" in refused.content.decode()
        assert client.post(urls[1], {"confirmed": "1"}).status_code == 404
        assert Run.objects.count() == 2
