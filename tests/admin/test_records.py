"""Commands, checkpoints and workers in the admin."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from benchmarks.filling import fill
from benchmarks.pages import clients, pages
from django_livesim import gateway
from django_livesim.admin import reading
from django_livesim.models import Checkpoint, Command, Run, Visibility, Worker
from django_livesim.permissions import Actor
from django_livesim.protocol import packed, plain
from tests.admin.conftest import text_of

pytestmark = pytest.mark.django_db

HOSTILE = '<script>alert("x")</script>'

Make = Callable[..., Any]


def listed(model: str, **query: Any) -> tuple[str, dict[str, Any]]:
    return reverse(f"admin:livesim_{model}_changelist"), query


def changed(model: str, pk: Any) -> str:
    return reverse(f"admin:livesim_{model}_change", args=[pk])


def rows(response: Any) -> list[Any]:
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def store(run: Run, state: Any, tick: int = 1, **fields: Any) -> Checkpoint:
    data = orjson.dumps({"state": state, "random": None, "steps": 0})
    given = {"apply_seq": 0, "epoch": 1, "hash": plain.digest(data), "data": packed.pack(data)} | fields
    row: Checkpoint = Checkpoint.objects.create(run=run, tick=tick, **given)
    return row


@pytest.fixture
def secret(make: Make) -> Command:
    """A command of a public run whose arguments and result say too much."""
    run = make(visibility=Visibility.PUBLIC)
    row = gateway.send(run, "decline", {"why": "the safe is 471147114711"})
    Command.objects.filter(pk=row.pk).update(outcome="applied", apply_tick=9, result={"code": 471247124712})
    return row


class TestNobodyChangesThem:
    @pytest.mark.parametrize("model", ["command", "checkpoint", "worker"])
    def test_there_is_no_adding_deleting_or_action(
        self, boss: Client, make: Make, worker: Worker, model: str
    ) -> None:
        run = make()
        made = {"command": gateway.send(run, "add"), "checkpoint": store(run, {}), "worker": worker}[model]
        assert boss.get(reverse(f"admin:livesim_{model}_add")).status_code == 403
        delete = reverse(f"admin:livesim_{model}_delete", args=[made.pk])
        assert boss.post(delete, {"post": "yes"}).status_code == 403
        assert boss.post(changed(model, made.pk), {"name": "other"}).status_code == 403
        page = boss.get(reverse(f"admin:livesim_{model}_changelist"))
        assert "delete_selected" not in page.content.decode()
        assert type(made).objects.filter(pk=made.pk).exists()


class TestRights:
    def test_a_permission_shows_the_rows_of_every_run(self, person: Make, enter: Make, make: Make) -> None:
        sent = gateway.send(make(), "add")
        for name in ("view_run", "command_run", "control_run", "delete_run"):
            client = enter(person(name, name))
            assert rows(client.get(*listed("command"))) == [sent]
            assert client.get(changed("command", sent.pk)).status_code == 200

    def test_without_one_there_are_the_rows_of_own_and_public_runs(
        self, person: Make, enter: Make, make: Make
    ) -> None:
        bob = person("bob", "start_run")
        own, public = make(owner=bob), make(visibility=Visibility.PUBLIC)
        others = make()
        mine, open_to_all, hidden = (gateway.send(run, "add") for run in (own, public, others))
        kept = store(others, {})
        client = enter(bob)
        assert rows(client.get(*listed("command"))) == [open_to_all, mine]
        assert rows(client.get(*listed("checkpoint"))) == []
        assert client.get(changed("command", hidden.pk), follow=True).redirect_chain
        assert client.get(changed("checkpoint", kept.pk), follow=True).redirect_chain
        narrowed = client.get(*listed("command", run__id__exact=str(others.pk)))
        assert rows(narrowed) == []
        assert narrowed.context.get("of_run") is None

    def test_to_be_of_the_staff_alone_gives_nothing(self, person: Make, enter: Make, make: Make) -> None:
        gateway.send(make(visibility=Visibility.PUBLIC), "add")
        client = enter(person("nobody"))
        for model in ("command", "checkpoint", "worker"):
            assert client.get(reverse(f"admin:livesim_{model}_changelist")).status_code == 403

    def test_workers_are_for_who_may_view_every_run(self, person: Make, enter: Make, worker: Worker) -> None:
        assert enter(person("ann", "view_run")).get(*listed("worker")).status_code == 200
        client = enter(person("bob", "start_run"))
        assert client.get(*listed("worker")).status_code == 403
        assert client.get(changed("worker", worker.pk)).status_code == 403

    def test_what_policy_hides_is_not_listed_and_not_shown(
        self, boss: Client, make: Make, settings: Any
    ) -> None:
        hidden = gateway.send(make(), "add")
        shown = gateway.send(make(name="open"), "add")
        settings.LIVESIM = {"POLICY": "tests.admin.test_records.only_open"}
        page = boss.get(*listed("command"))
        assert rows(page) == [shown]
        assert page.context["cl"].result_count == 1
        assert boss.get(changed("command", hidden.pk)).status_code == 403


def only_open(user: Any, action: str, run: Run, command: str | None) -> bool | None:
    return None if run.name == "open" else False


class TestLookups:
    @pytest.mark.parametrize(
        "lookup",
        [
            {"args__icontains": "471147114711"},
            {"result__icontains": "471247124712"},
            {"message__contains": "safe"},
            {"sender__regex": "(x+x+)+y"},
            {"run__link_token__startswith": "a"},
            {"run__params__icontains": "7"},
            {"created_at__year": "2026"},
        ],
    )
    def test_a_list_of_commands_takes_none_that_it_does_not_offer(
        self, person: Make, enter: Make, secret: Command, lookup: dict[str, str]
    ) -> None:
        assert enter(person("ann", "view_run")).get(*listed("command", **lookup)).status_code == 400

    def test_nor_do_those_of_checkpoints_and_workers(
        self, person: Make, enter: Make, make: Make, worker: Worker
    ) -> None:
        client = enter(person("ann", "view_run"))
        assert client.get(*listed("checkpoint", hash__startswith="a")).status_code == 400
        assert client.get(*listed("worker", runs__params__icontains="7")).status_code == 400
        assert rows(client.get(*listed("worker", state__exact="alive"))) == [worker]


class TestArguments:
    @pytest.mark.parametrize("page", ["list", "change"])
    def test_they_and_the_result_are_for_who_may_inspect(
        self, person: Make, enter: Make, secret: Command, page: str
    ) -> None:
        address = changed("command", secret.pk) if page == "change" else listed("command")[0]
        without = text_of(enter(person("ann", "view_run", "control_run")).get(address))
        assert "471147114711" not in without and "471247124712" not in without
        assert "\N{EN DASH}" in without
        assert "471147114711" in text_of(enter(person("bob", "view_run", "inspect_run")).get(address))

    def test_the_owner_sees_them(self, owner: User, person: Make, enter: Make, secret: Command) -> None:
        owner.user_permissions.add(*person("some", "start_run").user_permissions.all())
        text = text_of(enter(owner).get(changed("command", secret.pk)))
        assert "the safe is 471147114711" in text and "471247124712" in text

    def test_who_sent_a_command_sees_its_own(self, person: Make, enter: Make, make: Make) -> None:
        ann = person("ann", "command_run")
        sent = gateway.send(make(), "add", {"n": 815181518151}, actor=Actor.from_user(ann))
        assert "815181518151" in text_of(enter(ann).get(changed("command", sent.pk)))

    def test_markup_in_them_is_text(self, boss: Client, make: Make) -> None:
        sent = gateway.send(make(name=HOSTILE), "decline", {"why": HOSTILE})
        Command.objects.filter(pk=sent.pk).update(outcome="refused", message=HOSTILE, result=[HOSTILE])
        for address in (listed("command")[0], changed("command", sent.pk)):
            assert "<script>alert" not in boss.get(address).content.decode()

    def test_long_ones_are_cut_in_the_list(self, boss: Client, make: Make) -> None:
        sent = gateway.send(make(), "decline", {"why": "y" * 5000})
        assert "y" * 81 not in text_of(boss.get(*listed("command")))
        assert "y" * 5000 in text_of(boss.get(changed("command", sent.pk)))


class TestNarrowing:
    def test_the_commands_of_one_run_say_so_and_lead_back(self, boss: Client, make: Make) -> None:
        run = make(name="mine")
        sent = gateway.send(run, "add")
        gateway.send(make(), "add")
        response = boss.get(*listed("command", run__id__exact=str(run.pk)))
        assert rows(response) == [sent]
        assert "Commands of run mine" in text_of(response)
        assert changed("run", run.pk) in response.content.decode()

    @pytest.mark.parametrize("wrong", ["no-uuid", "\0"])
    def test_a_wrong_run_leads_to_the_whole_list(self, boss: Client, make: Make, wrong: str) -> None:
        gateway.send(make(), "add")
        response = boss.get(*listed("command", run__id__exact=wrong), follow=True)
        assert response.status_code == 200

    def test_kind_and_outcome(self, boss: Client, make: Make) -> None:
        run = make()
        waits, applied, refused = (gateway.send(run, "add") for _ in range(3))
        Command.objects.filter(pk=applied.pk).update(outcome="applied")
        Command.objects.filter(pk=refused.pk).update(outcome="refused")
        control = gateway.pause(run)
        assert rows(boss.get(*listed("command", kind="control"))) == [control]
        assert rows(boss.get(*listed("command", kind="command"))) == [refused, applied, waits]
        assert rows(boss.get(*listed("command", outcome="waiting"))) == [waits]
        assert rows(boss.get(*listed("command", outcome="refused"))) == [refused]
        assert rows(boss.get(*listed("command", outcome="applied", kind="command"))) == [applied]

    def test_a_command_is_found_by_its_number_and_those_of_a_run_by_its_uuid(
        self, boss: Client, make: Make
    ) -> None:
        run = make()
        sent = gateway.send(run, "add")
        gateway.send(make(), "add")
        assert rows(boss.get(*listed("command", q=str(sent.pk)))) == [sent]
        assert rows(boss.get(*listed("command", q=str(run.pk)))) == [sent]
        assert rows(boss.get(*listed("command", q="9" * 40))) == []

    def test_names_and_ids_are_looked_for_within_a_run_only(self, boss: Client, make: Make) -> None:
        run = make()
        first = gateway.send(run, "add", id="one")
        second = gateway.send(run, "decline", id="two")
        of_run = {"run__id__exact": str(run.pk)}
        assert rows(boss.get(*listed("command", q="decline", **of_run))) == [second]
        assert rows(boss.get(*listed("command", q="one", **of_run))) == [first]
        response = boss.get(*listed("command", q="decline"))
        assert rows(response) == []
        assert "Without a run, commands are found by their number" in text_of(response)

    def test_another_order_is_not_to_be_had(self, boss: Client, make: Make) -> None:
        run = make()
        sent = [gateway.send(run, name) for name in ("add", "decline", "add")]
        assert rows(boss.get(*listed("command", o="4.1"))) == sent[::-1]


class TestPages:
    def test_a_list_counts_no_further_than_it_pages_and_leads_on_to_older_rows(
        self, boss: Client, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "COUNTED", 200)
        run = make()
        sent = [gateway.send(run, "add") for _ in range(205)][::-1]
        first = boss.get(*listed("command"))
        assert first.context["cl"].result_count == 200
        assert "There are more than 200; these pages show the newest of them" in text_of(first)
        last = boss.get(*listed("command", p="2"))
        assert rows(last) == sent[100:200]
        assert "Go on to older ones" in text_of(last)
        older = boss.get(listed("command")[0] + last.context["cl"].older)
        assert rows(older) == sent[200:]
        assert "5 commands" in text_of(older)

    def test_the_older_rows_of_a_run_are_of_that_run(
        self, boss: Client, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "COUNTED", 101)
        run, other = make(), make()
        sent = [gateway.send(each, "add") for _ in range(103) for each in (run, other)]
        last = boss.get(*listed("command", run__id__exact=str(run.pk), p="2"))
        assert rows(last) == [sent[4]]
        older = boss.get(listed("command")[0] + last.context["cl"].older)
        assert rows(older) == [sent[2], sent[0]]

    def test_each_page_takes_at_most_fifteen_queries_with_thousands_of_rows(self) -> None:
        heavy = fill(300, 6_000, 900)
        boss, owner = clients()
        over = {}
        for name, address in pages(heavy).items():
            client = owner if name.startswith("owner") else boss
            with CaptureQueriesContext(connection) as queries:
                assert client.get(address).status_code == 200, address
                count = len(queries)
            if count > 15:
                over[name] = [each["sql"][:100] for each in queries]
        assert over == {}


class TestCheckpoints:
    def test_no_list_loads_what_is_stored(self, boss: Client, make: Make) -> None:
        kept = store(make(), {"a": "b" * 5000})
        with CaptureQueriesContext(connection) as queries:
            response = boss.get(*listed("checkpoint"))
            asked = [each["sql"] for each in queries]
        assert not [sql for sql in asked if '"data",' in sql or '"views",' in sql]
        text = text_of(response)
        assert kept.hash[:12] in text and "KB" in text

    def test_the_state_is_for_who_may_inspect(self, person: Make, enter: Make, make: Make) -> None:
        kept = store(make(), {"safe": 471147114711}, tick=77)
        without = text_of(enter(person("ann", "view_run")).get(changed("checkpoint", kept.pk)))
        assert "471147114711" not in without and "77" in without and kept.hash in without
        assert '"safe": 471147114711' in text_of(
            enter(person("bob", "view_run", "inspect_run")).get(changed("checkpoint", kept.pk))
        ).replace("&quot;", '"')

    def test_a_large_state_is_cut(self, boss: Client, make: Make) -> None:
        kept = store(make(), {str(number): "z" * 50 for number in range(50_000)})
        response = boss.get(changed("checkpoint", kept.pk))
        assert len(response.content) < 100_000
        assert "zzz" in text_of(response)

    @pytest.mark.parametrize(
        ("data", "says"), [(b"", "damaged"), (packed.pack(b""), "playing its commands again")]
    )
    def test_what_cannot_be_shown_says_why(self, boss: Client, make: Make, data: bytes, says: str) -> None:
        kept = store(make(), {}, data=data)
        assert says in text_of(boss.get(changed("checkpoint", kept.pk)))


class TestWorkers:
    def test_a_row_has_load_age_and_runs(
        self, boss: Client, make: Make, worker: Worker, now: datetime
    ) -> None:
        make(worker=worker, status="running")
        ago = now - timedelta(seconds=7)
        load = {"cpu": 0.25, "memory": 50 * 2**20, "peak": 60 * 2**20, "late": 0.0031, "version": "0.1.0"}
        Worker.objects.filter(pk=worker.pk).update(beat_at=ago, load=load, queues=["default", "slow"])
        text = text_of(boss.get(*listed("worker")))
        told = "25 % of one core, 50.0 MB of memory, 60.0 MB at most, 99 of 100 ticks at most 3.1 ms late"
        assert f"mill:7 alive default, slow 1 {told}" in text.replace("\xa0", " ")
        assert "7 s ago" in text
        assert "No worker is alive" not in text

    def test_a_worker_names_those_runs_first_that_cost_most_and_what_they_cost(
        self, boss: Client, make: Make, worker: Worker
    ) -> None:
        cheap, dear, _untold = (make(name=name, worker=worker) for name in ("cheap", "dear", "untold"))
        loads = {cheap.pk.hex: [0.004, 0, 0.0, 2048, 0.0002], dear.pk.hex: [0.31, 7, 1.5, 0, 0.0113]}
        Worker.objects.update(load={"each": loads, "stepping": {dear.pk.hex: 14.2}})
        text = (
            text_of(boss.get(changed("worker", worker.pk))).replace("\xa0", " ").replace("\N{EN DASH}", "-")
        )
        assert "dear 31 % 11.3 ms at most 1.5 s; 7 ticks passed over - stepping for 14 s" in text
        assert "cheap 0.4 % 200 µs no 2.0 KB" in text
        assert "untold - - - -" in text
        assert text.index("dear 31") < text.index("cheap 0.4") < text.index("untold -")

    def test_a_worker_names_the_runs_that_it_holds(self, boss: Client, make: Make, worker: Worker) -> None:
        run = make(name="held", worker=worker, status="running")
        response = boss.get(changed("worker", worker.pk))
        assert changed("run", run.pk) in response.content.decode()
        assert f"?worker__id__exact={worker.pk}" in response.content.decode()

    def test_a_worker_names_no_run_that_policy_hides(
        self, boss: Client, make: Make, worker: Worker, settings: Any
    ) -> None:
        make(name="secret", worker=worker)
        make(name="open", worker=worker)
        settings.LIVESIM = {"POLICY": "tests.admin.test_records.only_open"}
        text = text_of(boss.get(changed("worker", worker.pk)))
        assert "open" in text and "secret" not in text

    def test_the_link_of_its_runs_leads_to_them(self, boss: Client, make: Make, worker: Worker) -> None:
        run = make(worker=worker, status="running")
        make()
        assert rows(boss.get(*listed("run", worker__id__exact=str(worker.pk)))) == [run]

    def test_where_none_is_alive_the_list_says_how_to_start_one(self, boss: Client, worker: Worker) -> None:
        Worker.objects.update(state=Worker.State.GONE)
        assert "python manage.py livesim_worker" in text_of(boss.get(*listed("worker")))


@pytest.mark.parametrize("page", ["list", "record", "inspect"])
def test_a_sender_is_told_by_name_with_one_query_and_the_id_as_title(
    page: str, boss: Client, make: Make, person: Callable[..., User]
) -> None:
    people = [person(name) for name in ("carol", "<b>bob</b>")]
    run = make()
    sent = [gateway.send(run, "add", {"n": 1}, actor=Actor.from_user(user)) for user in [run.owner] * 2]
    for row, user in zip(sent, people, strict=True):
        Command.objects.filter(pk=row.pk).update(sender=f"u:{user.pk}")
    for number, sender in enumerate(["u:999999", "u:none", "p:server"]):
        Command.objects.create(run=run, name="add", sender=sender, client_id=f"{number}", body_hash="x")
    addresses = {
        "list": reverse("admin:livesim_command_changelist"),
        "record": changed("command", sent[1].pk),
        "inspect": reverse("admin:livesim_run_inspect", args=[run.pk]),
    }
    with CaptureQueriesContext(connection) as queries:
        text = boss.get(addresses[page]).content.decode()
    assert f'<span title="u:{people[1].pk}">&lt;b&gt;bob&lt;/b&gt;</span>' in text
    if page != "record":
        assert f'<span title="u:{people[0].pk}">carol</span>' in text
        assert all(sender in text for sender in ("u:999999", "u:none", "p:server"))
    asked = [each["sql"] for each in queries if "auth_user" in each["sql"] and " IN (" in each["sql"]]
    assert len([sql for sql in asked if str(people[1].pk) in sql]) == 1
