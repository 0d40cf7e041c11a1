"""The commands that a run has been given and has not answered, and when each is due."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from django_livesim.protocol.names import CANCEL, Kind
from django_livesim.protocol.records import Entry, Key

DONE = 10_000  # answered entries remembered, lest a look that began before their write gives them again
VOLATILE = 1_000  # commands without a row that may be unanswered at a time; what comes beyond is lost

Place = tuple[int, Entry]
"""An entry, and its place in the order of coming."""


class Schedule:
    """Commands of one run, owned by the step thread.

    An entry is *given* once, waits until it is *due* by tick and by time, is
    *taken* by whoever applies it, and is *answered* when its verdict has
    committed. Those that are due keep the order in which they came. Due times
    are counted on the clock of this process from the moment an entry came
    in, which is after the database was read: so none is ever early.
    """

    def __init__(self) -> None:
        self._due: deque[Place] = deque()
        self._by_time: list[tuple[float, int, Entry]] = []  # heaps of those that are not due yet
        self._by_tick: list[tuple[int, int, Entry]] = []
        self._places = itertools.count()
        self._unanswered: dict[Key, Entry] = {}
        self._volatile = 0  # how many of those have no row
        self._answered: dict[Key, None] = {}  # the oldest first
        self._cancelled: set[int] = set()  # commands whose `cancel` has acted here and not yet in the store
        self.left: int | None = None
        """The first tick for which there are more commands than could be given; None where there are none."""

    def __iter__(self) -> Iterator[Entry]:
        """Those that were due when it was looked at last, in order."""
        return (entry for _, entry in self._due)

    def give(self, entries: Iterable[Entry], now: float) -> bool:
        """Take in those that are new; whether there was one."""
        found = False
        for entry in entries:
            if self._is_new(entry):
                self._give(entry, next(self._places), now)
                found = True
        return found

    def _give(self, entry: Entry, place: int, now: float) -> None:
        self._unanswered[entry.key] = entry
        self._volatile += entry.id is None
        if entry.due_in is not None and entry.due_in > 0:
            heapq.heappush(self._by_time, (now + entry.due_in, place, entry))
        elif entry.due_tick is not None:
            heapq.heappush(self._by_tick, (entry.due_tick, place, entry))
        else:
            self._due.append((place, entry))

    def _is_new(self, entry: Entry) -> bool:
        if entry.key in self._unanswered or entry.key in self._answered:
            return False
        if entry.id in self._cancelled or entry.series in self._cancelled:
            return False
        return entry.id is not None or self._volatile < VOLATILE

    def give_again(self, entries: Iterable[Entry]) -> None:
        """Take in entries of the journal: their verdicts stand, and they are due at once."""
        self._due += ((next(self._places), entry) for entry in entries)

    def look(self, tick: int, now: float) -> None:
        """Find what is due at this boundary."""
        while self._by_time and self._by_time[0][0] <= now:
            _, place, entry = heapq.heappop(self._by_time)
            heapq.heappush(self._by_tick, (entry.due_tick or 0, place, entry))
        found: list[Place] = []
        while self._by_tick and self._by_tick[0][0] <= tick:
            found.append(heapq.heappop(self._by_tick)[1:])
        if found:
            self._due = deque(sorted([*self._due, *found], key=lambda each: each[0]))

    def lacks(self, tick: int) -> bool:
        """Whether commands for this tick, or for one before it, are still to be given."""
        return self.left is not None and tick >= self.left

    @property
    def used_up(self) -> bool:
        """Whether all that was given has been answered, and there is more."""
        return not self._unanswered and self.left is not None

    @property
    def next_due(self) -> float:
        """When the first of those that wait for their time is due; endless where none does."""
        return self._by_time[0][0] if self._by_time else math.inf

    @property
    def next_tick(self) -> float:
        """The first tick that needs this to be looked at: endless where none does."""
        if self._due:
            return -math.inf
        left = math.inf if self.left is None else self.left + 1  # at that tick it has to wait
        return min(left, self._by_tick[0][0] if self._by_tick else math.inf)

    def first(self, applies: Callable[[Entry], bool]) -> Entry | None:
        """The first that is due and of which `applies` holds."""
        return next((entry for _, entry in self._due if applies(entry)), None)

    def take(self, entry: Entry) -> None:
        """An entry that is due is being applied."""
        if self._due and self._due[0][1] is entry:
            self._due.popleft()
        else:
            self._keep(lambda each: each is not entry)

    def _keep(self, kept: Callable[[Entry], bool]) -> None:
        self._due = deque(each for each in self._due if kept(each[1]))

    def take_messages(self) -> list[Entry]:
        """Take all commands that are due, for a loop."""
        messages = [entry for _, entry in self._due if entry.kind is Kind.COMMAND]
        self._keep(lambda each: each.kind is not Kind.COMMAND)
        return messages

    def cancel(self, command: int) -> frozenset[int]:
        """Forget what waits of a command and its repetitions; the ids of those that were taken before.

        What comes again from the journal has acted, and stays. What a look under way still finds of them
        is not taken in, until this `cancel` is answered: then the store has refused it.
        """

        def meant(entry: Entry) -> bool:
            waits = entry.id is not None and entry.apply_seq is None
            return waits and command in (entry.id, entry.series)

        self._cancelled.add(command)

        for entry in [each for each in self._waiting() if meant(each)]:
            self.answered(entry)
        self._keep(lambda each: not meant(each))
        self._by_time = [each for each in self._by_time if not meant(each[2])]
        self._by_tick = [each for each in self._by_tick if not meant(each[2])]
        heapq.heapify(self._by_time)
        heapq.heapify(self._by_tick)
        return frozenset(each.id for each in self._unanswered.values() if meant(each) and each.id is not None)

    def _waiting(self) -> Iterator[Entry]:
        yield from self
        yield from (entry for _, _, entry in self._by_time)
        yield from (entry for _, _, entry in self._by_tick)

    def answered(self, entry: Entry) -> None:
        """The verdict of an entry has committed, or it was cancelled."""
        if self._unanswered.pop(entry.key, None) is not None:
            self._volatile -= entry.id is None
        if entry.kind is Kind.CONTROL and entry.name == CANCEL:
            self._cancelled.discard(int(entry.args["command"]))
        self._answered[entry.key] = None
        while len(self._answered) > DONE:
            del self._answered[next(iter(self._answered))]
