"""What was set outlives its worker, which is killed with SIGKILL between two of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from django_livesim import gateway, registry
from django_livesim.models import Run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _here(redis_layer: Any) -> Iterator[None]:
    """This process, too, has the simulations, and rings the workers."""
    module = "tests.process.setting.simulations"
    sys.modules.pop(module, None)  # what it registers is taken out again
    import_module(module)
    yield
    for name in ("bath", "mill"):
        registry.unregister(name)


@pytest.fixture
def worker(manage: Any, process_env: dict[str, str]) -> Callable[[], Any]:
    def start() -> Any:
        process_env["DJANGO_SETTINGS_MODULE"] = "tests.process.setting.settings"
        return manage("runworker", "livesim.runs")

    return start


def sets(run: Run, **params: Any) -> None:
    row = gateway.send(run, "set", params, wait=True)
    assert row.outcome == "applied", row.message


def passes(run: Run, tick: int) -> Callable[[], bool]:
    def ask() -> bool:
        run.refresh_from_db()
        return run.status == "running" and run.tick > tick and run.worker_id is not None

    return ask


def test_a_class_goes_on_with_what_was_set_and_comes_out_alike(
    worker: Callable[[], Any], wait: Callable[..., Any]
) -> None:
    run = gateway.start("bath")
    first = worker()
    sets(run, room=30)
    gateway.inspect(run)  # has the state stored
    sets(run, stirred=True)
    wait(passes(run, 5))
    sets(run, room=12)
    run.refresh_from_db()
    epoch, tick = run.epoch, run.horizon
    first.kill()
    first.wait()
    worker()
    wait(lambda: passes(run, tick)() and run.epoch > epoch)
    assert "not alike" not in run.reason
    assert run.params_set == {"room": 12.0, "stirred": True}
    state = gateway.inspect(run)["state"]
    assert [names for _tick, names, _soak in state["told"]] == [["room"], ["stirred"], ["room"]]
    sets(run, room=5)
    run.refresh_from_db()
    assert run.params_set == {"room": 5.0, "stirred": True}


def test_a_loop_is_called_again_with_it(worker: Callable[[], Any], wait: Callable[..., Any]) -> None:
    run = gateway.start("mill")
    first = worker()
    sets(run, pace=2)
    wait(lambda: gateway.inspect(run)["state"]["log"][-1] == ["set", 2])
    sets(run, pace=3)
    run.refresh_from_db()
    epoch = run.epoch
    first.kill()
    first.wait()
    worker()
    wait(lambda: passes(run, 0)() and run.epoch > epoch)
    log = wait(lambda: (log := gateway.inspect(run)["state"]["log"])[-1][1] == 3 and log)
    assert [what for what, _pace in log].count("called") == 2
    assert [pace for _what, pace in log] in ([1, 2, 2, 3], [1, 2, 3, 3])  # by whether it was stored meanwhile
    assert run.params_set == {"pace": 3}
