from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from django_livesim.routing import livesim_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sandbox.config.settings")

application = livesim_application(get_asgi_application())
