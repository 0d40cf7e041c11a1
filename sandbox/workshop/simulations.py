"""An own loop over a dict of tasks: messages add, drop and reorder them while it runs."""

from __future__ import annotations

from typing import Annotated, Any

from django_livesim import Limits, param, register


@register(script="workshop/workshop.js")
async def workshop(sim: Any, benches: Annotated[int, Limits(ge=1, le=10), param(live=True)] = 3) -> None:
    """Tasks wait their turn; those at the benches go on, the slower the more are waiting."""
    tasks, order = sim.state.setdefault("tasks", {}), sim.state.setdefault("order", [])  # next first, by name
    while True:
        for message in sim.messages():
            handle(tasks, order, message)
        benches = sim.state["benches"] = sim.params["benches"]  # as somebody has set it by now
        while len(order) < 2 * benches:  # a workshop with little to do takes in a job
            sim.state["jobs"] = sim.state.get("jobs", 0) + 1
            if (name := f"job {sim.state['jobs']}") not in tasks:
                put(tasks, order, name, sim.random.randint(5, 30))
        pace = 1 / (1 + 0.1 * (len(tasks) - benches))  # everybody waiting is somebody asking when
        for name in order[:benches]:
            tasks[name]["done"] += pace * 0.1
        for name in [name for name in order if tasks[name]["done"] >= tasks[name]["work"]]:
            order.remove(name)
            sim.emit("finished", {"task": name, "work": tasks.pop(name)["work"]})
            sim.state["finished"] = sim.state.get("finished", 0) + 1
        if sim.tick % 2 == 0:
            sim.report()
        await sim.sleep(0.1)


def put(tasks: dict[str, Any], order: list[str], name: str, work: float) -> None:
    tasks[name] = {"work": work, "done": 0.0}
    order.append(name)


def handle(tasks: dict[str, Any], order: list[str], message: Any) -> None:
    """Change the tasks as the message asks, or say why not."""
    name, args = message.args["task"], message.args
    if message.name == "add":
        if name in tasks:
            return message.refuse(f"there is a task {name!r} already")
        if len(tasks) >= 50:
            return message.refuse("the workshop is full: 50 tasks")
        put(tasks, order, name, args["work"])
    elif name not in tasks:
        return message.refuse(f"there is no task {name!r}; there are: {', '.join(order)}")
    else:
        order.remove(name)
        if message.name == "drop":
            del tasks[name]
        else:
            order.insert(args["place"] - 1, name)
    message.reply({"order": order})
    return None


workshop.metrics(lambda sim: {"done": sim.state.get("finished", 0), "in hand": len(sim.state["tasks"])})


@workshop.command
def add(
    sim: Any,
    task: Annotated[str, Limits(max_length=40)],
    work: Annotated[float, Limits(gt=0, le=1000), "Seconds of work"] = 10,
) -> None:
    """Take in a task."""


@workshop.command
def drop(sim: Any, task: str) -> None:
    """Give up a task."""


@workshop.command
def reorder(sim: Any, task: str, place: Annotated[int, Limits(ge=1, le=50), "1 is next"] = 1) -> None:
    """Move a task to another place in the order."""
