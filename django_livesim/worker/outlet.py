"""From what a run gives out to messages of the bus."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django_livesim import conf
from django_livesim.bus.chain import View
from django_livesim.bus.publisher import Publisher
from django_livesim.protocol import figures, frames, plain
from django_livesim.runtime.ports import (
    EndOut,
    EventOut,
    FrameOut,
    MetricsOut,
    Output,
    SendOut,
    StatusOut,
    VerdictOut,
)

ALL = "all"
NUMBERED = 10_000  # runs whose frame numbers are kept: those that were let go say no end here


class Outlet:
    """Implements `runtime.ports.Outlet`: numbers the frames, and publishes. Used in the step thread alone."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self._numbers: dict[UUID, tuple[int, int]] = {}

    def put(self, run: UUID, epoch: int, outputs: Sequence[Output]) -> None:
        for output in outputs:
            self._put(run, epoch, output)

    def _put(self, run: UUID, epoch: int, output: Output) -> None:
        match output:
            case FrameOut():
                self.publisher.show(run, self._view(run, epoch, output))
            case VerdictOut(verdict=verdict):
                message = frames.Verdict(
                    sender=verdict.entry.sender,
                    id=verdict.entry.client_id,
                    command=verdict.entry.name,
                    outcome=str(verdict.outcome),
                    tick=verdict.apply_tick,
                    result=verdict.result.decode(),
                    code=plain.storable(verdict.code),
                    message=plain.storable(verdict.message),
                )
                self.publisher.publish(run, ALL, self._fitting(run, epoch, message).encode())
            case StatusOut():
                reason = plain.storable(output.reason)
                text = frames.status(output.status, output.tick, output.progress, output.speed, reason)
                self._lane(run, epoch, "status", text)
            case EventOut():
                self._lane(run, epoch, "event", self._event(run, epoch, output))
            case MetricsOut():
                at, problem = figures.moment(output.at), plain.storable(output.problem)
                text = frames.metrics(output.tick, at, output.values, problem)
                self._lane(run, epoch, "metrics", text)
            case EndOut():
                self.publisher.fits("The result", run, epoch, len(output.result))
                most = conf.settings.MAX_FRAME_BYTES
                text = frames.end(output.status, output.result, output.next, most=most)
                self._lane(run, epoch, "end", text)
                self._numbers.pop(run, None)
            case SendOut(send=send):
                if send.to_group:
                    self.publisher.group_send(send.target, send.message)
                else:
                    self.publisher.channel_send(send.target, send.message)

    def _event(self, run: UUID, epoch: int, output: EventOut) -> str:
        name, size = plain.storable(output.name), len(output.name) + len(output.data)
        if self.publisher.fits("An event", run, epoch, size):
            return frames.event(name, output.data, output.tick)
        return frames.event(name, None, output.tick, too_large=size)

    def _fitting(self, run: UUID, epoch: int, verdict: frames.Verdict) -> frames.Verdict:
        """What viewers are told of it; the row has the whole."""
        size = max(len(verdict.result), len(verdict.message))
        if self.publisher.fits("The answer to a command", run, epoch, size):
            return verdict
        return verdict.within(conf.settings.MAX_FRAME_BYTES)

    def _lane(self, run: UUID, epoch: int, kind: str, text: str) -> None:
        message = {"type": "livesim.lane", "kind": kind, "epoch": epoch, "text": text}
        self.publisher.publish(run, ALL, message)

    def _view(self, run: UUID, epoch: int, frame: FrameOut) -> View:
        last_epoch, last = self._numbers.pop(run, (epoch, 0))
        seq = last + 1 if last_epoch == epoch else 1
        self._numbers[run] = (epoch, seq)  # at the end: the first is the one longest without a frame
        if len(self._numbers) > NUMBERED:
            del self._numbers[next(iter(self._numbers))]
        return View(
            role=frame.role,
            epoch=epoch,
            seq=seq,
            tick=frame.tick,
            body=frame.body,
            tables=frame.tables,
            whole=frame.whole,
        )
