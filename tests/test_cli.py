from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.core.management.base import CommandParser
from django.db import connections
from django.utils import timezone

from django_livesim import gateway, worker
from django_livesim.cli.arguments import add_verbs
from django_livesim.cli.errors import NotDone
from django_livesim.cli.output import printable
from django_livesim.cli.watch import Watcher
from django_livesim.models import Checkpoint, Command, Run, Worker
from django_livesim.protocol import packed, plain
from django_livesim.protocol.errors import Code
from django_livesim.protocol.names import Status
from django_livesim.worker import Engine

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


class Printed:
    def __init__(self, stdout: str, stderr: str) -> None:
        self.out, self.err = stdout, stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def livesim(*arguments: Any) -> Printed:
    stdout, stderr = io.StringIO(), io.StringIO()
    call_command("livesim", *map(str, arguments), stdout=stdout, stderr=stderr)
    return Printed(stdout.getvalue(), stderr.getvalue())


def refused(*arguments: Any) -> str:
    with pytest.raises(CommandError) as caught:
        livesim(*arguments)
    assert caught.value.returncode == 1
    return str(caught.value)


def misused(*arguments: Any) -> str:
    with pytest.raises(CommandError) as caught:
        livesim(*arguments)
    # What argparse raises has its exit status only from a real command line.
    assert caught.value.returncode == 2 or str(caught.value).startswith("Error: ")
    return str(caught.value)


@pytest.fixture
def run() -> Run:
    return gateway.start("counter", {"start": 5}, key="a-key", name="A name")


@pytest.fixture
def live_row() -> Worker:
    """A worker, as far as the database knows."""
    return Worker.objects.create(host="here", pid=1, queues=["default"])


@pytest.fixture
def no_worker_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_livesim.gateway.waiting.WAIT_POLL", 0.01)


def in_thread(function: Any, *args: Any, **kwargs: Any) -> threading.Thread:
    """A started thread that closes its database connection at its end."""

    def target() -> None:
        try:
            function(*args, **kwargs)
        finally:
            connections.close_all()

    thread = threading.Thread(target=target, name=f"{function} under test")
    thread.start()
    return thread


@pytest.fixture
def live_worker(transactional_db: None) -> Any:
    """A worker that steps in a thread of this process; gives its engine."""
    engine = Engine(queues=["default"])
    thread = in_thread(engine.run)
    yield engine
    engine.drain()
    thread.join(60)
    assert not thread.is_alive()


# -- start and list -----------------------------------------------------------------------------


def test_start_makes_a_run_and_prints_its_facts():
    facts = livesim("start", "counter", "start=7", "--key=k", "--name=N", "--seed=3", "--json").json
    run = Run.objects.get()
    assert facts == {
        "run": str(run.id),
        "key": "k",
        "name": "N",
        "simulation": "counter",
        "status": "waiting",
        "reason": "",
        "tick": 0,
        "progress": None,
        "owner": None,
        "worker": None,
        "group": f"livesim.run.{run.id.hex}.all",
    }
    assert (run.params, run.seed) == ({"start": 7}, 3)


def test_start_for_people_says_the_id_and_what_is_next(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}}
    printed = livesim("start", "counter")
    run = Run.objects.get()
    assert printed.out == f"counter is waiting as {run.id}\n"
    assert printed.err == (
        f"See it: livesim watch {run.id.hex[:8]}\n"
        "No worker is alive. Start one: python manage.py livesim_worker\n"
    )


def test_without_redis_under_debug_runserver_is_what_to_start(settings):
    settings.DEBUG = True
    assert "python manage.py runserver" in livesim("start", "counter").err


def test_a_second_start_with_a_key_is_harmless():
    first = livesim("start", "counter", "--key=k", "--json").json
    second = livesim("start", "counter", "--key=k", "--json").json
    assert first["run"] == second["run"]
    assert Run.objects.count() == 1


