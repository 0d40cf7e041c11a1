"""The one dict `LIVESIM` of the host's settings, over the defaults, read when first needed."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

DEFAULTS: dict[str, Any] = {
    # workers and leases
    "BEAT": 2.0,  # seconds between two signs of life of a worker
    "LEASE_TTL": 10.0,  # seconds of silence after which a worker counts as dead
    "POLL": 1.0,  # seconds between two looks at the database that no doorbell asked for
    "GRACE": 20.0,  # seconds a worker may take to store its runs when it is told to end
    "STRIKES": 3,  # times a run may harm its worker before it is quarantined
    "GC_THRESHOLD": None,  # objects more before a worker looks for cyclic garbage, None: left to Python
    "STEP_TIMEOUT": None,  # seconds one step may take, None: no limit
    "TASK_THREADS": 4,  # tasks and messages of own channels that one worker calls at a time
    "AUTOSTART": True,  # True: simulations that declare it, False: none, a list of names: these
    "EMBEDDED_WORKER": "auto",  # step runs inside the server: True, False, "auto": under DEBUG without Redis
    # state
    "CHECKPOINT_SECONDS": 10.0,  # seconds between two stored states of a running run
    "KEEP_CHECKPOINTS": 3,  # newest stored states kept for each run
    "MAX_STATE_BYTES": 8 * 1024 * 1024,  # bytes of one encoded state
    "RETENTION": {  # days after which `livesim prune` removes, None: never
        "RUNS": None,  # after its end, the run with all its rows
        "JOURNAL": None,  # after their outcome, commands older than the oldest kept checkpoint
        "TASKS": 7,  # after their end, tasks and messages of own channels
    },
    # viewers
    "FRAME_RATE": 10.0,  # frames a second where the simulation says nothing, None: one for each tick
    "REPORT_EVERY": None,  # ticks between two frames where the simulation says nothing, None: by FRAME_RATE
    "HTML_RATE": 2.0,  # frames a second that are rendered as HTML, for each role and language
    "MAX_MESSAGE_BYTES": 16384,  # bytes of one message of a client
    "MAX_FRAME_BYTES": 4 * 1024 * 1024,  # bytes of one view, event or result on its way to viewers
    "SLOW_VIEWER": 5.0,  # seconds one send to a viewer may take before its socket is closed
    "DIRECT_SENDS": True,  # whether ready frames go to uvicorn's connections, past its own way
    "RATE_LIMITS": {  # "N/s", "N/m", "N/h" for each user or session, None: no limit
        "COMMANDS": None,
        "STARTS": None,
    },
    "QUOTAS": {  # None: no limit
        "RUNS_PER_USER": None,  # runs that have not ended
        "RUNS": None,
        "SCHEDULED": 1000,  # commands with delay, at_tick or every that wait, of one sender in one run
    },
    "CELERY": (),  # names of Celery's tasks that are shown as runs; in a name, * is any text
    "POLICY": None,  # callable (user, action, run, command) -> bool | None, or its dotted path
    "HEALTH_TOKEN": None,  # who sends it sees the figures of livesim/health/, None: nobody
    "EMBED_ORIGINS": (),  # whose pages may show runs in frames, such as "https://blog.example.org"
    "HTMX_VERSION": 2,  # which htmx of django-htmx the pages load
    # where
    "CHANNEL_LAYER": "default",  # alias in CHANNEL_LAYERS
    "DATABASE": "default",  # alias in DATABASES
}

RATE = re.compile(r"([1-9]\d*)/([smh])\Z")
ORIGIN = re.compile(r"https?://(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?\Z")
RATE_SECONDS = {"s": 1, "m": 60, "h": 3600}

Valid = Callable[[Any], bool]


def number(low: float, *, above: bool = False) -> Valid:
    """A finite int or float that is at least, or above, `low`."""

    def valid(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return value > low if above else value >= low

    return valid


def integer(low: int) -> Valid:
    """An int that is at least `low`."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= low


def optional(valid: Valid) -> Valid:
    """None, or what `valid` takes."""
    return lambda value: value is None or valid(value)


def one_of(*values: Any) -> Valid:
    """One of the values, of the same type (True is not 1)."""
    return lambda value: any(type(value) is type(each) and value == each for each in values)


