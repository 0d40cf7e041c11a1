"""What viewers see of runs that are produced: before, during, after the end, and where messages are lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from django_livesim import apublish_state, gateway, publish_state
from django_livesim.bus import speaker, watch
from django_livesim.bus.viewer import Viewer
from django_livesim.consumers.rows import in_database
from django_livesim.models import Run
from tests.test_socket import Socket, log_in, make_user, nothing_is_left

__all__ = ["nothing_is_left"]

pytestmark = pytest.mark.django_db(transaction=True)

HEALED = 30.0  # seconds, on a busy machine; hubs look every second in these tests


class Held:
    """In place of the publisher: keeps what is said until it is let go, in whatever order."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def publish(self, *said: Any) -> None:
        self.said.append(said)

    def flush(self, timeout: float) -> bool:
        return False

    def let_go(self, order: Callable[[list[Any]], Any] = list) -> None:
        for said in order(self.said):
            speaker_of_this_process.publish(*said)


speaker_of_this_process: Any = None


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    global speaker_of_this_process
    speaker_of_this_process = speaker.publisher()
    made = Held()
    monkeypatch.setattr(speaker, "publisher", lambda: made)
    return made


@pytest.fixture
def ada(transactional_db: None) -> Any:
    return make_user()


@pytest.fixture
def cookies(ada: Any) -> str:
    return log_in(ada)


@pytest.fixture
def run(ada: Any) -> Run:
    return publish_state("import", status="waiting", owner=ada)


def statuses(socket: Socket) -> list[Any]:
    return [(each["status"], each["progress"]) for each in socket.of("status")]


def shown(socket: Socket) -> list[int]:
    return [each["state"]["n"] for each in socket.of("snapshot")]


@pytest.mark.parametrize("layer", ["local", "redis"])
async def test_one_who_came_before_it_began_sees_all_of_it_to_the_end(
    request: pytest.FixtureRequest, layer: str, run: Run, cookies: str
) -> None:
    if layer == "redis":
        request.getfixturevalue("redis_layer")
    async with Socket(run.id, cookies=cookies) as socket:
        hello = await socket.until(lambda: socket.of("hello"))
        assert (hello[0]["simulation"], hello[0]["commands"], hello[0]["role"]) == ("external", [], "owner")
        await socket.until(lambda: socket.of("status"))
        for n in range(1, 10):
            await apublish_state("import", state={"n": n}, progress=n / 10)
            await socket.until(lambda n=n: n in shown(socket))
        await apublish_state("import", status="finished", state={"n": 10}, result={"rows": 7})
        await socket.until(lambda: socket.of("end") and 10 in shown(socket))
        assert shown(socket) == sorted(set(shown(socket)))
        assert statuses(socket)[-1] == ("finished", 1.0)
        assert [(each["status"], each["result"]) for each in socket.of("end")] == [("finished", {"rows": 7})]


async def test_one_who_comes_late_sees_the_newest_state_and_one_who_comes_after_the_end_that_too(
    run: Run, cookies: str
) -> None:
    await apublish_state("import", state={"n": 1}, progress=0.5)
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: shown(socket) == [1])
        assert statuses(socket)[0] == ("running", 0.5)
    await apublish_state("import", status="failed", state={"n": 2}, error="Traceback")
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: shown(socket) == [2])
        assert [each["status"] for each in socket.of("end")] == ["failed"]
        assert statuses(socket) == [("failed", 0.5)]


@pytest.mark.parametrize("end", ["finished", "failed", "stopped"])
async def test_one_who_was_told_of_nothing_sees_state_progress_and_end_all_the_same(
    run: Run, cookies: str, held: Held, end: str
) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: statuses(socket))
        await apublish_state("import", state={"n": 1}, progress=0.5)
        await socket.until(lambda: statuses(socket)[-1] == ("running", 0.5) and shown(socket) == [1], HEALED)
        await apublish_state("import", progress=0.75)  # of which nothing but the progress is new
        await socket.until(lambda: statuses(socket)[-1] == ("running", 0.75), HEALED)
        await apublish_state("import", status=end, state={"n": 2})
        await socket.until(lambda: socket.of("end") and shown(socket)[-1] == 2, HEALED)
        assert statuses(socket)[-1][0] == socket.of("end")[0]["status"] == end
        held.let_go()  # late, all of it: nothing is shown twice, or goes back
        began, told = time.monotonic(), len(statuses(socket))
        await socket.until(lambda: time.monotonic() > began + 1.5)  # over a look at the row
        assert (len(socket.of("end")), shown(socket)) == (1, [1, 2])
        assert {each[0] for each in statuses(socket)[told:]} <= {end}


