"""A service elsewhere that takes long and can be asked how far it is; this one pretends."""

from __future__ import annotations


class Backend:
    """One task of the service: each look finds it `pace` per cent further, as in the document."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._looks = 0

    async def poll(self) -> float:
        """How far it is, in per cent, at most 100."""
        self._looks += 1
        return min(100, round(self._looks * self._pace, 2))
