"""An illness that goes from person to person along the meetings of a network."""

from __future__ import annotations

from typing import Annotated, Any

from django_livesim import Click, Limits, Network, Refused, Simulation, command, register

WELL, ILL, IMMUNE = "well", "ill", "immune"
OUTSIDE = 0.1  # how probably, in a step, illness comes back to where nobody is ill
COLORS = {WELL: "#0072b2", ILL: "#d55e00", IMMUNE: "#8c8c8c"}
Share = Annotated[float, Limits(ge=0, le=1)]


@register
class Epidemic(Simulation):
    """An illness among people who meet: click somebody to make them ill."""

    tick_rate = 4
    frame_rate = 4
    open_commands = True

    def setup(
        self,
        people: Annotated[int, Limits(ge=2, le=400)] = 90,
        friends: Annotated[int, Limits(ge=1, le=5), "Whom each knows when they come"] = 1,
        infectious: Annotated[Share, "How probably a meeting passes it on"] = 0.2,
        recovery: Annotated[Share, "How probably somebody gets well, in a step"] = 0.08,
    ) -> None:
        self.state = {"people": {}, "meetings": [], "infectious": infectious, "recovery": recovery}
        for _person in range(people):
            self.arrive(friends)
        self.state["people"]["p0"]["health"] = ILL

    @classmethod
    def portray(cls) -> Network:
        infect = Click("infect", id="person")
        return Network(
            "people", "meetings", source="0", target="1", color="health", colors=COLORS, click=infect
        )

    def step(self, dt: float) -> None:
        people: dict[str, Any] = self.state["people"]
        was = {name: person["health"] for name, person in people.items()}
        for one, other in self.state["meetings"]:
            for giver, taker in ((one, other), (other, one)):
                if (was[giver], was[taker]) == (ILL, WELL) and self.chance("infectious"):
                    people[taker]["health"] = ILL
        if ILL not in was.values() and self.random.random() < OUTSIDE:
            people[self.random.choice(list(people))]["health"] = ILL
        for name, health in was.items():
            if health == ILL and self.chance("recovery"):
                people[name]["health"] = IMMUNE
            elif health == IMMUNE and self.chance("recovery") and self.chance("recovery"):
                people[name]["health"] = WELL

    def chance(self, share: str) -> bool:
        return self.random.random() < float(self.state[share])

    @command
    def arrive(self, friends: Annotated[int, Limits(ge=1, le=5)] = 1) -> str:
        """Somebody comes, who knows some of those who are there: the answer is their name."""
        people, meetings = self.state["people"], self.state["meetings"]
        if len(people) >= 400:
            raise Refused("there is no room for more: 400 people")
        name = f"p{len(people)}"
        pairs = meetings or [["p0"]]
        known = dict.fromkeys(self.random.choice(self.random.choice(pairs)) for _friend in range(friends))
        meetings.extend([name, friend] for friend in known if people)
        people[name] = {"health": WELL}
        return name

    @command
    def infect(self, person: Annotated[str, Limits(max_length=10)]) -> None:
        """Make somebody ill."""
        if person not in self.state["people"]:
            raise Refused(f"there is nobody {person!r}")
        self.state["people"][person]["health"] = ILL

    def metrics(self) -> dict[str, float]:
        healths = [person["health"] for person in self.state["people"].values()]
        return {health: healths.count(health) for health in COLORS}
