"""A script of an author's own, as a process: attaches to the run with the key that it is given, and loops.

`python -m tests.process.attached KEY [SECONDS]`; SECONDS is how long each tick sleeps. It prints a line when
it has the run, and one when its block has ended.
"""

from __future__ import annotations

import sys

import django


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(key: str, seconds: float) -> None:
    django.setup()
    from django_livesim import LivesimError, attach

    try:
        with attach("echo_sync", key=key) as sim:
            seen = sim.state.setdefault("seen", [])
            say(f"{'resumed' if sim.resumed else 'new'} {sim.tick}")
            while True:
                for message in sim.messages():
                    seen.append(message.args["n"])
                    message.reply(len(seen))
                sim.state["ticks"] = sim.tick
                sim.sleep(seconds)
    except LivesimError as exc:
        say(f"{exc.code}: {exc.message}")
        sys.exit(3)
    say("ended")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.02)
