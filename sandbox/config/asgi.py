from __future__ import annotations

import os

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from django_livesim.routing import livesim_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sandbox.config.settings")

# The sandbox has no web server in front of it that would serve the static files.
http = ASGIStaticFilesHandler(get_asgi_application())

from sandbox.config.parts import websocket_routes  # noqa: E402  (consumers import models: after the setup)

application = livesim_application(http, websocket=websocket_routes(settings.INSTALLED_APPS))
