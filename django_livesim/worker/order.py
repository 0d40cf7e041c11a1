"""What a child is told when it is spawned: one argument of its command line, and a few descriptors."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b

BOOT = (
    "import os, sys; sys.path[:] = sys.argv.pop(1).split(os.pathsep);"
    " from django_livesim.worker.child import main; sys.exit(main(sys.argv.pop(1)))"
)
"""What is imported comes from the same places as the parent's; its `__main__` is not run again."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What every child of one parent is to do."""

    queues: list[str]
    max_runs: int | None = None
    memory: int | None = None
    """Megabytes that it may have."""


@dataclass(frozen=True, kw_only=True)
class Spawned:
    """An order, and what one child of the parent gets with it."""

    order: Order
    parent: int
    """The parent's process id."""
    alive: int
    """Descriptor that reads as ended once the parent has."""
    notes: int
    """Descriptor of the child's map."""
    stack: int
    """Descriptor to which a dying child writes where its threads are."""
    run: str | None = None
    """The id of the run for which alone it is there; None: it takes what is free."""
    tasks: bool = False
    """Whether it calls tasks, and steps nothing."""
    arguments: list[str] = field(default_factory=lambda: list(sys.argv))
    """The parent's `sys.argv`, which settings may look at."""

    @property
    def descriptors(self) -> tuple[int, int, int]:
        return (self.alive, self.notes, self.stack)

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Spawned:
        fields = json.loads(text)
        return cls(**fields | {"order": Order(**fields["order"])})

    def command(self) -> list[str]:
        """What is executed."""
        options = [f"-W{option}" for option in sys.warnoptions]
        options += [f"-X{name}" if value is True else f"-X{name}={value}" for name, value in _xoptions()]
        return [sys.executable, *options, "-c", BOOT, os.pathsep.join(map(str, sys.path)), self.encode()]


def _xoptions() -> list[tuple[str, str | bool]]:
    return list(getattr(sys, "_xoptions", {}).items())


def environment(secret: str | bytes, before: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: `before`, where sets iterate alike in all workers of a deployment.

    The seed of hashes is made of the deployment's `secret`, by which nobody outside knows it; one that the
    environment names is kept.
    """
    if before.get("PYTHONHASHSEED", "random").isdecimal():
        return dict(before)
    key = secret.encode() if isinstance(secret, str) else secret
    digest = blake2b(key, digest_size=4, person=b"livesim hashes").digest()
    return {**before, "PYTHONHASHSEED": str(int.from_bytes(digest))}
