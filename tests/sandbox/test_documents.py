"""The rows of the seed documents, at the sandbox's own paths, in the words of the documents.

The sandbox runs in processes of its own: a web server, a worker, Redis. Each test drives one of its URLs
as a stranger would. What a row needs is registered by the example's entry in `INSTALLED_APPS`; that without
it the path is refused shows `test_without_its_example_a_path_is_refused`, for each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from websockets.exceptions import ConnectionClosed

from django_livesim.routing import livesim_application
from sandbox.config.parts import websocket_routes
from tests.sandbox.conftest import Line, Person

Come = Callable[[], Person]

EXAMPLES = {
    "ws/simulation/": "sandbox.entities",
    "prog/": "sandbox.prog",
    "prog/hour/": "sandbox.prog",
    "chat/": "sandbox.chat",
    "anywhere/you/like": "sandbox.chat",
}
REFUSED = 4404


@pytest.mark.django_db(transaction=True)
@pytest.mark.any_database
@pytest.mark.parametrize("path", EXAMPLES)
async def test_without_its_example_a_path_is_refused(path: str) -> None:
    async def http(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("no page is asked for")

    others = [app for app in EXAMPLES.values() if app != EXAMPLES[path]]
    application = livesim_application(http, websocket=websocket_routes(others))
    socket = WebsocketCommunicator(application, f"/{path}", headers=[(b"host", b"localhost")])
    await socket.connect(timeout=60)
    assert await socket.receive_output(60) == {"type": "websocket.close", "code": REFUSED}


# A simulation worker


@pytest.fixture
def steered(person: Come) -> Line:
    """A visitor's socket to the simulation, which runs."""
    line = person().line("/ws/simulation/")
    line.say(command="start_simulation")
    line.hear_until(is_update)
    return line


def is_update(message: Any) -> bool:
    return message.get("type") == "update"


def is_error(message: Any) -> bool:
    return "error" in message


def test_the_state_is_told_every_ten_steps(steered: Line) -> None:
    first, second = steered.hear(), steered.hear()
    assert first.keys() == {"type", "state"}
    assert first["state"].keys() == {"entities", "time", "last_update"}
    assert first["state"]["time"] % 10 == 0
    assert second["state"]["time"] == first["state"]["time"] + 10
    assert second["state"]["last_update"] > first["state"]["last_update"]


def test_an_entity_that_is_added_moves_and_everybody_is_told(steered: Line, person: Come) -> None:
    other = person().line("/ws/simulation/")
    data = {"position": [0, 0], "velocity": [1, 0.5], "colour": "red"}
    steered.say(command="add_entity", entity_id="comet", entity_data=data)
    seen = other.hear_until(lambda message: "comet" in message["state"]["entities"])[-1]["state"]
    later = other.hear()["state"]
    steps = later["time"] - seen["time"]
    (x, y), (later_x, later_y) = seen["entities"]["comet"]["position"], later["entities"]["comet"]["position"]
    assert (later_x - x, later_y - y) == (steps, steps * 0.5)
    assert later["entities"]["comet"]["colour"] == "red"


def test_a_start_of_a_running_simulation_changes_nothing(steered: Line) -> None:
    before = steered.hear()["state"]["time"]
    steered.say(command="start_simulation")
    assert steered.hear()["state"]["time"] == before + 10


def test_it_stops_and_a_start_goes_on_from_the_stored_state(steered: Line, person: Come) -> None:
    steered.say(command="add_entity", entity_id="stayer", entity_data={"position": [7, 7]})
    last = steered.hear_until(lambda message: "stayer" in message["state"]["entities"])[-1]["state"]
    steered.say(command="stop_simulation")
    steered.say(command="add_entity", entity_id="late", entity_data={})
    heard = steered.hear_until(is_error)
    assert "it takes no commands" in heard[-1]["error"] or "stopped" in heard[-1]["error"]
    stopped_at = max(message["state"]["time"] for message in heard[:-1]) if heard[:-1] else last["time"]
    steered.say(command="start_simulation")
    again = steered.hear_until(is_update)[-1]["state"]
    assert again["time"] == stopped_at + 10
    assert again["entities"]["stayer"] == {"position": [7, 7]}
    assert "late" not in again["entities"]


