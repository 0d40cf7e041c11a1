"""Tasks, and messages to own channels, in the admin: who sees what, and what operators do with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_livesim import task
from django_livesim.admin import reading
from django_livesim.background import handlers
from django_livesim.gateway import enqueuing
from django_livesim.models import Task, Worker
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import Forbidden
from django_livesim.store.moments import Moment
from tests.admin.conftest import said, text_of

pytestmark = pytest.mark.django_db

HOSTILE = '<script>alert("x")</script>'
LIST = "admin:livesim_task_changelist"

Make = Callable[..., Any]


def make_task(name: str = "photos.resize", **fields: Any) -> Task:
    row: Task = Task.objects.create(name=name, **({"args": [[], {}]} | fields))
    return row


def look(client: Client, **query: Any) -> Any:
    return client.get(reverse(LIST), query)


def rows(response: Any) -> list[Any]:
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def page(row: Task) -> str:
    return reverse("admin:livesim_task_change", args=[row.pk])


def act(client: Client, name: str, *chosen: Task, **more: Any) -> Any:
    form = {"action": name, "_selected_action": [each.pk for each in chosen]} | more
    return client.post(reverse(LIST), form, follow=True)


def status(row: Task) -> str:
    row.refresh_from_db()
    return str(row.status)


@pytest.fixture
def caller() -> Worker:
    """A worker that calls `photos.resize`, of the queue `default`."""
    told = {"running": 1, "threads": 4, "names": ["photos.resize"], "channels": ["thumbnails"]}
    row = Worker.objects.create(host="mill", pid=8, queues=["default"], load={"tasks": told})
    Worker.objects.update(beat_at=Moment())
    return row


class TestRights:
    @pytest.mark.parametrize(
        ("permission", "sees"),
        [
            ("view_task", True),
            ("change_task", True),
            ("delete_task", False),
            ("view_run", False),
            ("delete_run", False),
            ("inspect_run", False),
            ("view_worker", False),
        ],
    )
    def test_they_are_for_who_may_view_or_change_tasks(
        self, person: Make, enter: Make, permission: str, sees: bool
    ) -> None:
        row, client = make_task(), enter(person("ann", permission))
        assert {client.get(each).status_code for each in (reverse(LIST), page(row))} == {200 if sees else 403}

    @pytest.mark.parametrize(
        ("granted", "may"),
        [
            (["view_task"], set()),
            (["view_task", "delete_task"], {"delete_selected"}),
            (["change_task"], {"cancel_tasks", "call_again"}),
            (["view_task", "control_run", "delete_run"], set()),
        ],
    )
    def test_each_act_takes_its_permission(
        self, person: Make, enter: Make, granted: list[str], may: set[str]
    ) -> None:
        client = enter(person("ann", *granted))
        done = set()
        for name, before in (
            ("cancel_tasks", "waiting"),
            ("call_again", "failed"),
            ("delete_selected", "failed"),
        ):
            row = make_task(status=before)
            offered = f'value="{name}"' in look(client).content.decode()
            act(client, name, row, confirmed="1")
            if not Task.objects.filter(pk=row.pk, status=before).exists():
                done.add(name)
            assert (name in done) == offered
        assert done == may

    def test_the_gateway_asks_for_them_too(self, person: Make) -> None:
        row = make_task(status="failed")
        ann = Actor.from_user(person("ann", "view_task"))
        for each in (enqueuing.cancel, enqueuing.again, enqueuing.delete):
            with pytest.raises(Forbidden, match=r"livesim\.(change|delete)_task"):
                each([row.pk], actor=ann)
        with pytest.raises(Forbidden):
            enqueuing.delete([row.pk], actor=Actor.from_user(person("bob", "delete_task")))
        assert status(row) == "failed"

    @pytest.mark.parametrize(
        ("granted", "told"),
        [
            (["change_task"], False),
            (["view_task", "inspect_run"], True),
            (["view_task", "delete_run"], False),
        ],
    )
    def test_arguments_and_traceback_are_for_who_may_inspect(
        self, person: Make, enter: Make, granted: list[str], told: bool
    ) -> None:
        row = make_task(status="failed", args=[["471147114711"], {}], error="KeyError 471247124712")
        client = enter(person("ann", *granted))
        text = text_of(client.get(page(row)))
        assert ("471147114711" in text) == ("471247124712" in text) == told
        assert "471147114711" not in text_of(look(client))

    def test_nobody_adds_or_changes_one_or_deletes_one_that_waits(self, boss: Client) -> None:
        row = make_task()
        assert boss.get(reverse("admin:livesim_task_add")).status_code == 403
        assert boss.post(page(row), {"name": "other"}).status_code == 403
        delete = reverse("admin:livesim_task_delete", args=[row.pk])
        assert boss.post(delete, {"post": "yes"}).status_code == 403
        assert status(row) == "waiting"


class TestList:
    def test_a_row_says_what_there_is(self, boss: Client, caller: Worker) -> None:
        make_task("thumbnails", kind="message", status="running", attempts=2, worker=caller)
        text = text_of(look(boss))
        assert "thumbnails message default running 2 mill:8 just now" in text

    def test_markup_in_names_arguments_and_errors_is_text(self, boss: Client) -> None:
        row = make_task(
            HOSTILE, queue=HOSTILE, key=HOSTILE, args=[[HOSTILE], {}], status="failed", error=HOSTILE
        )
        answers = [
            look(boss),
            boss.get(page(row)),
            act(boss, "delete_selected", row),
            act(boss, "cancel_tasks", row),
        ]
        assert [each for each in answers if "<script>alert" in each.content.decode()] == []

    def test_filters(self, boss: Client, caller: Worker) -> None:
        by_status = {
            each: make_task(status=each, worker=caller if each == "running" else None)
            for each in ("waiting", "running", "finished", "failed", "cancelled")
        }
        for each, row in by_status.items():
            assert rows(look(boss, status=each)) == [row]
        message = make_task("thumbnails", kind="message")
        heavy = make_task(queue="heavy")
        assert rows(look(boss, kind="message")) == [message]
        assert rows(look(boss, queue="heavy")) == [heavy]
        assert len(rows(look(boss, status="\0", kind="\0", queue="\0"))) == 7

    def test_they_are_found_by_number_key_and_a_part_of_the_name(self, boss: Client) -> None:
        @task(name="photos.resize")
        def resize() -> None: ...

        try:
            known, keyed, gone = make_task(), make_task(key="order-7"), make_task("photos.removed")
            assert rows(look(boss, q="RESIZE")) == [keyed, known]
            assert rows(look(boss, q="order-7")) == [keyed]
            assert rows(look(boss, q="photos.removed")) == [gone]
            assert rows(look(boss, q=str(gone.pk))) == [gone]
            assert rows(look(boss, q="9" * 40)) == []
        finally:
            handlers.tasks.pop(resize.name)

    @pytest.mark.parametrize(
        "lookup", ["args__icontains", "error__contains", "worker__host", "key__startswith"]
    )
    def test_it_takes_no_lookup_that_it_does_not_offer(self, person: Make, enter: Make, lookup: str) -> None:
        assert look(enter(person("ann", "view_task")), **{lookup: "4"}).status_code == 400

    def test_it_counts_no_further_than_it_pages_and_leads_on_to_older_ones(
        self, boss: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "COUNTED", 200)
        made = [make_task(status="finished") for _ in range(203)][::-1]
        last = look(boss, p="2")
        assert rows(last) == made[100:200] and "There are more than 200" in text_of(last)
        older = boss.get(reverse(LIST) + last.context["cl"].older)
        assert rows(older) == made[200:]

    def test_pages_take_at_most_fifteen_queries_and_load_no_arguments(
        self, boss: Client, caller: Worker
    ) -> None:
        for number in range(150):
            make_task(f"photos.resize{number}", status="running", worker=caller)
            row = make_task(f"photos.resize{number}")
        for address in (reverse(LIST), f"{reverse(LIST)}?status=waiting&q=resize7", page(row)):
            with CaptureQueriesContext(connection) as queries:
                assert boss.get(address).status_code == 200
            assert len(queries) <= 15
            asked = [each["sql"] for each in queries]
            assert address == page(row) or not [sql for sql in asked if '"livesim_task"."args"' in sql]

    @pytest.mark.parametrize(
        ("fields", "advice"),
        [
            ({}, None),
            ({"queue": "heavy"}, "start one with --queues heavy"),
            ({"name": "photos.other"}, "install its app"),
            ({"name": "thumbnails", "kind": "message"}, None),
            ({"due_at": timezone.now() + timedelta(hours=1), "queue": "heavy"}, None),
            ({"status": "failed", "queue": "heavy"}, None),
        ],
    )
    def test_it_says_where_nobody_calls_what_is_due(
        self, boss: Client, caller: Worker, fields: dict[str, Any], advice: str | None
    ) -> None:
        make_task(**fields)
        text = text_of(look(boss))
        assert ("the oldest for" in text) == (advice is not None)
        assert advice is None or advice in text
        Worker.objects.all().delete()
        waits = fields.get("status") is None and "due_at" not in fields
        assert ("No worker calls tasks" in text_of(look(boss))) == waits


class TestActs:
    def test_those_that_wait_are_cancelled_and_the_others_left_out(
        self, boss: Client, django_user_model: type[User]
    ) -> None:
        waits, runs = make_task(), make_task("photos.other", status="running")
        answer = act(boss, "cancel_tasks", waits, runs)
        assert said(answer) == [
            "1 task was cancelled.",
            f"“photos.other #{runs.pk}” was left out: it is running.",
        ]
        assert (status(waits), status(runs)) == ("cancelled", "running")
        entry = LogEntry.objects.get()
        assert (entry.object_id, entry.get_change_message()) == (str(waits.pk), "Cancelled.")
        assert "Cancelled." in text_of(boss.get(reverse("admin:livesim_task_history", args=[waits.pk])))

    def test_those_that_failed_are_called_again_once_that_is_confirmed(
        self, boss: Client, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
    ) -> None:
        rung: list[bool] = []
        monkeypatch.setattr(
            "django_livesim.gateway.enqueuing.doorbells.ring_tasks", lambda: rung.append(True)
        )
        failed, cancelled, finished = (make_task(status=each) for each in ("failed", "cancelled", "finished"))
        asked = act(boss, "call_again", failed, cancelled, finished)
        assert "What they did before they failed may be done twice" in text_of(asked)
        assert [row.pk for row in asked.context["touched"]] == [cancelled.pk, failed.pk]
        assert "it is finished" in text_of(asked) and status(failed) == "failed"
        with django_capture_on_commit_callbacks(execute=True):
            answer = act(boss, "call_again", failed, cancelled, confirmed="1", narrowed="status=failed")
        assert said(answer) == ["2 tasks are called again."]
        assert answer.redirect_chain[0][0].endswith("?status=failed")
        assert (status(failed), status(cancelled), len(rung)) == ("waiting", "waiting", 1)
        assert {each.get_change_message() for each in LogEntry.objects.all()} == {"Called once more."}

    def test_only_those_that_are_over_are_deleted(self, boss: Client) -> None:
        made = {
            each: make_task(status=each) for each in ("waiting", "running", "finished", "failed", "cancelled")
        }
        asked = act(boss, "delete_selected", *made.values())
        assert "This cannot be undone" in text_of(asked) and Task.objects.count() == 5
        answer = act(boss, "delete_selected", *made.values(), confirmed="1")
        assert "3 tasks were deleted." in said(answer)
        assert set(Task.objects.all()) == {made["waiting"], made["running"]}
        assert LogEntry.objects.filter(action_flag=3).count() == 3

    def test_one_that_has_begun_meanwhile_is_left_out_and_not_in_the_history(
        self, boss: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = make_task()
        cancel = enqueuing.tasks.cancel

        def begins_first(pk: int) -> bool:
            Task.objects.filter(pk=pk).update(status="running")
            return cancel(pk)

        monkeypatch.setattr(enqueuing.tasks, "cancel", begins_first)
        answer = act(boss, "cancel_tasks", row)
        assert said(answer) == [f"“photos.resize #{row.pk}” was left out: it has changed meanwhile."]
        assert (status(row), LogEntry.objects.count()) == ("running", 0)

    def test_too_many_at_once_are_refused(self, boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("django_livesim.admin.tasks.AT_ONCE", 2)
        made = [make_task() for _ in range(3)]
        (told,) = said(act(boss, "cancel_tasks", *made))
        assert told.startswith("Choose at most 2 tasks at once")
        assert {status(each) for each in made} == {"waiting"}


def test_a_worker_says_which_tasks_it_calls(boss: Client, caller: Worker) -> None:
    assert "calls tasks, 1 of 4 at once now" in text_of(boss.get(reverse("admin:livesim_worker_changelist")))
    text = text_of(boss.get(reverse("admin:livesim_worker_change", args=[caller.pk])))
    assert "photos.resize, thumbnails" in text
