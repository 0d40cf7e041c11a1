"""A run told as HTML: fragments, rendered once for all who watch in one role and language."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.template import Library, engines

from django_livesim import Simulation, Table, command, gateway, registry
from django_livesim.bus.seldom import Seldom
from django_livesim.consumers import fragments, painter
from django_livesim.consumers.fragments import Subject, notice
from django_livesim.models import Run
from tests.test_socket import Socket, cookies, log_in, nothing_is_left, owner

__all__ = ["cookies", "nothing_is_left", "owner"]
pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = "<script>alert('hostile')</script>"
FRAMES = "django_livesim/fragments/gallery/frame.html"


class HtmlSocket(Socket):
    """One that is told as HTML."""

    def __init__(self, run: Run, query: str = "format=html", **options: Any) -> None:
        super().__init__(f"/ws/livesim/runs/{run.id}/?{query}", **options)
        self.texts: list[str] = []

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] != "websocket.send":
            return await super()._send(message)
        await self.hold.wait()
        self.texts.append(message["text"])
        return None

    def holding(self, pattern: str) -> list[str]:
        return [text for text in self.texts if re.search(pattern, text)]

    async def hears(self, pattern: str) -> str:
        return (await self.until(lambda: self.holding(pattern)))[-1]


@pytest.fixture
def gallery() -> Iterator[type[Simulation]]:
    """Holds texts that want to be markup, and a table of ships."""

    class Gallery(Simulation):
        """A gallery."""

        tick_rate = 20
        frame_rate = 20
        tables = [Table("ships", x=0.5, name=str)]

        def setup(self) -> None:
            self.state = {"text": HOSTILE, "count": 0, "ships": {"s1": {"x": 2.0, "name": HOSTILE}}}

        def step(self, dt: float) -> None:
            self.state["count"] += 1

        def view(self, role: str) -> dict[str, Any]:
            return self.state | {"role": f"seen-by-{role}"}

        @command
        def write(self, text: str) -> None:
            self.state["text"] = text

    registry.register(Gallery)
    yield Gallery
    registry.unregister(Gallery.name)


class Templates:
    """The templates of a host: what they hold, and what calls them."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts
        self.threads: list[str] = []
        self.raises = False
        self.gate = threading.Event()
        self.gate.set()

    def note(self) -> str:
        """`{% note %}`: noted, held up, or failing, as the test asks."""
        self.threads.append(threading.current_thread().name)
        self.gate.wait(60)
        if self.raises:
            raise RuntimeError("the template exploded")
        return ""


@pytest.fixture
def templates(settings: Any) -> Templates:
    """Has the fixture's texts found before those of the package."""
    made = Templates({})
    library = Library()
    library.simple_tag(lambda: made.note(), name="note")
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    ("django.template.loaders.locmem.Loader", made.texts),
                    "django.template.loaders.app_directories.Loader",
                ],
            },
        }
    ]
    engines["django"].engine.template_builtins.append(library)
    return made


@pytest.fixture
def run(gallery: Any, owner: Any) -> Run:
    return gateway.start("gallery", owner=owner, visibility="public")


OWN = '{% note %}<p id="picture">{{ run }}/{{ tick }}/{{ role }}/{{ state.count }}/{{ state.role }}</p>'


async def test_frames_status_and_end_are_fragments_and_what_the_state_holds_is_escaped(
    run: Run, engine: Any, cookies: str
) -> None:
    engine()
    async with HtmlSocket(run, cookies=cookies) as socket:
        frame = await socket.hears("livesim-frame")
        assert f'<div id="livesim-frame-{run.id}" hx-swap-oob="innerHTML">' in frame
        assert "&lt;script&gt;alert" in frame
        assert "seen-by-owner" in frame
        assert "&quot;x&quot;: 2.0" in frame  # the row of a table, as it was
        status = await socket.hears('data-status="running"')
        assert f'<p id="livesim-status-{run.id}" hx-swap-oob="innerHTML">' in status
        await sync_to_async(gateway.stop)(run)
        await socket.hears('data-status="stopped"')
        ended = await sync_to_async(Run.objects.get)(id=run.id)
        await socket.hears(f"Tick {ended.tick}<")  # the last frame always comes
        assert socket.holding("<script") == []
        assert [text for text in socket.texts if not text.startswith("<")] == []


