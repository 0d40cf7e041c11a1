"""The output gate: nothing leaves before the write that it depends on has committed."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from django_livesim.runtime.ports import FrameOut, Output


class Gate:
    """Outputs of one run, each behind the number of a write.

    Everything keeps its order, except that a newer frame of a role takes the
    place of an older one that has not left yet.
    """

    def __init__(self) -> None:
        self._held: deque[tuple[int, Output]] = deque()
        self.committed = 0
        """The number of the newest write that has."""

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, after: int, output: Output) -> None:
        """Keep `output` until write number `after` has committed; 0 waits for none."""
        if isinstance(output, FrameOut):
            output = self._in_place_of_older(output)
        self._held.append((after, output))

    def _in_place_of_older(self, frame: FrameOut) -> FrameOut:
        """The frame, with what was asked for in the one that it takes the place of."""
        older = [other for _, other in self._held if isinstance(other, FrameOut) and other.role == frame.role]
        if not older:
            return frame
        self._held = deque((number, other) for number, other in self._held if other not in older)
        return replace(frame, whole=frame.whole or any(other.whole for other in older))

    def commit(self, number: int) -> None:
        """Write `number`, and so every one before it, has committed."""
        self.committed = max(self.committed, number)

    def release(self) -> list[Output]:
        """Everything that may leave now, in order."""
        ready: list[Output] = []
        while self._held and self._held[0][0] <= self.committed:
            ready.append(self._held.popleft()[1])
        return ready
