from __future__ import annotations

import os
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from django_livesim import gateway, registry

KEY = "sandbox"


class Command(BaseCommand):
    """Makes what a visitor of the sandbox wants to find; a second time, it changes nothing."""

    help = "Makes the user admin (password: ADMIN_PASSWORD, else admin) and one run of each simulation."

    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get("ADMIN_PASSWORD", "admin")
        admin, _ = get_user_model().objects.get_or_create(
            username="admin", defaults={"is_staff": True, "is_superuser": True}
        )
        if not admin.check_password(password):
            admin.set_password(password)
            admin.save()
        for simulation in registry.all():
            if simulation.is_job or simulation.sharing != "shared":
                continue  # whoever wants one starts it
            run = gateway.start(
                simulation.name, owner=admin, key=KEY, name=str(simulation.label), visibility="public"
            )
            self.stdout.write(f"{run.simulation}: {run.get_absolute_url()}")