DEEP = "[" * 1000 + "]" * 1000
"""Less than a JSON parser takes, and more than Python may write again by `repr`."""

BAD = [
    ('{"command": "add_entity"', "Invalid JSON"),
    ("[1]", "Expected a JSON object, such as"),
    (DEEP, 'Expected a JSON object, such as {"a": 1}; got [...].'),
    (f'{{"command": {DEEP}}}', "There is no command [...]. Expected one of: "),
    (f'{{"command": {{"a": {DEEP}}}}}', "There is no command {...}. Expected one of: "),
    (f'{{"command": "add_entity", "entity_id": "x", "entity_data": {{"a": {DEEP}}}}}', "nested"),
    ('{"command": "run_simulation"}', "Expected one of: start_simulation, stop_simulation, add_entity."),
    ('{"type": "simulation.update", "state": {}}', "There is no command None."),
    ('{"command": "add_entity", "entity_id": "x"}', "entity_data: "),
    ('{"command": "add_entity", "entity_id": 3, "entity_data": {}}', "entity_id: "),
    (
        '{"command": "add_entity", "entity_id": "x", "entity_data": {"position": [1]}}',
        "a list of two numbers",
    ),
    (
        '{"command": "add_entity", "entity_id": "x", "entity_data": {"velocity": [1, 101]}}',
        "two numbers from -100 to 100; got 101",
    ),
]


def test_what_cannot_be_done_gets_a_reason_and_changes_nothing(steered: Line, person: Come) -> None:
    other = person().line("/ws/simulation/")
    for sent, reason in BAD:
        steered.connection.send(sent)
        assert reason in steered.hear_until(is_error)[-1]["error"], sent
    assert "x" not in steered.hear_until(is_update)[-1]["state"]["entities"]
    assert [message for message in (other.hear(), other.hear()) if is_error(message)] == []


# The progress of a long job


@pytest.fixture
def worker(person: Come) -> Person:
    """Somebody with a browser that has been to the page, and so has a session."""
    somebody = person()
    assert "Rock Out" in somebody.get("/documents/progress/")
    return somebody


def is_complete(message: Any) -> bool:
    return message.get("complete") is True


def is_stopped(message: Any) -> bool:
    return message.get("stopped") is True


def test_a_job_is_started_and_tells_its_progress_until_it_is_complete(worker: Person) -> None:
    line = worker.line("/prog/")
    assert line.hear() == {"accept": True}
    line.say(action="start")
    began = time.monotonic()
    heard = line.hear_until(is_complete)
    took = time.monotonic() - began
    assert heard[0] == {"progress": 0}
    assert heard[-1] == {"complete": True, "progress": 100}
    told = [message["progress"] for message in heard]
    assert told == sorted(told)
    assert set(told) == {*range(0, 100, 3), 100}
    assert took > 0.2 * 33  # 200 ms between two of them


def test_a_job_is_stopped_and_the_next_begins_anew(worker: Person) -> None:
    line = worker.line("/prog/")
    line.say(action="start")
    line.hear_until(lambda message: message.get("progress", 0) >= 6)
    line.say(action="stop")
    stopped = line.hear_until(is_stopped)[-1]
    assert stopped["progress"] >= 6
    line.say(action="start")
    heard = line.hear_until(lambda message: message.get("progress", 0) >= 6)
    assert {"progress": 0} in heard
    assert max(message["progress"] for message in heard) == 6


