"""The gateway without a worker: rights, arguments, keys, idempotency, controls of runs that nobody holds."""

from __future__ import annotations

import asyncio
import time

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Permission
from django.db import IntegrityError, transaction
from django.utils.translation import _trans, gettext

from django_livesim import gateway, permissions
from django_livesim.bus import doorbells
from django_livesim.gateway import controls, looking
from django_livesim.models import Command, Run, Worker
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import (
    BadArgs,
    Forbidden,
    LivesimError,
    NoRun,
    RunEnded,
    UnknownCommand,
    UnknownSimulation,
)
from django_livesim.protocol.names import Status
from django_livesim.store import intake, loading

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ann():
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def bob():
    return get_user_model().objects.create_user("bob")


def grant(user, *names):
    user.user_permissions.add(*Permission.objects.filter(codename__in=names))
    return get_user_model().objects.get(pk=user.pk)


def set_status(run, status, **fields):
    Run.objects.filter(id=run.id).update(status=status, **fields)
    run.refresh_from_db()


def test_a_started_run_waits_with_its_cleaned_parameters(ann):
    run = gateway.start("counter", {"start": 3}, owner=ann, name="mine")
    assert (run.status, run.params, run.owner, run.name) == (Status.WAITING, {"start": 3}, ann, "mine")
    assert gateway.start("counter").params == {"start": 0}


@pytest.mark.parametrize("params", [{"start": "x"}, {"start": 1.5}, {"stop": 1}, {"start": True}])
def test_bad_parameters_start_nothing(params):
    with pytest.raises(BadArgs) as caught:
        gateway.start("counter", params)
    assert caught.value.code == "bad_args"
    assert caught.value.fields
    assert not Run.objects.exists()


def test_an_unknown_simulation_is_named_with_those_there_are():
    with pytest.raises(UnknownSimulation, match="counter"):
        gateway.start("no_such")


def test_a_second_start_under_a_key_changes_nothing():
    run = gateway.start("counter", key="main")
    assert gateway.start("counter", {"start": 9}, key="main") == run
    assert Run.objects.count() == 1


def test_start_under_a_key_goes_on_from_stopped_and_follows_finished():
    run = gateway.start("counter", {"start": 4}, key="main")
    set_status(run, Status.STOPPED)
    assert gateway.start("counter", key="main") == run
    run.refresh_from_db()
    assert run.status == Status.WAITING
    set_status(run, Status.FINISHED)
    following = gateway.start("counter", key="main")
    run.refresh_from_db()
    assert following != run
    assert (following.key, run.key, following.parent, following.params) == ("main", None, run, {"start": 4})


def test_a_command_is_a_row_before_send_returns():
    run = gateway.start("counter")
    row = gateway.send(run, "add", {"n": 2})
    assert Command.objects.get().args == {"n": 2}
    assert (row.outcome, row.sender, row.durable) == ("", "p:server", True)


@pytest.mark.parametrize(
    ("name", "args", "error", "words"),
    [
        ("nothing", {}, UnknownCommand, "Expected one of: add"),
        ("add", {"n": "two"}, BadArgs, "n"),
        ("add", {"n": 1, "m": 2}, BadArgs, "m"),
        ("add", {"n": 2.5}, BadArgs, "n"),
    ],
)
def test_a_wrong_command_is_an_error_and_no_row(name, args, error, words):
    run = gateway.start("counter")
    with pytest.raises(error, match=words):
        gateway.send(run, name, args)
    assert not Command.objects.exists()


def test_an_own_loop_that_declares_nothing_takes_any_plain_dict():
    run = gateway.start("echo")
    assert gateway.send(run, "whatever", {"a": [1, None]}).args == {"a": [1, None]}
    with pytest.raises(BadArgs, match="tuple"):
        gateway.send(run, "whatever", {"a": (1,)})
    with pytest.raises(UnknownCommand):
        gateway.send(run, "")


def test_the_same_id_is_one_command_and_another_body_under_it_is_refused():
    run = gateway.start("counter")
    first = gateway.send(run, "add", {"n": 1}, id="a")
    assert gateway.send(run, "add", {"n": 1}, id="a").pk == first.pk
    with pytest.raises(LivesimError) as caught:
        gateway.send(run, "add", {"n": 2}, id="a")
    assert caught.value.code == "duplicate_id"
    with pytest.raises(BadArgs):
        gateway.send(run, "add", {"n": 1}, id="not valid!")
    assert Command.objects.count() == 1


