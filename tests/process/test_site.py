"""The site of `deploy/`: the processes of its Procfile, behind a real nginx, over PostgreSQL."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import string
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.check_sandbox import Visitor, receive
from scripts.services import dies_with_us, free_port, stop
from tests import services

BASE = Path(__file__).resolve().parent.parent.parent
DEPLOY = BASE / "deploy"
MANAGE = [sys.executable, str(BASE / "sandbox" / "manage.py")]
PROCFILE = dict(line.split(": ", 1) for line in (DEPLOY / "Procfile").read_text().splitlines())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SITE = {"web", "http", "worker", "celery"}


@pytest.fixture
def wait(wait: Any) -> Callable[..., Any]:
    return partial(wait, seconds=90)


def test_compose_runs_the_lines_of_the_procfile_and_what_they_need() -> None:
    names = set(COMPOSE["services"])
    assert names == {"redis", "postgres", "migrate", "nginx"} | SITE
    assert set(PROCFILE) == SITE
    assert {name: COMPOSE["services"][name]["command"] for name in SITE} == {name: [name] for name in SITE}
    assert COMPOSE["services"]["worker"]["deploy"]["replicas"] == 2


def test_compose_has_no_secret_of_its_own() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    assert re.findall(r"(SECRET_KEY|PASSWORD)[^\n]*: (?!\"?\$\{|postgres)[^\n]*", text) == []
    required = re.findall(r"\$\{(\w+):\?", text)
    assert sorted(required) == ["ADMIN_PASSWORD", "POSTGRES_PASSWORD", "POSTGRES_PASSWORD", "SECRET_KEY"]


def test_docker_reads_the_compose_file() -> None:
    docker = services.executable("docker")
    if subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker: it has no compose")
    given = os.environ | {"SECRET_KEY": "x" * 50, "POSTGRES_PASSWORD": "y", "ADMIN_PASSWORD": "z"}
    command = [docker, "compose", "--file", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, env=given, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_nginx_serves_the_files_that_each_start_puts_into_its_volume() -> None:
    """Docker fills a volume from an image only while it is empty."""
    volumes = {name: each.get("volumes", []) for name, each in COMPOSE["services"].items()}
    fills = {name for name, given in volumes.items() if "static:/app/var/static" in given}
    assert fills == {"migrate"}
    assert "static:/srv/static:ro" in volumes["nginx"]
    assert COMPOSE["services"]["nginx"]["environment"]["STATIC"] == "/srv/static"


def test_nothing_that_was_made_here_goes_into_the_image() -> None:
    if not (BASE / ".gitignore").exists():
        pytest.skip("an sdist has no .gitignore")
    ignored = (BASE / ".gitignore").read_text().split()
    expected = {line.strip("/") if line.startswith("/") else f"**/{line.strip('/')}" for line in ignored}
    left_out = [
        line for line in (BASE / ".dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert set(left_out) == expected | {".git"}
    assert "**/.env" in left_out  # where compose reads passwords


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers that came."""

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    """The port of a server that stands behind nginx in the place of the site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, name="echo").start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("https", ["0", "1", "true"])
def test_a_header_that_tells_of_tls_is_believed_only_where_a_proxy_in_front_sets_it(
    https: str, echo: int, tmp_path: Path, wait: Any
) -> None:
    port, behind = free_port(), f"127.0.0.1:{echo}"
    with nginx(tmp_path, ASGI=behind, WSGI=behind, PORT=port, STATIC=tmp_path, HTTPS=https):
        visitor = Visitor(f"http://127.0.0.1:{port}")
        wait(lambda: answers(visitor, "/"))

        def came(**headers: str) -> dict[str, str]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            with closing(connection):
                connection.request("GET", "/", headers=headers)
                return dict(json.load(connection.getresponse()))

        proto = "X-Forwarded-Proto"
        assert came(**{proto: "https"})["x-forwarded-proto"] == ("http" if https == "0" else "https")
        for said in ({}, {proto: "http"}, {proto: "https, http"}, {proto: "xhttps"}):
            assert came(**said)["x-forwarded-proto"] == "http"
        assert "connection" not in came(Connection="Upgrade", Upgrade="h2c")
        assert came(Connection="Upgrade", Upgrade="websocket")["connection"] == "upgrade"


def test_an_unknown_line_is_told_with_those_that_there_are() -> None:
    done = subprocess.run([DEPLOY / "run", "wbe"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.split() == ["deploy/Procfile", "has", "no", "wbe.", "It", "has:", *PROCFILE]


@contextmanager
def nginx(folder: Path, **given: Any) -> Iterator[None]:
    """A real one, with the template as its image would fill it in."""
    program = services.executable("nginx")
    template = string.Template((DEPLOY / "nginx.conf.template").read_text())
    (folder / "site.conf").write_text(
        template.safe_substitute({name: str(each) for name, each in given.items()})
    )
    places = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;\n"
        f"events {{}}\nhttp {{ access_log off; {places} include {folder}/site.conf; }}\n"
    )
    if os.geteuid() == 0:
        (folder / "nginx.conf").write_text("user root;\n" + (folder / "nginx.conf").read_text())
    command = [program, "-e", f"{folder}/errors", "-c", f"{folder}/nginx.conf"]
    process = subprocess.Popen(command, preexec_fn=dies_with_us())
    try:
        yield
    finally:
        stop(process)


def start(name: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """A line of the Procfile."""
    return subprocess.Popen([DEPLOY / "run", name], env=env, cwd="/", preexec_fn=dies_with_us())


COUNT = (
    "from django_livesim.models import Worker; print(Worker.objects.stepping().filter(state='alive').count())"
)


def workers(env: dict[str, str]) -> int:
    """How many are alive that step runs."""
    command = [*MANAGE, "shell", "--verbosity", "0", "--command", COUNT]
    return int(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)


def sees_ticks(visitor: Visitor, run: str, *, above: int = 0) -> int:
    """The tick of a frame that came through a socket, beyond that one."""
    with visitor.socket(run) as socket:
        tick = 0
        while tick <= above:
            tick = int(receive(socket, "snapshot", 60)["tick"])
        return tick


def test_pages_by_wsgi_sockets_by_asgi_and_celery_all_behind_nginx(
    redis_url: str, wait: Any, tmp_path: Path
) -> None:
    services.executable("nginx")
    asgi, wsgi, port = free_port(), free_port(), free_port()
    base = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        database = stack.enter_context(services.postgres())
        env = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ} | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SECRET_KEY": "long-and-not-guessed-" * 3,
            "DEBUG": "0",
            "ALLOWED_HOSTS": "127.0.0.1",
            "DATABASE_URL": database,
            "REDIS_URL": redis_url,
            "ASGI_PORT": str(asgi),
            "WSGI_PORT": str(wsgi),
            "STATIC_ROOT": str(tmp_path / "static"),
        }
        static = Path(env["STATIC_ROOT"])
        newest = BASE / "django_livesim" / "static" / "django_livesim" / "livesim.css"
        outdated = static / "django_livesim" / "livesim.css"
        outdated.parent.mkdir(parents=True)
        outdated.write_text("of an older image, and written after the new one was built")
        prepare = COMPOSE["services"]["migrate"]["entrypoint"]
        subprocess.run(prepare, env=env, cwd=BASE, check=True, stdout=subprocess.DEVNULL)
        given = {"ASGI": f"127.0.0.1:{asgi}", "WSGI": f"127.0.0.1:{wsgi}", "PORT": port, "STATIC": static}
        stack.enter_context(nginx(tmp_path, HTTPS="0", **given))
        processes = {name: start(name, env) for name in ("web", "http", "worker", "celery")}
        processes["second worker"] = start("worker", env)
        stack.callback(lambda: [stop(each) for each in processes.values()])

        visitor = Visitor(base)
        wait(lambda: answers(visitor, "/livesim/"))
        with visitor.opener.open(base + "/livesim/") as page:
            assert page.headers["Server"].startswith("nginx")
        assert "gunicorn" in served_by(wsgi)
        assert visitor.get("/static/django_livesim/livesim.css") == newest.read_text()
        run = wait(lambda: first_run(visitor))
        wait(lambda: workers(env) >= 2)
        tick = sees_ticks(visitor, run)

        for name in ("worker", "second worker"):  # one of them has the run
            processes[name].send_signal(signal.SIGKILL)
            assert processes[name].wait(30) == -signal.SIGKILL
            tick = sees_ticks(visitor, run, above=tick)
            processes[name] = start("worker", env)
            wait(lambda: workers(env) >= 2)

        task = begin(visitor, "count")
        with visitor.open(f"/ws/task_status/{task}/") as socket:
            until, told = time.monotonic() + 90, dict[str, Any]()
            while not told.get("complete") and time.monotonic() < until:
                told = json.loads(socket.recv(timeout=90))
        assert (told["state"], told["success"]) == ("SUCCESS", True)


def answers(visitor: Visitor, path: str) -> bool:
    try:
        return bool(visitor.get(path))
    except OSError:
        return False


def served_by(port: int) -> str:
    """What the server at that port calls itself."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/livesim/health/", headers={"Host": "127.0.0.1"})
    try:
        return connection.getresponse().getheader("Server", "")
    finally:
        connection.close()


def first_run(visitor: Visitor) -> str | None:
    """One that started by itself, from the list."""
    found = re.search(r"/livesim/runs/([0-9a-f-]{36})/", visitor.get("/livesim/"))
    return found and found[1]


def begin(visitor: Visitor, task: str) -> str:
    """Start a task by the form of its page; its id."""
    visitor.get("/documents/celery/")
    form = {"task": task, "csrfmiddlewaretoken": visitor.cookie("csrftoken")}
    data = urllib.parse.urlencode(form).encode()
    with visitor.opener.open(visitor.base + "/documents/celery/", data, timeout=30) as page:
        return str(page.url).rstrip("/").rpartition("/")[2]
