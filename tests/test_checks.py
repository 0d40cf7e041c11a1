from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.test import override_settings
from django.urls import path

from django_livesim import Simulation, checks, registry

MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


def redis(*hosts: Any) -> dict[str, Any]:
    return {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": list(hosts)},
        }
    }


def ids(messages: Any) -> list[str]:
    return [message.id for message in messages]


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Any:
    settings.DEBUG = False
    monkeypatch.setattr(checks, "_under_test", lambda: False)
    return settings


@pytest.fixture
def asgi(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`asgi(application)` makes it the project's ASGI application."""

    def use(application: Any) -> list[Any]:
        module = ModuleType("a_projects_asgi")
        module.application = application
        monkeypatch.setitem(sys.modules, "a_projects_asgi", module)
        settings.ASGI_APPLICATION = "a_projects_asgi.application"
        return checks.check_asgi()

    return use


async def consumer(scope: Any, receive: Any, send: Any) -> None: ...


def test_the_test_project_is_set_up_rightly():
    found = [
        message
        for check in (
            checks.check_settings,
            checks.check_processes,
            checks.check_apps,
            checks.check_asgi,
            checks.check_redis_timeout,
            checks.check_sqlite,
            checks.check_urls,
        )
        for message in check()
    ]
    assert found == []


def test_an_unknown_key_and_a_bad_value_are_errors_with_a_hint():
    with override_settings(LIVESIM={"HEART": 1, "BEAT": -1}):
        unknown, bad = checks.check_settings()
    assert unknown.id == "livesim.E001"
    assert 'Remove LIVESIM["HEART"] or spell it rightly. There are: AUTOSTART, BEAT, ' in unknown.hint
    assert bad.id == "livesim.E002"
    assert bad.msg == 'LIVESIM["BEAT"] is -1. Expected: a number of seconds above 0.'
    assert bad.hint == 'Set LIVESIM["BEAT"] to a number of seconds above 0.'


def test_autostart_of_a_simulation_that_is_not_there_is_an_error():
    with override_settings(LIVESIM={"AUTOSTART": ["counter", "conter"]}):
        (message,) = checks.check_settings()
    assert message.id == "livesim.E008"
    assert "'conter'" in message.msg
    assert "counter" in message.hint


def test_autostart_of_a_simulation_that_wants_parameters_is_an_error():
    class Farm(Simulation):
        def setup(self, cows: int, name: str = "") -> None: ...
        def step(self, dt: float) -> None: ...

    registry.register(Farm)
    try:
        with override_settings(LIVESIM={"AUTOSTART": ["farm"]}):
            (message,) = checks.check_settings()
    finally:
        registry.unregister("farm")
    assert message.id == "livesim.E008"
    assert message.msg == "LIVESIM[\"AUTOSTART\"] names 'farm', and nobody is there to give it cows."


@pytest.mark.parametrize("layers", [{}, MEMORY])
def test_production_without_a_layer_between_processes_is_an_error(production, layers):
    production.CHANNEL_LAYERS = layers
    (message,) = checks.check_processes()
    assert message.id == "livesim.E003"
    assert "RedisPubSubChannelLayer" in message.hint


def test_production_with_redis_is_fine(production):
    production.CHANNEL_LAYERS = redis("redis://localhost")
    assert checks.check_processes() == []


def test_the_embedded_worker_in_production_is_an_error(production):
    production.CHANNEL_LAYERS = redis("redis://localhost")
    production.LIVESIM = {"EMBEDDED_WORKER": True}
    (message,) = checks.check_processes()
    assert message.id == "livesim.E004"
    assert "livesim_worker" in message.hint


def test_the_memory_layer_is_fine_under_debug_and_in_tests(settings):
    settings.CHANNEL_LAYERS = MEMORY
    settings.DEBUG = True
    assert checks.check_processes() == []
    settings.DEBUG = False
    assert checks.check_processes() == []


def test_missing_apps_are_errors_that_name_the_line(settings):
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name not in ("channels", "django_htmx", "daphne")
    ]
    settings.DEBUG = True
    messages = checks.check_apps()
    assert ids(messages) == ["livesim.E005", "livesim.E005", "livesim.W002"]
    assert messages[1].hint == 'Add: INSTALLED_APPS += ["django_htmx"]'


def test_daphne_is_not_asked_for_in_production(settings):
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "daphne"]
    settings.DEBUG = False
    assert checks.check_apps() == []


def test_no_asgi_application_is_an_error(settings):
    settings.ASGI_APPLICATION = None
    (message,) = checks.check_asgi()
    assert message.id == "livesim.E006"


