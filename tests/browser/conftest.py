"""The real page, run as users run it, a real browser, and a service that says what it is told."""

import http.server
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.sounds import mux, speech
from bonafide.audio import decode
from bonafide.features.spec import SAMPLE_RATE_HZ as RATE_HZ
from bonafide.process.service import free_port
from bonafide.simulation.corpus import simulate
from tests.helpers.servers import private_home

CHROMIUM = "/usr/bin/chromium"
MARK, SCREENSHOTS = "BONAFIDE_TEST_MARK", "BONAFIDE_SCREENSHOTS"
RUN = ("bonafide.cli", "app", "--port")
START_S = 90.0
WAIT_MS = 60_000  # a busy machine draws slowly
WIDTHS = {"wide": 1280, "phone": 390}
Open = Callable[..., Page]


@dataclass(frozen=True)
class App:
    """A running `bonafide app`."""

    url: str
    process: "subprocess.Popen[bytes]"
    mark: str
    home: Path
    log: Path

    def descendants(self) -> list[str]:
        """Command lines of all that it started and that still runs, itself included."""
        running = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended while we looked
                if f"{MARK}={self.mark}\0".encode() in (process / "environ").read_bytes():
                    running.append((process / "cmdline").read_text().replace("\0", " "))
        return running


@contextmanager
def running_app(
    home: Path, log: Path, *words: str, run: tuple[str, ...] = RUN, **environment: str
) -> Iterator[App]:
    """Start `bonafide app`, wait until the page is there, and kill what is left at the end."""
    port, mark = free_port(), uuid.uuid4().hex
    command = [sys.executable, "-m", *run, str(port), *words]
    settings = {**os.environ, "BONAFIDE_HOME": str(home), MARK: mark, **environment}
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=settings, stdout=file, stderr=file)
    app = App(f"http://127.0.0.1:{port}", process, mark, home, log)
    try:
        deadline = time.monotonic() + START_S
        while not _answers(app.url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield app
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/_stcore/health", trust_env=False).is_success
    return False


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Start the real browser."""
    if not Path(CHROMIUM).exists():
        assert not os.environ.get("CI"), f"{CHROMIUM} is missing"
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *arguments]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")  # its event loop must not outlive its tests
def browser(recordings: dict[str, Path]) -> Iterator[Browser]:
    """A browser whose microphone hears a recording."""
    heard = f"--use-file-for-fake-audio-capture={recordings['wav']}"
    fake = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", heard)
    with chromium(*fake) as browser:
        yield browser


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = os.environ.get(SCREENSHOTS)
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def app(bundle_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The page with a service of its own; nothing of either may be left."""
    home = private_home(bundle_home, tmp_path_factory.mktemp("app") / "home")
    with running_app(home, home.with_name("log")) as app:
        yield app
    assert app.descendants() == []


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open a page; it may load nothing from elsewhere, and its script may not fail."""
    contexts, elsewhere, failures = [], [], []

    def open_at(
        app: App, *, scheme: str = "light", width: int = WIDTHS["wide"], locale: str = "en-GB"
    ) -> Page:
        context: Any = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}, locale=locale
        )
        contexts.append(context)
        page: Page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: failures.append(str(error)))
        ours = (app.url, app.url.replace("http", "ws", 1), "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(ours) else elsewhere.append(r.url))
        page.goto(app.url)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert elsewhere == [] and failures == []


@contextmanager
def listening(heard: Path) -> Iterator[Browser]:
    """Open a browser whose microphone hears a voice, which is written to a file."""
    soundfile.write(heard, speech(60.0), 48_000)
    fake = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with chromium(*fake, f"--use-file-for-fake-audio-capture={heard}") as opened:
        yield opened


@contextmanager
def heard_out(
    browser: Browser, url: str, width: str, scheme: str
) -> Iterator[tuple[Page, list[str]]]:
    """Open a page, and keep what its console says."""
    context = browser.new_context(
        viewport={"width": WIDTHS[width], "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page, said = context.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url)
    yield page, said
    context.close()


def choose(page: Page, *paths: Path) -> None:
    """Upload files."""
    page.get_by_test_id("stFileUploaderDropzoneInput").first.set_input_files(paths)


def keep_screenshot(page: Page, path: Path) -> None:
    """Take the whole page, which Streamlit scrolls inside of the window, if that is asked for."""
    if SCREENSHOTS not in os.environ:
        return
    width = page.viewport_size["width"]
    page.wait_for_timeout(1500)  # charts are drawn after their place is made
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": width, "height": max(900, height)})
    page.wait_for_timeout(500)
    page.screenshot(path=path)


def assert_fits(page: Page) -> None:
    """Nothing is wider than the window."""
    width = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    assert width <= page.viewport_size["width"]


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One simulated voice of ten seconds, as WAV, MP3 and a video, and what cannot be judged."""
    folder = tmp_path_factory.mktemp("recordings")
    manifest = simulate(folder / "corpus", clips=48, speakers=6)
    clips = [decode(path) for path in sorted((manifest.parent / "audio").iterdir())]
    voice = np.concatenate(clips)[: 10 * RATE_HZ]
    paths = {kind: folder / f"voice.{kind}" for kind in ("wav", "mp3", "mp4")}
    soundfile.write(paths["wav"], voice, RATE_HZ)
    soundfile.write(paths["mp3"], voice, RATE_HZ)
    paths["mp4"].write_bytes(mux("mp4", "aac", voice[:, None], RATE_HZ, video=True))
    soundfile.write(folder / "blip.wav", voice[: RATE_HZ // 2], RATE_HZ)
    soundfile.write(folder / "silence.wav", np.zeros(3 * RATE_HZ), RATE_HZ)
    (folder / "notes.txt").write_text("this is no sound\n" * 50)
    names = {"short": "blip.wav", "silent": "silence.wav", "text": "notes.txt"}
    return {**paths, **{kind: folder / name for kind, name in names.items()}}


NOT_OFFERED = 404, {"error": {"code": "not_found", "message": "not found"}}


@dataclass
class Stub:
    """A service that answers what a test puts here, and keeps what it was asked."""

    url: str = ""
    model: tuple[int, dict[str, Any]] = (200, {})
    answer: tuple[int, dict[str, Any]] = (200, {})  # of /v1/detect; the others are not offered
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture(scope="session")
def stub() -> Iterator[Stub]:
    with answering(stub := Stub()):
        yield stub


@contextmanager
def answering(stub: Stub, port: int = 0) -> Iterator[None]:
    """Let a stub answer, at any port or at a given one; after that nothing does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(*stub.model, {})

        def do_POST(self) -> None:
            offered = self.path == "/v1/detect"
            self._say(*(stub.answer if offered else NOT_OFFERED), stub.headers)

        def _say(self, status: int, content: dict[str, Any], headers: dict[str, str]) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked = {name.lower(): value for name, value in self.headers.items()}
            stub.asked.append((self.path, asked, body))
            text = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stub.url = f"http://127.0.0.1:{server.server_port}"
        yield
        server.shutdown()
