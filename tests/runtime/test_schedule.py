"""Commands for later: none acts early, those that are due act in time and in order, and may be taken back."""

from __future__ import annotations

import pytest

from django_livesim.protocol.names import CANCEL, Kind, Outcome, Status
from django_livesim.protocol.records import Entry
from django_livesim.runtime import schedule
from django_livesim.runtime.schedule import Schedule
from django_livesim.simulation import Loop, Simulation, command
from tests.runtime.world import World


class Slow(Simulation):
    tick_rate = 1

    def setup(self):
        self.state = {"log": []}

    def step(self, dt):
        pass

    @command
    def note(self, n=0):
        self.state["log"].append([self.tick, n])


def slow_loop(sim):
    """Looks at its messages in every other tick, so that some are in its hands while it sleeps."""
    log = sim.state.setdefault("log", [])
    while True:
        if sim.tick % 2:
            for message in sim.messages():
                log.append(message.args["n"])
        sim.sleep(1.0)


def entry(number, **fields):
    given = {"client_id": f"c{number}", "sender": "u:1", "kind": Kind.COMMAND, "name": "note", "args": {}}
    return Entry(id=number, **given | fields)


def due(waiting):
    return [each.id for each in waiting]


def log(world, run):
    return [n for *_, n in world.state(run)["log"]]


def send(world, run, n, **when):
    sent = world.ledger.send(run, "note", Kind.COMMAND, {"n": n}, **when)
    world.supervisor.ring()
    world.settle()
    return sent


def cancel(world, run, command):
    return world.control(run, CANCEL, command=command)


def verdicts(world, run):
    return {each.entry.id: each.outcome for each in world.ledger.verdicts[run]}


# -- the schedule itself ---------------------------------------------------------------------------


def test_what_is_due_keeps_the_order_in_which_it_came():
    waiting = Schedule()
    waiting.give([entry(1, due_tick=5), entry(2, due_in=3.0), entry(3), entry(4, due_tick=5)], now=10.0)
    assert due(waiting) == [3]
    waiting.look(tick=5, now=12.99)
    assert due(waiting) == [1, 3, 4]
    waiting.look(tick=5, now=13.0)
    assert due(waiting) == [1, 2, 3, 4]


def test_what_is_for_a_time_and_a_tick_waits_for_both():
    waiting = Schedule()
    waiting.give([entry(1, due_tick=5, due_in=3.0)], now=0.0)
    waiting.look(tick=9, now=2.9)
    assert due(waiting) == []
    waiting.look(tick=4, now=3.0)
    assert due(waiting) == []
    waiting.look(tick=5, now=3.0)
    assert due(waiting) == [1]


def test_a_moment_counts_from_when_the_entry_came_first():
    waiting = Schedule()
    assert waiting.give([entry(1, due_in=3.0)], now=0.0)
    assert not waiting.give([entry(1, due_in=2.5)], now=1.0)
    assert waiting.next_due == 3.0


def test_the_same_entry_is_given_once_also_after_it_was_answered():
    waiting = Schedule()
    assert waiting.give([entry(1)], now=0.0)
    waiting.take(entry(1))
    waiting.answered(entry(1))
    assert not waiting.give([entry(1)], now=0.0)


def test_what_has_no_row_is_told_apart_by_its_sender_and_its_id():
    waiting = Schedule()
    assert waiting.give([entry(None)], now=0.0)
    assert not waiting.give([entry(None)], now=0.0)
    assert waiting.give([entry(None, sender="u:2"), entry(None, client_id="other")], now=0.0)


def test_what_has_no_row_is_bounded_until_it_is_answered(monkeypatch):
    monkeypatch.setattr(schedule, "VOLATILE", 3)
    waiting = Schedule()
    many = [entry(None, client_id=f"c{n}") for n in range(5)]
    waiting.give(many, now=0.0)
    assert len(list(waiting)) == 3
    assert waiting.give([entry(7)], now=0.0)  # with a row: never lost
    for each in many[:3]:
        waiting.take(each)
    assert not waiting.give([entry(None, client_id="more")], now=0.0)
    waiting.answered(many[0])
    assert waiting.give([entry(None, client_id="more")], now=0.0)


