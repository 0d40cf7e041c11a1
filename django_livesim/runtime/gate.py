"""The output gate: nothing leaves before the write that it depends on has committed."""

from __future__ import annotations

from collections import deque

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
            self._held = deque(
                (number, other)
                for number, other in self._held
                if not (isinstance(other, FrameOut) and other.role == output.role)
            )
        self._held.append((after, output))

    def commit(self, number: int) -> None:
        """Write `number`, and so every one before it, has committed."""
        self.committed = max(self.committed, number)

    def release(self) -> list[Output]:
        """Everything that may leave now, in order."""
        ready: list[Output] = []
        while self._held and self._held[0][0] <= self.committed:
            ready.append(self._held.popleft()[1])
        return ready
