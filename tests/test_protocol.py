"""Messages as they cross the socket: decoded strictly, encoded by the schemas, documented as they are."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_livesim.protocol import commands, frames
from django_livesim.protocol.commands import BadMessage, decode
from django_livesim.protocol.errors import Code, LivesimError
from django_livesim.protocol.frames import Verdict
from django_livesim.protocol.names import CloseCode, Status, Verb
from tests.protocol_schemas import DOCS, check, message_types, problems, schema

LIMIT = 16384


def refusal(text: str, limit: int = LIMIT) -> BadMessage:
    with pytest.raises(BadMessage) as caught:
        decode(text, limit)
    return caught.value


def command(**members: Any) -> str:
    return json.dumps({"type": "command", "id": "a", "name": "add", **members})


# -- what clients say ----------------------------------------------------------------------------


def test_every_client_message_is_read() -> None:
    read = [
        decode(text, LIMIT)
        for text in (
            command(args={"n": 1}, at_tick=5, delay=0.5),
            command(),
            '{"type":"control","id":"a","action":"step","n":3}',
            '{"type":"control","id":"a","action":"speed","x":"max"}',
            '{"type":"control","id":"a","action":"stop"}',
            '{"type":"ack","epoch":1,"seq":2}',
            '{"type":"rate","fps":2.5}',
            '{"type":"resync"}',
            '{"type":"ping"}',
        )
    ]
    assert read == [
        commands.Command(id="a", name="add", args={"n": 1}, at_tick=5, delay=0.5),
        commands.Command(id="a", name="add"),
        commands.Control(id="a", action=Verb.STEP, n=3),
        commands.Control(id="a", action=Verb.SPEED, x="max"),
        commands.Control(id="a", action=Verb.STOP),
        commands.Ack(epoch=1, seq=2),
        commands.Rate(fps=2.5),
        commands.Resync(),
        commands.Ping(),
    ]
    assert [each.args for each in read[2:5]] == [{"n": 3}, {"x": "max"}, {}]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Invalid JSON: Input is a zero-length, empty document: line 1 column 1 (char 0)."),
        ("[1]", 'Expected a JSON object such as {"type": "ping"}. Got: an array.'),
        ("null", 'Expected a JSON object such as {"type": "ping"}. Got: null.'),
        ("3", 'Expected a JSON object such as {"type": "ping"}. Got: a number.'),
        ('{"type":"ping","a":1,"a":2}', "An object holds the same name twice."),
        (
            command(args={"a": [{"b": 1}]}).replace('"b"', '"b": 1, "b"'),
            "An object holds the same name twice.",
        ),
        (
            command(args={"n": 2**53 + 1}),
            "Integers must lie within plus and minus 2^53. Got: 9007199254740993.",
        ),
        (command(args={"n": -(10**30)}), f"Integers must lie within plus and minus 2^53. Got: -1{'0' * 30}."),
        (command(args={"a": "\x00"}), r"Text must not hold the character \u0000."),
        (command(args={"\x00": 1}), r"Text must not hold the character \u0000."),
        (command(args={"a": eval("[" * 15 + "]" * 15)}), "Arrays and objects nest deeper than 16 levels."),
    ],
)
def test_what_is_no_message_is_bad_json(text: str, message: str) -> None:
    problem = refusal(text)
    assert (problem.code, problem.message) == (Code.BAD_JSON, message)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1e999"])
def test_numbers_that_json_has_no_word_for_are_bad_json(number: str) -> None:
    assert refusal(command(args={"n": 0}).replace("0", number)).code is Code.BAD_JSON


def test_brackets_without_end_are_bad_json() -> None:
    assert refusal("[" * LIMIT).code is Code.BAD_JSON
    assert refusal('{"type":' + "[" * 900 + "]" * 900 + "}").code is Code.BAD_JSON


def test_sixteen_levels_and_the_outermost_integers_are_taken() -> None:
    deep: Any = 2**53
    for _ in range(14):
        deep = [deep]
    read = decode(
        command(args={"deep": deep, "low": -(2**53), "text": '"quoted": 99999999999999999999'}), LIMIT
    )
    assert isinstance(read, commands.Command) and read.args["deep"] == deep


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('{"type":"command"}', {"id", "name"}),
        (command(id=""), {"id"}),
        (command(id="a" * 65), {"id"}),
        (command(id="a b"), {"id"}),
        (command(id="ä"), {"id"}),
        (command(id=5), {"id"}),
        (command(name=""), {"name"}),
        (command(args=[]), {"args"}),
        (command(at_tick=-1, delay="soon"), {"at_tick", "delay"}),
        (command(at_tick=True), {"at_tick"}),
        (command(handler="__init__"), {"handler"}),
        ('{"type":"control","id":"a","action":"explode"}', {"action"}),
        ('{"type":"control","id":"a","action":"speed"}', {"x"}),
        ('{"type":"control","id":"a","action":"speed","x":0}', {"x"}),
        ('{"type":"control","id":"a","action":"pause","n":1}', {"n"}),
        ('{"type":"control","id":"a","action":"step","n":0}', {"n"}),
        ('{"type":"ack","epoch":1.5,"seq":-1}', {"epoch", "seq"}),
        ('{"type":"rate","fps":-1}', {"fps"}),
        ('{"type":"ping","id":"a"}', {"id"}),
    ],
)
def test_members_that_are_missing_surplus_or_wrong_are_named(text: str, fields: set[str]) -> None:
    problem = refusal(text)
    assert problem.code is Code.BAD_ARGS
    assert set(problem.fields) == fields
    assert problems("client", json.loads(text))


def test_a_wrong_member_is_said_with_what_was_expected() -> None:
    problem = refusal('{"type":"control","id":"a","action":"jump"}')
    expected = 'action: Expected one of pause, resume, step, speed, stop, restart. Got: "jump".'
    assert (problem.message, problem.id) == (expected, "a")


@pytest.mark.parametrize(
    "kind", ["frobnicate", "websocket.receive", "livesim.frame", "_act", 3, None, [], {}]
)
def test_an_unknown_type_is_told_which_there_are(kind: Any) -> None:
    problem = refusal(json.dumps({"type": kind, "id": "a"}))
    assert problem.code is Code.UNKNOWN_COMMAND and problem.id == "a"
    assert "command, control, ack, rate, resync, ping" in problem.message


def test_size_is_counted_in_bytes_before_anything_is_parsed() -> None:
    text = '{"type":"command","id":"a","name":"' + "ä" * 100 + '"}'
    problem = refusal(text, 200)
    assert problem.code is Code.TOO_LARGE and problem.id == "a"
    assert problem.message == "The message has 237 bytes; at most 200 are taken."
    assert refusal("[" * 1_000_000).code is Code.TOO_LARGE


@pytest.mark.parametrize("kind", ["ping", "command"])
def test_an_error_is_never_much_longer_than_a_few_lines(kind: str) -> None:
    text = f'{{"type":"{kind}",' + ",".join(f'"{number:x}":0' for number in range(1900)) + "}"
    problem = refusal(text)
    assert len(problem.fields) <= 12
    said = json.loads(frames.error(None, problem))
    assert len(said["message"]) <= 500 and len(said["fields"]) <= 10
    assert len(json.dumps(said)) < len(text)
    long = LivesimError("m" * 9999, fields={"n" * 999: ["t" * 9999] * 99})
    said = check("server", json.loads(frames.error(None, long)))
    assert said["message"] == "m" * 497 + "..."
    assert [(len(name), [len(text) for text in texts]) for name, texts in said["fields"].items()] == [
        (500, [500] * 10)
    ]


def test_a_binary_message_is_refused_and_held_to_the_same_size() -> None:
    for message, code in ((b"{}", Code.BAD_JSON), (b"x" * (LIMIT + 1), Code.TOO_LARGE)):
        with pytest.raises(BadMessage) as caught:
            decode(message, LIMIT)
        assert caught.value.code is code


def test_the_id_is_echoed_where_it_could_be_read() -> None:
    assert refusal('{"type": "command", "id": "k3Jx", "name": ').id == "k3Jx"
    assert refusal('{"id": "one", "args": {"id": "two"}').id is None
    assert refusal(command(name=3)).id == "a"
    assert refusal(command(id="no good")).id is None
    assert refusal(command(id="a\n")).id is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.text()
    | JSON.map(json.dumps)
    | st.dictionaries(st.sampled_from(["type", "id", "name", "args"]), JSON).map(json.dumps)
)
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    try:
        decode(text, LIMIT)
    except BadMessage as exc:
        check("server", json.loads(frames.error(exc.id, exc)))


@given(JSON)
def test_arguments_arrive_as_they_were_sent(args: Any) -> None:
    text = command(args={"value": args})
    try:
        read = decode(text, LIMIT)
    except BadMessage:
        assert refusal(text).code is Code.BAD_JSON
        return
    assert isinstance(read, commands.Command)
    assert read.args == {"value": args}
    check("client", json.loads(text))


# -- what the server says ------------------------------------------------------------------------

RUN = UUID(int=1)

SAID = [
    frames.hello(
        run=RUN,
        simulation="counter",
        status=Status.RUNNING,
        role="view",
        commands=[{"name": "add", "label": "Add", "schema": {"type": "object"}, "durable": True}],
        tick_rate=20,
        frame_rate=10,
    ),
    frames.hello(
        run=RUN, simulation="x", status="waiting", role="owner", commands=(), tick_rate=None, frame_rate=None
    ),
    frames.snapshot(1, 2, 3, b'{"a":[1,null]}'),
    frames.snapshot(1, 2, 3, b"{}", b'{"ships":{"ids":["a"],"columns":{"x":[1]},"steps":{"x":0.1}}}'),
    frames.delta(1, 2, 3, 4, {"a": None}, ["/b"]),
    frames.delta(1, 2, 3, 4, {}, [], {"ships": {"removed": ["a"], "changed": {"x": [2]}}}, 7),
    frames.status(Status.PAUSED, 3, 0.5, 2.0, "because"),
    frames.status("running", 3, None, 0, ""),
    frames.accepted("a", "add"),
    frames.applied("a", "add", 3, '{"n":1}'),
    frames.applied(None, "add", 3),
    frames.refused("a", "add", 3, "refused", "no"),
    frames.refused(None, "add", 3, "refused", "no"),
    frames.applied(None, "add", 3, by=frames.sender("u:1", "ada")),
    frames.refused(None, "add", 3, "refused", "no", frames.sender("s:0123")),
    frames.error(None, LivesimError("no")),
    frames.error("a", LivesimError("no", code=Code.BUSY, fields={"n": ["bad"]}, retry=1.5)),
    frames.event("boom", {"a": 1}, 3),
    frames.event("boom", b'{"a":1}', 3),
    frames.metrics(3, 1767225600.12345, {"a": 1.5, "b": None}),
    frames.metrics(3, 1767225600.0, b"{}", "its code failed"),
    frames.presence(3),
    frames.end("finished", {"a": 1}),
    frames.end("stopped", b"null", RUN),
    frames.pong(),
    frames.changed(),
]


@pytest.mark.parametrize("text", SAID, ids=lambda text: str(json.loads(text)["type"]))
def test_every_encoder_holds_the_schema(text: str) -> None:
    check("server", json.loads(text))


def test_every_server_message_has_an_encoder() -> None:
    assert {json.loads(text)["type"] for text in SAID} == set(message_types("server"))


def test_only_the_senders_answer_has_id_and_result() -> None:
    verdict = Verdict(sender="u:1", id="a", command="add", outcome="applied", tick=3, result="[1]")
    assert json.loads(verdict.text(to_sender=True)) == {
        "type": "applied", "id": "a", "command": "add", "tick": 3, "result": [1]
    }  # fmt: skip
    assert json.loads(verdict.text(to_sender=False)) == {
        "type": "applied",
        "id": None,
        "command": "add",
        "tick": 3,
    }


def test_a_verdict_crosses_the_layer_as_strings_and_integers() -> None:
    verdict = Verdict(sender="u:1", id="a", command="add", outcome="refused", code=Code.REFUSED, message="no")
    message = verdict.encode() | {"group": "some"}
    assert {type(value) for value in message.values()} == {str, int}
    assert Verdict.decode(message) == verdict


def test_a_snapshot_is_spliced_and_not_encoded_again() -> None:
    body = orjson.dumps({"text": '"}{', "ü": "€"})
    assert json.loads(frames.snapshot(1, 2, 3, body))["state"] == {"text": '"}{', "ü": "€"}


# -- documentation -------------------------------------------------------------------------------

PAGE = (DOCS / "protocol.md").read_text()
EXAMPLES = re.findall(r"^```json( client)?\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_hold_the_schemas_and_there_is_one_for_each_message() -> None:
    shown: dict[str, set[str]] = {"server": set(), "client": set()}
    for client, text in EXAMPLES:
        message = json.loads(text)
        check("client" if client else "server", message)
        shown["client" if client else "server"].add(message["type"])
        if client:
            decode(text, LIMIT)
    assert shown == {"server": set(message_types("server")), "client": set(message_types("client"))}


def test_limits_are_documented_as_they_are() -> None:
    from django_livesim.bus import hub, viewer
    from django_livesim.consumers import inbox

    page = " ".join(PAGE.split())
    for words in (
        f"{inbox.MESSAGE_BURST:.0f} messages at once and {inbox.MESSAGE_RATE:.0f} a second",
        f"Up to {viewer.LANE_LIMIT} messages, or {viewer.LANE_BYTES // 2**20} MiB of them",
        f"each text is cut at {frames.MAX_ERROR} characters",
    ):
        assert words in page
    assert (frames.MAX_FIELDS, hub.RESYNC_GAP, inbox.LEAVE_LIMIT) == (10, 1.0, 1.0)  # said in words


def test_codes_and_closed_sets_are_documented_as_they_are() -> None:
    assert schema("server")["$defs"]["code"]["enum"] == [str(code) for code in Code]
    assert schema("server")["$defs"]["status_word"]["enum"] == [str(status) for status in Status]
    assert schema("client")["$defs"]["command"]["properties"]["delay"]["maximum"] == commands.MAX_DELAY
    assert schema("client")["$defs"]["control"]["properties"]["action"]["enum"] == [
        str(verb) for verb in Verb
    ]
    assert set(message_types("client")) == set(commands._READERS)
    assert {int(code) for code in re.findall(r"^\| (\d{4}) \|", PAGE, re.MULTILINE)} == set(CloseCode)