@pytest.mark.parametrize("status", [Status.STOPPED, Status.FINISHED, Status.FAILED])
def test_an_ended_run_takes_no_commands(status):
    run = gateway.start("counter")
    set_status(run, status)
    with pytest.raises(RunEnded) as caught:
        gateway.send(run, "add")
    assert caught.value.code == "run_ended"


def test_a_send_inside_a_transaction_rings_after_commit(monkeypatch):
    run = gateway.start("counter")
    rung = []
    monkeypatch.setattr(doorbells, "ring", lambda *args, **kwargs: rung.append(Command.objects.count()))
    with transaction.atomic():
        gateway.send(run, "add")
        assert rung == []
    assert rung == [1]


def test_a_rolled_back_send_never_was(monkeypatch):
    run = gateway.start("counter")
    rung = []
    monkeypatch.setattr(doorbells, "ring", lambda *args, **kwargs: rung.append(1))

    def send_and_fail():
        with transaction.atomic():
            gateway.send(run, "add")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send_and_fail()
    assert (Command.objects.count(), rung) == (0, [])


def test_runs_that_nobody_holds_are_controlled_at_once():
    run = gateway.start("counter")
    for act, status in [
        (gateway.pause, Status.PAUSED),
        (gateway.resume, Status.WAITING),
        (gateway.stop, Status.STOPPED),
        (gateway.resume, Status.WAITING),
    ]:
        assert act(run).outcome == "applied"
        run.refresh_from_db()
        assert run.status == status
    assert list(Command.objects.order_by("id").values_list("apply_seq", flat=True)) == [1, 2, 3, 4]


def test_a_run_that_somebody_holds_is_controlled_by_its_worker():
    run = gateway.start("counter")
    set_status(run, Status.RUNNING, worker=Worker.objects.create())
    assert gateway.stop(run).outcome == ""
    run.refresh_from_db()
    assert run.status == Status.RUNNING


def test_stop_of_a_stopped_run_changes_nothing():
    run = gateway.start("counter")
    gateway.stop(run)
    before = Run.objects.values().get()
    assert gateway.stop(run).outcome == "applied"
    assert Run.objects.values().get() == before


@pytest.mark.parametrize(
    ("verb", "args", "words"),
    [
        ("fly", {}, "Expected one of: pause"),
        ("step", {"n": 0}, "n is a number of steps"),
        ("step", {"n": 1, "m": 2}, "takes"),
        ("speed", {"x": -1}, "x is a factor"),
        ("speed", {}, "x is a factor"),
        ("pause", {"x": 1}, "takes no arguments"),
    ],
)
def test_a_wrong_control_is_an_error_and_no_row(verb, args, words):
    run = gateway.start("counter")
    with pytest.raises(LivesimError, match=words):
        gateway.control(run, verb, args)
    assert not Command.objects.exists()


@pytest.mark.parametrize("verb", ["pause", "resume", "step", "speed"])
def test_an_illegal_transition_says_from_where_and_what_is_legal(verb):
    run = gateway.start("counter")
    set_status(run, Status.FAILED)
    with pytest.raises(RunEnded, match="The run is failed: it cannot .* Legal now: restart, stop"):
        gateway.control(run, verb, {"x": 1.0} if verb == "speed" else {})


def test_restart_of_an_ended_run_begins_one_that_follows():
    run = gateway.start("counter", {"start": 2}, key="k")
    set_status(run, Status.FINISHED)
    command = gateway.restart(run, id="again")
    following = Run.objects.get(id=command.args["next"])
    assert (following.key, following.params, following.parent) == ("k", {"start": 2}, run)
    assert gateway.restart(run, id="again").args == command.args
    assert Run.objects.count() == 2


def test_runs_are_found_by_uuid_key_and_simulation_key():
    run = gateway.start("counter", key="k")
    other = gateway.start("echo", key="k")
    assert gateway.get(str(run.id)) == gateway.get("counter:k") == run
    assert gateway.get("echo:k") == other
    with pytest.raises(NoRun, match="Several"):
        gateway.get("k")
    with pytest.raises(NoRun):
        gateway.get("nobody")


def test_inspect_gives_the_stored_state_where_nobody_holds_the_run():
    run = gateway.start("counter")
    found = gateway.inspect(run)
    assert (found["state"], found["position"], found["status"]) == (None, None, "waiting")


def test_two_requests_with_one_id_at_once_have_one_effect(monkeypatch):
    run = gateway.start("counter", key="k")
    first = gateway.restart(run, id="same")
    monkeypatch.setattr(controls, "known", lambda *args: None)  # it looked before the first had committed
    assert gateway.restart(run, id="same").pk == first.pk
    assert Run.objects.filter(parent=run).count() == 1
    other = gateway.start("counter")
    gateway.pause(other, id="p")
    gateway.resume(other)
    gateway.pause(other, id="p")
    other.refresh_from_db()
    assert other.status == Status.WAITING


