"""What a child and its parent tell each other without the database: a small map that both have in memory.

| record | written by | says |
|---|---|---|
| sign | the child's thread of the database | who it is, when its last beat was sent, how many runs it holds |
| lease | the parent's main thread | for whom the parent has beaten, and when |
| two slots | its step thread; its thread of async loops | whose code runs there, since when, for how long |

Each record has one writer and a number before it, which is odd while the record is being written: a reader
takes what it read where the number was even, and the same before and after. Times are those of clocks that
all processes of a machine share: `time.monotonic` in slots, `lease_time` in sign and lease.

A process that dies leaves the map as it was: between `enter` and `leave` the slot names the run, and before
and after, and in the midst of writing, nobody. The map lives as long as one of the two has it; it has no
name on any disk.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import threading
import time
from dataclasses import dataclass
from uuid import UUID

WORD = 8  # bytes
BODY = WORD * 7  # bytes for what follows a record's number
RECORD = WORD + BODY
SIGN, LEASE, STEPS, LOOPS = range(4)
SIZE = RECORD * 4

NOBODY = bytes(16)
AGAIN = 100  # readings until a record counts as unreadable: its writer died in the midst


@dataclass(frozen=True, kw_only=True)
class Note:
    """Code of a run is being called."""

    run: UUID
    epoch: int
    since: float
    """By `time.monotonic`."""
    limit: float
    """Seconds that it may take; 0: as long as it likes."""
    thread: int
    """The thread's identifier, by which a dumped stack can be told."""


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A child that has registered."""

    worker: UUID
    beaten: float
    """By `lease_time`: when its last beat that committed was sent."""
    runs: int


@dataclass(frozen=True, kw_only=True)
class Lent:
    """A beat that the parent has sent for a child."""

    worker: UUID
    since: float
    """By `lease_time`, from before it was sent."""


class Record:
    """One record of a map. One thread writes it; any process reads it."""

    def __init__(self, shared: mmap.mmap, index: int, layout: str) -> None:
        self._map = shared
        self._layout = struct.Struct(layout)
        self._body = index * RECORD + WORD
        self._words = memoryview(shared)[index * RECORD : index * RECORD + WORD].cast("Q")

    def write(self, *values: object) -> None:
        number = self._words[0] | 1
        self._words[0] = number
        self._layout.pack_into(self._map, self._body, *values)
        self._words[0] = number + 1

    def read(self) -> tuple[object, ...] | None:
        """None where it was never written, or its writer died in the midst."""
        for _ in range(AGAIN):
            before = self._words[0]
            values = self._layout.unpack_from(self._map, self._body)
            if before % 2 == 0 and before == self._words[0]:
                return values if before else None
        return None

    def close(self) -> None:
        self._words.release()


class Slot(Record):
    """Where one thread notes whose code it calls. Implements the runtime's `Watch`."""

    def __init__(self, shared: mmap.mmap, index: int) -> None:
        super().__init__(shared, index, "=16sqddQ")

    def enter(self, run: UUID, epoch: int, limit: float = 0.0) -> None:
        """Code of `run` is called from here on, and may take `limit` seconds; 0: as long as it likes.

        In the slot's own thread. A second `enter` without a `leave` between takes the place of the first.
        """
        self.write(run.bytes, epoch, time.monotonic(), limit, threading.get_ident())

    def leave(self) -> None:
        """It has returned, or raised."""
        self.write(NOBODY, 0, 0.0, 0.0, 0)

    def note(self) -> Note | None:
        """What is noted; None: nobody's code. Any process."""
        values = self.read()
        if values is None or values[0] == NOBODY:
            return None
        run, epoch, since, limit, thread = values
        return Note(
            run=UUID(bytes=run),  # type: ignore[arg-type]
            epoch=epoch,  # type: ignore[arg-type]
            since=since,  # type: ignore[arg-type]
            limit=limit,  # type: ignore[arg-type]
            thread=thread,  # type: ignore[arg-type]
        )


class Notes:
    """The map of one child."""

    def __init__(self, fd: int) -> None:
        """`fd` may be closed afterwards."""
        self._map = mmap.mmap(fd, SIZE)
        self.steps = Slot(self._map, STEPS)
        """For the step thread."""
        self.loops = Slot(self._map, LOOPS)
        """For the thread in which all async loops run."""
        self._sign = Record(self._map, SIGN, "=16sdq")
        self._lease = Record(self._map, LEASE, "=16sd")

    def noted(self) -> list[Note]:
        """Whose code runs now, or ran when the child died."""
        return [note for slot in (self.steps, self.loops) if (note := slot.note()) is not None]

    def sign(self, worker: UUID, beaten: float, runs: int) -> None:
        """The child has registered as `worker`, or its beat has committed."""
        self._sign.write(worker.bytes, beaten, runs)

    def signed(self) -> Sign | None:
        values = self._sign.read()
        if values is None:
            return None
        worker, beaten, runs = values
        return Sign(worker=UUID(bytes=worker), beaten=beaten, runs=runs)  # type: ignore[arg-type]

    def lend(self, worker: UUID, since: float) -> None:
        """The parent has beaten for `worker`."""
        self._lease.write(worker.bytes, since)

    def lent(self) -> Lent | None:
        values = self._lease.read()
        if values is None:
            return None
        worker, since = values
        return Lent(worker=UUID(bytes=worker), since=since)  # type: ignore[arg-type]

    def close(self) -> None:
        for record in (self.steps, self.loops, self._sign, self._lease):
            record.close()
        self._map.close()


def anonymous(name: str) -> int:
    """The descriptor of a file without a name, for as long as somebody has it open."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(f"livesim-{name}")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def make() -> int:
    """The descriptor of a new map."""
    fd = anonymous("notes")
    os.ftruncate(fd, SIZE)
    return fd
