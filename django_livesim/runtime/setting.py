"""The built-in command `set`: live parameters, changed between two steps."""

from __future__ import annotations

from typing import Any

from django_livesim.protocol.errors import BadArgs
from django_livesim.protocol.names import SET
from django_livesim.runtime.ports import Catalogue, Definition
from django_livesim.simulation import Hosted


class Setter:
    """Changes the parameters of one run, in whichever thread has its state."""

    def __init__(self, definition: Definition, catalogue: Catalogue) -> None:
        self._live = frozenset(catalogue.live(definition))

    def takes(self, name: str) -> bool:
        """Whether a command of that name is the built-in one, and none of the author's."""
        return name == SET and bool(self._live)

    def set(self, simulation: Hosted, args: dict[str, Any]) -> dict[str, Any]:
        """Change parameters, and give all that were ever set.

        Raises BadArgs where one cannot be as it is given, and what the author's `changed` raises; the
        parameters are as they were then.
        """
        if unknown := sorted(args.keys() - self._live):
            told = "This version of the code has no live parameter of that name."
            raise BadArgs(f"{', '.join(unknown)}: {told}", fields={name: [told] for name in unknown})
        host = simulation._host
        before = host.params_set
        host.set_params(dict(sorted({**before, **args}.items())))
        try:
            simulation.changed(set(args))
        except BaseException:
            host.params_set = before
            raise
        return host.params_set
