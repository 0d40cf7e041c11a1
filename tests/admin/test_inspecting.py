"""The look into a run."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_livesim import gateway
from django_livesim.admin import inspecting
from django_livesim.models import Checkpoint, Command, Run, Worker
from django_livesim.protocol import packed, plain
from django_livesim.protocol.names import ENDED, INSPECT, Kind, Status
from django_livesim.testing import wait_until, worker_in_process
from tests.admin.conftest import text_of, url

Make = Callable[..., Any]

OVER = {*ENDED, Status.QUARANTINED}
HOSTILE = '</script><script>alert("x")</script>'


def look(client: Client, run: Run, **query: str) -> Any:
    return client.get(url("inspect", run.pk), query)


def state_of(response: Any) -> Any:
    """What the script of the page is given."""
    found = re.search(r'<script id="livesim-whole"[^>]*>(.*?)</script>', response.content.decode(), re.S)
    assert found is not None
    return json.loads(found[1])


def store(run: Run, state: Any, tick: int = 12) -> None:
    data = orjson.dumps({"state": state, "random": None, "steps": 0})
    Checkpoint.objects.create(
        run=run, tick=tick, apply_seq=3, epoch=1, hash=plain.digest(data), data=packed.pack(data)
    )


@pytest.mark.django_db
class TestStored:
    def test_the_page_has_facts_parameters_state_and_commands(self, boss: Client, make: Make) -> None:
        run = make(params={"start": 4711}, tick=12, epoch=3, adoptions=2, strikes=1)
        store(run, {"value": 815})
        gateway.send(run, "add", {"n": 99})
        response = look(boss, run)
        text = text_of(response).replace("&quot;", '"')
        for each in (
            "Status waiting",
            "Tick 12",
            "tick 12, after command 3,",
            "Epoch 3",
            "Adoptions 2",
            "Strikes 1",
            '"start": 4711',
            '"value": 815',
            'add {"n": 99}',
            "No worker holds this run: what is shown was stored last.",
        ):
            assert each in text
        assert state_of(response) == {"value": {"value": 815}}

    def test_the_part_that_renews_itself_is_the_same_without_the_page(self, boss: Client, make: Make) -> None:
        run = make()
        store(run, {"value": 815})
        response = look(boss, run, part="now")
        assert response["Livesim-Fragment"] == "1"
        assert "<html" not in response.content.decode()
        assert state_of(response) == {"value": {"value": 815}}

    @pytest.mark.parametrize(("status", "live"), [(each, each not in OVER) for each in Status])
    def test_it_says_whether_there_is_more_to_come(
        self, boss: Client, make: Make, status: Status, live: bool
    ) -> None:
        content = look(boss, make(status=status), part="now").content.decode()
        assert f'data-live="{"true" if live else "false"}"' in content

    def test_a_run_that_has_stored_nothing_has_a_page(self, boss: Client, make: Make) -> None:
        assert "Nothing is stored yet." in text_of(look(boss, make()))

    def test_a_failed_run_shows_its_traceback(self, boss: Client, make: Make) -> None:
        run = make(status=Status.FAILED, error=f"Traceback: {HOSTILE}")
        response = look(boss, run)
        assert "Traceback:" in text_of(response)
        assert "<script>alert" not in response.content.decode()

    def test_markup_in_a_state_is_text(self, boss: Client, make: Make) -> None:
        run = make(name=HOSTILE, params={"start": 1})
        store(run, {HOSTILE: HOSTILE})
        response = look(boss, run)
        assert "<script>alert" not in response.content.decode()
        assert state_of(response) == {"value": {HOSTILE: HOSTILE}}

    def test_a_huge_state_is_cut_and_the_page_says_where_it_is_whole(self, boss: Client, make: Make) -> None:
        run = make()
        store(run, {str(number): "z" * 100 for number in range(50_000)})
        response = look(boss, run)
        assert len(response.content) < 100_000
        assert "value" not in state_of(response)
        assert f"python manage.py livesim inspect {run.pk}" in text_of(response)

    def test_it_takes_few_queries(self, boss: Client, make: Make) -> None:
        run = make()
        store(run, {"a": 1})
        for _ in range(30):
            gateway.send(run, "add")
        with CaptureQueriesContext(connection) as queries:
            look(boss, run)
            assert len(queries) <= 15, [each["sql"][:90] for each in queries]

    def test_a_look_is_not_in_the_history(self, boss: Client, make: Make) -> None:
        look(boss, make())
        assert not LogEntry.objects.exists()
        assert not Command.objects.exists()


@pytest.mark.django_db
class TestRights:
    @pytest.mark.parametrize(
        ("permissions", "status"),
        [
            (["view_run", "command_run", "control_run", "delete_run"], 403),
            (["view_run", "inspect_run"], 200),
            (["start_run"], 404),
        ],
    )
    def test_it_needs_the_right_to_inspect(
        self, person: Make, enter: Make, make: Make, permissions: list[str], status: int
    ) -> None:
        run = make()
        store(run, {"safe": 471147114711})
        response = look(enter(person("bob", *permissions)), run)
        assert response.status_code == status
        assert (b"471147114711" in response.content) is (status == 200)

    def test_an_owner_inspects_the_own_run(self, person: Make, enter: Make, make: Make) -> None:
        bob: User = person("bob", "start_run")
        assert look(enter(bob), make(owner=bob)).status_code == 200

    def test_nothing_is_posted_here(self, boss: Client, make: Make) -> None:
        assert boss.post(url("inspect", make().pk)).status_code == 405


class TestAsking:
    """Who is asked, and how often: no page piles questions up before a worker that does not answer."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """How long each inspection was ready to wait."""
        waits: list[float] = []
        real = gateway.inspect

        def inspect(*args: Any, timeout: float, **kwargs: Any) -> Any:
            waits.append(timeout)
            return real(*args, timeout=0, **kwargs)

        monkeypatch.setattr(gateway, "inspect", inspect)
        return waits

    @pytest.mark.django_db
    def test_a_worker_that_beats_is_asked(
        self, boss: Client, make: Make, now: datetime, worker: Worker, asked: list[float]
    ) -> None:
        text = text_of(look(boss, make(worker=worker, status=Status.RUNNING)))
        assert asked == [inspecting.PATIENCE]
        assert "mill:7 (alive), last beat 0 s ago" in text

    @pytest.mark.django_db
    def test_a_silent_worker_is_not_asked_and_the_page_says_so(
        self, boss: Client, make: Make, worker: Worker, asked: list[float]
    ) -> None:
        Worker.objects.update(beat_at=timezone.now() - timezone.timedelta(minutes=1))
        text = text_of(look(boss, make(worker=worker, status=Status.RUNNING)))
        assert asked == [0]
        assert "gave no sign of life lately" in text

    @pytest.mark.django_db
    def test_while_somebody_waits_for_the_answer_nobody_else_asks(
        self, boss: Client, make: Make, worker: Worker, asked: list[float]
    ) -> None:
        run = make(worker=worker, status=Status.RUNNING)
        Command.objects.create(
            run=run, kind=str(Kind.CONTROL), name=INSPECT, sender="u:9", client_id="x", body_hash=""
        )
        look(boss, run)
        assert asked == [0]

    @pytest.mark.django_db(transaction=True)
    def test_a_run_that_is_deleted_meanwhile_is_not_found(
        self, boss: Client, make: Make, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = make(worker=worker, status=Status.RUNNING)
        monkeypatch.setattr("django_livesim.gateway.looking.wait", lambda *args: gateway.delete(run))
        assert look(boss, run).status_code == 404

    @pytest.mark.django_db(transaction=True)
    def test_who_has_sent_too_many_commands_sees_what_was_stored(
        self, boss: Client, make: Make, worker: Worker, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "1/h"}}
        cache.clear()
        monkeypatch.setattr(inspecting, "PATIENCE", 0.05)
        run = make(worker=worker, status=Status.RUNNING, tick=50)
        store(run, {"value": 1}, tick=40)
        texts = [text_of(look(boss, run)) for _ in range(2)]
        assert ["did not answer in time" in text for text in texts] == [True, False]
        assert all("value" in text for text in texts)

    @pytest.mark.django_db(transaction=True)
    def test_an_unresponsive_worker_is_waited_for_a_moment_and_no_question_is_left(
        self, boss: Client, make: Make, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(inspecting, "PATIENCE", 0.2)
        run = make(worker=worker, status=Status.RUNNING, tick=50)
        store(run, {"value": 1}, tick=40)
        begun = time.monotonic()
        text = text_of(look(boss, run))
        assert 0.2 <= time.monotonic() - begun < 30
        assert "The worker did not answer in time: what is shown was stored at tick 40." in text
        assert not Command.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestWithAWorker:
    @pytest.fixture(autouse=True)
    def _patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker that answers may take its time, on a busy machine."""
        monkeypatch.setattr(inspecting, "PATIENCE", 30.0)

    def test_the_state_is_that_of_the_moment(self, boss: Client, make: Make) -> None:
        run = make(params={"start": 1000})
        with worker_in_process():
            wait_until(lambda: Run.objects.get(pk=run.pk).status == Status.RUNNING)
            first = look(boss, run, part="now")
            second = look(boss, run, part="now")
        assert state_of(first)["value"]["value"] >= 1000
        assert state_of(second)["value"]["value"] >= state_of(first)["value"]["value"]
        assert re.search(r"Late steps \d", text_of(first))
        assert "did not answer" not in text_of(first)

    def test_so_it_is_where_requests_are_transactions(
        self, boss: Client, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        run = make()
        with worker_in_process():
            wait_until(lambda: Run.objects.get(pk=run.pk).status == Status.RUNNING)
            assert "Late steps" in text_of(look(boss, run))


def with_nonce(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware that gives each request the nonce of a policy, as Django's and django-csp's do."""

    def respond(request: Any) -> Any:
        request.csp_nonce = "n0nce"
        return get_response(request)

    return respond


@pytest.mark.django_db
def test_its_scripts_and_styles_carry_the_nonce_of_a_policy(boss: Client, make: Make, settings: Any) -> None:
    settings.MIDDLEWARE = ["tests.admin.test_inspecting.with_nonce", *settings.MIDDLEWARE]
    tags = re.findall(r"<(?:script|link)[^>]*>", look(boss, make()).content.decode())
    ours = [tag for tag in tags if re.search(r"inspect\.js|htmx-2|admin_records\.css", tag)]
    assert len(ours) == 3
    assert all('nonce="n0nce"' in tag for tag in ours)
