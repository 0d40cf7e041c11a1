"""Runs the sandbox: a Redis-compatible server, a worker and a web server, until Ctrl-C.

`HOST` (127.0.0.1) and `PORT` (8000) say where. On any host but loopback the
user admin gets a random password, printed here. `DATABASE_URL` and `REDIS_URL`
are used where given.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BASE))

from scripts import services  # noqa: E402  (found through the line above)

MANAGE = [sys.executable, str(BASE / "sandbox" / "manage.py")]
GRACE = 25.0  # seconds for a worker to store its runs; its own limit is 20
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

signals: list[int] = []
"""Those that came. Handlers add to it and raise nothing: a process may just have been started. An Event
would not do, since its lock is not for handlers that interrupt each other."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(host: str) -> str:
    """The names by which a browser may call a server on `host`."""
    names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}
    if not is_loopback(host):
        names |= {socket.gethostname(), socket.getfqdn()}
        with contextlib.suppress(OSError):
            names |= {str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None)}
    return ",".join(sorted(names - {"0.0.0.0", "[::]"}))  # noqa: S104  (taken out, not bound)


def environment(host: str) -> tuple[dict[str, str], str]:
    """What the processes inherit, and the password of admin."""
    password = "admin" if is_loopback(host) else secrets.token_urlsafe(12)
    inherited = dict(os.environ)
    inherited.setdefault("ALLOWED_HOSTS", allowed_hosts(host))
    inherited.setdefault("DEBUG", "true" if is_loopback(host) else "false")
    return inherited | {"ADMIN_PASSWORD": password, "PYTHONUNBUFFERED": "1"}, password


@contextlib.contextmanager
def running(command: list[str], env: dict[str, str], grace: float) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own; the whole group is gone when the block is left."""
    ends = services.dies_with_us(signal.SIGTERM)
    process = subprocess.Popen(command, env=env, cwd=BASE, start_new_session=True, preexec_fn=ends)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def refuse_taken_port(host: str, port: int) -> None:
    """Say so now where somebody else listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            sys.exit(f"Cannot listen on {host} port {port}: {exc.strerror}. Choose another with PORT=8001.")


def answers(url: str) -> bool:
    """Whether a web server gives any answer at `url`."""
    try:
        urllib.request.urlopen(url, timeout=2).close()  # noqa: S310  (our own URL)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def manage(env: dict[str, str], *arguments: str) -> None:
    """Run a management command to its end; leave where it failed or a signal came."""
    status = subprocess.run([*MANAGE, *arguments], env=env, check=False).returncode
    if signals:
        sys.exit(0)
    if status:
        sys.exit(f"manage.py {arguments[0]} failed with status {status}.")


def uvicorn(host: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "sandbox.config.asgi:application"]
    command += ["--host", host, "--port", str(port), "--lifespan", "off", "--log-level", "warning"]
    # Browsers offer compression, which costs far more for small frames than the bytes it saves.
    return [*command, "--timeout-graceful-shutdown", "5", "--ws-per-message-deflate", "false"]


def serve(host: str, port: int) -> int:
    """Start everything, print where it is, and wait: 0 after a signal, 1 where a process ended by itself."""
    refuse_taken_port(host, port)
    env, password = environment(host)
    with contextlib.ExitStack() as stack:
        if not (env.get("REDIS_URL") or env.get("CHANNELS_REDIS")):
            env["REDIS_URL"] = stack.enter_context(services.redis())
        manage(env, "migrate", "--verbosity", "0")
        manage(env, "seed_sandbox")
        worker = stack.enter_context(running([*MANAGE, "livesim_worker"], env, GRACE))
        web = stack.enter_context(running(uvicorn(host, port), env, grace=8))
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  (compared, not bound)
        url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
        told = False
        while not signals:
            for name, process in {"worker": worker, "web server": web}.items():
                if (status := process.poll()) is not None:
                    print(f"The {name} ended with status {status}.", file=sys.stderr)
                    return 1
            if not told and (told := answers(url)):
                print(f"\n  {url}   user admin, password {password}   Ctrl-C ends it")
                print(f"  {url}documents/   one page for each thing that the documents ask for\n", flush=True)
            time.sleep(0.1)
    return 0


if __name__ == "__main__":
    for number in SIGNALS:
        signal.signal(number, lambda number, _: signals.append(number))
    try:
        sys.exit(serve(os.environ.get("HOST") or "127.0.0.1", int(os.environ.get("PORT") or "8000")))
    except services.Missing as exc:
        sys.exit(f"The sandbox needs a Redis-compatible server: {exc}")
