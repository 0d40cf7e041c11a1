"""A project from `startproject`, the installed package, and only what the README says."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from scripts.check_sandbox import Visitor, receive
from scripts.services import free_port
from tests.acceptance.conftest import PASSWORD
from tests.distribution import Environment

INSTALLED_APPS = '["daphne", *INSTALLED_APPS, "channels", "django_htmx", "shop", "django_livesim"]'
SETTINGS = f"""
INSTALLED_APPS = {INSTALLED_APPS}
ASGI_APPLICATION = "mysite.asgi.application"
"""
URLS = """
from django.urls import include

urlpatterns += [path("livesim/", include("django_livesim.urls"))]
"""
ASGI = """
import os

from django.core.asgi import get_asgi_application
from django_livesim.routing import livesim_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = livesim_application(get_asgi_application())
"""
SIMULATION = '''
from django_livesim import Simulation, command, register

@register
class Pond(Simulation):
    """Frogs that hop."""
    def setup(self, frogs: int = 3):
        self.state = {"frogs": frogs, "hops": 0}
    def step(self, dt):
        self.state["hops"] += self.state["frogs"]
    @command
    def add(self, n: int = 1):
        self.state["frogs"] += n
'''
CHANNEL_LAYERS = """
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": "%s", "socket_timeout": None}]},
    }
}
"""
HOST_CONSUMER = """
from channels.generic.websocket import WebsocketConsumer
from django.urls import path


class Echo(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=f"You said: {text_data}")


websocket_urlpatterns = [path("ws/echo/", Echo.as_asgi())]
"""
HOST_ASGI = """
import os

from django.core.asgi import get_asgi_application
from django_livesim.routing import livesim_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
django_application = get_asgi_application()

from shop.routing import websocket_urlpatterns

application = livesim_application(django_application, websocket=websocket_urlpatterns)
"""


class Site:
    """A project in a folder of its own."""

    def __init__(self, folder: Path, environment: Environment) -> None:
        self.folder, self.environment = folder, environment

    def manage(self, *arguments: str) -> str:
        return self.environment.run(
            "manage.py", *arguments, cwd=self.folder, DJANGO_SUPERUSER_PASSWORD=PASSWORD
        )

    @contextlib.contextmanager
    def running(self, *arguments: str):
        """A management command that goes on; it and its children are gone at the end of the block."""
        command = [str(self.environment.python), "manage.py", *arguments]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment.variables, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @contextlib.contextmanager
    def runserver(self):
        """`runserver` as a developer starts it; gives a visitor who is logged in."""
        port = free_port()
        with self.running("runserver", f"127.0.0.1:{port}") as process:
            visitor = Visitor(f"http://127.0.0.1:{port}")
            deadline = time.monotonic() + 30
            while True:
                try:
                    visitor.get("/admin/login/")
                    break
                except OSError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            visitor.log_in("admin", PASSWORD)
            yield visitor


@pytest.fixture(scope="module")
def site(environment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    environment.run("-m", "django", "startproject", "mysite", ".", cwd=folder)
    site = Site(folder, environment)
    site.manage("startapp", "shop")
    with (folder / "mysite" / "settings.py").open("a") as file:
        file.write(SETTINGS)
    with (folder / "mysite" / "urls.py").open("a") as file:
        file.write(URLS)
    (folder / "mysite" / "asgi.py").write_text(ASGI)
    (folder / "shop" / "simulations.py").write_text(SIMULATION)
    site.manage("migrate", "--verbosity", "0")
    site.manage("createsuperuser", "--noinput", "--username", "admin", "--email", "admin@example.org")
    return site


def start(site: Site, key: str) -> str:
    return json.loads(site.manage("livesim", "start", "pond", "frogs=2", "--key", key, "--json"))["run"]


def watch_and_steer(visitor: Visitor, run: str) -> None:
    """Frames arrive, grow, and show what a command changed."""
    assert run in visitor.get("/livesim/")
    visitor.get(f"/livesim/runs/{run}/")
    with visitor.socket(run) as socket:
        assert receive(socket, "hello")["simulation"] == "pond"
        first = receive(socket, "snapshot")
        command = {"type": "command", "id": "one", "name": "add", "args": {"n": 40}}
        socket.send(json.dumps(command))
        assert receive(socket, "accepted")["id"] == "one"
        assert receive(socket, "applied")["id"] == "one"
        frame = receive(socket, "snapshot")
        while frame["state"]["frogs"] != 42 or frame["tick"] <= first["tick"]:
            frame = receive(socket, "snapshot")


def test_the_simulation_takes_ten_lines():
    assert len([line for line in SIMULATION.splitlines() if line.strip()]) <= 11


def test_the_readme_says_what_is_done_here():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    wiring = [
        "livesim_application(get_asgi_application())",
        'include("django_livesim.urls")',
        "livesim_worker",
    ]
    wiring += ["ASGI_APPLICATION", '"daphne"', '"channels"', '"django_htmx"', '"django_livesim"']
    wiring += ["livesim_worker", "channels_redis.pubsub.RedisPubSubChannelLayer", '"socket_timeout": None']
    assert [words for words in wiring if words not in readme] == []


def test_runserver_alone_runs_a_simulation(site):
    site.manage("check")
    with site.runserver() as visitor:
        watch_and_steer(visitor, start(site, "alone"))


def test_with_redis_a_worker_runs_it_beside_the_hosts_own_sockets(site, redis_url):
    with (site.folder / "mysite" / "settings.py").open("a") as file:
        file.write(CHANNEL_LAYERS % redis_url)
    (site.folder / "mysite" / "asgi.py").write_text(HOST_ASGI)
    (site.folder / "shop" / "routing.py").write_text(HOST_CONSUMER)
    site.manage("check")
    run = start(site, "with-redis")
    with site.running("livesim_worker"), site.runserver() as visitor:
        watch_and_steer(visitor, run)
        with visitor.open("/ws/echo/") as socket:
            socket.send("hello")
            assert socket.recv(timeout=5) == "You said: hello"