def test_a_control_that_finds_the_run_changed_meanwhile_is_tried_again(monkeypatch):
    run = gateway.start("counter")
    carry_out, calls = intake.carry_out, []

    def overtaken(command, row, *args):
        calls.append(row.epoch)
        if len(calls) == 1:
            raise intake.Overtaken
        carry_out(command, row, *args)

    monkeypatch.setattr(intake, "carry_out", overtaken)
    assert gateway.pause(run).outcome == "applied"
    assert (calls, Command.objects.count()) == ([0, 0], 1)


def test_a_direct_control_tells_when_it_was_carried_out():
    run = gateway.start("counter")
    assert gateway.pause(run).applied_at.year
    gateway.stop(run)
    assert gateway.stop(run).applied_at.year


def test_a_direct_stop_refuses_what_waits():
    for act in (gateway.stop, gateway.restart):
        run = gateway.start("counter")
        waiting = gateway.send(run, "add")
        act(run)
        waiting.refresh_from_db()
        assert (waiting.outcome, waiting.code) == ("refused", "run_ended")


@pytest.mark.parametrize(
    ("status", "code"), [(Status.QUARANTINED, "quarantined"), (Status.STOPPED, "run_ended")]
)
def test_a_quarantined_and_a_stopped_run_resume_and_do_not_pause(status, code):
    run = gateway.start("counter", key="q")
    set_status(run, status)
    with pytest.raises(LivesimError) as caught:
        gateway.pause(run)
    assert caught.value.code == code
    gateway.resume(run)
    run.refresh_from_db()
    assert run.status == Status.WAITING


def test_start_releases_no_quarantined_run():
    run = gateway.start("counter", key="q")
    set_status(run, Status.QUARANTINED)
    with pytest.raises(LivesimError) as caught:
        gateway.start("counter", key="q")
    assert caught.value.code == "quarantined"
    run.refresh_from_db()
    assert run.status == Status.QUARANTINED


def test_a_restart_takes_the_version_that_there_is(monkeypatch):
    run = gateway.start("counter")
    Run.objects.update(version=0)
    following = Run.objects.get(id=gateway.restart(run).args["next"])
    assert following.version == 1
    set_status(following, Status.FINISHED, version=0)
    assert Run.objects.get(id=gateway.restart(following).args["next"]).version == 1


def test_when_and_every_argument_belong_to_the_body_of_a_command():
    run = gateway.start("echo")
    gateway.send(run, "go", {"next": 1}, id="i", at_tick=5, delay=1)
    assert gateway.send(run, "go", {"next": 1}, id="i", at_tick=5, delay=1.0).pk
    for args, options in [({"next": 2}, {"at_tick": 5, "delay": 1}), ({"next": 1}, {"at_tick": 6})]:
        with pytest.raises(LivesimError) as caught:
            gateway.send(run, "go", args, id="i", **options)
        assert caught.value.code == "duplicate_id"


def test_a_delay_counts_by_the_clock_of_the_database():
    run = gateway.start("counter")
    row = gateway.send(run, "add", delay=100)
    assert 95 < (row.due_at - row.created_at).total_seconds() < 105
    assert Command.objects.get().due_at == row.due_at
    assert loading.waiting([run.id]).entries == {}
    soon = gateway.send(run, "add", delay=0)
    assert [entry.id for entry in loading.waiting([run.id]).entries[run.id]] == [soon.pk]


@pytest.mark.parametrize(
    "options",
    [
        {"at_tick": 10**30},
        {"at_tick": 2**53 + 1},
        {"at_tick": True},
        {"at_tick": 1.0},
        {"delay": float("nan")},
        {"delay": float("inf")},
        {"delay": True},
        {"delay": "1"},
        {"delay": -1},
        {"id": "a\0"},
    ],
)
def test_what_no_column_holds_is_an_error_and_no_row(options):
    run = gateway.start("echo")
    with pytest.raises(BadArgs):
        gateway.send(run, "go", **options)
    with pytest.raises(UnknownCommand):
        gateway.send(run, "g\0")
    assert not Command.objects.exists()


@pytest.mark.parametrize(
    "options", [{"key": "a\0b"}, {"key": "\ud800"}, {"key": "x" * 201}, {"name": "a\0"}, {"name": "x" * 201}]
)
def test_keys_and_names_that_no_column_holds_start_nothing(options):
    with pytest.raises(BadArgs):
        gateway.start("counter", **options)
    assert not Run.objects.exists()
    with pytest.raises(NoRun):
        gateway.get("counter:\ud800")