def alias_in(setting: str) -> Valid:
    """A key of another dict among the settings."""
    return lambda value: (
        isinstance(value, str) and (value in getattr(django_settings, setting, {}) or value == "default")
    )


def names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) and name for name in value)


def origins(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(each, str) and ORIGIN.match(each) for each in value
    )


def autostart(value: Any) -> bool:
    return isinstance(value, bool) or names(value)


def rate(value: Any) -> bool:
    return isinstance(value, str) and RATE.match(value) is not None


def secret(value: Any) -> bool:
    return isinstance(value, str) and len(value) >= 20


def policy(value: Any) -> bool:
    if isinstance(value, str):
        try:
            value = import_string(value)
        except Exception:  # whatever the host's module does on import
            return False
    return callable(value)


def _import_failure(value: Any) -> str:
    """Why the dotted path `value` cannot be imported; empty where it can."""
    if isinstance(value, str):
        try:
            import_string(value)
        except Exception as exc:  # whatever the host's module does on import
            return f"{type(exc).__name__}: {exc}"
    return ""


RULES: dict[str, tuple[str, Valid]] = {
    "BEAT": ("a number of seconds above 0", number(0, above=True)),
    "LEASE_TTL": ("a number of seconds above 0", number(0, above=True)),
    "POLL": ("a number of seconds above 0", number(0, above=True)),
    "GRACE": ("a number of seconds, 0 or more", number(0)),
    "STRIKES": ("an integer of 1 or more", integer(1)),
    "GC_THRESHOLD": ("None or an integer of 1 or more", optional(integer(1))),
    "STEP_TIMEOUT": ("None or a number of seconds above 0", optional(number(0, above=True))),
    "TASK_THREADS": ("an integer of 1 or more", integer(1)),
    "AUTOSTART": ("True, False or a list of simulation names", autostart),
    "EMBEDDED_WORKER": ('"auto", True or False', one_of("auto", True, False)),
    "CHECKPOINT_SECONDS": ("a number of seconds above 0", number(0, above=True)),
    "KEEP_CHECKPOINTS": ("an integer of 1 or more", integer(1)),
    "MAX_STATE_BYTES": ("an integer of 1024 or more", integer(1024)),
    "RETENTION": ("None or a number of days, 0 or more", optional(number(0))),
    "FRAME_RATE": ("None or a number above 0", optional(number(0, above=True))),
    "REPORT_EVERY": ("None or an integer of 1 or more", optional(integer(1))),
    "HTML_RATE": ("a number above 0", number(0, above=True)),
    "MAX_MESSAGE_BYTES": ("an integer of 256 or more", integer(256)),
    "MAX_FRAME_BYTES": ("an integer of 1024 or more", integer(1024)),
    "SLOW_VIEWER": ("a number of seconds above 0", number(0, above=True)),
    "DIRECT_SENDS": ("True or False", one_of(True, False)),
    "RATE_LIMITS": ('None or a text such as "10/s", "100/m" or "1000/h"', optional(rate)),
    "QUOTAS": ("None or an integer of 0 or more", optional(integer(0))),
    "CELERY": ('a list of names of tasks, such as ["polls.*"]', names),
    "POLICY": (
        "None, a callable (user, action, run, command) or the dotted path of one",
        optional(policy),
    ),
    "HEALTH_TOKEN": ("None or a text of 20 letters or more", optional(secret)),
    "EMBED_ORIGINS": (
        'a list of origins in lower case and without a path, such as ["https://blog.example.org"]',
        origins,
    ),
    "HTMX_VERSION": ("2", one_of(2)),
    "CHANNEL_LAYER": ("an alias in CHANNEL_LAYERS", alias_in("CHANNEL_LAYERS")),
    "DATABASE": ("an alias in DATABASES", alias_in("DATABASES")),
}
"""For each setting what is expected, in words, and the test of it; for a nested dict, of each member."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with `LIVESIM`."""

    key: str
    """As in `LIVESIM["BEAT"]`; `LIVESIM` alone where it is no dict."""
    value: Any
    expected: str
    unknown: bool = False
    """The key itself is not one of ours."""
    known: str = ""
    """Where it is not, those that are."""
    why: str = ""
    """What the value itself said, where it was tried."""

    def __str__(self) -> str:
        if self.unknown:
            return f"{self.key} is not a setting of django-livesim. Expected: {self.expected}."
        why = f" It cannot be imported: {self.why}" if self.why else ""
        return f"{self.key} is {self.value!r}. Expected: {self.expected}.{why}"


