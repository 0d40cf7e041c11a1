"""Runs that are there from the moment a worker is."""

from __future__ import annotations

from django_livesim import conf, registry
from django_livesim.models import Run
from django_livesim.store import intake

KEY = "autostart"


def start_all() -> None:
    """One run of each simulation that starts by itself. Its key makes it one, however many workers try."""
    wanted = conf.settings.AUTOSTART
    for definition in registry.all():
        named = (
            definition.name in wanted if isinstance(wanted, list | tuple) else wanted and definition.autostart
        )
        if not named or definition.sharing != "shared":
            continue
        if not Run.objects.filter(simulation=definition.name, key=KEY).exists():
            intake.create_run(
                simulation=definition.name,
                version=definition.version,
                queue=definition.queue,
                key=KEY,
                name=definition.label,
                visibility=definition.visibility,
                seed=intake.new_seed(),
            )
