"""Settings of the sandbox. Everything comes from the environment and has a default.

`DATABASE_URL`, `REDIS_URL` or `CHANNELS_REDIS` (which wins), `CELERY_BROKER_URL` (else the same),
`SECRET_KEY`, `DEBUG`, `ALLOWED_HOSTS`, `HTTPS`, `HSTS_SECONDS`, `STATIC_ROOT`. With no Redis at all
`manage.py runserver` runs the simulations itself.

`HTTPS=1` is for a site behind a proxy that ends TLS. The proxy has to set the header
`X-Forwarded-Proto` on each request, whatever the client sent: it is believed.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

BASE = Path(__file__).resolve().parent.parent.parent
VAR = BASE / "var"
VAR.mkdir(exist_ok=True)
env = environ.Env()


def stored_secret_key() -> str:
    """A key made at the first start, so that reloading the server logs nobody out."""
    path = VAR / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text() or get_random_secret_key()
    with os.fdopen(descriptor, "w") as file:
        file.write(key := get_random_secret_key())
    return key


SECRET_KEY = env("SECRET_KEY", default="") or stored_secret_key()
DEBUG = env.bool("DEBUG", default=True)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

if env.bool("HTTPS", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^livesim/health/$"]  # whoever asks for it may stand beside the proxy
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    # Browsers refuse plain HTTP for so long: begin with an hour, go on to a year once all is well.
    SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=3600)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "sandbox.documents",  # before django_livesim: it has a footer of its own
    "django_livesim",
    "sandbox.config",
    "sandbox.orbit",
    "sandbox.life",
    "sandbox.epidemic",
    "sandbox.workshop",
    "sandbox.entities",
    "sandbox.prog",
    "sandbox.chat",
    "sandbox.hello",
    "sandbox.pictures",
]
if find_spec("mesa") and find_spec("networkx"):
    INSTALLED_APPS += ["sandbox.mesa_models"]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
ROOT_URLCONF = "sandbox.config.urls"
ASGI_APPLICATION = "sandbox.config.asgi.application"
LOGIN_URL = "admin:login"
STATIC_URL = "/static/"
STATIC_ROOT = env("STATIC_ROOT", default=str(VAR / "static"))  # where a web server gives them out
USE_TZ = True
TIME_ZONE = env("TIME_ZONE", default="UTC")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR}/sandbox.sqlite3")}
if not DATABASES["default"].get("ENGINE"):
    raise ImproperlyConfigured(
        "DATABASE_URL names no database. Expected, for example: postgres://user@host/name"
    )
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }

REDIS = env("CHANNELS_REDIS", default="") or env("REDIS_URL", default="")
if REDIS:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            # Without "socket_timeout": None an idle connection would be cut after five seconds.
            "CONFIG": {"hosts": [{"address": REDIS, "socket_timeout": None}]},
        }
    }
else:
    # The documents' sockets want a layer. This one reaches no further than `runserver`: enough there.
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

LIVESIM = {
    "POLICY": "sandbox.entities.shared.policy",
    # Of what anybody may start, nobody can fill the workers.
    "QUOTAS": {"RUNS_PER_USER": 20, "RUNS": 1000},
}

if REDIS and find_spec("celery"):
    INSTALLED_APPS += ["sandbox.celery_tasks"]
    LIVESIM["CELERY"] = ["sandbox.celery_tasks.*"]
    CELERY_BROKER_URL = env("CELERY_BROKER_URL", default=REDIS)
    CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname:7} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"django_livesim": {"handlers": ["console"], "level": "INFO"}},
}