def test_start_for_an_owner():
    get_user_model().objects.create_user("ann")
    assert livesim("start", "counter", "--owner=ann", "--json").json["owner"] == "ann"
    assert refused("start", "counter", "--owner=bob") == (
        "bad_args: there is no user 'bob'. Make one: python manage.py createsuperuser"
    )


def test_an_unknown_simulation_is_refused_with_those_there_are():
    text = refused("start", "conter")
    assert text.startswith("unknown_simulation: ")
    assert "counter" in text


@pytest.mark.parametrize("pair", ["start=many", "strat=1"])
def test_a_parameter_that_is_wrong_is_refused_by_name(pair):
    text = refused("start", "counter", pair)
    assert text.startswith("bad_args: ")
    assert pair.partition("=")[0] in text
    assert "\n" not in text
    assert Run.objects.count() == 0


@pytest.mark.parametrize("pair", ["start", "=5"])
def test_what_is_no_key_and_value_is_a_usage_error(pair):
    assert misused("start", "counter", pair) == (
        f"{pair!r} is not an argument and its value. Expected: key=value, as in bodies=50"
    )


def test_an_argument_given_twice_is_a_usage_error():
    assert misused("start", "counter", "start=1", "start=2") == (
        "'start' is given more than once. Expected: each argument once"
    )


def test_list_is_an_array_newest_first(run):
    newer = gateway.start("echo")
    assert [fact["run"] for fact in livesim("list", "--json").json] == [str(newer.id), str(run.id)]
    assert [fact["run"] for fact in livesim("list", "--simulation=echo", "--json").json] == [str(newer.id)]
    assert livesim("list", "--status=finished", "--json").json == []
    assert len(livesim("list", "--limit=1", "--json").json) == 1


def test_list_for_people_is_a_table(run):
    assert livesim("list").out.splitlines() == [
        "RUN       SIMULATION  KEY    NAME    STATUS   TICK  OWNER  REASON",
        f"{run.id.hex[:8]}  counter     a-key  A name  waiting  0            no worker is alive",
    ]


@pytest.mark.parametrize(
    ("state", "silent", "source", "other", "reason"),
    [
        ("alive", 3, "worker", False, "goes on from tick 3"),
        ("alive", 40, "worker", True, r"its worker is silent for [4-9]\d s"),
        ("alive", 40, "worker", False, r"no worker is alive; its own is silent for [4-9]\d s"),
        ("gone", 40, "worker", True, "its worker is gone"),
        ("gone", 40, "worker", False, "no worker is alive; its own is gone"),
        ("gone", 40, "external", True, "the process that was attached is gone"),
    ],
)
def test_a_run_whose_worker_gives_no_sign_of_life_says_so(run, state, silent, source, other, reason):
    now = timezone.now()
    if other:
        Worker.objects.create(queues=["default"], beat_at=now)
    holder = Worker.objects.create(queues=["default"], state=state)
    Worker.objects.filter(id=holder.id).update(beat_at=now - timedelta(seconds=silent))
    Run.objects.update(worker=holder, status="running", source=source, reason="goes on from tick 3")
    assert re.fullmatch(reason, livesim("list", "--json").json[0]["reason"])
    assert re.search(reason, livesim("list").out)
    Run.objects.update(status="paused")
    assert livesim("list", "--json").json[0]["reason"] == "goes on from tick 3"


def test_inspect_says_when_a_command_for_later_is_due_and_how_often(run):
    livesim("send", "a-key", "add", "--every=90", "--id=often")
    livesim("send", "a-key", "add", "--at-tick=500", "--id=then")
    due = Command.objects.get(client_id="often").due_at
    told = livesim("inspect", "a-key").out
    assert f"{timezone.localtime(due):%Y-%m-%d %H:%M:%S}, every 90 s" in told
    assert "at tick 500" in told
    then, often = livesim("inspect", "a-key", "--json").json["commands"]
    assert (often["every"], often["due_tick"], often["series"]) == (90.0, None, None)
    assert datetime.fromisoformat(often["due_at"]) == due
    assert (then["every"], then["due_tick"], then["due_at"]) == (None, 500, None)