async def test_what_arrives_in_another_order_shows_nothing_older_after_what_is_newer(
    run: Run, cookies: str, held: Held
) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: statuses(socket))
        for n in range(1, 5):
            await apublish_state("import", state={"n": n}, progress=n / 10)
        await apublish_state("import", status="finished", state={"n": 5}, result=5)
        held.let_go(lambda said: reversed(said))
        await socket.until(lambda: socket.of("end") and 5 in shown(socket))
        began = time.monotonic()
        await socket.until(lambda: time.monotonic() > began + 1.5)  # over a look at the row
        assert shown(socket) == sorted(set(shown(socket))) and shown(socket)[-1] == 5
        said = [progress or 0 for _status, progress in statuses(socket)]
        assert said == sorted(said) and statuses(socket)[-1] == ("finished", 1.0)
        assert len(socket.of("end")) == 1


async def test_after_a_lost_message_the_next_is_shown_at_once(
    run: Run, cookies: str, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        await apublish_state("import", state={"n": 1})
        await socket.until(lambda: shown(socket) == [1], HEALED)  # from the row
        monkeypatch.setattr(watch, "INTERVAL", 1000.0)
        began = time.monotonic()
        await socket.until(lambda: time.monotonic() > began + 1.5)  # over the last look at the row
        for n in (2, 3):
            await apublish_state("import", state={"n": n})
        held.let_go(lambda said: said[-2:])
        await socket.until(lambda: shown(socket)[-1] == 3)


async def test_a_viewer_hears_that_somebody_has_asked_it_to_stop(run: Run, cookies: str) -> None:
    await apublish_state("import", progress=0.5)
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: statuses(socket))
        socket.say(type="control", id="s", action="stop")
        await socket.until(lambda: socket.of("applied"))
        await socket.until(lambda: statuses(socket)[-1] == ("stopping", 0.5))
        await apublish_state("import", progress=0.6)
        await socket.until(lambda: statuses(socket)[-1] == ("stopping", 0.6))
        await apublish_state("import", status="stopped")
        await socket.until(lambda: socket.of("end"))
        assert socket.of("end")[0]["status"] == "stopped"


async def test_a_command_or_another_control_is_refused_at_the_socket(run: Run, cookies: str) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        socket.command("c", "add", n=1)
        assert (await socket.error())["code"] == "unknown_command"
        socket.say(type="control", id="p", action="pause")
        assert (await socket.error(2))["code"] == "refused"


async def test_who_loses_the_right_is_sent_away(run: Run, cookies: str) -> None:
    await in_database(gateway.share)(run, "public")
    async with Socket(run.id) as socket:
        await socket.until(lambda: statuses(socket))
        await in_database(gateway.share)(run, "private")
        assert await socket.closed() in (4401, 4403)


async def test_one_that_is_told_faster_than_it_reads_stays_and_gets_the_newest(
    settings: Any, run: Run, cookies: str
) -> None:
    settings.LIVESIM = {"SLOW_VIEWER": 120.0}
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: statuses(socket))
        socket.hold.clear()
        for n in range(1, 400):
            await apublish_state("import", state={"n": n}, progress=n / 400)
        socket.hold.set()
        await socket.until(lambda: shown(socket)[-1:] == [399] and statuses(socket)[-1][1] == 399 / 400)
        assert socket.code is None and len(statuses(socket)) < 100


def test_a_status_takes_the_place_of_one_that_waits_but_of_nothing_else() -> None:
    async def send(text: str) -> None:
        raise AssertionError

    viewer = Viewer(send, sender="u:1", role="view")
    for text in ("a", "b"):
        viewer.say_newest(text)
    viewer.say("between")
    for text in ("c", "d"):
        viewer.say_newest(text)
    told = [viewer._next() for _each in range(4)]
    assert told == ["b", "between", "d", None]
