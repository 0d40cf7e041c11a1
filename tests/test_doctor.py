"""`livesim doctor`: each thing is set up wrongly for real, found, mended, and found no more."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_livesim import __version__, gateway
from django_livesim.cli import doctor
from django_livesim.cli.doctor import hosts, layer, processes, redis, runs, setup, static
from django_livesim.cli.doctor.finding import Finding
from django_livesim.models import Command, Run, Worker
from django_livesim.origins import OriginGuard
from django_livesim.routing import livesim_application
from django_livesim.store import leases
from django_livesim.store.identity import Identity
from scripts import services

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

CORE = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
LONG_AGO = "2020-01-01T00:00:00Z"

Look = Callable[[], Iterator[Finding]]


def wrong(look: Look) -> list[tuple[str, str]]:
    """The status and the message of what is not well."""
    return [(each.status, each.message) for each in look() if each.status != "ok"]


def only(look: Look) -> Finding:
    (finding,) = [each for each in look() if each.status != "ok"]
    assert finding.hint
    return finding


def well(look: Look) -> bool:
    return wrong(look) == []


def findings(name: str) -> list[Finding]:
    return [finding for finding in doctor.examine() if finding.name == name]


@pytest.fixture
def debug(settings: Any) -> None:
    """Without Redis, and rightly so."""
    settings.DEBUG = True


@pytest.fixture
def live_row() -> Worker:
    return Worker.objects.create(host="here", pid=1, queues=["default"])


def layers(settings: Any, backend: str, *addresses: str, **config: Any) -> None:
    given = [{"address": address, "socket_timeout": None} for address in addresses]
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": given, **config}}}


# -- what it prints -----------------------------------------------------------------------------


def test_without_a_worker_it_says_so_with_what_to_do_and_exits_one(debug):
    stdout = io.StringIO()
    with pytest.raises(CommandError, match=r"^1 of \d+ things are wrong") as caught:
        call_command("livesim", "doctor", stdout=stdout, stderr=io.StringIO())
    assert caught.value.returncode == 1
    lines = stdout.getvalue().splitlines()
    said = lines.index("problem  workers      none is alive")
    assert lines[said + 1].strip().startswith("Start the development server")
    assert any(line.startswith("ok       database") for line in lines)


def test_as_json_it_is_an_array_of_findings(debug, live_row):
    stdout = io.StringIO()
    call_command("livesim", "doctor", "--json", stdout=stdout, stderr=io.StringIO())
    found = json.loads(stdout.getvalue())
    assert {finding["status"] for finding in found} <= {"ok", "advice"}
    assert all(finding.keys() == {"name", "status", "message", "hint"} for finding in found)
    names = {"settings", "simulations", "runserver", "hosts", "origins", "static", "layer", "servers"}
    assert {finding["name"] for finding in found} == names | {"database", "workers", "runs", "lag", "tasks"}


def test_a_look_that_fails_is_a_finding_and_keeps_no_other_from_being_made(debug, live_row, settings):
    settings.ASGI_APPLICATION = "no.such.thing"
    (origins,) = findings("origins")
    assert origins.status == "problem" and origins.message.startswith("ModuleNotFoundError: ")
    assert findings("workers")[0].status == "ok"


# -- settings and apps --------------------------------------------------------------------------


def test_what_the_system_checks_find_is_told_once(settings, live_row):
    settings.LIVESIM = {"HEART": 1}
    assert only(setup.look_at_settings).message.startswith("livesim.E001")
    settings.LIVESIM = {}
    assert well(setup.look_at_settings)


def test_a_layer_within_the_process_is_told_once_in_production(settings, monkeypatch):
    monkeypatch.setattr("django_livesim.checks._under_test", lambda: False)
    told = [each for each in doctor.examine() if "RedisPubSubChannelLayer" in each.hint]
    assert [(each.name, each.status) for each in told] == [("layer", "problem")]
    assert 'CHANNEL_LAYERS = {"default": {' in told[0].hint


def test_a_read_timeout_of_redis_is_told_with_the_lines_that_mend_it(settings, redis_url):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": PUBSUB, "CONFIG": {"hosts": [redis_url]}}}
    finding = only(setup.look_at_settings)
    assert finding.message.startswith("livesim.W001") and '"socket_timeout": None' in finding.hint
    layers(settings, PUBSUB, redis_url)
    assert well(setup.look_at_settings)


def test_a_runserver_without_sockets_is_found_by_the_order_of_apps(settings):
    assert well(setup.look_at_runserver)
    right = list(settings.INSTALLED_APPS)
    settings.INSTALLED_APPS = [*right[1:], "daphne"]
    settings.DEBUG = True
    finding = only(setup.look_at_runserver)
    assert finding.status == "problem" and "'daphne' comes after" in finding.message
    settings.DEBUG = False
    assert only(setup.look_at_runserver).status == "advice"
    settings.INSTALLED_APPS = right
    assert well(setup.look_at_runserver)


# -- hosts and origins --------------------------------------------------------------------------


def test_hosts_that_nobody_can_ask_for_or_that_anybody_can(settings):
    settings.ALLOWED_HOSTS = []
    assert only(hosts.look_at_hosts).status == "problem"
    settings.ALLOWED_HOSTS = ["*"]
    assert only(hosts.look_at_hosts).status == "advice"
    settings.ALLOWED_HOSTS = ["sims.example.org"]
    assert well(hosts.look_at_hosts)
    settings.DEBUG, settings.ALLOWED_HOSTS = True, []
    assert well(hosts.look_at_hosts)


def test_a_secure_site_whose_server_does_not_know(settings):
    settings.SESSION_COOKIE_SECURE = True
    assert "each socket is refused" in only(hosts.look_at_hosts).message
    settings.CSRF_TRUSTED_ORIGINS = ["https://sims.example.org"]
    assert well(hosts.look_at_hosts)
    settings.CSRF_TRUSTED_ORIGINS = []
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert well(hosts.look_at_hosts)


@pytest.fixture
def asgi(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Makes an application the project's."""

    def use(application: Any) -> None:
        module = ModuleType("a_projects_asgi")
        module.application = application  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "a_projects_asgi", module)
        settings.ASGI_APPLICATION = "a_projects_asgi.application"

    return use


