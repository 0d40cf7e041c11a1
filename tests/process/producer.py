"""A program of an author's own, as a process: produces the run with the key that it is given.

`python -m tests.process.producer KEY HOW COUNT`; it prints a line of JSON for each call that was taken.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import django


def say(**told: Any) -> None:
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.stdout.flush()


def many(key: str, count: int) -> None:
    """Tell as often, as fast as it goes; or until another one has ended it."""
    from django_livesim import LivesimError, publish_state

    for n in range(count):
        state = {"who": os.getpid(), "n": n}
        try:
            run = publish_state(key, state=state, text=f"{os.getpid()} {n}")
        except LivesimError as exc:
            say(refused=exc.code)
            return
        say(tick=run.tick, state=state)


def end(key: str, count: int) -> None:
    """As many; the last one ends it, where no other has."""
    from django_livesim import LivesimError, publish_state

    many(key, count)
    state = {"who": os.getpid(), "n": "end"}
    try:
        run = publish_state(key, status="finished", state=state, result=os.getpid())
    except LivesimError as exc:
        say(refused=exc.code)
    else:
        say(tick=run.tick, state=state, ended=True)


def die(key: str, count: int) -> None:
    """End it, and be killed when that has committed and before anybody is told."""
    from django_livesim import publish_state
    from django_livesim.bus import speaker

    def killed() -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    for n in range(count):
        publish_state(key, state={"n": n}, progress=n / count)
    speaker.publisher = killed
    publish_state(key, status="failed", state={"n": count}, error="Traceback")


def fork(key: str, count: int) -> None:
    """Tell of it, and then from a forked child that ends without a word to its interpreter."""
    from django.db import connections

    from django_livesim import publish_state

    publish_state(key, state={"n": 0})
    connections.close_all()
    child = os.fork()
    if child == 0:
        for n in range(1, count):
            publish_state(key, state={"n": n})
        publish_state(key, status="finished", state={"n": count}, result=count)
        os._exit(0)
    os.waitpid(child, 0)


def listen(key: str, count: int) -> None:
    """Tell what each line of the input says, in JSON; one with `killed` is the last, and nobody hears it."""
    from django_livesim import publish_state
    from django_livesim.bus import speaker

    say(ready=True)
    for line in sys.stdin:
        told = json.loads(line)
        if told.pop("killed", False):
            speaker.publisher = lambda: os.kill(os.getpid(), signal.SIGKILL)
        say(tick=publish_state(key, **told).tick)


if __name__ == "__main__":
    django.setup()
    ways = {"many": many, "end": end, "die": die, "fork": fork, "listen": listen}
    ways[sys.argv[2]](sys.argv[1], int(sys.argv[3]))
