"""The texts that the scripts of the pages show, by name; {places} are filled in the browser."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from django_livesim.forms import CONTROL_LABELS
from django_livesim.models import STATUS_LABELS

WORDS = {
    "socket_connecting": _("connecting"),
    "socket_open": _("live"),
    "socket_ended": _("ended"),
    "socket_silent": _("nothing new for {seconds} s"),
    "socket_waiting": _("lost"),
    "socket_offline": _("offline"),
    "socket_closed": _("closed"),
    "socket_no_right": _("no right"),
    "socket_deleted": _("deleted"),
    "socket_too_many": _("too many pages"),
    "lost": _("Connection lost."),
    "restarting": _("The server is restarting."),
    "offline": _("You are offline."),
    "when_online": _("The page connects by itself when you are online again."),
    "back": _("Connected again."),
    "reconnecting": _("Reconnecting in {seconds} s."),
    "trying": _("Reconnecting…"),
    "no_right": _("You may not watch this run any more."),
    "deleted": _("This run has been deleted."),
    "too_many": _("Too many pages are open. Close some, then load this one again."),
    "restarted": _("Restarted: going to the new run."),
    "rights_changed": _("Your rights on this run have changed. Load the page again."),
    "max": _("max"),
    "more": _("show {n} more"),
    "hours_left": _("about {n} hours left"),
    "minutes_left": _("about {n} minutes left"),
    "seconds_left": _("about {n} s left"),
    "attempt": _("attempt {attempt} of {attempts}"),
    "applied": _("Applied at tick {tick}."),
    "refused": _("Refused: {why}"),
    "log_applied": _("applied"),
    "log_refused": _("refused: {why}"),
    "by_you": _("by you"),
    "by_user": _("by {name}"),
    "by_somebody": _("by somebody"),
    "by_visitor": _("by a visitor"),
    "by_process": _("by a program ({name})"),
    "alone": _("This page alone"),
    "one_other": _("This page and one other"),
    "others": _("This page and {n} others"),
    "found": _("{n} of {all}"),
    "found_nothing": _("nothing found"),
    "copied": _("copied"),
    "not_copied": _("The browser does not allow copying here."),
    "latency_of": _("{time} (of {n})"),
    "per_second": _("{amount} a second"),
    "picture_failed": _("The picture cannot be drawn: {error}"),
    "cell_at": _("column {column}, row {row}"),
    "no_figures": _("No figures: {why}"),
    "figure_now": _("{name}: {value} at tick {tick}"),
    "figure_none": _("{name}: no value"),
    "figures_tick": _("tick {tick}"),
    "figures_ticks": _("tick"),
    "figures_time": _("time"),
    "figures_more": _("Show {n} more"),
    "figure_save": _("Save the plot of {name} as a picture"),
    "figures_lost": _("The history of the figures cannot be read; it is asked for again."),
    "db_down": _("The database does not answer; nothing was stored. Try again."),
    "unreachable": _(
        "The server cannot be reached. Try again when the connection is back: nothing is done twice."
    ),
    "server_error": _("The server answered with an error ({status}). Try again, or load the page anew."),
}


def livesim_words() -> dict[str, str]:
    """All of them in the language of the page, with those of statuses and controls."""
    statuses = {str(status): str(label) for status, label in STATUS_LABELS.items()}
    verbs = {f"verb_{verb}": str(label) for verb, label in CONTROL_LABELS.items()}
    return statuses | verbs | {name: str(text) for name, text in WORDS.items()}
