"""For the pages alone, by a WSGI server behind nginx; sockets need the ASGI application."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sandbox.config.settings")

application = get_wsgi_application()
