"""Settings of a host in which everything is unusual at once."""

from __future__ import annotations

import os

import django
import environ

from tests.settings import TEMPORARY

env = environ.Env()

SECRET_KEY = "tests"
DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
ROOT_URLCONF = "tests.unusual.urls"
ASGI_APPLICATION = "tests.unusual.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Mounted below the root of its site: by this, or by what the server says.
FORCE_SCRIPT_NAME = env("SCRIPT_NAME", default="/sub") or None
STATIC_URL = "assets/"

USE_TZ = False
TIME_ZONE = "America/Chicago"

USE_I18N = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]

AUTH_USER_MODEL = "unusual.User"
LOGIN_URL = "admin:login"
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"

INSTALLED_APPS = [
    "tests.unusual.apps.HostConfig",
    "tests.unusual.apps.HostAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "django_livesim",
    "tests.app",
    "tests.browser",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "tests.unusual.policy.MIDDLEWARE",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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

# Scripts and styles by their nonce alone: Django's own middleware where it has one, else django-csp's.
POLICY = {
    "default-src": ["'none'"],
    "img-src": ["'self'"],
    "connect-src": ["'self'"],
    "form-action": ["'self'"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}
if django.VERSION >= (6, 0):
    from django.utils.csp import CSP

    SECURE_CSP = POLICY | {"script-src": [CSP.NONCE], "style-src": [CSP.NONCE]}
    TEMPLATES[0]["OPTIONS"]["context_processors"] += ["django.template.context_processors.csp"]  # type: ignore[index]
else:
    from csp.constants import NONCE

    CONTENT_SECURITY_POLICY = {"DIRECTIVES": POLICY | {"script-src": [NONCE], "style-src": [NONCE]}}


def database(name: str) -> dict[str, object]:
    """Users and sessions have one, runs another; each view is one transaction in both."""
    settings: dict[str, object] = env.db("DATABASE_URL", default=f"sqlite:///{TEMPORARY}/livesim-unusual")
    settings |= {"ATOMIC_REQUESTS": True}
    if settings["ENGINE"] != "django.db.backends.sqlite3":
        return settings | {"NAME": f"livesim_{name}"}
    return settings | {
        "NAME": f"{settings['NAME']}-{name}.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
        "TEST": {"NAME": str(TEMPORARY / f"livesim-test-{os.getpid()}.sqlite3-{name}")},
    }


DATABASES = {"default": database("users"), "sims": database("runs")}
DATABASE_ROUTERS = ["tests.unusual.routers.UsersStayAtHome", "django_livesim.routers.LivesimRouter"]

CHANNEL_LAYERS = {
    "sims": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [
                {
                    "address": env("CHANNELS_REDIS", default="redis://localhost:6379"),
                    "socket_timeout": None,
                }
            ]
        },
    }
}

LIVESIM = {"DATABASE": "sims", "CHANNEL_LAYER": "sims"}
