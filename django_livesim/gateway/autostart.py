"""Runs that are there from the moment a worker is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django_livesim import conf, registry
from django_livesim.gateway.sharing import new_token
from django_livesim.models import Run
from django_livesim.store import intake

KEY = "autostart"


def start_all(queues: Collection[str]) -> None:
    """One run of each simulation that starts by itself and belongs to one of these queues.

    Its key makes it one, however many workers try at once. A run that has
    the key stays as it is, whatever became of it: a person may have stopped
    it, and one that has failed would fail again.
    """
    for definition in registry.all():
        if _starts_by_itself(definition) and definition.queue in queues and not _is_there(definition):
            intake.create_run(
                simulation=definition.name,
                version=definition.version,
                queue=definition.queue,
                key=KEY,
                name=definition.label,
                visibility=definition.visibility,
                link_token=new_token(definition.visibility),
                seed=intake.new_seed(),
            )


def _starts_by_itself(definition: Any) -> bool:
    wanted = conf.settings.AUTOSTART
    named = definition.name in wanted if isinstance(wanted, list | tuple) else wanted and definition.autostart
    return bool(named) and definition.sharing == "shared"


def _is_there(definition: Any) -> bool:
    return Run.objects.filter(simulation=definition.name, key=KEY).exists()