def test_an_empty_list_says_how_to_start():
    printed = livesim("list")
    assert printed.out == ""
    assert printed.err == "No runs. Start one: livesim start SIM\n"


def test_what_is_printed_cannot_steer_the_terminal():
    assert printable("a\x1b[31mb\r\n") == "a\\x1b[31mb\\r\\n"
    assert printable({"é": 1}) == '{"é":1}'


@pytest.mark.parametrize("steers", ["\x1b]0;owned\x07", "\x1b[2J", "\x9b2J", "\r"])
def test_nothing_that_a_run_says_steers_the_terminal(run, steers):
    data = plain.encode({"state": {"said": steers}})
    Checkpoint.objects.create(
        run=run, tick=0, apply_seq=9, epoch=0, hash=plain.digest(data), data=packed.pack(data)
    )
    Run.objects.update(error=f"Traceback\nValueError: '{steers}'", status="failed", reason=steers)
    told = livesim("inspect", run.id).out
    assert f"Traceback\nValueError: '{printable(steers)}'" in told
    assert '"said": "' in told
    assert [char for char in told if not char.isprintable()] == ["\n"] * told.count("\n")
    with pytest.raises(CommandError) as caught:
        raise NotDone("refused", f"no: {steers}")
    assert str(caught.value).isprintable()


# -- which run ----------------------------------------------------------------------------------


def test_a_run_is_named_by_id_beginning_of_id_key_or_simulation_and_key(run):
    for ref in (run.id, run.id.hex, run.id.hex[:8], str(run.id)[:13].upper(), "a-key", "counter:a-key"):
        assert livesim("inspect", ref, "--json").json["run"] == str(run.id)


def test_a_ref_that_names_nothing_is_refused_and_says_what_would(run):
    text = refused("pause", "nothing")
    assert text.startswith("no_run: ")
    assert text.endswith(
        "Give an id, at least 8 of its digits, a key, or simulation:key; `livesim list` shows them."
    )
    assert refused("pause", "00000000").startswith("no_run: There is no run whose id begins '00000000'.")


def test_a_beginning_that_two_runs_share_is_refused(run):
    other = Run.objects.get(id=run.id)
    other.id, other.key = run.id.hex[:8] + "f" * 24, None
    other.save(force_insert=True)
    assert "more than one run whose id begins" in refused("pause", run.id.hex[:8])


# -- commands -----------------------------------------------------------------------------------


def test_without_a_worker_a_command_is_kept_and_the_wait_ends(run, no_worker_wait):
    text = refused("send", "a-key", "add", "n=2", "--timeout=0.05", "--id=mine")
    assert text.startswith("timeout: add was accepted as mine and is kept, but had no outcome in 0.05 s. ")
    short = run.id.hex[:8]
    again = f"livesim send {short} add n=2 --id=mine --timeout=60"
    assert text.endswith(
        f" To wait on for this one, and send no other: {again}; or see: livesim inspect {short}"
    )
    assert refused(*again.replace("=60", "=0.05").split()[1:]) == text
    assert Command.objects.get().args == {"n": 2}


def test_send_without_waiting_says_accepted(run):
    assert livesim("send", "a-key", "add", "--no-wait", "--id=mine").out == "accepted add as mine\n"
    sent = livesim("send", "a-key", "add", "--no-wait", "--id=mine", "--json").json
    assert (sent["type"], sent["id"], sent["command"], sent["run"]) == (
        "accepted",
        "mine",
        "add",
        str(run.id),
    )
    assert Command.objects.count() == 1


