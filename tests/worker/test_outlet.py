"""From what a run gives out to messages of the bus."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import orjson

from django_livesim.bus.chain import View
from django_livesim.protocol import frames
from django_livesim.protocol.names import Kind, Outcome, Status
from django_livesim.protocol.records import Entry, Verdict
from django_livesim.runtime.ports import EventOut, FrameOut, StatusOut, VerdictOut
from django_livesim.worker import outlet as outlets
from django_livesim.worker.outlet import Outlet


class Publisher:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.views: list[View] = []

    def show(self, run: UUID, view: View) -> None:
        self.views.append(view)

    def publish(self, run: UUID, role: str, message: dict[str, Any]) -> None:
        self.messages.append(message)


def outlet() -> tuple[Outlet, list[dict[str, Any]]]:
    publisher = Publisher()
    return Outlet(publisher), publisher.messages  # type: ignore[arg-type]


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