def test_a_policy_that_cannot_be_imported_is_told_with_the_cause(tmp_path, monkeypatch):
    (tmp_path / "bad_policy.py").write_text("import no_such_thing\n")
    (tmp_path / "late_policy.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    for policy, why in {
        "bad_policy.allow": "ModuleNotFoundError: No module named 'no_such_thing'",
        "late_policy.allow": "ZeroDivisionError: division by zero",
    }.items():
        with override_settings(LIVESIM={"POLICY": policy}):
            (message,) = checks.check_settings()
        assert f"{policy!r}. Expected: None, a callable" in message.msg
        assert message.msg.endswith(f" It cannot be imported: {why}")


def test_an_asgi_application_that_cannot_be_imported_is_an_error_with_the_cause(settings):
    settings.ASGI_APPLICATION = "no_such_project.asgi.application"
    (message,) = checks.check_asgi()
    assert message.id == "livesim.E007"
    assert message.msg.endswith("ModuleNotFoundError: No module named 'no_such_project'")
    assert message.hint == 'Correct the setting, as in: ASGI_APPLICATION = "tests.asgi.application"'


def test_a_name_that_the_asgi_module_lacks_and_a_mistake_in_it_are_told_apart(
    settings, tmp_path, monkeypatch
):
    settings.ASGI_APPLICATION = "tests.asgi.aplication"
    (message,) = checks.check_asgi()
    assert message.hint.startswith("Correct the setting, or make tests.asgi say:\nimport os\n")
    bad = tmp_path / "bad_asgi.py"
    bad.write_text("application = (\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings.ASGI_APPLICATION = "bad_asgi.application"
    (message,) = checks.check_asgi()
    assert message.hint == f"Correct {bad}, line 1: application = ("


def test_the_hint_of_the_asgi_module_is_all_that_it_holds(settings):
    settings.ASGI_APPLICATION = None
    (message,) = checks.check_asgi()
    written = (Path(__file__).parent / "asgi.py").read_text().rstrip()
    assert message.hint.partition("say:\n")[2] == written.partition("annotations\n\n")[2]


@pytest.mark.parametrize(
    "application",
    [
        get_asgi_application(),
        ProtocolTypeRouter({"http": get_asgi_application()}),
        ProtocolTypeRouter({"websocket": AuthMiddlewareStack(URLRouter([path("ws/other/", consumer)]))}),
        ProtocolTypeRouter({"websocket": URLRouter([path("ws/", URLRouter([path("other/", consumer)]))])}),
    ],
    ids=["plain", "http only", "other routes", "nested other routes"],
)
def test_an_application_without_our_sockets_is_an_error(asgi, application):
    (message,) = asgi(application)
    assert message.id == "livesim.E007"
    assert "livesim_application(get_asgi_application())" in message.hint


def test_our_routes_in_a_router_of_the_hosts_are_found(asgi):
    from django_livesim.routing import websocket_urlpatterns

    routes = AuthMiddlewareStack(URLRouter([path("ws/other/", consumer), *websocket_urlpatterns]))
    assert asgi(ProtocolTypeRouter({"websocket": routes})) == []


def test_an_application_that_cannot_be_seen_through_is_trusted(asgi):
    assert asgi(consumer) == []


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        ("redis://localhost", True),
        (("localhost", 6379), True),
        ({"address": "redis://localhost"}, True),
        ({"address": "redis://localhost", "socket_timeout": 5}, True),
        ({"address": "redis://localhost", "socket_timeout": None}, False),
    ],
)
def test_a_read_timeout_of_redis_is_warned_of(settings, monkeypatch, host, warned):
    monkeypatch.setattr(checks, "_redis_read_timeout", lambda: 5)
    settings.CHANNEL_LAYERS = redis(host)
    assert ids(checks.check_redis_timeout()) == ["livesim.W001"] * warned


def test_a_redis_client_without_a_timeout_of_its_own_is_fine(settings, monkeypatch):
    monkeypatch.setattr(checks, "_redis_read_timeout", lambda: None)
    settings.CHANNEL_LAYERS = redis("redis://localhost")
    assert checks.check_redis_timeout() == []


def test_deferred_transactions_of_sqlite_are_warned_of(settings, monkeypatch):
    plain = {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}
    monkeypatch.setitem(settings.DATABASES, "default", plain)
    (message,) = checks.check_sqlite()
    assert message.id == "livesim.W003"
    assert '"transaction_mode": "IMMEDIATE"' in message.hint


def test_urls_that_are_not_included_are_warned_of(settings):
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    (message,) = checks.check_urls()
    assert message.id == "livesim.W004"
    assert message.hint == (
        'Add to django.contrib.auth.urls: path("livesim/", include("django_livesim.urls"))'
    )
