"""The host as processes, and the people who visit it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from scripts.services import wait_for
from tests.browser.conftest import Visitor
from tests.browser.site import Site

BASE = Path(__file__).resolve().parents[2]

TELL = """
document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


class Host(Site):
    """Mounted at /sub, with a database for users and another for runs."""

    prefix = "/sub"

    def __init__(self, folder: Path, redis: str, server: tuple[str, ...] = (), **env: str) -> None:
        super().__init__(folder, redis)
        self.server_options = server
        self.env |= {
            "DJANGO_SETTINGS_MODULE": "tests.unusual.settings",
            "DATABASE_URL": f"sqlite:///{folder}/host",
            **env,
        }
        self.env.pop("DEBUG")
        self.list = f"{self.url}{self.prefix}/en/simulations/"

    def set_up(self) -> None:
        self.manage("migrate", "-v0")
        self.manage("migrate", "-v0", "--database=sims")
        self.manage("createsuperuser", "--noinput", "--email", "ada@example.com")

    def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "tests.unusual.asgi:application"]
        command += ["--host=127.0.0.1", f"--port={self.port}", "--timeout-graceful-shutdown=2"]
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self.server = subprocess.Popen(
                [*command, *self.server_options], cwd=BASE, env=self.env, stdout=output, stderr=output
            )
        wait_for(self._answers, self.server, log)

    def _answers(self) -> bool:
        return self.health("database").get("status") == "ok"

    def health(self, parts: str = "") -> dict[str, Any]:
        import httpx

        try:
            answer: dict[str, Any] = httpx.get(
                f"{self.list}health/", params={"parts": parts}, timeout=5
            ).json()
        except (httpx.HTTPError, ValueError):
            return {}
        return answer


class Person(Visitor):
    """Somebody with a browser, who hears of whatever the policy forbids."""

    site: Host

    def __init__(self, browser: Browser, site: Host, **options: Any) -> None:
        super().__init__(browser, site, **options)
        self.context.add_init_script(TELL)

    def log_in(self, email: str = "ada@example.com") -> Person:
        self.page.goto(self.site.list)
        self.page.get_by_role("banner").get_by_role("link", name="Log in").click()
        self.page.fill("#id_username", email)
        self.page.fill("#id_password", "ada")
        self.page.click("[type=submit]")
        self.page.wait_for_url(self.site.list)
        return self

    def start(self, simulation: str, public: bool = False, **params: str) -> str:
        page = self.page
        page.goto(self.site.list)
        page.click(f"#start-{simulation}")
        for name, value in params.items():
            page.fill(f"#id_param_{name}", value)
        if public:
            page.select_option("#id_run-visibility", "public")
        page.click("#ls-start button:has-text('Start')")
        page.wait_for_url("**/runs/**")
        return page.url
