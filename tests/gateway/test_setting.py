"""`set` at the gateway: who may, what is refused before anything is stored, and what the rows say after."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command

from django_livesim import gateway, permissions
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import BadArgs, Forbidden, LivesimError, UnknownCommand
from django_livesim.testing import worker_in_process
from tests.bath import Bath, registered

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def bath() -> Iterator[None]:
    with registered(Bath):
        yield


@pytest.fixture
def run() -> Run:
    return gateway.start("bath", {"litres": 50})


def user(name: str, *codenames: str) -> Any:
    found = get_user_model().objects.create_user(name)
    found.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return found


def test_it_is_a_row_like_any_command_with_what_was_given_alone(run: Run) -> None:
    row = gateway.send(run, "set", {"room": 25, "stirred": True}, id="once")
    assert (row.kind, row.name, row.args, row.durable) == (
        "command",
        "set",
        {"room": 25.0, "stirred": True},
        True,
    )
    assert gateway.send(run, "set", {"room": 25, "stirred": True}, id="once").pk == row.pk
    run.refresh_from_db()
    assert run.params_set == {}


@pytest.mark.parametrize(
    ("args", "fields"),
    [
        ({"room": 99}, {"room"}),
        ({"room": "warm"}, {"room"}),
        ({"litres": 3.0}, {"litres"}),
        ({"depth": 3.0, "room": 3}, {"depth"}),
        ({}, set()),
    ],
)
def test_wrong_ones_store_nothing(run: Run, args: dict[str, Any], fields: set[str]) -> None:
    with pytest.raises(BadArgs) as caught:
        gateway.send(run, "set", args)
    assert caught.value.code == "bad_args"
    assert caught.value.fields.keys() == fields
    assert not Command.objects.exists()


def test_where_nothing_is_live_there_is_no_such_command() -> None:
    with pytest.raises(UnknownCommand, match="no command 'set'. Expected one of: add, decline"):
        gateway.send(gateway.start("counter"), "set", {"start": 3})


def test_who_may_command_may_set_and_who_may_only_watch_may_not(run: Run) -> None:
    with pytest.raises(Forbidden):
        gateway.send(run, "set", {"room": 3}, user=user("ann", "view_run"))
    assert gateway.send(run, "set", {"room": 3}, user=user("bob", "command_run")).pk


def test_where_commands_are_open_whoever_watches_may_set() -> None:
    run = gateway.start("bath", visibility="public")
    assert gateway.send(run, "set", {"room": 3}, user=user("ann")).pk


def test_a_policy_is_asked_for_the_name(run: Run, settings: Any) -> None:
    settings.LIVESIM = {"POLICY": lambda user, action, run, command: False if command == "set" else None}
    bob = Actor.from_user(user("bob", "command_run"))
    with pytest.raises(Forbidden):
        gateway.send(run, "set", {"room": 3}, actor=bob)
    assert gateway.send(run, "pour", {"degrees": 3}, actor=bob).pk
    assert not permissions.may_set(bob, run)
    assert permissions.may_see_live(bob, run)


def test_who_may_see_what(run: Run) -> None:
    checks = (permissions.may_set, permissions.may_see_live, permissions.may_see_params)
    codenames = ("view_run", "command_run", "control_run", "inspect_run")
    actors = {codename: Actor.from_user(user(codename, codename)) for codename in codenames}
    rights = {codename: [check(actor, run) for check in checks] for codename, actor in actors.items()}
    assert rights == {
        "view_run": [False, False, False],
        "command_run": [True, True, False],
        "control_run": [True, True, True],
        "inspect_run": [False, True, True],
    }


def test_a_run_that_has_ended_takes_none(run: Run) -> None:
    gateway.stop(run)
    run.refresh_from_db()
    with pytest.raises(LivesimError) as caught:
        gateway.send(run, "set", {"room": 3})
    assert caught.value.code == "run_ended"


def test_with_a_worker_the_row_says_what_holds_and_a_restart_keeps_it(
    run: Run, wait: Callable[..., Any]
) -> None:
    with worker_in_process():
        applied = gateway.send(run, "set", {"room": 25, "soak": "00:01:00"}, wait=True, timeout=60)
        assert (applied.outcome, applied.result) == ("applied", None)
        run.refresh_from_db()
        assert run.params_set == {"room": 25.0, "soak": "P0DT00H01M00S"}
        refused = gateway.send(run, "set", {"room": 13}, wait=True, timeout=60)
        assert (refused.outcome, refused.message) == ("refused", "nobody bathes at 13 degrees")
        found = gateway.inspect(run, timeout=60)
        assert found["params"]["room"] == 25.0
        assert found["params"]["litres"] == 50.0
        restarted = gateway.restart(run, wait=True, timeout=60)
        new = wait(lambda: Run.objects.filter(pk=restarted.args["next"]).first())
        assert (new.params["room"], new.params["litres"], new.params_set) == (25.0, 50.0, {})
        pour = gateway.send(new, "set", {"room": 5}, wait=True, timeout=60)
        assert pour.outcome == "applied"


def test_from_the_command_line(run: Run) -> None:
    def livesim(*arguments: str) -> Any:
        stdout = io.StringIO()
        call_command("livesim", *arguments, stdout=stdout)
        return json.loads(stdout.getvalue())

    livesim("send", str(run.id), "set", "room=25", "stirred=yes", "--no-wait", "--json")
    assert Command.objects.get().args == {"room": 25.0, "stirred": True}
    Run.objects.filter(pk=run.pk).update(params_set={"room": 25.0})
    assert livesim("inspect", str(run.id), "--json")["params"]["room"] == 25.0
    with pytest.raises(CommandError, match="Cannot be changed while the run goes on"):
        livesim("send", str(run.id), "set", "litres=3", "--no-wait", "--json")


def test_a_worker_that_goes_leaves_it_to_the_next(run: Run) -> None:
    with worker_in_process():
        gateway.send(run, "set", {"room": 25}, wait=True, timeout=60)
    with worker_in_process():
        gateway.send(run, "set", {"scent": "pine"}, wait=True, timeout=60)
        run.refresh_from_db()
        assert run.params_set == {"room": 25.0, "scent": "pine"}
        told = gateway.inspect(run, timeout=60)["state"]["told"]
        assert [names for _tick, names, _soak in told] == [["room"], ["scent"]]
