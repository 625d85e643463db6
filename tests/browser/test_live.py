"""The page at ``/live`` in a real browser, whose microphone hears a recording."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from serving.http.keys import add_key
from tests.browser.conftest import WAIT_MS, WIDTHS, heard_out, listening
from tests.helpers.kept import hasty
from tests.helpers.servers import Server, server

SEEN = re.compile("Likely a person|Likely generated|Parts are likely generated|Not clear")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with listening(tmp_path_factory.mktemp("heard") / "voice.wav") as opened:
        yield opened


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("live")
    with server(home, "--bundle", hasty(home), workers=1) as running:
        yield running


@contextmanager
def opened(
    browser: Browser, url: str, *, width: str = "wide", scheme: str = "light"
) -> Iterator[Page]:
    """Open the page; whatever its console says is a fault."""
    with heard_out(browser, f"{url}/live", width, scheme) as (page, said):
        yield page
    assert [each for each in said if "WebSocket connection" not in each] == []


def seconds_heard(page: Page) -> float:
    return float(page.inner_text("#heard").removesuffix(" s"))


def wait_heard(page: Page, seconds: float) -> None:
    end = time.monotonic() + WAIT_MS / 1e3
    while seconds_heard(page) < seconds:  # the page's policy forbids what Playwright would run
        assert time.monotonic() < end, page.inner_text("main")
        page.wait_for_timeout(50)


def test_what_is_heard_is_judged_until_one_stops(
    browser: Browser, live: Server, screenshots: Path
) -> None:
    with opened(browser, live.url) as page:
        page.click("#microphone")
        wait_heard(page, 5.0)
        expect(page.locator("#verdict")).to_have_text(SEEN)
        assert page.inner_text("#chance").endswith(" %")
        assert page.inner_text("#bundle").startswith("fast ")
        decided = re.compile("^Decided after 4 s: .*; at most 5 of 100 voices of either kind")
        expect(page.locator("#decision")).to_have_text(decided)
        page.screenshot(path=screenshots / "live.png")
        page.click("#stop")
        expect(page.locator("#verdict")).to_have_text(re.compile("^In all: "))
        expect(page.locator("#microphone")).to_be_enabled()
        page.click("#microphone")  # and once more, from the start
        wait_heard(page, 0.5)
        assert seconds_heard(page) < 5 and page.inner_text("#decision") == ""
        page.click("#stop")
        expect(page.locator("#verdict")).to_have_text(re.compile("^In all: "))
    assert live.metric('bonafide_streams_ended_total{code="ok"}') >= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_can_be_read_by_all(browser: Browser, live: Server, width: str, scheme: str) -> None:
    with opened(browser, live.url, width=width, scheme=scheme) as page:
        page.click("summary")
        page.click("#microphone")
        wait_heard(page, 1.0)
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_nothing_is_loaded_from_elsewhere(browser: Browser, live: Server) -> None:
    context = browser.new_context()
    page, asked = context.new_page(), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    answer = page.goto(f"{live.url}/live")
    assert answer is not None
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert all(each.startswith((live.url, "data:")) for each in asked) and len(asked) >= 4
    context.close()


class Proxy:
    """Passes connections on to the service, until the plug is pulled."""

    def __init__(self, port: int) -> None:
        self._to, self._open = port, list[socket.socket]()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.sockets = 0  # WebSockets that were opened
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                self.sockets += b"\r\nSec-WebSocket-Key: " in piece
                to.sendall(piece)
            to.shutdown(socket.SHUT_WR)

    def pull_the_plug(self) -> None:
        """Break all connections."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open = []

    def close(self) -> None:
        self._listening.close()
        self.pull_the_plug()


def test_a_connection_that_breaks_loses_nothing(browser: Browser, live: Server) -> None:
    proxy = Proxy(live.port)
    with opened(browser, proxy.url) as page:
        page.click("#microphone")
        wait_heard(page, 0.5)
        start, before = time.monotonic(), seconds_heard(page)
        for _ in range(2):
            wait_heard(page, seconds_heard(page) + 1.5)
            proxy.pull_the_plug()
        wait_heard(page, seconds_heard(page) + 1.5)
        page.click("#stop")
        expect(page.locator("#verdict")).to_have_text(re.compile("^In all: "))
        passed = time.monotonic() - start
        assert seconds_heard(page) - before > passed - 2.5  # what was sent meanwhile came later
    assert proxy.sockets == 3
    proxy.close()


def test_a_service_with_keys_takes_one_from_the_page(browser: Browser, tmp_path: Path) -> None:
    secret = add_key(tmp_path / "keys.json", "ana", 6_000)
    options = ("--bundle", "fast", "--keys", str(tmp_path / "keys.json"))
    with server(tmp_path, *options, workers=1) as running, opened(browser, running.url) as page:
        page.click("summary")
        page.fill("#key", "wrong")
        page.click("#microphone")
        expect(page.locator("#meaning")).to_contain_text("is an API key needed?")
        page.fill("#key", secret)
        page.click("#microphone")
        wait_heard(page, 1.0)