def test_a_start_that_the_database_refuses_gives_no_other_run(ann):
    gateway.start("counter", owner=ann)
    gateway.start("counter", key="k", owner=ann)
    for key in (None, "another"):
        with pytest.raises(IntegrityError):
            intake.create_run(simulation="counter", queue=None, key=key)
    assert Run.objects.count() == 2


@pytest.mark.parametrize("status", [Status.RUNNING, Status.FINISHED, Status.QUARANTINED])
def test_a_key_of_somebody_elses_private_run_is_taken_and_no_more_is_said(status, ann, bob):
    set_status(gateway.start("counter", owner=ann, key="k"), status)
    with pytest.raises(Forbidden) as caught:
        gateway.start("counter", key="k", actor=Actor.from_user(grant(bob, "start_run")))
    assert caught.value.message == "The key 'k' is taken; choose another."


# -- rights --------------------------------------------------------------------------------------


def test_rights_are_denied_by_default(ann, bob):
    run = gateway.start("counter", owner=ann)
    assert permissions.level(Actor.from_user(ann), run) is Level.DELETE
    for stranger in (bob, AnonymousUser()):
        actor = Actor.from_user(stranger)
        assert permissions.level(actor, run) is None
        with pytest.raises(NoRun):
            gateway.get(run.id, actor=actor)
        with pytest.raises(NoRun):
            gateway.send(run, "add", actor=actor)
        assert not permissions.visible(actor).exists()


def test_being_staff_alone_gives_nothing(ann, bob):
    bob.is_staff = True
    assert permissions.level(Actor.from_user(bob), gateway.start("counter", owner=ann)) is None


@pytest.mark.parametrize(
    ("permission", "level"),
    [
        ("view_run", Level.VIEW),
        ("command_run", Level.COMMAND),
        ("control_run", Level.CONTROL),
        ("delete_run", Level.DELETE),
    ],
)
def test_permissions_give_levels(permission, level, ann, bob):
    run = gateway.start("counter", owner=ann)
    assert permissions.level(Actor.from_user(grant(bob, permission)), run) is level


def test_public_runs_are_seen_by_all_and_commanded_by_none(ann, bob):
    run = gateway.start("counter", owner=ann, visibility="public")
    for user in (bob, AnonymousUser()):
        assert permissions.level(Actor.from_user(user), run) is Level.VIEW
        with pytest.raises(Forbidden, match="right to command"):
            gateway.send(run, "add", actor=Actor.from_user(user))


def test_a_link_shows_the_run_to_whoever_holds_its_token(ann):
    run = gateway.start("counter", owner=ann, visibility="link")
    assert permissions.level(Actor(user=AnonymousUser(), key=run.link_token), run) is Level.VIEW
    assert permissions.level(Actor(user=AnonymousUser(), key="other"), run) is None
    assert permissions.level(Actor(user=AnonymousUser(), key=""), run) is None
    Run.objects.update(link_token="")
    run.refresh_from_db()
    assert permissions.level(Actor(user=AnonymousUser(), key=""), run) is None


def test_starting_needs_the_permission_unless_the_simulation_says_otherwise(bob):
    with pytest.raises(Forbidden):
        gateway.start("counter", actor=Actor.from_user(bob))
    run = gateway.start("counter", actor=Actor.from_user(grant(bob, "start_run")))
    assert run.owner == bob


def test_policy_has_the_first_and_last_word(settings, ann, bob):
    run = gateway.start("counter", owner=ann)
    settings.LIVESIM = {"POLICY": lambda user, action, run, command: True if action == "view" else None}
    assert permissions.level(Actor.from_user(bob), run) is Level.VIEW
    settings.LIVESIM = {"POLICY": lambda user, action, run, command: False}
    assert permissions.level(Actor.from_user(grant(bob, "control_run")), run) is None


def test_policy_hears_which_command_is_about_to_be_sent(settings, ann, bob):
    run = gateway.start("counter", owner=ann)
    settings.LIVESIM = {"POLICY": lambda user, action, run, command: command in (None, "add") or None}
    assert gateway.send(run, "add", actor=Actor.from_user(bob)).outcome == ""
    with pytest.raises(Forbidden):
        gateway.send(run, "end", actor=Actor.from_user(bob))


