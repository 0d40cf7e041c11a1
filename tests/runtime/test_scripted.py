"""More commands for ticks than one look at the database gives: a class passes none of their ticks."""

from __future__ import annotations

from dataclasses import replace

from django_livesim.protocol.names import Kind
from django_livesim.simulation import Loop, Simulation, command
from django_livesim.testing.memory import MemoryLedger
from tests.runtime.world import World

AT_ONCE = 5


class Cut(MemoryLedger):
    """Gives five commands at one look, the soonest, and says which tick it has left."""

    looking = True

    def poll(self, held, claiming, done):
        if self.looking:
            super().poll(held, claiming, done)
        else:
            self.held_back.append(lambda: self.post(done, self._look(held, claiming)))

    def _look(self, held, claiming):
        poll = super()._look(held, claiming)
        entries, left = {}, {}
        for run, waiting in poll.entries.items():
            soonest = sorted(waiting, key=lambda each: each.due_tick or 0)
            entries[run] = soonest[:AT_ONCE]
            if len(soonest) > AT_ONCE:
                left[run] = soonest[AT_ONCE].due_tick
        return replace(poll, entries=entries, left=left, full=bool(left))


class Script(Simulation):
    def setup(self):
        self.state = {"log": []}

    def step(self, dt):
        pass

    @command
    def note(self, n):
        self.state["log"].append([n, self.tick])


def looping(sim):
    log = sim.state.setdefault("log", [])
    while True:
        log += ([message.args["n"], sim.tick] for message in sim.messages())
        sim.sleep(0.1)


def scripted(definition, ticks):
    """A world whose database has a command for each of these ticks, and a run that nobody has rung for."""
    world = World(definition, ledger=Cut())
    run = world.ledger.add(definition.name, {}, 1)
    for tick in ticks:
        world.ledger.send(run, "note", Kind.COMMAND, {"n": tick}, due_tick=tick)
    return world, run


def test_a_run_waits_at_the_first_tick_that_a_look_has_left_until_the_next_look():
    ticks = [2, 4, 6, 8, 10, 12, 12, 14]
    world, run = scripted(Script, ticks)
    world.supervisor.ring()
    world.settle()
    world.ledger.looking = False
    world.run_for(3.0)
    assert world.runner(run).host.tick == 12
    assert world.state(run)["log"] == [[tick, tick] for tick in ticks[:5]]
    world.ledger.looking = True
    world.ledger.answer()
    world.run_for(1.0)
    assert world.state(run)["log"] == [[tick, tick] for tick in ticks]
    assert world.runner(run).host.tick > 14


def test_all_act_at_their_ticks_at_full_speed_without_waiting_for_the_poll():
    ticks = [3 * n for n in range(1, 200)]
    world, run = scripted(Script, ticks)
    world.ledger.runs[run]["speed"] = 0.0
    world.supervisor.ring()
    for _ in range(20_000):
        world.supervisor.turn()
        if run in world.supervisor.runners and len(world.state(run)["log"]) == len(ticks):
            break
    assert world.state(run)["log"] == [[tick, tick] for tick in ticks]
    assert world.clock.now() == 0.0


def test_a_loop_waits_for_none():
    loop = Loop(looping, name="looping")
    world, run = scripted(loop, [2] * 20)
    world.supervisor.ring()
    world.run_for(1.0)
    assert world.runner(run).host.tick >= 9