def test_sockets_that_pages_of_any_site_may_open(asgi):
    asgi(ProtocolTypeRouter({"websocket": URLRouter([])}))
    assert only(hosts.look_at_origins).status == "problem"
    asgi(ProtocolTypeRouter({"websocket": AllowedHostsOriginValidator(URLRouter([]))}))
    assert only(hosts.look_at_origins).status == "advice"
    asgi(ProtocolTypeRouter({"websocket": OriginGuard(URLRouter([]))}))
    assert well(hosts.look_at_origins)
    asgi(livesim_application(None))
    assert well(hosts.look_at_origins)


# -- static files -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["StaticFilesStorage", "ManifestStaticFilesStorage"])
def test_static_files_that_are_not_collected_or_of_another_version(settings, tmp_path, backend):
    storage = {"BACKEND": f"django.contrib.staticfiles.storage.{backend}"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": storage}
    assert only(static.look).message.startswith("STATIC_ROOT is not set")
    settings.STATIC_ROOT = str(tmp_path)
    assert "files are not collected" in only(static.look).message
    call_command("collectstatic", interactive=False, verbosity=0)
    assert well(static.look)
    (tmp_path / "django_livesim" / "livesim.js").write_text("// of long ago")
    assert "of another version, as django_livesim/livesim.js" in only(static.look).message
    call_command("collectstatic", interactive=False, verbosity=0, clear=True)
    assert well(static.look)
    settings.DEBUG, settings.STATIC_ROOT = True, None
    assert well(static.look)


def test_a_project_without_the_files_of_htmx(settings):
    settings.DEBUG = True
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "django_htmx"]
    assert only(static.look).message == "no app has django_htmx/htmx-2.min.js"
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_htmx"]
    assert well(static.look)