@pytest.mark.parametrize(
    ("when", "column", "value"), [("--at-tick=500", "due_tick", 500), ("--every=30", "every", 30.0)]
)
def test_a_command_for_later_is_accepted_without_waiting_and_says_how_to_take_it_back(
    run, when, column, value
):
    sent = livesim("send", "a-key", "add", "n=2", when, "--id=mine")
    assert sent.out == "accepted add as mine\n"
    assert sent.err == f"Take it back: livesim cancel {run.id.hex[:8]} mine\n"
    assert getattr(Command.objects.get(), column) == value


def test_a_command_that_waits_is_cancelled_once(run):
    livesim("send", "a-key", "add", "--delay=60", "--id=mine")
    assert livesim("cancel", "a-key", "mine").out == 'applied cancel at tick 0: {"cancelled":1}\n'
    assert Command.objects.get(client_id="mine").code == "cancelled"
    again = "refused: add was cancelled already, and does not wait any more"
    assert refused("cancel", "a-key", "mine") == again
    assert livesim("send", "a-key", "add", "--delay=60", "--id=other", "--json").json["type"] == "accepted"
    assert livesim("cancel", "a-key", "other", "--json").json["result"] == {"cancelled": 1}


def test_of_a_series_it_is_told_what_became_of_the_last(run):
    livesim("send", "a-key", "add", "--every=60", "--id=mine")
    first = Command.objects.get()
    again = {"name": "add", "sender": first.sender, "client_id": "x", "series": first.pk}
    last = Command.objects.create(run=run, outcome="refused", code="cancelled", **again)
    Command.objects.filter(pk=first.pk).update(outcome="applied")
    assert "add was cancelled already" in refused("cancel", "a-key", "mine")
    Command.objects.filter(pk=last.pk).update(code="run_ended")
    assert refused("cancel", "a-key", "mine") == "refused: it is too late: add was refused already"


def test_a_command_that_there_is_not_cannot_be_cancelled(run):
    assert refused("cancel", "a-key", "mine").startswith(
        "bad_args: No command of this run has the id 'mine'."
    )
    for sender in ("u:1", "u:2"):
        Command.objects.create(run=run, name="add", sender=sender, client_id="both")
    assert "several senders" in refused("cancel", "a-key", "both")


def test_another_command_under_the_same_id_is_refused(run):
    livesim("send", "a-key", "add", "--no-wait", "--id=mine")
    assert refused("send", "a-key", "add", "n=5", "--no-wait", "--id=mine").startswith("duplicate_id: ")


def test_an_unknown_command_is_refused_with_those_there_are(run):
    text = refused("send", "a-key", "ad")
    assert text.startswith("unknown_command: ")
    assert "add" in text


def test_a_loop_without_declared_commands_takes_json_or_text():
    gateway.start("echo", key="e")
    livesim("send", "e", "anything", "n=2", 'list=[1,"a"]', "text=hello", "--no-wait")
    assert Command.objects.get().args == {"n": 2, "list": [1, "a"], "text": "hello"}


def test_a_run_that_nobody_holds_is_paused_resumed_and_stopped_at_once(run):
    assert livesim("pause", "a-key").out == "applied pause at tick 0\n"
    assert Run.objects.get().status == Status.PAUSED
    assert livesim("resume", "a-key", "--json").json["type"] == "applied"
    livesim("stop", "a-key")
    assert Run.objects.get().status == Status.STOPPED


def test_restart_names_the_run_that_follows(run):
    sent = livesim("restart", "a-key", "--json").json
    following = Run.objects.get(key="a-key")
    assert sent["next"] == str(following.id) != str(run.id)


