"""What a leg has found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Found:
    """Figures to read, the musts that are missed, and lines that say more of both."""

    figures: dict[str, str] = field(default_factory=dict)
    """By name, in words: `{"frames of others late by at most": "0.41 s"}`."""
    missed: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def count(self, name: str, number: int) -> None:
        """Add to a figure that is a number."""
        self.figures[name] = str(int(self.figures.get(name, "0")) + number)

    def must(self, holds: bool, otherwise: str) -> None:
        """Something that has to be; in words what there was instead."""
        if not holds:
            self.missed.append(otherwise)