# -- the channel layer and its Redis ------------------------------------------------------------


def test_a_message_is_sent_round_the_layer(redis_layer):
    (finding,) = layer.look_at_trip()
    assert finding.status == "ok"
    assert finding.message.startswith("RedisPubSubChannelLayer brought a message back in ")


@pytest.mark.parametrize("backend", [CORE, PUBSUB])
def test_a_redis_that_is_away_is_found_and_found_no_more_when_it_is_there(settings, backend, redis_url):
    layers(settings, backend, "redis://127.0.0.1:1")
    for finding in findings("layer")[0], *findings("redis"):
        assert finding.status == "problem" and "Start Redis" in finding.hint
    layers(settings, backend, redis_url)
    assert well(layer.look_at_trip) and well(redis.look)


def test_the_core_layer_and_what_it_loses_by_its_settings(settings, redis_url):
    layers(settings, CORE, redis_url)
    finding = only(layer.look_at_settings)
    assert finding.status == "advice" and "RedisPubSubChannelLayer" in finding.hint
    layers(settings, CORE, redis_url, redis_url)
    assert "2 hosts" in wrong(layer.look_at_settings)[1][1]
    layers(settings, CORE, redis_url, capacity=10, expiry=1, group_expiry=5)
    problems = [message for status, message in wrong(layer.look_at_settings) if status == "problem"]
    assert [message.split(".")[0] for message in problems] == [
        '"capacity" is 10',
        '"expiry" is 1',
        '"group_expiry" is 5',
    ]
    layers(settings, PUBSUB, redis_url, redis_url)
    assert well(layer.look_at_settings)


@pytest.fixture
def own_redis() -> Iterator[tuple[str, Any]]:
    """A Redis whose settings a test may change: its address, and a client."""
    import redis as redis_py

    try:
        with services.redis() as url, redis_py.Redis.from_url(url) as client:
            yield url, client
    except services.Missing as exc:
        pytest.skip(str(exc))


