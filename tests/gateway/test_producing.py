"""Runs that a program of the host's own produces: what it may tell, what becomes of it, who may do what."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.models import F
from django.test import Client

from django_livesim import (
    LivesimError,
    RegistrationError,
    Simulation,
    apublish_state,
    conf,
    gateway,
    publish_state,
    register,
    signals,
)
from django_livesim.bus import doorbells, local
from django_livesim.gateway import committing, controls, examining
from django_livesim.models import Checkpoint, Command, Run, Worker
from django_livesim.permissions import Actor, level
from django_livesim.protocol.names import Status
from django_livesim.store import claiming, identity, leases, looking, transitions
from django_livesim.store.unclaimed import Unclaimed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada() -> Any:
    return get_user_model().objects.create_superuser("ada", password="x")


@pytest.fixture
def eve() -> Any:
    return get_user_model().objects.create_user("eve", password="x")


@pytest.fixture
def listen() -> Iterator[Callable[[Run], list[dict[str, Any]]]]:
    """`listen(run)` gives the list of what viewers of this process are told from now on."""
    ends: list[Callable[[], None]] = []

    def begin(run: Run) -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []
        ends.append(local.subscribe(run.group_name, heard.append))
        return heard

    yield begin
    for end in ends:
        end()


def refusal(*args: Any, **kwargs: Any) -> LivesimError:
    with pytest.raises(LivesimError) as caught:
        publish_state(*args, **kwargs)
    return caught.value


def row_of(run: Run) -> dict[str, Any]:
    """All that is stored of it."""
    found = Run.objects.filter(id=run.id).values().get()
    return found | {"states": list(Checkpoint.objects.filter(run=run.id).values_list("tick", "hash"))}


def state_of(run: Run) -> Any:
    return gateway.inspect(run)["state"]


# -- what is told --------------------------------------------------------------------------------


def test_the_first_call_makes_a_run_and_later_ones_tell_more_of_it(ada):
    first = publish_state(
        "import", progress=0.25, state={"rows": 1}, text="reading", owner=ada, name="Import"
    )
    second = publish_state("import", progress=0.5, state={"rows": 2}, text="writing")
    assert first.id == second.id and Run.objects.count() == 1
    row = Run.objects.get()
    assert (row.simulation, row.source, row.key, row.name) == ("external", "external", "import", "Import")
    assert (row.status, row.tick, row.epoch, row.progress) == ("running", 2, 1, 0.5)
    assert (row.reason, row.owner, row.visibility, row.worker) == ("writing", ada, "private", None)
    assert row.started_at and not row.ended_at
    assert state_of(row) == {"rows": 2}
    assert {name: getattr(second, name) for name in ("status", "tick", "progress", "reason")} == {
        name: getattr(row, name) for name in ("status", "tick", "progress", "reason")
    }


def test_of_many_states_the_newest_alone_is_stored():
    for n in range(5):
        run = publish_state("import", state={"n": n})
    assert Checkpoint.objects.filter(run=run).values_list("tick", flat=True).get() == 5


def test_what_is_not_told_stays_but_for_the_text():
    publish_state("import", progress=0.5, state={"n": 1}, text="reading")
    row = publish_state("import")
    assert (row.tick, row.progress, row.reason, state_of(row)) == (2, 0.5, "", {"n": 1})


def test_one_that_waits_has_not_begun_and_one_that_is_tried_again_began_long_ago():
    waiting = publish_state("import", status="waiting")
    assert waiting.started_at is None
    began = publish_state("import").started_at
    assert began and publish_state("import", status="waiting", text="again in 5 s").started_at == began


@pytest.mark.parametrize("status", ["finished", "failed", "stopped"])
def test_an_end_is_final(status):
    run = publish_state("import", status=status, state={"n": 1}, result=[1, {"a": None}], error="Traceback")
    before = row_of(run)
    assert (run.status, run.result, run.error) == (status, [1, {"a": None}], "Traceback")
    assert run.ended_at and run.started_at
    for again in ("running", "finished", "failed"):
        assert refusal("import", status=again, state={"n": 2}, progress=1).code == "run_ended"
    assert row_of(run) == before


def test_one_that_finishes_is_done_whatever_it_told_last():
    publish_state("import", progress=0.97)
    assert publish_state("import", status="finished").progress == 1.0
    assert publish_state("other", status="finished").progress is None


BAD: list[tuple[dict[str, Any], str]] = [
    ({"status": "paused"}, "status is one of waiting, running, finished, failed, stopped; got 'paused'."),
    ({"status": None}, "status is one of"),
    ({"progress": 1.01}, "progress is a number from 0 to 1, or None; got 1.01."),
    ({"progress": -0.1}, "progress is a number"),
    ({"progress": math.nan}, "progress is a number"),
    ({"progress": True}, "progress is a number"),
    ({"progress": "0.5"}, "progress is a number"),
    ({"progress": 0.4}, "progress is 0.5 already, and never goes back; got 0.4."),
    ({"text": 3}, "text is a text; got int."),
    ({"error": 3, "status": "failed"}, "error is a text; got int."),
    ({"result": 1}, "A result or an error comes with the end"),
    ({"error": "no"}, "A result or an error comes with the end"),
    ({"name": "n" * 201}, "A name is at most 200 characters"),
    ({"name": "a\0b"}, "A name is at most 200 characters"),
    ({"visibility": "everybody"}, "visibility is one of"),
    ({"owner": object()}, "owner is a user who has a row, or None; got object."),
]


@pytest.mark.parametrize(("given", "text"), BAD)
def test_what_cannot_be_is_refused_and_changes_nothing(given, text):
    run = publish_state("import", progress=0.5, state={"n": 1})
    before = row_of(run)
    problem = refusal("import", **given)
    assert problem.code == "bad_args" and problem.message.startswith(text), problem.message
    assert row_of(run) == before


@pytest.mark.parametrize(
    "given", [{"state": {1: 2}}, {"state": [1]}, {"state": {"a": {1, 2}}}, {"state": "a"}]
)
def test_a_state_that_is_no_plain_dict_is_refused(given):
    run = publish_state("import", state={"n": 1})
    before = row_of(run)
    assert refusal("import", **given).code == "bad_state"
    assert row_of(run) == before


def test_a_result_that_the_database_cannot_store_is_refused():
    run = publish_state("import")
    before = row_of(run)
    assert refusal("import", status="finished", result="a\0b").code == "error"
    assert refusal("import", status="finished", result=object()).code == "bad_state"
    assert row_of(run) == before


def test_a_state_is_no_larger_than_any_runs(settings):
    settings.LIVESIM = {"MAX_STATE_BYTES": 1024}
    publish_state("import", state={"text": "x" * 1000})
    problem = refusal("import", state={"text": "x" * 1024})
    assert (problem.code, "MAX_STATE_BYTES = 1024" in problem.message) == ("bad_state", True)


def test_a_result_is_no_larger_than_any_runs_state_and_of_an_error_the_end_is_kept(settings):
    settings.LIVESIM = {"MAX_STATE_BYTES": 1024}
    run = publish_state("import")
    before = row_of(run)
    problem = refusal("import", status="finished", result="x" * 1024)
    assert (problem.code, "The result takes 1026 bytes" in problem.message) == ("bad_state", True)
    assert row_of(run) == before
    row = publish_state("import", status="failed", result="x" * 1022, error="\0" * 30_000 + "the end")
    row.refresh_from_db()
    assert (len(row.error), row.error[-11:]) == (20_000, "\\x00the end")


def test_texts_that_no_column_takes_are_written_so_that_it_does():
    row = publish_state("import", status="failed", text="\0" + "x" * 600, error="a\0\ud800b")
    row.refresh_from_db()
    assert (len(row.reason), row.reason[:5], row.error) == (500, "\\x00x", "a\\x00\\ud800b")


@pytest.mark.parametrize("key", ["", "k" * 201, "a\nb", "a\0b", "a\x7fb", "a\x85b", "\ud800", None, 7])
def test_a_key_is_a_text_without_control_characters(key):
    assert refusal(key).code == "bad_args"
    assert not Run.objects.exists()


@pytest.mark.parametrize("key", ["k", "k" * 200, "Größe / 7 🐸", "livesim.run.x", "a:b", "../x"])
def test_any_other_text_is_a_key_and_is_in_no_channels_name(key):
    run = publish_state(key)
    assert run.key == key
    assert run.group_name == f"livesim.run.{run.id.hex}.all"


def test_it_is_part_of_the_callers_transaction_and_told_after_that(listen):
    run = publish_state("import", progress=0.1)
    before, heard = row_of(run), listen(run)
    with transaction.atomic():
        publish_state("import", progress=0.5, state={"n": 2})
        transaction.set_rollback(True)
    assert (row_of(run), heard) == (before, [])
    with transaction.atomic():
        publish_state("import", progress=0.5, state={"n": 2})
        assert not heard
    assert [each["type"] for each in heard] == ["livesim.lane", "livesim.frame"]


def test_a_channel_layer_that_cannot_be_made_is_logged_and_keeps_nothing_from_being_told(settings, caplog):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "no.such.Layer"}}
    after: list[str] = []
    with transaction.atomic():
        run = publish_state("import", status="finished", result=7)
        transaction.on_commit(lambda: after.append("a later hook"))
    assert (run.result, row_of(run)["result"], after) == (7, 7, ["a later hook"])
    assert "no.such.Layer" in caplog.text


@pytest.mark.parametrize(
    ("what", "ask"),
    [
        (doorbells, lambda run: committing.ring(run)),
        (transitions, lambda run: transitions.tell_on_commit(an_end_of(run))),
    ],
)
def test_what_fails_after_the_commit_is_logged_and_later_hooks_are_called(monkeypatch, caplog, what, ask):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("can't start new thread")

    run = publish_state("import")
    monkeypatch.setattr(what, "ring" if what is doorbells else "log", fail)
    after: list[str] = []
    with transaction.atomic():
        ask(run)
        transaction.on_commit(lambda: after.append("a later hook"))
    assert after == ["a later hook"]
    assert "can't start new thread" in caplog.text


def an_end_of(run: Run) -> transitions.Transition:
    return transitions.Transition(run=run.id, epoch=run.epoch, previous=Status.RUNNING, status=Status.STOPPED)


def test_what_viewers_are_told_is_numbered_by_the_tick(listen):
    run = publish_state("import")
    heard = listen(run)
    publish_state("import", progress=0.5, state={"n": 2}, text="reading")
    publish_state("import", status="finished", result=7)
    said = [(each.get("kind", "frame"), each["epoch"], each["tick"]) for each in heard]
    assert said == [("status", 1, 2), ("frame", 1, 2), ("status", 1, 3), ("end", 1, 3)]
    texts = [json.loads(each["text"]) for each in heard]
    assert (texts[0]["status"], texts[0]["progress"], texts[0]["reason"]) == ("running", 0.5, "reading")
    assert (texts[1]["seq"], texts[1]["state"]) == (2, {"n": 2})
    assert (texts[3]["status"], texts[3]["result"]) == ("finished", 7)


def test_coroutines_have_a_twin():
    run = async_to_sync(apublish_state)("import", state={"n": 1}, progress=0.5)
    assert (run.tick, run.progress, state_of(run)) == (1, 0.5, {"n": 1})
    with pytest.raises(LivesimError, match="never goes back"):
        async_to_sync(apublish_state)("import", progress=0.1)


def test_receivers_are_told_of_its_begin_and_its_end_once():
    heard: list[str] = []

    def started(run: Run, **kwargs: Any) -> None:
        heard.append(f"started {run.status}")

    def finished(run: Run, **kwargs: Any) -> None:
        heard.append(f"finished {run.result}")

    signals.run_started.connect(started)
    signals.run_finished.connect(finished)
    try:
        publish_state("import", status="waiting")
        publish_state("import")
        publish_state("import", text="on")
        publish_state("import", status="finished", result=3)
    finally:
        signals.run_started.disconnect(started)
        signals.run_finished.disconnect(finished)
    assert heard == ["started running", "finished 3"]


def test_after_it_was_deleted_the_key_begins_another():
    first = publish_state("import", status="finished")
    gateway.delete(first)
    second = publish_state("import")
    assert (second.tick, second.id != first.id) == (1, True)


# -- whose it is ---------------------------------------------------------------------------------


def test_it_is_its_owners_and_no_other_can_be_named(ada, eve):
    run = publish_state("import", owner=eve)
    before = row_of(run)
    assert refusal("import", owner=ada).code == "forbidden"
    assert row_of(run) == before
    assert publish_state("import", owner=eve).owner_id == publish_state("import").owner_id == eve.pk
    nobodys = publish_state("other")
    assert refusal("other", owner=eve).code == "forbidden"
    nobodys.refresh_from_db()
    assert nobodys.owner is None


def test_who_may_see_it_is_as_for_any_run(eve):
    bob = get_user_model().objects.create_user("bob", password="x")
    private = publish_state("private", owner=eve)
    public = publish_state("public", owner=eve, visibility="public")
    link = publish_state("link", owner=eve, visibility="link")
    client = Client()
    client.force_login(bob)
    codes = [client.get(run.get_absolute_url()).status_code for run in (private, public, link)]
    assert codes == [404, 200, 404]
    assert client.get(f"{link.get_absolute_url()}?key={link.link_token}").status_code == 200
    assert list(gateway.runs(Actor.from_user(bob))) == [public]
    assert level(Actor.from_user(eve), private).name == "DELETE"
    client.post(f"{public.get_absolute_url()}control/stop/", {"livesim_id": "a", "confirmed": "1"})
    with pytest.raises(LivesimError, match="right to control"):
        gateway.stop(public, user=bob)
    public.refresh_from_db()
    assert public.status == "running"


# -- what others ask of it -----------------------------------------------------------------------


def test_it_is_asked_to_stop_and_hears_of_that_from_its_next_call(listen):
    run = publish_state("import", text="reading", progress=0.1)
    asked = gateway.stop(run, id="once")
    assert (asked.outcome, asked.apply_tick) == ("applied", 1)
    assert gateway.stop(run, id="once").pk == asked.pk
    heard = listen(run)
    row = publish_state("import", progress=0.2)
    assert (row.status, row.reason, row.progress) == ("stopping", "it was asked to stop", 0.2)
    assert json.loads(heard[0]["text"])["status"] == "stopping"
    row = publish_state("import", status="stopped", text="told to")
    assert (row.status, row.reason, row.epoch) == ("stopped", "told to", 1)


def test_one_that_was_asked_to_stop_may_come_to_its_end():
    gateway.stop(publish_state("import"))
    assert publish_state("import", status="finished", result=1).status == "finished"


def pass_lease_ttl(run: Run) -> None:
    """As if all that was asked so far had been asked that much earlier."""
    ttl = timedelta(seconds=conf.settings.LEASE_TTL)
    Command.objects.filter(run=run).update(applied_at=F("applied_at") - ttl)


def test_one_whose_producer_is_silent_is_stopped_by_a_second_asking():
    run = publish_state("import")
    gateway.stop(run)
    pass_lease_ttl(run)
    assert gateway.stop(run).outcome == "applied"
    run.refresh_from_db()
    assert (run.status, run.reason) == ("stopped", "stopped without its producer")
    assert run.ended_at
    assert refusal("import").code == "run_ended"


def test_two_who_ask_it_to_stop_at_once_do_not_take_its_end_from_a_producer_that_lives():
    run = publish_state("import")
    gateway.stop(run)
    before = row_of(run)
    asked = gateway.stop(run)
    assert (asked.outcome, asked.code, row_of(run)) == ("refused", "refused", before)
    assert "tells nothing for 10 seconds, another stop ends the run" in asked.message
    row = publish_state("import", status="finished", result={"rows": 7})
    assert (row.status, row.result) == ("finished", {"rows": 7})


def test_a_producer_that_tells_more_is_alive_until_it_is_silent_after_another_asking():
    run = publish_state("import")
    gateway.stop(run)
    publish_state("import", progress=0.5)
    pass_lease_ttl(run)
    assert [gateway.stop(run).outcome for _ in range(2)] == ["refused", "refused"]
    pass_lease_ttl(run)
    assert gateway.stop(run).outcome == "applied"
    run.refresh_from_db()
    assert run.status == "stopped"


def test_what_is_told_while_somebody_asks_again_is_not_overlooked(monkeypatch):
    run = publish_state("import")
    gateway.stop(run)
    pass_lease_ttl(run)
    stale = Run.objects.get(id=run.id)
    publish_state("import")
    monkeypatch.setattr(controls, "get", lambda *args, **kwargs: stale)
    assert gateway.stop(run).outcome == "refused"


@pytest.mark.parametrize("verb", ["pause", "resume", "step", "speed", "restart"])
def test_nothing_else_is_asked_of_it(verb):
    run = publish_state("import")
    before = row_of(run)
    with pytest.raises(LivesimError) as caught:
        gateway.control(run, verb, {"x": 2} if verb == "speed" else {})
    assert (caught.value.code, "it can be asked to stop" in caught.value.message) == ("refused", True)
    assert (row_of(run), Command.objects.count()) == (before, 0)


@pytest.mark.parametrize("verb", ["stop", "resume", "restart"])
def test_one_that_has_ended_is_not_gone_on_with(verb):
    run = publish_state("import", status="stopped")
    with pytest.raises(LivesimError) as caught:
        gateway.control(run, verb)
    assert caught.value.code == "run_ended"
    assert Run.objects.count() == 1


def test_it_takes_no_commands():
    run = publish_state("import")
    with pytest.raises(LivesimError) as caught:
        gateway.send(run, "add", {"n": 1})
    assert (caught.value.code, "takes no commands" in caught.value.message) == ("unknown_command", True)
    with pytest.raises(LivesimError) as caught:
        async_to_sync(gateway.asend)(run, "add", {"n": 1})
    assert caught.value.code == "unknown_command"


# -- a simulation that nobody has registered -----------------------------------------------------


def test_no_simulation_of_an_authors_is_called_as_these_are():
    with pytest.raises(RegistrationError, match="'external' is that of runs which publish_state produces"):

        @register(name="external")
        class Own(Simulation):
            def step(self, dt: float) -> None: ...


STATUSES = ["waiting", "running", "stopping", "finished", "failed", "stopped"]


@pytest.fixture(params=STATUSES)
def produced(request: pytest.FixtureRequest, ada: Any) -> Run:
    status = request.param
    told = {} if status in ("running", "stopping", "waiting") else {"result": {"a": 1}, "error": "Traceback"}
    publish_state("import", status="waiting", owner=ada, visibility="public")
    named = "running" if status == "stopping" else status
    run = publish_state("import", status=named, state={"n": 1}, progress=0.5, text="here", **told)
    if status == "stopping":
        gateway.stop(run)
    run.refresh_from_db()
    assert run.status == status
    return run


def test_its_pages_show_it_and_offer_what_can_be_asked(produced, client, ada):
    client.force_login(ada)
    page = client.get(produced.get_absolute_url()).content.decode()
    assert "control/stop/" in page
    for verb in ("pause", "resume", "step", "speed", "restart"):
        assert f"control/{verb}/" not in page
    assert "not installed" not in page and "attach" not in page and "worker is running" not in page
    assert "it takes no commands" in page
    assert ("asked to stop" in page) == (produced.status == "stopping")
    for part in ("facts", "scheduled"):
        assert client.get(produced.get_absolute_url(), {"part": part}).status_code == 200
    listed = client.get("/livesim/").content.decode()
    assert "external" in listed and "worker is running" not in listed
    by_key = client.get("/livesim/external/import/")
    assert by_key.headers["location"] == produced.get_absolute_url()
    assert Client().get(produced.get_absolute_url()).status_code == 200


def test_the_admin_shows_it(produced, client, ada):
    client.force_login(ada)
    for address in ("", f"{produced.pk}/change/", f"{produced.pk}/inspect/", f"{produced.pk}/send/"):
        assert client.get(f"/admin/livesim/run/{address}").status_code == 200, address
    for act in ("start", "pause", "resume", "stop", "restart", "release"):
        client.post(f"/admin/livesim/run/{produced.pk}/act/{act}/", {"livesim_id": act, "confirmed": "1"})
    left = Run.objects.get()
    assert left.simulation == "external" and left.status in (produced.status, "stopping")


def livesim(*arguments: str) -> str:
    """What the command prints; that it has found something wrong is no matter here."""
    out = StringIO()
    with contextlib.suppress(CommandError):
        call_command("livesim", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_command_line_shows_it(produced):
    for arguments in ([], ["n=1"]):
        with pytest.raises(CommandError, match=r"^unknown_command: .* it takes no commands"):
            call_command("livesim", "send", "external:import", "hire", *arguments)
    for command in (["list"], ["list", "--json"], ["inspect", "external:import"]):
        assert "external" in livesim(*command)
    if produced.ended:
        assert produced.status in livesim("watch", "external:import")


def test_doctor_and_health_have_nothing_to_say_of_any(client):
    runs = [publish_state("waiting", status="waiting"), publish_state("going"), publish_state("asked")]
    gateway.stop(runs[-1])
    runs.append(publish_state("failed", status="failed", error="Traceback"))
    told = livesim("doctor")
    assert "none waits for a worker" in told
    assert "external" not in told and not [run for run in runs if run.pk.hex[:8] in told]
    assert client.get("/livesim/health/", {"parts": "database"}).status_code == 200
    assert not examining.examine(["lag"])["lag"].problem


def test_workers_leave_it_alone(produced):
    before = row_of(produced)
    worker = leases.register(identity.this_process(), ["default"])
    seen = looking.look(worker, queues=["default"], simulations={"counter": 1, "external": 9})
    assert not (seen.free or seen.commands or seen.orphans)
    assert claiming.claim(worker, [], queues=["default"], simulations={"counter": 1, "external": 9}) == []
    eye, told = Unclaimed(), []
    for _look in range(3):
        eye.look(list(Worker.objects.all()), told.append)
    assert (row_of(produced), told) == (before, [])


def test_it_is_pruned_like_any_other(settings):
    settings.LIVESIM = {"RETENTION": {"RUNS": 0.0, "JOURNAL": 0.0}}
    publish_state("ended", status="finished", state={"n": 1})
    going = publish_state("going", state={"n": 1})
    gateway.stop(going)
    call_command("livesim", "prune", stdout=StringIO())
    assert [run.key for run in Run.objects.all()] == ["going"]
    assert state_of(going) == {"n": 1}
