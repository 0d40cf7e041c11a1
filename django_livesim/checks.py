"""System checks: what is wrong with the set-up, and the line that puts it right."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any
from uuid import UUID

from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as Advice
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, router
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from django_livesim import conf

WEBSOCKET_PATH = f"ws/livesim/runs/{UUID(int=0)}/"
WRAPPERS = ("inner", "application", "app")
"""Where ASGI middleware keeps what it wraps."""

LAYER_LINES = """CHANNEL_LAYERS = {"%s": {
    "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "CONFIG": {"hosts": [{"address": "redis://localhost:6379", "socket_timeout": None}]},
}}"""
URL_LINE = 'path("livesim/", include("django_livesim.urls"))'
ASGI_LINES = """import os

from django.core.asgi import get_asgi_application

from django_livesim.routing import livesim_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "%s")

application = livesim_application(get_asgi_application())"""


def _under_test() -> bool:
    """Django's test runner switches DEBUG off; what follows from that is then no problem."""
    return hasattr(mail, "outbox")


def layer_reaches_processes() -> bool:
    """Whether the configured channel layer carries messages from one process to another."""
    backend = _layer().get("BACKEND", "")
    return bool(backend) and backend != "channels.layers.InMemoryChannelLayer"


def _layer() -> Mapping[str, Any]:
    layers = getattr(django_settings, "CHANNEL_LAYERS", None) or {}
    return layers.get(_setting("CHANNEL_LAYER")) or {}


def _layer_lines() -> str:
    return LAYER_LINES % _setting("CHANNEL_LAYER")


def _setting(key: str) -> Any:
    """The setting, or its default where the host's value is bad (which is E002)."""
    try:
        return getattr(conf.settings, key)
    except ImproperlyConfigured:
        return conf.DEFAULTS[key]