async def test_a_frame_is_rendered_once_for_all_of_one_role_and_language_in_a_thread(
    run: Run, engine: Any, cookies: str, templates: Templates
) -> None:
    templates.texts[FRAMES] = OWN
    engine()
    async with (
        HtmlSocket(run, cookies=cookies) as first,
        HtmlSocket(run, cookies=cookies) as second,
        HtmlSocket(run) as stranger,
    ):
        for socket in (first, second, stranger):
            await socket.until(lambda socket=socket: len(socket.holding('id="picture"')) >= 3)
        assert {text.split("/")[2] for text in first.holding('id="picture"')} == {"owner"}
        assert {text.split("/")[2] for text in stranger.holding('id="picture"')} == {"view"}
        assert "seen-by-view" in stranger.holding('id="picture"')[0]
        shown = {text for each in (first, second, stranger) for text in each.holding('id="picture"')}
        assert len(templates.threads) <= len(shown) + 2  # one for each role may not have been sent yet
        assert set(templates.threads) == {"livesim-html-frames-gallery"}


async def test_they_are_rendered_at_a_rate_of_their_own(
    run: Run, engine: Any, cookies: str, templates: Templates, settings: Any
) -> None:
    settings.LIVESIM = {"HTML_RATE": 1.0}
    templates.texts[FRAMES] = OWN
    engine()
    began = time.monotonic()
    async with HtmlSocket(run, cookies=cookies) as html, Socket(run.id, cookies=cookies) as plain:
        await html.until(lambda: len(html.holding('id="picture"')) >= 3)
        rendered, took = len(templates.threads), time.monotonic() - began
        assert rendered <= took + 1
        await plain.until(lambda: len(plain.of("snapshot") + plain.of("delta")) > rendered)


async def test_the_language_is_that_of_the_address_or_of_the_request(
    run: Run, engine: Any, cookies: str, templates: Templates
) -> None:
    templates.texts[FRAMES] = '{% load i18n %}<p id="picture">{% translate "January" %} {{ tick }}</p>'
    engine()
    async with (
        HtmlSocket(run, "format=html&language=de", cookies=cookies) as german,
        HtmlSocket(run, cookies=cookies, **{"accept-language": "fr"}) as french,
        HtmlSocket(run, "format=html&language=xx-none", cookies=cookies) as other,
    ):
        await german.hears("Januar ")
        await french.hears("janvier ")
        await other.hears("January ")


async def test_a_template_that_raises_leaves_what_was_shown_and_says_so(
    run: Run,
    engine: Any,
    cookies: str,
    templates: Templates,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fragments, "seldom", Seldom(fragments.logger))
    templates.texts[FRAMES] = OWN
    engine()
    async with HtmlSocket(run, cookies=cookies) as socket, Socket(run.id, cookies=cookies) as plain:
        await socket.hears('id="picture"')
        templates.raises = True
        before = len(templates.threads)
        told = await socket.hears("cannot be shown")
        assert 'id="picture"' in told
        assert f'id="livesim-notice-{run.id}"' in told
        async with HtmlSocket(run, cookies=cookies) as late:
            assert 'id="picture"' in await late.hears("cannot be shown")
        seen = len(plain.heard)
        await plain.until(lambda: len(plain.heard) > seen + 5)  # nobody else is hurt
        await socket.until(lambda: len(templates.threads) >= before + 4)
        templates.raises = False
        over = f'<div id="livesim-notice-{run.id}" hx-swap-oob="innerHTML"></div>'
        await socket.hears(re.escape(over))
    logged = [each for each in caplog.records if "The HTML of a frame" in each.message]
    assert 1 <= len(logged) < 4
    assert str(run.id) in logged[0].message
    assert "exploded" in (logged[0].exc_text or str(logged[0].exc_info))


