"""A run that is a job: a loop that ends, counts its attempts, and is tried again where it asks for that.

An attempt is counted in the database before any of the job's code runs. So
a worker that dies in the midst leaves behind that there was one, and no
heir makes more of them than the job allows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django_livesim.jobs import Job, JobLoop
from django_livesim.protocol.names import LONGEST_PAUSE, Status
from django_livesim.runtime import ending
from django_livesim.runtime.looped import LoopRunner
from django_livesim.runtime.ports import FrameOut
from django_livesim.runtime.program import Finished, LoopProgram
from django_livesim.simulation import Loop

logger = logging.getLogger(__name__)

WRITTEN_EVERY = 0.5  # seconds between two times that progress is written to the row


class JobRunner(LoopRunner):
    """See the module. `attempt` is the one that this holding makes."""

    definition: JobLoop

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.attempt = self.held.attempts + 1
        self._asked = False  # for this attempt to be counted
        self._counted = False
        self._called = False
        self._written = self.clock.now()
        self.job.attempt, self.job.attempts = self.attempt, self.definition.retries + 1

    @staticmethod
    def sim_class(definition: Loop) -> Callable[[LoopProgram], Job]:
        assert isinstance(definition, JobLoop)
        return definition.job_class

    @property
    def job(self) -> Job:
        sim = self.program.sim
        assert isinstance(sim, Job)
        return sim

    @property
    def waits(self) -> bool:
        """Nor for its first step before it is stored that there is this attempt."""
        self._counted = self._counted or (self._asked and self.record.settled)
        return super().waits or not self._counted

    def begin_history(self) -> None:
        if self.attempt > self.job.attempts:
            lost = f"attempt {self.held.attempts} of {self.job.attempts} was lost with its worker"
            ending.end(self, Status.FAILED, f"{lost}; it is not tried again", store=False)
            return
        super().begin_history()

    def say(self, reason: str = "", progress: float | None = None) -> None:
        """What it is at, and how far, where there is nothing else to say; it counts as begun once it runs."""
        self._written = self.clock.now()
        if self.status is Status.RUNNING and not self._asked and self.attempt <= self.job.attempts:
            self._asked = True
            self.record.attempt(self.attempt)
        super().say(reason or self.job.text, self.job.done if progress is None else progress)

    def checkpoint(self, final: bool = False) -> list[FrameOut]:
        """With what viewers see each time: its state is not theirs."""
        return super().checkpoint(final=True)

    def _step(self, now: float) -> None:
        self._called = True
        super()._step(now)

    def _end_tick(self, now: float, seconds: float) -> None:
        if now - self._written >= WRITTEN_EVERY:
            self.say()
        super()._end_tick(now, seconds)

    def _end_loop(self, now: float, finished: Finished) -> None:
        if finished.error and self.attempt < self.job.attempts and self._ending() is None:
            self._collect_settled()
            self._try_again(finished)
        else:
            super()._end_loop(now, finished)

    def _try_again(self, finished: Finished) -> None:
        seconds = min(LONGEST_PAUSE, self.definition.backoff * 2 ** (self.attempt - 1))
        count = f"attempt {self.attempt} of {self.job.attempts}"
        logger.warning("job %s run=%s epoch=%s: %s", count, self.id, self.epoch, finished.reason)
        reason = f"{count} failed: {finished.reason}; the next is in {seconds:g} s"
        ending.try_again(self, reason, finished.error, seconds)

    def release(self) -> bool:
        """Let go before it is called, or at its next `progress` where it may be tried again: that counts not.

        Where it may not, it goes on for as long as its worker waits, and has failed then.
        """
        if self.over or self.away:
            return super().release()
        if self._called and self.attempt >= self.job.attempts:
            return False
        if self._asked:
            self.record.attempt(self.attempt - 1)
        return super().release()

    def abandon(self) -> None:
        if self.attempt < self.job.attempts or not self._called:
            super().abandon()
            return
        self.program.abandoned = True
        why = f"its worker was told to end in attempt {self.attempt} of {self.job.attempts}"
        ending.end(self, Status.FAILED, f"{why}; it is not tried again", store=False)