def _spell(*keys: str) -> str:
    return "LIVESIM" + "".join(f'["{key}"]' for key in keys)


def _unknown(key: Any, known: Mapping[str, Any], *parents: str) -> Problem:
    near = difflib.get_close_matches(str(key).upper(), known, n=1)
    names = ", ".join(sorted(known))
    expected = f"{near[0]!r}, perhaps" if near else f"one of {names}"
    return Problem(key=_spell(*parents, str(key)), value=None, expected=expected, unknown=True, known=names)


def _value_problems(key: str, value: Any) -> Iterator[Problem]:
    expected, valid = RULES[key]
    default = DEFAULTS[key]
    if not isinstance(default, dict):
        if not valid(value):
            why = _import_failure(value) if key == "POLICY" else ""
            yield Problem(key=_spell(key), value=value, expected=expected, why=why)
    elif not isinstance(value, Mapping):
        yield Problem(key=_spell(key), value=value, expected="a dict with " + ", ".join(default))
    else:
        for member, inner in value.items():
            if member not in default:
                yield _unknown(member, default, key)
            elif not valid(inner):
                yield Problem(key=_spell(key, member), value=inner, expected=expected)


def problems() -> list[Problem]:
    """Everything that is wrong with the host's `LIVESIM`; empty where all is well."""
    given = _given()
    if not isinstance(given, Mapping):
        return [Problem(key="LIVESIM", value=given, expected="a dict")]
    found: list[Problem] = []
    for key, value in given.items():
        found += _value_problems(key, value) if key in DEFAULTS else [_unknown(key, DEFAULTS)]
    if not found:
        beat, ttl = (given.get(key, DEFAULTS[key]) for key in ("BEAT", "LEASE_TTL"))
        if ttl < 3 * beat:
            expected = f"at least three times BEAT, that is {3 * beat:g} seconds or more"
            found.append(Problem(key=_spell("LEASE_TTL"), value=ttl, expected=expected))
    return found


def parse_rate(text: str | None) -> tuple[int, int] | None:
    """`"10/m"` as (10, 60): so many in so many seconds; None is no limit."""
    match = RATE.match(text) if text else None
    return (int(match[1]), RATE_SECONDS[match[2]]) if match else None


def _given() -> Any:
    return getattr(django_settings, "LIVESIM", {})


class LivesimSettings:
    """`settings.BEAT` and so on: the host's value, or the default; kept until `LIVESIM` changes.

    A bad value raises ImproperlyConfigured when it is read, since system checks
    do not run under an ASGI server. Nested dicts are filled up from the
    defaults. POLICY is given as the callable.
    """

    def __getattr__(self, key: str) -> Any:
        if key not in DEFAULTS:
            raise AttributeError(
                f"django-livesim has no setting {key!r}. Expected one of: {', '.join(sorted(DEFAULTS))}"
            )
        value = self.__dict__[key] = self._read(key)
        return value

    def _read(self, key: str) -> Any:
        given = _given()
        if not isinstance(given, Mapping):
            raise ImproperlyConfigured(str(Problem(key="LIVESIM", value=given, expected="a dict")))
        if key not in given:
            return dict(DEFAULTS[key]) if isinstance(DEFAULTS[key], dict) else DEFAULTS[key]
        for problem in _value_problems(key, given[key]):
            raise ImproperlyConfigured(str(problem))
        value = given[key]
        if isinstance(DEFAULTS[key], dict):
            return {**DEFAULTS[key], **value}
        if key == "POLICY" and isinstance(value, str):
            return import_string(value)
        return value

    def clear(self) -> None:
        """Forget what was read; the next access reads again."""
        self.__dict__.clear()


settings = LivesimSettings()


def _setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting == "LIVESIM":
        settings.clear()


setting_changed.connect(_setting_changed, dispatch_uid="django_livesim.conf")