async def test_a_template_that_takes_long_holds_up_nobody(
    run: Run,
    engine: Any,
    cookies: str,
    templates: Templates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(painter, "PATIENCE", 0.2)
    templates.texts[FRAMES] = OWN
    templates.gate.clear()
    engine()
    try:
        async with HtmlSocket(run, cookies=cookies) as socket, Socket(run.id, cookies=cookies) as plain:
            await socket.hears("takes long")
            await socket.hears("data-status")  # other messages have a thread of their own
            plain.command("w", "write", text="moved on")
            await plain.until(lambda: plain.of("applied"))
            await plain.until(lambda: len(plain.of("delta") + plain.of("snapshot")) > 10)
            assert len(templates.threads) == 1
            templates.gate.set()
            await socket.until(
                lambda: [text for text in socket.holding('id="picture"') if "takes long" not in text]
            )
    finally:
        templates.gate.set()


async def test_it_takes_no_commands_and_says_where_they_go(run: Run, cookies: str) -> None:
    async with HtmlSocket(run, cookies=cookies) as socket:
        for text in (
            json.dumps({"type": "command", "id": "c", "name": "write", "args": {"text": "x"}}),
            json.dumps({"type": "control", "id": "s", "action": "stop"}),
            json.dumps({"text": "x", "HEADERS": {"HX-Request": "true"}}),  # as `ws-send` has it
            "no JSON at all",
        ):
            told = len(socket.holding("takes no commands"))
            socket.text(text)
            await socket.until(lambda told=told: len(socket.holding("takes no commands")) > told)
        assert "hx-post" in await socket.hears("takes no commands")
    assert not await sync_to_async(run.commands.exists)()


async def test_a_viewer_may_ask_for_everything_again(run: Run, cookies: str, engine: Any) -> None:
    engine()
    async with HtmlSocket(run, cookies=cookies) as socket:
        await socket.hears("livesim-frame")
        await sync_to_async(gateway.pause)(run)
        await socket.hears('data-status="paused"')
        paused = await sync_to_async(gateway.inspect)(run, timeout=10)
        last = await socket.hears(f"Tick {paused['tick']}<")
        socket.text('{"type": "resync"}')
        await socket.until(lambda: socket.texts.count(last) == 2)


@pytest.mark.parametrize("asked", ["xml", "%3Cscript%3E", "HTML"])
async def test_another_format_is_refused_with_what_there_is(run: Run, cookies: str, asked: str) -> None:
    async with Socket(f"/ws/livesim/runs/{run.id}/?format={asked}", cookies=cookies) as socket:
        assert await socket.closed() == 4404
    assert [each["code"] for each in socket.heard] == ["bad_args"]
    assert "Expected one of: json, html." in socket.heard[0]["message"]


async def test_json_may_be_named(run: Run, cookies: str) -> None:
    async with Socket(f"/ws/livesim/runs/{run.id}/?format=json", cookies=cookies) as socket:
        await socket.until(lambda: socket.of("hello"))


async def test_rights_are_those_of_any_socket(run: Run, owner: Any, cookies: str) -> None:
    await Run.objects.filter(id=run.id).aupdate(visibility="private")
    async with HtmlSocket(run) as nobody:
        assert await nobody.closed() == 4401
    other = await sync_to_async(lambda: log_in(get_user_model().objects.create_user("eve")))()
    async with HtmlSocket(run, cookies=other) as eve:
        assert await eve.closed() == 4404
    assert nobody.texts == eve.texts == []
    async with HtmlSocket(run, cookies=cookies) as mine:
        await mine.hears("data-status")
        await sync_to_async(gateway.delete)(run)
        assert await mine.closed() == 4410


async def test_whoever_gains_a_right_is_shown_what_that_role_sees(run: Run, engine: Any) -> None:
    engine()
    user = await sync_to_async(get_user_model().objects.create_user)("eve")
    async with HtmlSocket(run, cookies=await sync_to_async(log_in)(user)) as socket:
        await socket.hears("seen-by-view")
        await Run.objects.filter(id=run.id).aupdate(owner=user)
        await socket.hears("seen-by-owner")


async def test_a_slow_viewer_is_closed_like_any(run: Run, engine: Any, cookies: str, settings: Any) -> None:
    settings.LIVESIM = {"SLOW_VIEWER": 0.2}
    engine()
    async with HtmlSocket(run, cookies=cookies) as socket:
        await socket.hears("data-status")
        socket.hold.clear()
        assert await socket.closed() == 4408


async def test_a_message_with_a_template_of_the_hosts_is_told_too(
    run: Run, engine: Any, cookies: str, templates: Templates
) -> None:
    templates.texts["django_livesim/fragments/presence.html"] = '<p id="there">{{ viewers }} there</p>'
    templates.texts["django_livesim/fragments/status.html"] = "{% fails %}"
    async with HtmlSocket(run, cookies=cookies) as socket:
        await socket.hears("1 there")
        assert "cannot be shown" in await socket.hears("livesim-notice")  # and the rest goes on


def test_a_notice_is_plain_and_escaped(run: Run) -> None:
    subject = Subject.of(run, {})
    assert HOSTILE not in notice(subject, "en", HOSTILE)
    assert "&lt;script&gt;" in notice(subject, "en", HOSTILE)


async def test_an_ended_run_shows_its_end_and_what_was_stored(run: Run, engine: Any, cookies: str) -> None:
    engine()
    async with Socket(run.id, cookies=cookies) as plain:
        await plain.until(lambda: plain.of("snapshot"))
    await sync_to_async(gateway.stop)(run)
    async with HtmlSocket(run, cookies=cookies) as socket:
        await socket.hears('data-status="stopped"')
        await socket.hears("Tick ")