def test_a_redis_that_removes_keys_harms_the_layer_that_keeps_some(settings, own_redis):
    url, client = own_redis
    client.config_set("maxmemory", "100mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    layers(settings, CORE, url)
    assert only(redis.look).message.startswith("maxmemory-policy is allkeys-lru")
    layers(settings, PUBSUB, url)
    assert well(redis.look)
    layers(settings, CORE, url)
    client.config_set("maxmemory-policy", "noeviction")
    assert well(redis.look)


@pytest.mark.parametrize(("key", "value", "mended"), [("appendonly", "yes", "no"), ("save", "60 1", "")])
def test_a_redis_that_writes_to_disk_what_nobody_needs(settings, own_redis, key, value, mended):
    url, client = own_redis
    layers(settings, PUBSUB, url)
    client.config_set(key, value)
    finding = only(redis.look)
    assert finding.status == "advice" and key in finding.message
    client.config_set(key, mended)
    assert well(redis.look)


def test_a_redis_that_tells_nobody_its_settings_is_no_problem(settings, own_redis):
    url, client = own_redis
    client.acl_setuser("app", enabled=True, passwords=["+secret"], commands=["+@all", "-config"], keys=["*"])
    layers(settings, PUBSUB, url.replace("redis://", "redis://app:secret@"))
    assert well(redis.look)


# -- runs ---------------------------------------------------------------------------------------


def test_workers_of_another_version_of_the_package_are_told(live_row):
    def told(version: str) -> list[tuple[str, str]]:
        Worker.objects.filter(pk=live_row.pk).update(load={"version": version})
        return wrong(processes.look_at_releases)

    here = f"{__version__} (the code here)"
    assert told(__version__) == []
    assert told("0.0.1") == [
        ("advice", f"django-livesim has the versions 0.0.1 ({live_row}), {here}. Expected: one")
    ]
    assert "livesim drain" in only(processes.look_at_releases).hint
    Worker.objects.create(host="there", pid=2, load={"version": "0.0.2"})
    assert "0.0.1" in only(processes.look_at_releases).message
    assert "0.0.2" in only(processes.look_at_releases).message
    Worker.objects.update(state="gone")
    assert well(processes.look_at_releases)


@pytest.mark.parametrize(
    ("ahead", "says"),
    [(0.0, None), (55.0, None), (-55.0, None), (3600.0, "3600 s ahead of"), (-90.0, "90 s behind")],
)
def test_a_worker_whose_clock_is_not_the_databases_is_told(live_row, ahead, says):
    identity = leases.register(Identity(host="far", boot_id="", pid_namespace="", pid=2, pid_started=""), [])
    leases.beat(identity, {"clock": time.time() + ahead})
    found = wrong(processes.look_at_clocks)
    assert len(found) == (says is not None)
    if says is not None:
        assert f"on far, is {says} the database's. Expected: 60 s at most" in found[0][1]
        leases.beat_for(identity, {"run": 300.0})
        assert well(processes.look_at_clocks)  # what its parent says tells nothing of it


def test_why_a_run_waits(live_row):
    run = gateway.start("counter")
    Run.objects.update(created_at=LONG_AGO, queue="slow")
    finding = only(runs.look_at_waiting)
    assert finding.status == "problem" and finding.message == f"no worker has {run.id.hex[:8]} (waiting)"
    assert finding.hint == "Start a worker for its queue: python manage.py livesim_worker --queues slow"
    Run.objects.update(simulation="gone")
    hint = f"No simulation is called 'gone' here; install its app, or: livesim stop {run.id}"
    assert only(runs.look_at_waiting).hint == hint
    Run.objects.update(simulation="counter", queue="default", reason="no worker has version 2 of counter")
    assert only(runs.look_at_waiting).hint == "Its row says: no worker has version 2 of counter"
    Worker.objects.update(state="gone")
    assert only(runs.look_at_waiting).hint.startswith("Start one: ")
    Run.objects.update(worker=live_row)
    Worker.objects.update(state="alive")
    assert well(runs.look_at_waiting)


def test_a_run_that_was_let_go_is_looked_at_again_before_it_is_said_to_wait(live_row, monkeypatch):
    run = gateway.start("counter")
    Run.objects.update(created_at=LONG_AGO, started_at=LONG_AGO, status="running")

    def somebody_takes_it(seconds: float) -> None:
        Run.objects.filter(id=run.id).update(worker=live_row, epoch=1)

    monkeypatch.setattr("time.sleep", somebody_takes_it)
    assert well(runs.look_at_waiting)


def test_a_run_that_was_let_go_and_that_nobody_takes_is_found(live_row, settings):
    settings.LIVESIM = {"POLL": 0.01}
    gateway.start("counter")
    Run.objects.update(created_at=LONG_AGO, started_at=LONG_AGO, status="running")
    assert only(runs.look_at_waiting).status == "problem"


def test_runs_in_quarantine_are_told_with_the_way_out():
    run = gateway.start("counter")
    Run.objects.update(status="quarantined", reason="3 strikes: its code hangs")
    finding = only(runs.look_at_quarantined)
    assert finding.message == f"{run.id.hex[:8]} is in quarantine: 3 strikes: its code hangs"
    assert finding.hint.endswith(f"livesim resume {run.id.hex[:8]}")
    for _ in range(4):
        gateway.start("counter")
    Run.objects.update(status="quarantined")
    assert wrong(runs.look_at_quarantined)[-1] == ("advice", "2 more are in quarantine")
    Run.objects.update(status="running")
    assert well(runs.look_at_quarantined)


def test_commands_that_are_not_applied_in_time(live_row):
    run = gateway.start("counter")
    gateway.send(run, "add")
    assert well(runs.look_at_lag)
    Command.objects.update(created_at=LONG_AGO)
    assert only(runs.look_at_lag).message.startswith("1 commands are due")
    Command.objects.update(outcome="applied", apply_seq=1, applied_at=timezone.now())
    assert well(runs.look_at_lag)