@register()
def check_settings(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E001 unknown key, E002 bad value, E008 AUTOSTART names a simulation that is not there."""
    found = conf.problems()
    messages: list[CheckMessage] = [
        Error(
            str(problem),
            hint=f"Remove {problem.key} or spell it rightly. There are: {problem.known}."
            if problem.unknown
            else f"Set {problem.key} to {problem.expected}.",
            id="livesim.E001" if problem.unknown else "livesim.E002",
        )
        for problem in found
    ]
    return messages or list(_autostart_names())


def _autostart_names() -> Iterator[CheckMessage]:
    from django_livesim import params, registry

    names = conf.settings.AUTOSTART
    targets = {target.name: target for target in registry.all()}
    known = sorted(targets)
    for name in [] if isinstance(names, bool) else names:
        if name in targets and targets[name].sharing != "shared":
            yield Error(
                f'LIVESIM["AUTOSTART"] names {name!r}, of which each person has a run of their own.',
                hint=f"Remove {name!r}, or declare sharing = 'shared' in it.",
                id="livesim.E008",
            )
        if name in targets and (required := params.required(params.form_class(targets[name]))):
            yield Error(
                f'LIVESIM["AUTOSTART"] names {name!r}, and nobody is there to give it {", ".join(required)}.',
                hint=f"Remove {name!r}, or give each of its parameters a default.",
                id="livesim.E008",
            )
        if name not in known:
            yield Error(
                f'LIVESIM["AUTOSTART"] names {name!r}, and no simulation is called that.',
                hint=f"Use names of registered simulations. There are: {', '.join(known) or 'none'}.",
                id="livesim.E008",
            )


@register()
def check_processes(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E003 no layer between processes in production, E004 embedded worker outside DEBUG."""
    if django_settings.DEBUG or _under_test():
        return []
    return list(_production_problems())


def _production_problems() -> Iterator[CheckMessage]:
    if not layer_reaches_processes():
        yield Error(
            "DEBUG is off and the channel layer stays in its process: no page gets a worker's frames.",
            hint=f"Install channels-redis and set:\n{_layer_lines()}",
            id="livesim.E003",
        )
    if _setting("EMBEDDED_WORKER") is True:
        yield Error(
            'LIVESIM["EMBEDDED_WORKER"] is True and DEBUG is off: no production server steps runs.',
            hint='Remove LIVESIM["EMBEDDED_WORKER"] and start: python manage.py livesim_worker',
            id="livesim.E004",
        )


@register()
def check_apps(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E005 a needed app is missing, W002 daphne is missing under DEBUG."""
    messages: list[CheckMessage] = [
        Error(
            f"django-livesim needs {name!r} in INSTALLED_APPS.",
            hint=f'Add: INSTALLED_APPS += ["{name}"]',
            id="livesim.E005",
        )
        for name in ("channels", "django_htmx")
        if not apps.is_installed(name)
    ]
    if django_settings.DEBUG and not apps.is_installed("daphne"):
        messages.append(
            Advice(
                "'daphne' is not in INSTALLED_APPS: `runserver` serves no WebSockets, so pages are not live.",
                hint='Install daphne and put it first: INSTALLED_APPS = ["daphne", ...]',
                id="livesim.W002",
            )
        )
    return messages


@register()
def check_asgi(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E006 no ASGI_APPLICATION, E007 it cannot be imported or has no route for our sockets."""
    path = getattr(django_settings, "ASGI_APPLICATION", None)
    if not path:
        return [
            Error(
                "ASGI_APPLICATION is not set.",
                hint=f'Add: ASGI_APPLICATION = "{_project()}.asgi.application"\n'
                f"Make {_project()}.asgi say:\n{_asgi_lines()}",
                id="livesim.E006",
            )
        ]
    try:
        application = import_string(path)
    except Exception as exc:  # whatever the host's module does on import
        problem = f"ASGI_APPLICATION {path!r} cannot be imported: {type(exc).__name__}: {exc}"
        return [Error(problem, hint=_import_hint(path, exc), id="livesim.E007")]
    if routes_to(application, WEBSOCKET_PATH) is not False:
        return []
    problem = f"ASGI_APPLICATION {path!r} has no route for /{WEBSOCKET_PATH}: pages get no frames."
    hint = f"Make {path.rpartition('.')[0]} say:\n{_asgi_lines()}"
    return [Error(problem, hint=hint, id="livesim.E007")]


def _import_hint(path: str, exc: Exception) -> str:
    """What to do where the module is not there, where it does not say that name, and where it fails."""
    module, _, name = path.rpartition(".")
    if isinstance(exc, SyntaxError):
        return f"Correct {exc.filename}, line {exc.lineno}: {(exc.text or '').strip()}"
    if isinstance(exc, ModuleNotFoundError) and f"{module}.".startswith(f"{exc.name}."):
        return f'Correct the setting, as in: ASGI_APPLICATION = "{_project()}.asgi.application"'
    if not module or (module in sys.modules and not hasattr(sys.modules[module], name)):
        return f"Correct the setting, or make {module or 'a module'} say:\n{_asgi_lines()}"
    return f"Correct {module}, or make it say:\n{_asgi_lines()}"


def _asgi_lines() -> str:
    named = os.environ.get("DJANGO_SETTINGS_MODULE") or f"{_project()}.settings"
    return ASGI_LINES % named


def _project() -> str:
    """The package of the host's settings, as far as its other settings tell."""
    return str(getattr(django_settings, "ROOT_URLCONF", None) or "").rpartition(".")[0] or "<project>"


def routes_to(application: Any, path: str) -> bool | None:
    """Whether a websocket on `path` finds a consumer in `application`; None where that cannot be seen."""
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.core.handlers.asgi import ASGIHandler

    if application is None or isinstance(application, ASGIHandler):
        return False
    if isinstance(application, ProtocolTypeRouter):
        return routes_to(application.application_mapping.get("websocket"), path)
    if isinstance(application, URLRouter):
        return _url_router_has(application, path)
    for wrapper in WRAPPERS:
        if hasattr(application, wrapper):
            return routes_to(getattr(application, wrapper), path)
    return None


def guards_of(application: Any) -> Iterator[Any]:
    """What looks at the origin of a websocket on its way to the first router of URLs."""
    from channels.routing import ProtocolTypeRouter, URLRouter
    from channels.security.websocket import OriginValidator

    from django_livesim.origins import OriginGuard

    if isinstance(application, ProtocolTypeRouter):
        yield from guards_of(application.application_mapping.get("websocket"))
        return
    if application is None or isinstance(application, URLRouter):
        return
    if isinstance(application, OriginGuard | OriginValidator):
        yield application
    for wrapper in WRAPPERS:
        if hasattr(application, wrapper):
            yield from guards_of(getattr(application, wrapper))
            return


def _url_router_has(router: Any, path: str) -> bool:
    from channels.routing import URLRouter

    for route in router.routes:
        match = route.pattern.match(path)
        if match and not (
            isinstance(route.callback, URLRouter) and not _url_router_has(route.callback, match[0])
        ):
            return True
    return False


@register()
def check_redis_timeout(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """W001: redis-py times out reads that channels_redis leaves waiting: sockets and workers go deaf."""
    layer = _layer()
    if not layer.get("BACKEND", "").startswith("channels_redis."):
        return []
    default = _redis_read_timeout()
    hosts = layer.get("CONFIG", {}).get("hosts") or ["redis://localhost:6379"]
    if not isinstance(hosts, list | tuple) or not any(_times_out(host, default) for host in hosts):
        return []
    return [
        Advice(
            "A host of the channel layer has a read timeout: idle sockets and workers lose Redis.",
            hint=f'Give every host "socket_timeout": None, as in:\n{_layer_lines()}',
            id="livesim.W001",
        )
    ]


def _times_out(host: Any, default: float | None) -> bool:
    if isinstance(host, Mapping):
        return host.get("socket_timeout", default) is not None
    return default is not None or "socket_timeout=" in str(host)


def _redis_read_timeout() -> float | None:
    """What the installed redis-py does where a host says nothing."""
    try:
        connection = import_module("redis.asyncio.connection").AbstractConnection
    except ImportError:
        return None
    parameter = inspect.signature(connection.__init__).parameters.get("socket_timeout")
    return parameter.default if parameter else None


@register()
def check_sqlite(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """W003: SQLite without immediate transactions answers "database is locked" under load."""
    alias = _setting("DATABASE")
    database = django_settings.DATABASES.get(alias, {})
    if database.get("ENGINE") != "django.db.backends.sqlite3" or ":memory:" in str(database.get("NAME")):
        return []
    if str(database.get("OPTIONS", {}).get("transaction_mode", "")).upper() in ("IMMEDIATE", "EXCLUSIVE"):
        return []
    return [
        Advice(
            f'The SQLite database {alias!r} opens deferred transactions: expect "database is locked".',
            hint=f'Set DATABASES["{alias}"]["OPTIONS"] = {{"transaction_mode": "IMMEDIATE", "timeout": 20, '
            '"init_command": "PRAGMA journal_mode=WAL;"}',
            id="livesim.W003",
        )
    ]


@register()
def check_routers(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E009: our rows have a database of their own, and no router sends tables there and owners back."""
    alias = _setting("DATABASE")
    if alias == DEFAULT_DB_ALIAS or not apps.is_installed("django.contrib.auth"):
        return []
    if problem := _routing_problem(alias):
        line = "django_livesim.routers.LivesimRouter"
        others = [str(each) for each in django_settings.DATABASE_ROUTERS if each != line]
        named = "[" + ", ".join(f'"{each}"' for each in [line, *others]) + "]"
        hint = f"Set: DATABASE_ROUTERS = {named}\nThen: python manage.py migrate --database={alias}"
        return [Error(problem, hint=hint, id="livesim.E009")]
    return []


def _routing_problem(alias: str) -> str:
    from django_livesim.models import Run

    run, users = Run(), get_user_model()
    run._state.db = alias
    if not router.allow_migrate_model(alias, Run):
        return f'LIVESIM["DATABASE"] is {alias!r}, and a router keeps our tables from being made there.'
    if router.allow_migrate_model(DEFAULT_DB_ALIAS, Run):
        return f'LIVESIM["DATABASE"] is {alias!r}, and no router sends our migrations there alone.'
    if router.db_for_read(users, instance=run) != router.db_for_read(users):
        return f'LIVESIM["DATABASE"] is {alias!r}, and owners of runs would be looked for there.'
    return ""


@register()
def check_urls(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """W004: the pages are not among the host's URLs."""
    if not getattr(django_settings, "ROOT_URLCONF", None):
        return []
    try:
        reverse("livesim:run-list")
    except NoReverseMatch:
        return [
            Advice(
                "The URLs of django-livesim are not included: there are no pages.",
                hint=f"Add to {django_settings.ROOT_URLCONF}: {URL_LINE}",
                id="livesim.W004",
            )
        ]
    except Exception:  # a broken URLconf has Django's own checks
        return []
    return []


ALL = (
    check_settings,
    check_processes,
    check_apps,
    check_asgi,
    check_redis_timeout,
    check_sqlite,
    check_routers,
    check_urls,
)
"""For whoever wants to run these alone."""
