"""Settings of the template: its own CHANNEL_LAYERS, and what its sockets need of Django."""

from __future__ import annotations

import os
import tempfile

SECRET_KEY = "measured"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "daphne",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "channels",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("BASELINE_DB", tempfile.gettempdir() + "/baseline.sqlite3"),
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": os.environ.get("CHANNELS_BACKEND", "channels_redis.core.RedisChannelLayer"),
        "CONFIG": {
            "hosts": [
                {
                    "address": os.environ.get("CHANNELS_REDIS", "redis://127.0.0.1"),
                    "socket_timeout": None,
                    "max_connections": 100_000,
                }
            ],
        },
    },
}
