"""The pages: adapters that ask the gateway and show what it says.

Each works without JavaScript, by links and by post, redirect, message; what
htmx asks for comes as a fragment of the same templates.
"""

from __future__ import annotations

from django_livesim.views.acts import run_answer, run_command, run_control, run_message
from django_livesim.views.bulk import run_bulk
from django_livesim.views.embed import run_embed
from django_livesim.views.figures import run_series
from django_livesim.views.health import health
from django_livesim.views.live import run_by_key, run_detail, run_mine
from django_livesim.views.owner import run_delete, run_share
from django_livesim.views.runs import run_list, run_start
from django_livesim.views.scheduled import run_cancel

__all__ = [
    "health",
    "run_answer",
    "run_bulk",
    "run_by_key",
    "run_cancel",
    "run_command",
    "run_control",
    "run_delete",
    "run_detail",
    "run_embed",
    "run_list",
    "run_message",
    "run_mine",
    "run_series",
    "run_share",
    "run_start",
]
