"""Settings of the tests: `DATABASE_URL` (else SQLite), no channel layer unless a test asks for one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import environ

BASE = Path(__file__).resolve().parent.parent
TEMPORARY = Path(tempfile.gettempdir())
env = environ.Env()

SECRET_KEY = "tests"
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
USE_TZ = True
LANGUAGE_CODE = "en"
STATIC_URL = "/static/"
ROOT_URLCONF = "tests.urls"
ASGI_APPLICATION = "tests.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}  # Django 6.1 asks for it
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# It brings twisted, half of a process's start: processes that tests start for something else do without.
SERVES_PAGES = DEBUG or "CHANNELS_REDIS" not in os.environ
INSTALLED_APPS = [
    *(["daphne"] if SERVES_PAGES else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "django_livesim",
    "tests.app",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{TEMPORARY}/livesim-dev.sqlite3")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"] |= {
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
        # A file, since worker processes open it too; one for each run of the tests.
        "TEST": {"NAME": str(TEMPORARY / f"livesim-test-{os.getpid()}.sqlite3")},
    }

# Set for the processes that tests start; inside pytest the fixture `redis_layer` sets it.
if "CHANNELS_REDIS" in os.environ:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": env("CHANNELS_BACKEND", default="channels_redis.pubsub.RedisPubSubChannelLayer"),
            "CONFIG": {"hosts": [{"address": env("CHANNELS_REDIS"), "socket_timeout": None}]},
        }
    }

LIVESIM: dict[str, object] = env.json("LIVESIM", default={})
