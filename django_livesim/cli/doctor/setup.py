"""The host's settings, apps and simulations."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import ERROR

from django_livesim import checks, registry
from django_livesim.cli.doctor.finding import ADVICE, PROBLEM, Finding, advice, ok

SAID_BY_THE_LAYER = "livesim.E003"


def look_at_settings() -> Iterator[Finding]:
    """What our system checks find, as `manage.py check` would say it."""
    messages = [message for check in checks.ALL for message in check() if not message.is_silenced()]
    found = [message for message in messages if message.id != SAID_BY_THE_LAYER]
    for message in found:
        yield Finding(
            name="settings",
            status=PROBLEM if message.level >= ERROR else ADVICE,
            message=f"{message.id} {message.msg}",
            hint=message.hint or "",
        )
    if not found:
        yield ok("settings", f"{len(checks.ALL)} checks found nothing")


def look_at_simulations() -> Iterator[Finding]:
    names = [target.name for target in registry.all()]
    if names:
        yield ok("simulations", ", ".join(names))
    else:
        hint = "Write simulations.py in an installed app, with a class or function under @register."
        yield advice("simulations", "none is registered", hint=hint)


def look_at_runserver() -> Iterator[Finding]:
    """Whose `runserver` it is: Django takes the command of the first app that has one."""
    names = [config.name for config in apps.get_app_configs()]
    if "daphne" not in names or "django.contrib.staticfiles" not in names:
        return  # the check W002 tells of the first, and without the second nobody else has the command
    if names.index("daphne") < names.index("django.contrib.staticfiles"):
        yield ok("runserver", "it is daphne's, which serves sockets")
        return
    yield Finding(
        name="runserver",
        status=PROBLEM if django_settings.DEBUG else ADVICE,
        message="'daphne' comes after 'django.contrib.staticfiles', whose runserver serves no sockets."
        " Expected: before it",
        hint='Put it first: INSTALLED_APPS = ["daphne", ...]',
    )
