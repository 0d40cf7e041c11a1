from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from django_livesim.routing import livesim_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.unusual.settings")

application = livesim_application(ASGIStaticFilesHandler(get_asgi_application()))