def test_cancelling_forgets_a_command_and_its_repetitions_wherever_they_wait():
    waiting = Schedule()
    waiting.give(
        [entry(1), entry(2, series=1, due_in=3.0), entry(3, series=1, due_tick=9), entry(4, due_in=2.0)],
        now=0.0,
    )
    assert waiting.cancel(1) == frozenset()
    waiting.look(tick=100, now=100.0)
    assert due(waiting) == [4]
    assert not waiting.give([entry(2, series=1)], now=0.0)  # of a look that began before


def test_what_was_taken_before_cannot_be_cancelled():
    waiting = Schedule()
    waiting.give([entry(1), entry(2)], now=0.0)
    waiting.take_messages()
    waiting.give([entry(3, series=1, due_in=1.0)], now=0.0)
    assert waiting.cancel(1) == {1}


# -- a run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("paused", [False, True])
def test_a_delayed_command_acts_at_its_moment_between_two_steps(paused):
    world = World(Slow)
    run = world.start(Slow)
    if paused:
        world.control(run, "pause")
    world.run_for(1.2)
    ticks = world.runner(run).host.tick
    sent = send(world, run, 7, due_in=0.35)
    world.run_for(0.34)
    assert log(world, run) == []
    world.run_for(0.02)
    assert log(world, run) == [7]
    assert verdicts(world, run)[sent.id] is Outcome.APPLIED
    assert world.runner(run).host.tick == ticks, "a command that is due makes no step"


def test_a_command_that_is_due_keeps_the_pace():
    plain, scheduled = World(Slow), World(Slow)
    runs = [world.start(Slow) for world in (plain, scheduled)]
    for n in range(20):
        send(scheduled, runs[1], n, due_in=0.3 * n)
    for world in (plain, scheduled):
        world.run_for(7.0)
    assert scheduled.runner(runs[1]).host.tick == plain.runner(runs[0]).host.tick
    assert log(scheduled, runs[1]) == list(range(20))


def test_a_loop_gets_a_delayed_message_in_the_first_tick_after_its_moment():
    loop = Loop(slow_loop)
    world = World(loop)
    run = world.start(loop)
    send(world, run, 7, due_in=2.5)
    world.run_for(2.4)
    assert world.state(run)["log"] == []
    world.run_for(3.0)
    assert world.state(run)["log"] == [7]
    world.close()


def test_a_delayed_command_that_came_before_an_end_is_not_hurried():
    world = World(Slow)
    run = world.start(Slow)
    send(world, run, 7, due_in=5.0)
    world.control(run, "stop")
    assert world.row(run)["status"] is Status.STOPPED
    assert world.ledger.verdicts[run][-1].entry.name == "stop"


def test_a_repeated_command_is_looked_for_before_it_is_due_again():
    world = World(Slow)
    run = world.start(Slow)
    send(world, run, 1, due_in=0.1, every=0.1)
    world.run_for(2.05)
    assert len(log(world, run)) == 20


def test_a_cancelled_command_does_not_act_and_has_no_verdict_of_the_run():
    world = World(Slow)
    run = world.start(Slow)
    sent = send(world, run, 7, due_in=0.5)
    told = cancel(world, run, sent.id)
    world.run_for(3.0)
    assert log(world, run) == []
    assert list(verdicts(world, run)) == [told.id]


def test_cancelling_any_time_ends_a_series():
    world = World(Slow)
    run = world.start(Slow)
    sent = send(world, run, 1, due_in=0.2, every=0.2)
    world.run_for(1.05)
    cancel(world, run, sent.id)
    acted = len(log(world, run))
    assert acted == 5
    world.run_for(3.0)
    assert len(log(world, run)) == acted


def test_a_message_in_the_hands_of_a_loop_is_kept_from_a_cancel():
    loop = Loop(slow_loop)
    world = World(loop)
    run = world.start(loop)
    world.run_for(0.5)
    while world.runner(run).host.tick % 2:  # in the next tick it does not look
        world.run_for(0.1)
    sent = send(world, run, 7)
    world.run_for(1.0)
    assert list(world.runner(run).schedule) == []  # the loop has it, and has not looked yet
    told = cancel(world, run, sent.id)
    (verdict,) = [each for each in world.ledger.verdicts[run] if each.entry.id == told.id]
    assert verdict.kept == {sent.id}
    world.run_for(2.0)
    assert world.state(run)["log"] == [7]
    assert verdicts(world, run)[sent.id] is Outcome.APPLIED
    world.close()