def test_a_second_tab_joins_the_same_job_and_one_who_comes_back_is_told_where_it_is(worker: Person) -> None:
    first = worker.line("/prog/hour/")
    first.say(action="start")
    first.hear_until(lambda message: message.get("progress", 0) >= 0.05)  # two seconds and more
    first.connection.close()  # and it goes on
    second, third = worker.line("/prog/hour/"), worker.line("/prog/hour/")
    assert second.hear() == {"accept": True}
    where = second.hear()["progress"]
    assert where > 0
    third.say(action="start")  # changes nothing
    assert third.hear_until(lambda message: "progress" in message)[-1]["progress"] >= where
    assert third.hear()["progress"] >= where
    third.say(action="stop")
    assert second.hear_until(is_stopped) and third.hear_until(is_stopped)


def test_each_person_has_a_job_of_their_own(worker: Person, person: Come) -> None:
    other = person()
    other.get("/documents/progress/")
    theirs, mine = other.line("/prog/hour/"), worker.line("/prog/hour/")
    assert (theirs.hear(), mine.hear()) == ({"accept": True}, {"accept": True})
    mine.say(action="start")
    mine.hear_until(lambda message: message.get("progress", 0) > 0)
    theirs.say(action="stop")
    assert theirs.hear() == {"error": "No job of yours is running. Start one."}
    assert mine.hear()["progress"] > 0
    mine.say(action="stop")
    assert mine.hear_until(is_stopped)


def test_whoever_asks_is_answered_and_nobody_else(worker: Person) -> None:
    asker, other = worker.line("/prog/"), worker.line("/prog/")
    assert (asker.hear(), other.hear()) == ({"accept": True}, {"accept": True})
    asker.connection.send("{")
    asker.say(action="dance")
    asker.connection.send(f'{{"action": {DEEP}}}')
    asker.say(action="stop")
    assert asker.hear() == {"error": "Invalid JSON"}
    assert asker.hear() == {"error": "There is no action 'dance'. Expected one of: start, stop."}
    assert asker.hear() == {"error": "There is no action [...]. Expected one of: start, stop."}
    assert asker.hear() == {"error": "No job of yours is running. Start one."}
    other.connection.send("{")
    assert other.hear() == {"error": "Invalid JSON"}  # its own; nothing came before it


def test_who_has_no_cookie_is_told_why_there_is_no_job(person: Come) -> None:
    line = person().line("/prog/")
    line.say(action="start")
    assert "Allow cookies" in line.hear_until(is_error)[-1]["error"]


def test_an_hour_long_job_is_stopped_by_a_message_within_a_second(worker: Person) -> None:
    line, took = worker.line("/prog/hour/"), []
    for _attempt in range(5):  # the machine may have much else to do
        line.say(action="start")
        line.hear_until(lambda message: message.get("progress", 0) > 0)
        began = time.monotonic()
        line.say(action="stop")
        line.hear_until(is_stopped)
        took.append(time.monotonic() - began)
        if took[-1] < 1.0:
            break
    assert min(took) < 1.0, took


# An echo


def test_what_is_said_comes_back_and_nothing_for_nothing(person: Come) -> None:
    line = person().line("/chat/")
    line.connection.send("")
    line.connection.send(b"")
    line.connection.send("hello world")
    assert line.connection.recv(timeout=60) == "You said: hello world"


@pytest.mark.parametrize("path", ["/", "/private", "/user/1234", "/chat/room/", "/prog/worker/"])
def test_a_socket_at_another_path_is_refused(person: Come, path: str) -> None:
    with pytest.raises(ConnectionClosed) as closed:
        person().line(path).connection.recv(timeout=60)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == REFUSED


@pytest.mark.parametrize("path", ["/anywhere/private", "/anywhere/user/1234/"])
def test_a_catch_all_route_takes_every_path(person: Come, path: str) -> None:
    line = person().line(path)
    line.connection.send("hello")
    assert line.connection.recv(timeout=60) == f"You said at {path}: hello"


# Pages


def test_the_index_leads_to_each_document_and_every_page_to_the_index(person: Come) -> None:
    visitor = person()
    index = visitor.get("/documents/")
    for name in ("simulation", "progress", "chat"):
        assert f'href="{name}/"' in index
        assert 'href="/documents/"' in visitor.get(f"/documents/{name}/")
    assert 'href="/documents/"' in visitor.get("/")
