"""A mirror ends with the view there is, whatever is lost, doubled or comes late."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_livesim.protocol import delta, tables
from django_livesim.protocol.mirror import Mirror, Picture, after
from django_livesim.protocol.tables import Table
from tests import services
from tests.test_delta import plain, views

POINTS = Table("points", x=0.1)
points = st.dictionaries(st.sampled_from("abc"), st.fixed_dictionaries({"x": st.integers(0, 3)}))
pictures = st.tuples(views, points)


def picture(view, rows) -> Picture:
    return Picture(state=view, tables={"points": POINTS.pack(rows)})


def objects(picture: Picture) -> dict:
    """As a page has it."""
    return {**picture.state, "points": tables.unpack(picture.tables["points"])}


def snapshot(epoch, seq, new) -> dict:
    return {
        "type": "snapshot",
        "epoch": epoch,
        "seq": seq,
        "tick": seq,
        "state": new.state,
        "tables": new.tables,
    }


def told(epoch, seq, old: Picture, new: Picture) -> dict:
    patch, nulls = delta.diff(old.state, new.state)
    changed, _ = tables.diff(old.tables["points"], new.tables["points"])
    numbers = {"type": "delta", "epoch": epoch, "prev": seq - 1, "seq": seq, "tick": seq}
    message = {**numbers, "patch": patch, "nulls": nulls, "tables": {"points": changed} if changed else {}}
    return message | {"crc": after(old, message).check()}


@pytest.fixture(scope="module")
def script() -> Iterator[Callable[[Any], Any]]:
    """`mirror.js` in a node of its own: messages go in, None for a new mirror."""
    command = [services.executable("node"), str(Path(__file__).with_name("mirror.mjs"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def call(message: Any) -> Any:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield call
        process.kill()


class Client:
    """Both mirrors: each asks for the whole where it has missed something."""

    def __init__(self, script: Callable[[Any], Any]) -> None:
        self.mirror = Mirror()
        self.shown: Any = None
        self._script = script
        script(None)

    def take(self, message: Any, whole: Any) -> None:
        message, whole = (orjson.loads(orjson.dumps(each)) for each in (message, whole))
        if not self.mirror.take(message):
            self.mirror.take(whole)
        said = self._script(message)
        if said["fate"] == "missed":
            said = self._script(whole)
        self.shown = said["frame"]


@given(st.lists(pictures, min_size=1, max_size=8), st.data())
def test_it_ends_with_what_there_is(script, shown, data):
    """Frames of two epochs, of which some are lost, doubled, or late; a snapshot comes if it is asked for."""
    client, sent, last, seq = Client(script), [], None, 0
    turn = data.draw(st.integers(0, len(shown)))
    for place, each in enumerate(shown):
        epoch = 1 if place < turn else 2
        if place == turn:
            last, seq = None, 0
        seq += 1
        new = picture(*each)
        message = snapshot(epoch, seq, new) if last is None else told(epoch, seq, last, new)
        last = new if last is None else after(last, message)
        fate = data.draw(st.sampled_from(["sent", "sent", "lost", "doubled", "late"]))
        now = {"lost": [], "doubled": [message, message]}.get(fate, [message] if fate == "sent" else [])
        for one in [*now, *sent[-1:]]:
            client.take(one, snapshot(epoch, seq, last))
        sent.append(message)
    client.take(snapshot(epoch, seq + 1, last), None)  # perhaps the last was lost: the next says so
    assert client.mirror.picture is not None
    assert plain(client.mirror.picture.state) == plain(last.state)
    assert client.mirror.picture.tables == orjson.loads(orjson.dumps(last.tables))
    assert plain(client.shown["state"]) == plain(
        {**last.state, "points": tables.unpack(last.tables["points"])}
    )


@given(st.lists(pictures, min_size=2, max_size=6))
def test_deltas_alone_end_with_it_too(script, shown):
    client = Client(script)
    last = picture(*shown[0])
    client.take(snapshot(1, 1, last), None)
    for seq, each in enumerate(shown[1:], start=2):
        message = told(1, seq, last, picture(*each))
        last = after(last, message)
        client.take(message, None)
    assert client.mirror.number == (1, len(shown))
    assert plain(client.mirror.picture.state) == plain(last.state)
    assert plain(client.shown["state"]) == plain(
        {**last.state, "points": tables.unpack(last.tables["points"])}
    )


def test_a_delta_that_leads_elsewhere_is_noticed():
    mirror = Mirror()
    old, new = picture({"a": 1}, {}), picture({"a": 2}, {})
    mirror.take(snapshot(1, 1, old))
    wrong = told(1, 2, old, new) | {"patch": {"a": 3}}
    assert not mirror.take(wrong)
    assert (mirror.number, mirror.picture) == ((1, 1), old)


def test_a_delta_of_a_table_that_is_not_there_is_noticed():
    mirror = Mirror()
    mirror.take(snapshot(1, 1, Picture(state={})))
    delta_of_it = {"type": "delta", "epoch": 1, "prev": 1, "seq": 2, "tick": 2, "patch": {}, "nulls": []}
    assert not mirror.take(delta_of_it | {"tables": {"points": {}}})
    assert mirror.take(delta_of_it)


def test_numbers_that_are_equal_have_one_check():
    assert picture({"a": 1.0, "b": [2]}, {}).check() == picture({"b": [2.0], "a": 1}, {}).check()
    assert picture({"a": 1}, {}).check() != picture({"a": True}, {}).check()