def test_a_cancel_that_is_played_again_has_no_effect():
    world = World(Slow, checkpoint_seconds=1000)
    run = world.start(Slow)
    sent = send(world, run, 7, due_in=0.5)
    cancel(world, run, sent.id)
    send(world, run, 8)
    world.run_for(2.0)
    world.row(run)["worker"] = False
    heir = World(Slow, ledger=world.ledger)
    heir.supervisor.ring()
    heir.settle()
    assert log(heir, run) == [8]


# -- volatile commands -----------------------------------------------------------------------------


def hear(world, run, n, client_id, sender="u:1"):
    given = entry(None, client_id=client_id, sender=sender, args={"n": n}, body_hash="b")
    world.supervisor.volatile(run, given)
    world.settle()


def test_a_volatile_command_acts_once_and_is_journaled_with_its_verdict():
    world = World(Slow, checkpoint_seconds=1000)
    run = world.start(Slow)
    for _ in range(3):
        hear(world, run, 7, "a")
    hear(world, run, 8, "a", sender="u:2")
    assert log(world, run) == [7, 8]
    assert [(each.entry.id, each.apply_seq) for each in world.ledger.verdicts[run]] == [(None, 1), (None, 2)]
    world.row(run)["worker"] = False
    heir = World(Slow, ledger=world.ledger)
    heir.supervisor.ring()
    heir.settle()
    assert log(heir, run) == [7, 8]


def test_what_a_volatile_command_did_is_shown_after_its_write_alone():
    world = World(Slow)
    run = world.start(Slow)
    shown = len(world.outlet.outputs)
    world.ledger.answering = False
    world.control_now(run, "pause")
    hear(world, run, 7, "a")
    assert world.state(run)["log"] == [[1, 7]]
    assert len(world.outlet.outputs) == shown
    world.ledger.answer()
    world.settle()
    assert world.frames(run)[-1][1]["log"] == [[1, 7]]


def test_a_volatile_command_for_a_run_that_is_not_here_is_lost_without_a_word():
    world = World(Slow)
    run = world.start(Slow)
    world.control(run, "stop")
    hear(world, run, 7, "a")
    assert len(world.ledger.verdicts[run]) == 1


# -- a cancel, and what is on its way ----------------------------------------------------------------


def test_a_repetition_found_by_a_look_before_the_cancel_was_written_is_not_taken_in():
    waiting = Schedule()
    asked = entry(9, kind=Kind.CONTROL, name=CANCEL, args={"command": 1})
    assert waiting.cancel(1) == frozenset()
    assert not waiting.give([entry(5, series=1)], now=0.0)
    assert waiting.give([entry(6, series=2)], now=0.0)
    waiting.answered(asked)
    assert waiting.give([entry(7, series=1)], now=0.0)  # the store gives no such row any more


def test_a_cancel_takes_no_applied_message_from_a_loop_that_is_called_again():
    @Loop
    def adder(sim):
        seen = sim.state.setdefault("log", [])
        while True:
            seen += ([0, message.args["n"]] for message in sim.messages())
            sim.sleep(0.1)

    world = World(adder, checkpoint_seconds=1000.0)
    run = world.start(adder)
    world.run_for(0.3)
    first = send(world, run, 1, due_in=0.1, every=60.0)
    world.run_for(0.5)
    send(world, run, 2)
    world.run_for(0.3)
    assert log(world, run) == [1, 2]
    world.row(run)["worker"] = False
    world.ledger.send(run, CANCEL, Kind.CONTROL, {"command": first.id})

    heir = World(adder, ledger=world.ledger, checkpoint_seconds=1000.0)
    heir.supervisor.ring()
    heir.settle()
    heir.run_for(0.3)
    assert log(heir, run) == [1, 2]
    send(heir, run, 3)
    heir.run_for(0.3)
    heir.supervisor.drain(1.0)
    heir.settle()
    heir.run_for(0.2)

    last = World(adder, ledger=world.ledger)
    last.supervisor.ring()
    last.settle()
    last.run_for(0.3)
    assert log(last, run) == [1, 2, 3]
