"""How the command line says no: one line on stderr, and an exit status."""

from __future__ import annotations

from django.core.management import CommandError

from django_livesim.cli.output import printable
from django_livesim.protocol.errors import Code, LivesimError

REFUSED = 1
USAGE = 2


class Said(CommandError):
    """One line for whoever typed: on a command line it stands alone, without the name of its class."""


class UsageError(Said):
    """What was typed is not understood."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message), returncode=USAGE)


class NotDone(Said):
    """What was asked for was understood and not done; `code` is one of `Code`.

    The line begins with it, unless it is `error`, which says no more than that.
    """

    def __init__(self, code: str, message: str) -> None:
        told = one_line(message)
        super().__init__(told if code == Code.ERROR else f"{code}: {told}", returncode=REFUSED)


def from_livesim(exc: LivesimError) -> NotDone:
    """The same refusal for the terminal, with the message of each wrong argument."""
    told = [text for name, texts in exc.fields.items() for text in (f"{name}: {each}" for each in texts)]
    missing = [text for text in told if text.partition(": ")[2] not in exc.message]
    return NotDone(str(exc.code), " ".join([exc.message, *missing]))


def from_database(exc: Exception) -> NotDone:
    """The database did not do what was asked."""
    advice = "Run: python manage.py migrate" if _no_table(exc) else "Check DATABASES; see: livesim doctor"
    return NotDone(str(Code.DB_DOWN), f"the database answered {str(exc).strip()!r}. {advice}")


def from_settings(exc: Exception) -> NotDone:
    """A setting is wrong."""
    return NotDone(str(Code.ERROR), f"{str(exc).strip()} See: livesim doctor")


def _no_table(exc: Exception) -> bool:
    text = str(exc)
    return "no such table" in text or ("relation" in text and "does not exist" in text)


def one_line(text: str) -> str:
    """The text without line breaks, and without what could steer the terminal."""
    return printable(" ".join(text.split()))