def test_a_verb_that_the_status_forbids_is_refused(run):
    livesim("stop", "a-key")
    assert refused("speed", "a-key", "2") == (
        "run_ended: The run is stopped: it cannot speed. Legal now: restart, resume, stop."
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("jump", "a-key"),
        ("speed", "a-key", "fast"),
        ("speed", "a-key", "-1"),
        ("speed", "a-key", "nan"),
        ("step", "a-key", "0"),
        ("step", "a-key", "1.5"),
        ("send", "a-key"),
        ("send", "a-key", "add", "--timeout=0"),
        ("send", "a-key", "add", "--id=not an id"),
        ("send", "a-key", "add", "--delay=soon"),
        ("send", "a-key", "add", "--at-tick=1.5"),
        ("cancel", "a-key"),
        ("list", "--status=odd"),
        ("list", "--limit=none"),
        (),
    ],
)
def test_what_is_not_understood_is_a_usage_error(run, arguments):
    misused(*arguments)


def test_a_database_without_tables_says_migrate(run, monkeypatch):
    from django.db import OperationalError

    def broken(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("no such table: livesim_run")

    monkeypatch.setattr(gateway, "runs", broken)
    assert refused("list") == (
        "db_down: the database answered 'no such table: livesim_run'. Run: python manage.py migrate"
    )


def test_a_bad_setting_is_one_line(run, settings):
    settings.LIVESIM = {"DATABASE": 3}
    assert refused("start", "counter").startswith('LIVESIM["DATABASE"] is 3. Expected: ')


# -- with a worker ------------------------------------------------------------------------------


def test_a_command_is_applied_and_its_result_printed(live_worker, run):
    livesim("pause", "a-key")
    sent = livesim("send", "a-key", "add", "n=100", "--json").json
    assert sent["type"] == "applied"
    assert sent["result"] >= 105
    assert livesim("step", "a-key", "3").out.startswith("applied step at tick ")
    assert livesim("speed", "a-key", "max").out.startswith("applied speed at tick ")


def test_a_refusal_is_printed_with_its_reason(live_worker, run):
    assert refused("send", "a-key", "decline", "why=not today") == "refused: not today"
    assert refused("send", "a-key", "fail").startswith("The command raised ")


def test_inspect_shows_the_state_of_the_moment(live_worker, run):
    livesim("pause", "a-key")
    livesim("send", "a-key", "add", "n=1000")
    seen = livesim("inspect", "a-key", "--json").json
    assert seen["state"]["log"] == [1000]
    assert seen["state"]["value"] >= 1005
    assert seen["params"] == {"start": 5}
    assert seen["position"]["tick"] == seen["tick"]
    assert [command["command"] for command in seen["commands"]] == ["add", "pause"]
    assert '"log": [' in livesim("inspect", "a-key").out


def test_watch_shows_states_commands_and_the_end(live_worker, run):
    stdout = io.StringIO()
    watching = ("livesim", "watch", "a-key", "--json", "--interval=0.05")
    thread = in_thread(call_command, *watching, stdout=stdout, stderr=io.StringIO())
    livesim("pause", "a-key")
    livesim("send", "a-key", "add", "n=9")
    livesim("resume", "a-key")
    livesim("send", "a-key", "end")
    thread.join(60)
    assert not thread.is_alive()
    lines = [json.loads(line) for line in stdout.getvalue().splitlines()]
    assert {line["run"] for line in lines} == {str(run.id)}
    assert [line["command"] for line in lines if line["type"] == "applied"][-3:] == ["add", "resume", "end"]
    assert 9 in next(line for line in reversed(lines) if line["type"] == "snapshot")["state"]["log"]
    assert lines[-1]["type"] == "end"
    assert lines[-1]["status"] == "finished"
    assert lines[-1]["result"]["value"] >= 14


def test_a_watcher_that_asks_sees_the_state_move(live_worker, run, wait):
    watcher = Watcher(run)

    def values() -> list[int]:
        watcher.ask(2)
        return [line["state"]["value"] for line in look(watcher) if line["type"] == "snapshot"]

    first = wait(values)
    assert wait(values)[-1] > first[-1]
    assert {line["type"] for line in look(watcher)} <= {"status"}


def test_a_worker_that_does_not_answer_is_left_no_row(run, live_row):
    Run.objects.update(status="running", worker=live_row)
    watcher = Watcher(run)
    watcher.ask(0.01)
    watcher.ask(0.01)
    assert not Command.objects.exists()


# -- watch --------------------------------------------------------------------------------------


def look(watcher: Watcher) -> list[dict[str, Any]]:
    return list(watcher.look())


def test_a_watcher_says_each_thing_once(run):
    watcher = Watcher(run)
    assert [line["type"] for line in look(watcher)] == ["status"]
    assert look(watcher) == []
    Run.objects.update(tick=3)
    assert [line["tick"] for line in look(watcher)] == [3]


def test_a_watcher_tells_of_commands_refused_without_a_place_in_the_journal(run):
    watcher = Watcher(run)
    livesim("send", "a-key", "add", "--no-wait")
    assert [line["type"] for line in look(watcher)] == ["status"]
    Command.objects.update(outcome="refused", code="run_ended", message="it ended")
    (line,) = look(watcher)
    assert (line["type"], line["command"], line["code"]) == ("refused", "add", "run_ended")
    assert look(watcher) == []


def test_watching_an_ended_run_says_so_and_returns(run):
    livesim("stop", "a-key")
    printed = livesim("watch", "a-key")
    assert printed.out.splitlines() == ["status    stopped  tick 0  stopped", "end       stopped"]


def test_the_end_of_a_restarted_run_names_the_next(run):
    livesim("restart", "a-key")
    following = Run.objects.get(key="a-key")
    assert f"end       stopped  followed by {following.id}" in livesim("watch", run.id).out


def test_a_run_deleted_under_the_watcher_is_refused(run, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: Run.objects.all().delete())
    assert refused("watch", "a-key").startswith("no_run: The run was deleted while it was watched.")


def test_control_c_ends_the_watch_quietly(run, monkeypatch):
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    assert livesim("watch", "a-key").out == "status    waiting  tick 0\n"


# -- livesim_worker -----------------------------------------------------------------------------


def test_a_worker_on_the_memory_layer_is_refused():
    with pytest.raises(CommandError, match="stays in its process") as caught:
        call_command("livesim_worker")
    assert "RedisPubSubChannelLayer" in str(caught.value)


def test_the_worker_is_given_what_was_typed(redis_layer, monkeypatch):
    given: dict[str, Any] = {}
    monkeypatch.setattr(worker, "serve", lambda **options: given.update(options) or 0)
    with pytest.raises(SystemExit) as caught:
        call_command("livesim_worker", "--queues=a, b", "--max-runs=3", "--health-file=up.json")
    assert caught.value.code == 0
    assert given == {
        "processes": 1,
        "queues": ["a", "b"],
        "max_runs": 3,
        "memory": None,
        "health_file": Path("up.json"),
        "reload": False,
    }


@pytest.mark.parametrize("argument", ["--processes=0", "--queues=a,,b", "--max-runs=few", "--memory=8"])
def test_the_worker_refuses_what_it_does_not_understand(redis_layer, argument):
    with pytest.raises(CommandError, match="argument --"):
        call_command("livesim_worker", argument)


# -- as processes -------------------------------------------------------------------------------


@pytest.fixture
def shell(process_env: dict[str, str]) -> Any:
    """`shell("start", "counter")` is a real process: its exit status, stdout, stderr."""

    def run_it(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "django", "livesim", *arguments]
        return subprocess.run(line, env=process_env, capture_output=True, text=True, timeout=60, check=False)

    return run_it


def test_the_exit_statuses_of_a_real_process(shell):
    started = shell("start", "counter", "--key=k", "--json")
    assert started.returncode == 0, started.stderr
    assert json.loads(started.stdout)["key"] == "k"

    no = shell("send", "k", "ad")
    assert no.returncode == 1
    assert no.stderr.startswith("unknown_command: ")
    assert len(no.stderr.splitlines()) == 1

    assert shell("jump", "k").returncode == 2
    unclear = shell("start", "counter", "nonsense")
    assert unclear.returncode == 2
    assert unclear.stderr.startswith("'nonsense' is not an argument and its value.")
    assert len(unclear.stderr.splitlines()) == 1

    asked = shell("--traceback", "send", "k", "ad")
    assert asked.returncode == 1
    assert asked.stderr.splitlines()[0] == "Traceback (most recent call last):"


def test_control_c_in_a_real_watch_exits_zero(manage):
    gateway.start("counter", key="k")
    with manage("livesim", "watch", "k", "--json", stdout=PIPE, stderr=PIPE) as watching:
        assert json.loads(watching.stdout.readline())["type"] == "status"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
        assert watching.stderr.read() == b""


def test_a_reader_that_has_enough_ends_the_watch_quietly(manage):
    run = gateway.start("counter", key="k")
    with manage("livesim", "watch", "k", "--interval=0.05", stdout=PIPE, stderr=PIPE) as watching:
        assert watching.stdout.readline().startswith(b"status")
        watching.stdout.close()
        gateway.pause(run)
        assert watching.wait(60) == 0
        assert watching.stderr.read() == b""


# -- the documentation --------------------------------------------------------------------------


def test_the_documentation_names_every_verb_and_option():
    text = (Path(__file__).parent.parent / "docs" / "cli.md").read_text()
    parser = CommandParser()
    add_verbs(parser)
    (verbs,) = [action for action in parser._actions if action.dest == "verb"]
    for name, verb in verbs.choices.items():
        assert f"`livesim {name}" in text, name
        for action in verb._actions:
            for option in action.option_strings:
                assert option in ("-h", "--help") or option in text, (name, option)
    for code in Code:
        assert f"`{code}`" in text, code


def test_a_worker_without_tables_says_migrate_and_ends(tmp_path: Path, redis_url: str) -> None:
    env = os.environ | {
        "DATABASE_URL": f"sqlite:///{tmp_path}/empty.sqlite3",
        "CHANNELS_REDIS": redis_url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    worker = [sys.executable, "-m", "django", "livesim_worker"]
    done = subprocess.run(worker, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "python manage.py migrate" in done.stderr


def test_a_command_that_ends_at_once_rings_without_a_word(process_env: dict[str, str], run: Run) -> None:
    env = process_env | {"CHANNELS_REDIS": process_env["CHANNELS_REDIS"].replace("127.0.0.1", "localhost")}
    for _ in range(3):
        send = [sys.executable, "-m", "django", "livesim", "send", "a-key", "add", "--no-wait"]
        done = subprocess.run(send, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_run_in_the_foreground_is_stepped_here_and_stored_by_control_c(
    process_env: dict[str, str], manage: Any, wait: Any, patient: None
) -> None:
    command = ("livesim", "run", "counter", "start=40", "--interval", "0.1", "--json")
    process = manage(*command, stdout=PIPE, stderr=PIPE)
    run = wait(lambda: Run.objects.filter(status="running").first())
    assert gateway.send(run, "add", {"n": 1000}, wait=True).outcome == "applied"
    process.send_signal(signal.SIGINT)
    printed, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, b"")
    assert {json.loads(line)["type"] for line in printed.splitlines()} >= {"status", "applied", "end"}
    run.refresh_from_db()
    assert (run.status, run.queue, run.worker) == ("stopped", "default", None)
    assert gateway.inspect(run)["state"]["value"] > 1040


def test_a_run_in_the_foreground_with_bad_parameters_starts_nothing(process_env: dict[str, str]) -> None:
    base = [sys.executable, "-m", "django", "livesim", "run"]
    bad = subprocess.run(
        [*base, "counter", "start=x"], env=process_env, capture_output=True, timeout=60, check=False
    )
    assert bad.returncode == 1
    assert not Run.objects.exists()
