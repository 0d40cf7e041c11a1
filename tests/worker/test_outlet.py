"""From what a run gives out to messages of the bus."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import orjson

from django_livesim.bus import publisher
from django_livesim.bus.chain import View
from django_livesim.protocol import frames
from django_livesim.protocol.names import Kind, Outcome, Status
from django_livesim.protocol.records import Entry, Verdict
from django_livesim.runtime.ports import EndOut, EventOut, FrameOut, StatusOut, VerdictOut
from django_livesim.worker import outlet as outlets
from django_livesim.worker.outlet import Outlet


class Publisher:
    """Keeps what it is given."""

    fits = publisher.Publisher.fits

    def __init__(self) -> None:
        self.refused = 0
        self.messages: list[dict[str, Any]] = []
        self.views: list[View] = []

    def show(self, run: UUID, view: View) -> None:
        self.views.append(view)

    def publish(self, run: UUID, role: str, message: dict[str, Any]) -> None:
        self.messages.append(message)


def outlet() -> tuple[Outlet, list[dict[str, Any]]]:
    kept = Publisher()
    return Outlet(kept), kept.messages  # type: ignore[arg-type]


def test_numbers_of_runs_that_were_let_go_are_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(outlets, "NUMBERED", 3)
    out, _ = outlet()
    busy = uuid4()
    for _ in range(10):
        for run in (busy, uuid4()):
            out.put(run, 1, [FrameOut(role="all", tick=1, body=b"{}")])
    assert len(out._numbers) == 3
    assert [view.seq for view in out.publisher.views[::2]] == list(range(1, 11))


def test_texts_that_utf_8_cannot_hold_leave_as_escapes():
    out, messages = outlet()
    entry = Entry(id=1, client_id="i", sender="u:1", kind=Kind.COMMAND, name="c", args={})
    verdict = Verdict(
        entry=entry, apply_seq=1, apply_tick=1, outcome=Outcome.REFUSED, code="a\udce9", message="caf\udce9"
    )
    reason = StatusOut(status=Status.RUNNING, tick=1, speed=1.0, reason="caf\udce9")
    event = EventOut(name="caf\udce9", data=b"{}", tick=1)
    out.put(uuid4(), 1, [VerdictOut(verdict=verdict), reason, event])
    told = frames.Verdict.decode(messages[0]).text(to_sender=True)
    texts = [orjson.loads(text) for text in (told, messages[1]["text"], messages[2]["text"])]
    assert [text.get("message") or text.get("reason") or text["name"] for text in texts] == [
        "caf\\udce9",
        "caf\\udce9",
        "caf\\udce9",
    ]


def test_what_is_too_large_is_left_out_and_its_size_is_told(settings):
    settings.LIVESIM = {"MAX_FRAME_BYTES": 2000}
    out, messages = outlet()
    entry = Entry(id=1, client_id="i", sender="u:1", kind=Kind.COMMAND, name="c", args={})
    large = b'"' + b"x" * 3000 + b'"'
    applied = Verdict(entry=entry, apply_seq=1, apply_tick=1, outcome=Outcome.APPLIED, result=large)
    refused = Verdict(
        entry=entry, apply_seq=1, apply_tick=1, outcome=Outcome.REFUSED, message="because " * 1000
    )
    event = EventOut(name="n" * 3000, data=large, tick=1)
    end = EndOut(status=Status.FINISHED, result=large, next=None)
    out.put(uuid4(), 1, [VerdictOut(verdict=applied), VerdictOut(verdict=refused), event, end])
    verdicts = [frames.Verdict.decode(message) for message in messages[:2]]
    told = [orjson.loads(each.text(to_sender=True)) for each in verdicts]
    told += [orjson.loads(message["text"]) for message in messages[2:]]
    assert [each.get("too_large") for each in told] == [3002, None, 6002, 3002]
    assert (told[0]["result"], told[2]["data"], told[3]["result"]) == (None, None, None)
    assert told[1]["message"] == ("because " * 1000)[:497] + "..."
    assert len(told[2]["name"]) == 500
    assert out.publisher.refused == 4


def test_what_is_as_large_as_may_be_is_sent(settings):
    settings.LIVESIM = {"MAX_FRAME_BYTES": 2000}
    out, messages = outlet()
    out.put(uuid4(), 1, [EventOut(name="e", data=b'"' + b"x" * 1997 + b'"', tick=1)])
    assert len(orjson.loads(messages[0]["text"])["data"]) == 1997
    assert out.publisher.refused == 0
