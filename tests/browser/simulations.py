"""Simulations for the eye."""

from __future__ import annotations

import time
from typing import Annotated, Any

from django_livesim import Limits, Refused, Simulation, command, job, param, register
from tests.browser.portrayed import HOSTILE

__all__ = ["HOSTILE"]

WORST = (
    "<script>alert(1)</script>",
    "{{7*7}}",
    "{% now 'Y' %}",
    "javascript:alert(1)",
    "\u202egnp.live\u202c",
    "\"'><img src=x onerror=alert(1)>",
    "--><svg onload=alert(1)>",
    "__proto__",
    "constructor",
)
"""Texts that want to be something else."""
LONG = "W" * 2**16


@register
class Painted(Simulation):
    """Has a picture, many members, and texts that want to be markup."""

    tick_rate = 20
    frame_rate = 20
    script = "painted/painted.js"

    def setup(self, members: int = 3000) -> None:
        self.state = {
            "text": HOSTILE,
            "marks": [],
            "members": {f"member-{number}": {"value": number} for number in range(members)},
        }

    def step(self, dt: float) -> None:
        self.state["members"]["member-0"] = {"value": self.tick}

    @command
    def mark(self, x: float, y: float) -> int:
        """Remember a place."""
        self.state["marks"].append([x, y])
        return len(self.state["marks"])

    @command
    def place(self, spot: dict[str, Any]) -> None:
        """Takes an object."""
        if "x" not in spot:
            raise Refused(f"no x in {HOSTILE}")

    @command
    def shout(self) -> None:
        """Tells everybody."""
        self.emit(HOSTILE, {"said": HOSTILE})


@register
class Atlas(Simulation):
    """About a megabyte, of which little changes."""

    tick_rate = 10
    frame_rate = 10

    def setup(self, regions: int = 100, towns: int = 100) -> None:
        self.state = {
            "clock": 0,
            "still": "stays as it is",
            "regions": {f"region-{number}": self._region(number, towns) for number in range(regions)},
        }

    def _region(self, region: int, towns: int) -> dict[str, Any]:
        return {
            f"town-{region}-{number}": {
                "people": region + number,
                "name": f"The town of {region} and {number}",
            }
            for number in range(towns)
        }

    def step(self, dt: float) -> None:
        self.state["clock"] += 1

    @command
    def grow(self, region: int, town: int) -> int:
        """More people in one town."""
        found = self.state["regions"][f"region-{region}"][f"town-{region}-{town}"]
        found["people"] += 1000
        people: int = found["people"]
        return people


@register
class Chronicle(Simulation):
    """Cannot be stored: it is played again from its beginning, and each step takes its time."""

    tick_rate = 100
    recovery = "replay"

    def setup(self) -> None:
        self.state = {"day": 0}

    def step(self, dt: float) -> None:
        time.sleep(0.005)
        self.state["day"] += 1


@register
class Hostile(Simulation):
    """<script>alert(1)</script> {{7*7}}"""

    def setup(self, text: str = "<b>bold</b>") -> None:
        self.state = {
            "given": text,
            **{each: each for each in WORST},
            "nested": {each: [each, {each: None}] for each in WORST},
            "long": LONG,
            LONG: "long",
        }

    def step(self, dt: float) -> None:
        self.state["ticks"] = self.tick

    @command
    def tell(self, text: str) -> str:
        """<img src=x onerror=alert(1)>"""
        self.emit(text, {text: [text]})
        return text

    @command
    def tell_long(self) -> str:
        self.emit(LONG, {LONG: LONG})
        return LONG

    @command
    def decline(self, text: str) -> None:
        raise Refused(text)

    @command
    def decline_long(self) -> None:
        raise Refused(LONG)


@register
class Herald(Simulation):
    """Has much to say."""

    def setup(self) -> None:
        self.state = {"cries": 0}

    def step(self, dt: float) -> None:
        pass

    @command
    def cry(self, times: int) -> None:
        self.state["cries"] += times
        for number in range(times):
            self.emit("hear", number)


@register
class Diary(Simulation):
    """Each person keeps one."""

    sharing = "per_user"

    def setup(self) -> None:
        self.state = {"day": 0}

    def step(self, dt: float) -> None:
        self.state["day"] += 1


@job(visibility="public")
def encode(job: Any, lines: int = 30) -> dict[str, int]:
    """A job that says what it does."""
    for number in range(lines):
        job.log(f"frame {number} of {HOSTILE}")
        job.progress(number / lines, f"frame {number}")
        time.sleep(0.1)
    return {"frames": lines}


@register
class Ponderer(Simulation):
    """Its next step takes as long as it is told."""

    tick_rate = 20
    frame_rate = 20

    def setup(self) -> None:
        self.state = {"n": 0, "ponders": 0.0}

    def step(self, dt: float) -> None:
        self.state["n"] += 1
        seconds, self.state["ponders"] = self.state["ponders"], 0.0
        time.sleep(seconds)

    @command
    def ponder(self, seconds: float) -> None:
        self.state["ponders"] = seconds


@register
class Bath(Simulation):
    """Has live parameters, and shows them."""

    tick_rate = 10
    frame_rate = 10
    open_commands = True

    def setup(
        self,
        litres: float = 80.0,
        room: Annotated[float, Limits(ge=0, le=40), "How warm the room is", param(live=True)] = 20.0,
        guests: Annotated[int, Limits(ge=0, le=10), param(live=True)] = 1,
        scent: Annotated[str, Limits(max_length=10), param(live=True)] = "pine",
        stirred: Annotated[bool, param(live=True)] = False,
    ) -> None:
        self.state = {"now": []}

    def changed(self, names: set[str]) -> None:
        if self.params["room"] == 13:
            raise Refused("nobody bathes at 13 degrees")

    def step(self, dt: float) -> None:
        self.state["now"] = [self.params[name] for name in ("room", "guests", "scent", "stirred")]


@register
class Meters(Simulation):
    """Has as many figures as it is told; a command breaks them, and mends them."""

    tick_rate = 20
    frame_rate = 20

    def setup(self, figures: int = 2) -> None:
        self.state = {"n": 0, "figures": figures, "broken": False}

    def step(self, dt: float) -> None:
        self.state["n"] += 1

    @command
    def toggle(self) -> None:
        self.state["broken"] = not self.state["broken"]

    def metrics(self) -> dict[str, float]:
        if self.state["broken"]:
            raise ValueError(HOSTILE)
        more = {f"meter {number:02}": self.state["n"] % 7 for number in range(self.state["figures"] - 1)}
        return {HOSTILE: self.state["n"]} | more