def test_a_session_that_the_server_does_not_know_is_no_identity(rf, client):
    from django.contrib.sessions.backends.db import SessionStore

    request = rf.get("/")
    request.user = AnonymousUser()
    request.session = SessionStore("made-up-key-made-up-key-made-up1")
    assert Actor.from_request(request).session == ""
    request.session = SessionStore()
    request.session["livesim"] = "x"
    request.session.save()
    first = Actor.from_request(request).session
    request.session.cycle_key()
    assert Actor.from_request(request).session == first != ""


def test_visitors_without_a_session_are_told_apart(rf):
    request = rf.get("/")
    request.user = AnonymousUser()
    senders = {Actor.from_request(request).sender for _ in range(3)}
    scope = {"type": "websocket", "query_string": b"&".join([b"a=1"] * 30)}
    senders |= {Actor.from_scope(scope).sender, Actor.from_scope(scope).sender}
    assert len(senders) == 4
    assert all(len(sender) > 5 for sender in senders)


def test_arguments_have_a_size_and_a_depth(settings):
    run = gateway.start("echo")
    with pytest.raises(LivesimError) as caught:
        gateway.send(run, "note", {"text": "x" * 20_000})
    assert caught.value.code == "too_large"
    deep: list = []
    for _ in range(30):
        deep = [deep]
    for args in ({"deep": deep}, {"text": "a\0"}):
        with pytest.raises(BadArgs):
            gateway.send(run, "note", args)
    with pytest.raises(NoRun):
        gateway.get("a\0b")


def test_the_answers_of_a_thousand_commands_are_one_query(django_assert_num_queries):
    run = gateway.start("counter")
    gateway.send(run, "add", id="a")
    Command.objects.update(outcome="applied")
    asked = [("p:server", "a"), *(("p:server", f"c{n}") for n in range(1000))]
    with django_assert_num_queries(1):
        assert [row.client_id for row in gateway.answers(run.id, asked)] == ["a"]


def test_a_wait_inside_a_transaction_returns_at_once():
    run = gateway.start("counter")
    began = time.monotonic()
    with transaction.atomic():
        assert gateway.send(run, "add", wait=True, timeout=30).outcome == ""
    assert time.monotonic() - began < 25


@pytest.mark.parametrize("when", ["may_inspect", "wait"])
def test_a_look_into_a_run_that_is_deleted_meanwhile_meets_no_run(monkeypatch, when):
    """Before its worker is asked, and after it was waited for."""
    run = gateway.start("counter")
    Run.objects.update(worker=Worker.objects.create())

    def slow(*args):
        gateway.delete(run)
        return True

    monkeypatch.setattr(looking, when, slow)
    with pytest.raises(NoRun, match="has just been deleted"):
        gateway.inspect(run, timeout=0.01)


def test_refusals_are_in_the_language_of_the_reader(monkeypatch, ann):
    run = gateway.start("counter", visibility="public")
    actor = Actor.from_user(ann)
    gettext("the translations are there")
    monkeypatch.setattr(_trans, "gettext", lambda message: f"XX {message}")
    refused = [
        lambda: gateway.start("counter", actor=actor),
        lambda: gateway.start("counter", key=""),
        lambda: gateway.start("counter", name="x" * 201),
        lambda: gateway.start("counter", seed=-1),
        lambda: gateway.pause(run, actor=actor),
        lambda: permissions.role(actor, Run()),
    ]
    for act in refused:
        with pytest.raises(LivesimError, match="^XX "):
            act()
    assert str(intake.ENDED_MESSAGE).startswith("XX ")


async def test_the_async_twins_do_the_same():
    run = await gateway.astart("counter")
    row = await gateway.asend(run, "add", {"n": 1})
    assert (await gateway.aget(run.id)).pk == run.pk
    assert (await gateway.apause(run)).outcome == "applied"
    assert row.name == "add"


async def test_a_twin_that_waits_holds_up_no_other():
    run = await gateway.astart("counter")
    step = asyncio.create_task(gateway.astep(run, wait=True, timeout=60))
    sent = asyncio.create_task(gateway.asend(run, "add", wait=True, timeout=60))
    asked = None
    worker = await Worker.objects.acreate()
    async with asyncio.timeout(30):
        while await Command.objects.acount() < 2:
            await asyncio.sleep(0.01)
        await Run.objects.aupdate(worker=worker)
        asked = asyncio.create_task(gateway.ainspect(run, timeout=60))
        while await Command.objects.acount() < 3:
            await asyncio.sleep(0.01)
        assert (await gateway.aget(run.id)).pk == run.pk
        assert not (step.done() or sent.done() or asked.done())
        await Command.objects.aupdate(outcome="applied", result={"metrics": {"m": 1}})
        assert (await step).outcome == (await sent).outcome == "applied"
        assert (await asked)["metrics"] == {"m": 1}
