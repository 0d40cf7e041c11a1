"""The verbs of `manage.py livesim` and what each takes."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django_livesim.models import Visibility
from django_livesim.protocol.names import CLIENT_ID, Status, TaskStatus

RUN_HELP = "id, at least 8 of its first digits, key, or simulation:key"
PAIRS_HELP = "an argument and its value, as in bodies=50; lists and dicts as JSON"


def add_verbs(parser: ArgumentParser) -> None:
    """Give the parser one sub-command for each verb; the chosen one comes as `verb`."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _start(_verb(verbs, "start", "start a run of a simulation"))
    _list(_verb(verbs, "list", "list the runs, newest first"))
    _looks(_run_verb(verbs, "watch", "print what changes in a run until it ends"))
    _send(_run_verb(verbs, "send", "send a command to a run and wait for its outcome"))
    for name, text in (
        ("pause", "hold a run; commands still apply"),
        ("resume", "let a paused run go on"),
        ("stop", "end a run; start or resume go on from its stored state"),
        ("restart", "end a run and start a new one like it from the beginning"),
    ):
        _waiting(_run_verb(verbs, name, text))
    _cancel(_run_verb(verbs, "cancel", "take back a command that waits, with its repetitions"))
    _step(_run_verb(verbs, "step", "make a paused run take steps"))
    _speed(_run_verb(verbs, "speed", "change how fast a run goes"))
    _share(_run_verb(verbs, "share", "say who may watch a run, and print the link"))
    _delete(_run_verb(verbs, "delete", "remove a run with all that is stored of it"))
    _run_verb(verbs, "inspect", "show a run's state, figures and last commands")
    _run_here(_verb(verbs, "run", "start a run and step it in this process, until it ends or Ctrl-C"))
    _tasks(_verb(verbs, "tasks", "list tasks and messages of own channels, newest first"))
    _drain(_verb(verbs, "drain", "have a worker store its runs, let them go and end, and wait for that"))
    _prune(_verb(verbs, "prune", "remove what LIVESIM RETENTION says has been kept long enough"))
    _scaffold(_verb(verbs, "scaffold", "write simulations to begin from, with tests, into an app"))
    _verb(verbs, "doctor", "look for what is wrong with the set-up, and say what to do")


def _verb(verbs: Any, name: str, text: str) -> ArgumentParser:
    parser: ArgumentParser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _run_verb(verbs: Any, name: str, text: str) -> ArgumentParser:
    parser = _verb(verbs, name, text)
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    return parser


def _start(parser: ArgumentParser) -> None:
    _new_run(parser)
    parser.add_argument("--key", help="name the run; a second start with the same key changes nothing")


def _run_here(parser: ArgumentParser) -> None:
    _new_run(parser)
    _looks(parser)


def _new_run(parser: ArgumentParser) -> None:
    parser.add_argument("simulation", metavar="SIM", help="name of a registered simulation")
    parser.add_argument("pairs", metavar="key=value", nargs="*", help=PAIRS_HELP)
    parser.add_argument("--name", default="", help="title of the run on the pages")
    parser.add_argument("--owner", metavar="USERNAME", help="the user it belongs to")
    parser.add_argument("--visibility", choices=Visibility.values, help="by default the simulation's own")
    parser.add_argument("--seed", type=int, help="seed of its random numbers")


def _list(parser: ArgumentParser) -> None:
    parser.add_argument("--simulation", metavar="SIM", help="only runs of this simulation")
    parser.add_argument(
        "--status", choices=[str(status) for status in Status], help="only runs with this status"
    )
    parser.add_argument("--limit", type=_count, default=50, help="at most so many (default 50)")


def _looks(parser: ArgumentParser) -> None:
    look, ask = (
        "seconds between two looks (default 0.5)",
        "ask for the state every so many seconds (2), 0: never",
    )
    parser.add_argument("--interval", metavar="S", type=_seconds, default=0.5, help=look)
    parser.add_argument("--ask", metavar="S", type=_seconds_or_never, default=2.0, help=ask)


def _send(parser: ArgumentParser) -> None:
    parser.add_argument("command", metavar="COMMAND", help="name of a command of the simulation")
    parser.add_argument("pairs", metavar="key=value", nargs="*", help=PAIRS_HELP)
    parser.add_argument("--delay", metavar="S", type=float, help="have it act in so many seconds")
    parser.add_argument(
        "--every", metavar="S", type=float, help="have it act again and again, S seconds apart"
    )
    parser.add_argument("--at-tick", metavar="N", type=int, help="have it act at this tick")
    _waiting(parser)


def _cancel(parser: ArgumentParser) -> None:
    parser.add_argument("command", metavar="COMMAND-ID", help="as `send` and `inspect` print it")
    _waiting(parser)


def _step(parser: ArgumentParser) -> None:
    parser.add_argument("n", metavar="N", nargs="?", type=_count, default=1, help="how many (default 1)")
    _waiting(parser)


def _speed(parser: ArgumentParser) -> None:
    parser.add_argument("x", metavar="X", type=_speed_value, help="times real time, as in 0.5 or 10, or max")
    _waiting(parser)


def _share(parser: ArgumentParser) -> None:
    parser.add_argument(
        "visibility", metavar="WHO", nargs="?", choices=Visibility.values, help="private, link or public"
    )
    parser.add_argument("--renew", action="store_true", help="make a new link; the old one stops working")


def _delete(parser: ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="delete a run that has not ended, too")


def _tasks(parser: ArgumentParser) -> None:
    statuses = [str(status) for status in TaskStatus]
    parser.add_argument("--status", choices=statuses, help="only those with this status")
    parser.add_argument("--name", help="only those of this task or channel")
    parser.add_argument("--limit", type=_count, default=50, help="at most so many (default 50)")
    acts = parser.add_mutually_exclusive_group()
    acts.add_argument("--cancel", metavar="ID", type=_count, help="cancel one that waits, and list nothing")
    acts.add_argument(
        "--again", metavar="ID", type=_count, help="call one again that failed or was cancelled"
    )


def _drain(parser: ArgumentParser) -> None:
    parser.add_argument(
        "worker", metavar="WORKER", nargs="?", help="id, at least 8 of its first digits, or host:process"
    )
    parser.add_argument("--all", action="store_true", help="every worker that is alive")
    text = "seconds to wait (default GRACE and 10 more)"
    parser.add_argument("--timeout", type=_seconds, help=text)
    parser.add_argument("--no-wait", action="store_true", help="tell it to leave, and do not wait")


def _prune(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="count what would be removed")


def _scaffold(parser: ArgumentParser) -> None:
    parser.add_argument("app", metavar="APP", help="an app of this project, or a new one that is made here")
    wire = "add to settings, urls and asgi what they lack, where that is safe"
    parser.add_argument("--wire", action="store_true", help=wire)


def _waiting(parser: ArgumentParser) -> None:
    parser.add_argument("--timeout", type=_seconds, default=5.0, help="seconds to wait (default 5)")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the outcome")
    parser.add_argument("--id", type=_client_id, help="send it at most once under this id")


def _client_id(text: str) -> str:
    if not CLIENT_ID.match(text):
        raise ArgumentTypeError(f"{text!r} is not 1 to 64 of A-Z a-z 0-9 _ -")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    return _positive(text, "a number of seconds above 0")


def _seconds_or_never(text: str) -> float:
    return 0.0 if text == "0" else _positive(text, "a number of seconds, or 0")


def _speed_value(text: str) -> float | str:
    return text if text == "max" else _positive(text, "a number above 0, or max")


def _positive(text: str, expected: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not {expected}")
    return value
