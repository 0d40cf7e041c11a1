"""Stepped simulations: pace, commands, controls, ends, recovery."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from django_livesim.protocol.errors import Refused, raised
from django_livesim.protocol.names import Kind, Outcome, Status
from django_livesim.runtime import schedule, steering
from django_livesim.runtime.ports import EndOut, EventOut, FrameOut, SendOut, StatusOut, VerdictOut
from django_livesim.simulation import Simulation, command
from django_livesim.testing.memory import MemoryLedger
from tests.runtime.world import World


class Count(Simulation):
    tick_rate = 10
    frame_rate = 5

    def setup(self, start=0):
        self.state = {"value": start, "log": [], "dice": []}

    def step(self, dt):
        if self.state.get("armed"):
            raise RuntimeError("boom")
        self.state["value"] += 1
        self.state["dice"].append(self.random.random())
        self.emit("stepped", {"value": self.state["value"]})
        if self.state["value"] == 50:
            self.finish({"value": 50})

    @command
    def add(self, n):
        if n < 0:
            raise Refused("only more")
        self.state["value"] += n
        self.state["log"].append([self.tick, n])
        return self.state["value"]

    @command
    def broken(self):
        raise ValueError("not like this")

    @command
    def spoil(self, how):
        self.state["bad"] = {"tuple": (1, 2), "nan": float("nan"), "set": {1}}[how]

    @command
    def arm(self):
        self.state["armed"] = True

    @command
    def tell(self, to):
        self.group_send(to, {"type": "told", "tick": self.tick})


def verdict(world, run, index=-1):
    return world.ledger.verdicts[run][index]


def test_a_run_steps_at_its_rate_and_reports_at_its_own():
    world = World(Count)
    run = world.start(Count, start=3)
    world.run_for(2.0)
    assert world.state(run)["value"] == pytest.approx(23, abs=1)
    assert len(world.frames(run)) == pytest.approx(11, abs=1)
    tick, view = world.frames(run)[-1]
    assert view["value"] == 3 + tick


def test_nothing_is_encoded_where_nobody_watches():
    world = World(Count)
    run = world.start(Count, watch=False)
    world.run_for(1.0)
    assert world.out(FrameOut, run) == []


@pytest.mark.parametrize("at_once", [True, False])
def test_what_a_command_did_is_shown_at_once_where_that_is_asked_for(at_once):
    class Quick(Count):
        frame_rate = 1
        frame_on_command = at_once

    world = World(Quick)
    run = world.start(Quick)
    world.run_for(1.0)
    shown = len(world.frames(run))
    world.clock.advance(0.05)
    world.send(run, "add", n=5)
    assert len(world.frames(run)) == shown + at_once


def test_interest_is_forgotten_after_its_time():
    world = World(Count, interest_ttl=1.0)
    run = world.start(Count)
    world.run_for(1.5)
    seen = len(world.frames(run))
    world.run_for(1.0)
    assert len(world.frames(run)) == seen


def test_report_every_counts_ticks():
    class Seldom(Count):
        report_every = 4

    world = World(Seldom)
    run = world.start(Seldom)
    world.outlet.outputs.clear()  # the keyframe of the first viewer
    world.run_for(2.0)
    assert {tick % 4 for tick, _ in world.frames(run)} == {0}


def test_a_late_worker_does_not_make_up_for_lost_ticks_in_a_burst():
    world = World(Count)
    run = world.start(Count)
    world.run_for(0.5)
    before = world.state(run)["value"]
    world.clock.advance(3.0)
    world.settle()
    assert world.state(run)["value"] - before <= 2
    assert world.runner(run).pace.late >= 27


def test_a_command_acts_between_two_steps_and_is_answered_with_its_position():
    world = World(Count)
    run = world.start(Count)
    world.run_for(0.55)
    tick = world.runner(run).host.tick
    world.send(run, "add", n=100)
    given = verdict(world, run)
    assert (given.outcome, given.apply_tick, given.apply_seq) == (Outcome.APPLIED, tick, 1)
    assert orjson.loads(given.result) == world.state(run)["value"]
    assert world.state(run)["log"] == [[tick, 100]]
    assert world.out(VerdictOut, run)[-1].verdict == given


def test_a_refused_and_a_raising_command_leave_the_run_going():
    world = World(Count)
    run = world.start(Count)
    world.send(run, "add", n=-1)
    assert (verdict(world, run).outcome, verdict(world, run).message) == (Outcome.REFUSED, "only more")
    world.send(run, "broken")
    assert (verdict(world, run).code, verdict(world, run).message) == ("error", raised(ValueError()))
    world.send(run, "unheard_of")
    assert verdict(world, run).code == "unknown_command"
    before = world.state(run)["value"]
    world.run_for(1.0)
    assert world.state(run)["value"] > before


def test_an_answer_that_no_column_can_hold_refuses_the_command():
    class Nul(Count):
        @command
        def say(self):
            return "a\x00"

    world = World(Nul)
    run = world.start(Nul)
    world.send(run, "say")
    assert "NUL" in verdict(world, run).message


def test_an_entry_offered_twice_is_applied_once():
    world = World(Count)
    run = world.start(Count)
    entry = world.send(run, "add", n=5)
    world.runner(run).offer([entry, entry])
    assert [log[1] for log in world.state(run)["log"]] == [5]


def test_commands_apply_while_paused_and_are_shown_at_once():
    world = World(Count)
    run = world.start(Count)
    world.run_for(0.5)
    world.control(run, "pause")
    tick = world.runner(run).host.tick
    world.run_for(1.0)
    assert world.runner(run).host.tick == tick
    assert world.row(run)["status"] is Status.PAUSED
    world.send(run, "add", n=1000)
    assert world.frames(run)[-1][1]["value"] == world.state(run)["value"] > 1000
    world.control(run, "resume")
    world.run_for(0.5)
    assert world.runner(run).host.tick > tick
    assert world.out(StatusOut, run)[-1].status is Status.RUNNING


def test_step_n_makes_n_steps_and_pauses():
    world = World(Count)
    run = world.start(Count)
    world.control(run, "pause")
    tick = world.runner(run).host.tick
    world.control(run, "step", n=7)
    world.run_for(1.0)
    assert world.runner(run).host.tick == tick + 7
    assert world.row(run)["status"] is Status.PAUSED


def test_steps_asked_for_are_made_though_the_worker_dies_between_them():
    world = World(Count)
    run = world.start(Count)
    world.control(run, "pause")
    tick = world.runner(run).host.tick
    entry = world.ledger.send(run, "step", Kind.CONTROL, {"n": 7})
    world.supervisor.ring()
    while world.runner(run).host.tick < tick + 3:
        world.supervisor.turn()
    assert entry.id in {verdict.entry.id for verdict in world.ledger.verdicts[run]}
    world.row(run)["worker"] = False
    heir = World(Count, ledger=world.ledger)
    heir.supervisor.ring()
    heir.settle()
    assert heir.runner(run).host.tick == tick + 7
    assert heir.row(run)["status"] is Status.PAUSED


def test_pause_and_resume_give_up_the_steps_not_made():
    world = World(Count)
    run = world.start(Count)
    world.control(run, "pause")
    world.ledger.send(run, "step", Kind.CONTROL, {"n": 1000})
    world.ledger.send(run, "pause", Kind.CONTROL, {})
    world.supervisor.ring()
    tick = world.runner(run).host.tick
    world.settle()
    assert world.runner(run).host.tick == tick


def test_speed_changes_the_pace():
    world = World(Count)
    run = world.start(Count)
    world.control(run, "speed", x=3.0)
    before = world.runner(run).host.tick
    world.run_for(1.0)
    assert world.runner(run).host.tick - before == pytest.approx(30, abs=2)
    assert world.row(run)["speed"] == 3.0


def test_stop_stores_the_state_and_a_later_start_goes_on_from_it():
    world = World(Count)
    run = world.start(Count)
    world.run_for(1.0)
    state, tick = world.state(run), world.runner(run).host.tick
    world.control(run, "stop")
    assert run not in world.supervisor.runners
    assert world.row(run)["status"] is Status.STOPPED
    assert world.out(EndOut, run)[-1].status is Status.STOPPED
    world.row(run)["status"] = Status.WAITING
    world.supervisor.ring()
    world.settle()
    assert world.state(run)["dice"][:tick] == state["dice"]
    assert world.runner(run).host.tick in (tick, tick + 1)
    world.run_for(0.5)
    expected = World(Count)
    other = expected.start(Count)
    expected.run_for(2.0)
    length = len(world.state(run)["dice"])
    assert world.state(run)["dice"] == expected.state(other)["dice"][:length]


def test_finish_ends_with_a_result():
    world = World(Count)
    run = world.start(Count, start=45)
    world.run_for(2.0)
    assert world.row(run)["status"] is Status.FINISHED
    assert world.row(run)["result"] == {"value": 50}
    assert orjson.loads(world.out(EndOut, run)[-1].result) == {"value": 50}


def test_an_exception_in_step_fails_that_run_alone_with_its_traceback():
    world = World(Count)
    bad, good = world.start(Count), world.start(Count)
    world.send(bad, "arm")
    world.run_for(0.5)
    assert world.row(bad)["status"] is Status.FAILED
    assert "RuntimeError: boom" in world.row(bad)["error"]
    assert "in step" in world.row(bad)["error"]
    assert world.row(good)["status"] is Status.RUNNING
    assert world.state(good)["value"] > 3


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("tuple", 'state["bad"] is of type tuple'),
        ("nan", 'state["bad"] is nan'),
        ("set", 'state["bad"] is of type set'),
    ],
)
def test_a_state_unlike_its_stored_form_fails_with_the_path(how, words):
    world = World(Count, checkpoint_seconds=0.3)
    run = world.start(Count, watch=False)
    world.send(run, "spoil", how=how)
    world.run_for(0.5)
    assert world.row(run)["status"] is Status.FAILED
    assert words in world.row(run)["error"]


def test_nothing_that_depends_on_a_command_leaves_before_its_write_has_committed():
    world = World(Count)
    run = world.start(Count)
    world.run_for(0.5)
    world.ledger.send(run, "add", Kind.COMMAND, {"n": 9})
    world.supervisor.ring()
    world.supervisor.turn()  # the look is under way, and answered
    world.ledger.answering = False
    world.settle()
    shown = len(world.outlet.outputs)
    assert world.state(run)["log"] != []
    world.run_for(0.5)
    assert len(world.outlet.outputs) == shown
    world.ledger.answer()
    world.settle()
    assert world.out(VerdictOut, run)
    assert world.frames(run)[-1][1]["log"] != []
    assert world.out(EventOut, run)[-1].tick == world.runner(run).host.tick


def test_a_fenced_write_drops_the_run_from_memory():
    world = World(Count)
    run = world.start(Count)
    world.row(run)["epoch"] += 1
    world.send(run, "add", n=1)
    world.run_for(1.5)
    assert run not in world.supervisor.runners


def test_after_a_crash_an_heir_goes_on_from_what_was_journaled():
    first = World(Count, checkpoint_seconds=1000)
    run = first.start(Count)
    first.run_for(0.75)
    first.send(run, "add", n=7)
    first.run_for(0.5)
    first.send(run, "add", n=3)
    state, tick = dict(first.state(run)), first.runner(run).host.tick
    first.row(run)["worker"] = False  # the first one is no more
    heir = World(Count, ledger=first.ledger)
    heir.supervisor.ring()
    horizon = heir.row(run)["horizon"]
    assert tick < horizon
    heir.settle()
    assert heir.runner(run).host.tick in (horizon, horizon + 1)
    assert heir.state(run)["dice"][:tick] == state["dice"]
    assert heir.state(run)["log"] == state["log"]
    assert heir.out(VerdictOut) == []
    assert all(event.tick > horizon for event in heir.out(EventOut))


def test_restart_ends_the_run_and_names_the_next():
    world = World(Count)
    run = world.start(Count)
    following = "6c1e1c0a-8f5e-4d6c-9f39-2f1f5b0a3d11"
    world.control(run, "restart", next=following)
    assert world.row(run)["status"] is Status.STOPPED
    assert str(world.row(run)["next"]) == following
    assert str(world.out(EndOut, run)[-1].next) == following


def test_draining_stores_and_lets_go():
    world = World(Count)
    run = world.start(Count)
    world.run_for(0.5)
    tick = world.runner(run).host.tick
    world.supervisor.drain()
    world.supervisor.run()
    assert not world.row(run)["worker"]
    assert world.ledger.checkpoints[run][-1].tick == tick


def test_authors_messages_go_to_their_own_groups_only():
    world = World(Count)
    run = world.start(Count)
    world.send(run, "tell", to="mine")
    assert world.out(SendOut, run)[-1].send.message["type"] == "told"
    world.send(run, "tell", to="livesim.run.x.all")
    assert verdict(world, run).outcome is Outcome.REFUSED


def test_inspect_stores_the_state_now():
    world = World(Count)
    run = world.start(Count)
    world.run_for(0.55)
    world.control(run, "inspect")
    assert world.ledger.checkpoints[run][-1].tick == world.runner(run).host.tick
    assert orjson.loads(verdict(world, run).result)["tick"] == world.runner(run).host.tick


def test_a_setup_that_raises_fails_the_run():
    class Bad(Count):
        def setup(self):
            raise OSError("no such file")

    world = World(Bad)
    run = world.start(Bad)
    assert world.row(run)["status"] is Status.FAILED
    assert "OSError: no such file" in world.row(run)["error"]


def test_an_author_who_leaves_harms_his_own_run_alone():
    class Leaver(Count):
        def step(self, dt):
            raise SystemExit

    class Unborn(Count):
        def __init__(self):
            raise OSError("not today")

    world = World(Count, Leaver, Unborn)
    good = world.start(Count)
    for definition, words in ((Leaver, "SystemExit"), (Unborn, "not today")):
        bad = world.start(definition, watch=False)
        world.run_for(0.3)
        assert world.row(bad)["status"] is Status.FAILED
        assert words in world.row(bad)["error"]
    before = world.state(good)["value"]
    world.run_for(0.5)
    assert world.state(good)["value"] > before


def test_text_that_no_column_can_hold_harms_nothing():
    class Odd(Count):
        @command
        def refuse(self):
            raise Refused("a file called \ud800", code="x" * 100)

    world = World(Odd)
    run = world.start(Odd)
    world.send(run, "refuse")
    told = world.out(VerdictOut, run)[-1].verdict
    assert told.message == "a file called \\ud800"
    assert len(told.code) == 32


def test_a_command_far_in_the_future_is_kept_once_among_many(monkeypatch):
    monkeypatch.setattr(schedule, "DONE", 5)
    world = World(Count)
    run = world.start(Count, start=100)
    world.ledger.send(run, "add", Kind.COMMAND, {"n": 1000}, due_tick=30)
    for _ in range(20):
        world.send(run, "add", n=1)
    world.run_for(4.0)
    assert [log[1] for log in world.state(run)["log"]].count(1000) == 1


def test_being_taken_up_never_lowers_the_tick_that_was_shown():
    first = World(Count, checkpoint_seconds=1000)
    run = first.start(Count)
    first.run_for(1.0)
    first.send(run, "add", n=1)
    shown = first.row(run)["tick"]
    assert shown > 5
    first.row(run)["worker"] = False
    heir = World(Count, ledger=first.ledger)
    heir.supervisor.ring()
    heir.settle()
    assert min(write.tick for write in heir.ledger.writes if write.epoch == 2) >= shown
    assert min(status.tick for status in heir.out(StatusOut, run)) >= shown


def test_figures_that_cannot_be_had_harm_nothing():
    class Figures(Count):
        def metrics(self):
            return {"mean": 1 / 0}

    world = World(Figures)
    run = world.start(Figures)
    world.control(run, "inspect")
    assert orjson.loads(verdict(world, run).result)["metrics"] == {}
    assert world.row(run)["status"] is Status.RUNNING


def test_a_view_that_fails_for_a_role_nobody_watches_harms_nothing():
    class Secret(Count):
        def view(self, role):
            if role == "owner":
                raise KeyError(role)
            return self.state

    world = World(Secret)
    run = world.start(Secret)
    world.control(run, "pause")
    assert world.row(run)["status"] is Status.PAUSED


def test_what_setup_says_of_a_new_run_is_heard_and_of_an_heir_not():
    class Loud(Count):
        def setup(self, start=0):
            super().setup(start)
            self.emit("made", self.live)

        def restore(self):
            self.derived = self.random.random()

    world = World(Loud)
    run = world.start(Loud)
    assert world.out(EventOut, run)[0].data == b"true"
    world.run_for(0.5)
    world.control(run, "pause")
    dice = world.state(run)["dice"]
    world.row(run)["worker"] = False
    heir = World(Loud, ledger=world.ledger)
    heir.supervisor.ring()
    heir.settle()
    assert heir.out(EventOut, run) == []
    heir.control(run, "resume")
    heir.run_for(0.5)
    other = World(Loud)
    twin = other.start(Loud)
    other.run_for(2.0)
    mine = heir.state(run)["dice"]
    assert len(mine) > len(dice)
    assert mine == other.state(twin)["dice"][: len(mine)]


def test_a_restart_of_a_run_that_cannot_be_stored_still_begins_the_next():
    world = World(Count)
    run = world.start(Count)
    world.send(run, "spoil", how="tuple")
    following = "6c1e1c0a-8f5e-4d6c-9f39-2f1f5b0a3d11"
    world.control(run, "restart", next=following)
    assert world.row(run)["status"] is Status.FAILED
    assert str(world.row(run)["next"]) == following


def test_a_look_that_takes_long_does_not_keep_the_step_thread_busy():
    world = World(Count)
    world.ledger.answering = False
    world.clock.advance(5)
    world.supervisor.turn()
    assert world.supervisor.turn() > 0


def test_a_run_waits_where_too_much_waits_for_a_write(monkeypatch):
    from django_livesim.runtime import record

    monkeypatch.setattr(record, "FULL", 10)
    world = World(Count)
    run = world.start(Count, start=100)
    world.ledger.answering = False
    steering.control(world.runner(run), world.ledger.send(run, "speed", Kind.CONTROL, {"x": 1.0}))
    world.run_for(20.0)
    assert world.runner(run).host.tick < 20
    world.ledger.answer()
    world.run_for(3.0)
    assert world.runner(run).host.tick > 20


class Brittle(Count):
    """Its state can no longer be had after a command."""

    @command
    def drop(self):
        self.state.pop("value")

    def step(self, dt):
        pass

    def dump(self):
        return {"value": self.state["value"]}


def test_a_dump_that_raises_at_a_look_fails_its_own_run_alone():
    world = World(Count, Brittle)
    other, run = world.start(Count), world.start(Brittle)
    world.run_for(1.0)
    world.send(run, "drop")
    world.run_for(1.5)  # looks hash the state
    assert world.row(run)["status"] is Status.FAILED
    assert world.row(run)["reason"] == "its code raised KeyError"
    assert "KeyError: 'value'" in world.row(run)["error"]
    assert world.row(other)["status"] is Status.RUNNING


@pytest.mark.parametrize("what", ["turn", "offer", "watch"])
def test_what_a_runner_lets_escape_ends_its_run_and_no_worker(monkeypatch, what):
    world = World(Count, Brittle)
    other, run = world.start(Count), world.start(Brittle)

    def broken(*args):
        raise RuntimeError(what)

    monkeypatch.setattr(world.runner(run), what, broken)
    world.send(run, "drop")
    world.supervisor.interest(run, ["view"], True)
    world.run_for(0.3)
    assert world.row(run)["status"] is Status.FAILED
    assert f"RuntimeError: {what}" in world.row(run)["error"]
    assert world.row(other)["status"] is Status.RUNNING


def test_a_command_refused_with_an_exception_is_refused_with_its_text():
    class Picky(Count):
        @command
        def load(self):
            raise Refused(ValueError("too heavy"))

    world = World(Picky)
    run = world.start(Picky)
    world.send(run, "load")
    world.run_for(0.2)
    (verdict,) = world.ledger.verdicts[run]
    assert (verdict.outcome, verdict.message) == (Outcome.REFUSED, "too heavy")
    assert world.row(run)["status"] is Status.RUNNING


def test_what_was_held_back_while_a_beat_was_late_leaves_with_the_next_look():
    world = World(Count)
    run = world.start(Count)
    world.control(run, "pause")
    leased = world.supervisor._leased
    world.supervisor._leased = lambda worker: False
    world.send(run, "add", n=1)
    world.run_for(0.5)
    assert not [each for each in world.out(VerdictOut, run) if each.verdict.entry.name == "add"]
    world.supervisor._leased = leased
    world.run_for(1.5)  # nobody does anything
    assert [each for each in world.out(VerdictOut, run) if each.verdict.entry.name == "add"]
    assert world.frames(run)[-1][1]["value"] == world.state(run)["value"]


class Cut(MemoryLedger):
    """Gives a thousand commands at one look, as the store does."""

    def _waiting(self, run):
        return super()._waiting(run)[:1000]

    def _look(self, held, claiming):
        poll = super()._look(held, claiming)
        return replace(poll, full=any(len(entries) >= 1000 for entries in poll.entries.values()))


def test_a_burst_of_more_than_one_look_gives_is_applied_without_waiting_for_the_poll():
    ledger = Cut()
    world = World(Count, ledger=ledger)
    run = world.start(Count)
    for _ in range(5000):
        ledger.send(run, "add", Kind.COMMAND, {"n": 1})
    world.supervisor.ring()
    world.run_for(0.5)
    assert len(ledger.verdicts[run]) == 5000
