from __future__ import annotations

from contextlib import suppress

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _


class LivesimConfig(AppConfig):
    """Finds every installed app's `simulations.py`, as the admin finds `admin.py`."""

    name = "django_livesim"
    label = "livesim"
    verbose_name = _("Live simulations")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_livesim import checks, registry  # noqa: F401  (checks register themselves)

        registry.autodiscover()
        _ring_lists()
        _hear_celery()


def _ring_lists() -> None:
    """Tell whoever shows a list of runs when the rows say that one has changed."""
    from django_livesim.bus import lists
    from django_livesim.store import transitions

    transitions.changed.connect(lists.ring, dispatch_uid="django_livesim.bus.lists")


def _hear_celery() -> None:
    """Connect to the signals of Celery, where the settings name tasks of it."""
    from django_livesim import conf

    with suppress(ImproperlyConfigured):  # which the checks tell
        if not conf.settings.CELERY:
            return
        try:
            from django_livesim.contrib import celery  # noqa: F401  (its receivers connect themselves)
        except ModuleNotFoundError as exc:
            missing = (
                'LIVESIM["CELERY"] names tasks, and there is no Celery: pip install "django-livesim[celery]"'
            )
            raise ModuleNotFoundError(missing, name=exc.name) from exc
