from __future__ import annotations

from django.apps import AppConfig
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
