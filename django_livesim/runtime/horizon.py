"""How far a run may be stepped, and how far it asks to be."""

from __future__ import annotations

from django_livesim.protocol.records import Held

AHEAD = 2.5  # seconds of ticks that a run asks for
SHORT = 1.0  # seconds of ticks left with which it asks by itself, and does not wait for the next look
MOST = 50_000  # ticks asked for at once: commands for a tick are taken before it (`store.loading.AHEAD`)


class Horizon:
    """The last tick of a run that may be shown, as the database has it.

    `asked` is what the newest write or look asks for, `granted` what has
    committed of it: the run is never stepped past that, so that nothing that
    leaves this process shows a later tick. An heir goes on from there. Both
    only grow while the run goes on by itself; where it is paused or ends they
    are lowered to its tick and the steps asked for, and the write that says so
    lowers the row's: an heir makes no step that nobody asked for.

        tick 40, granted 65: it is stepped on to 65 while the database is away, and waits there;
        asked 85 at tick 60: once that has committed, on to 85.
    """

    def __init__(self, held: Held) -> None:
        self.asked = self.granted = max(held.tick, held.horizon)
        self.noted = held.tick
        """The tick that the row has, or is about to have."""
        self.half = 0
        """The tick that is half of the way from where it was asked for."""

    def ask(self, tick: int, wanted: int, *, exactly: bool = False) -> int:
        """Have a write or a look ask for `wanted`, of a run at `tick`; what is asked for then."""
        self.asked = wanted if exactly else max(self.asked, wanted)
        self.granted = min(self.granted, self.asked)
        self.half = (tick + self.asked) // 2
        return self.asked

    def grant(self, tick: int) -> None:
        """What was asked for has committed. An answer from before it was lowered counts for no more."""
        self.granted = max(self.granted, min(tick, self.asked))

    def is_reached(self, tick: int) -> bool:
        return tick >= self.granted

    def is_half_used(self, tick: int) -> bool:
        """Whether it is worth while to see how long the rest will last."""
        return tick >= self.half
