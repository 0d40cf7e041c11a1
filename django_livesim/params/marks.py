"""What an annotation says of a parameter beside its type and its limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Marks:
    """See `param`."""

    live: bool = False


def param(*, live: bool = False) -> Marks:
    """How a parameter of a run behaves: `Annotated[float, Limits(ge=0, le=10), param(live=True)]`.

    One that is `live` can be changed while the run goes on, by the built-in command `set`.
    """
    return Marks(live=live)
