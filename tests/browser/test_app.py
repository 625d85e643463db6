"""The page at ``/app/`` in a real browser: it judges by itself as the service does."""

import functools
import http.server
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import soxr
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect
from starlette.applications import Starlette
from starlette.testclient import TestClient

from benchmarks.sounds import speech
from bonafide.audio import decode, has_speech
from bonafide.bundle import META_MODELS, Bundle
from bonafide.detection import BundleIdentity, Detection
from bonafide.detector import Detector, windows
from bonafide.judging import Judge, cautions_of
from bonafide.types import WindowScores
from serving.http.app import app_routes, contents, npm, rules, write
from tests.browser.conftest import WAIT_MS, WIDTHS, heard_out, listening
from tests.helpers.servers import Server, server

N_CLIPS = 50


@pytest.fixture(scope="module", autouse=True)
def runtime() -> None:
    """It comes from npm, which a user's machine may lack; in CI that is a failure."""
    if not npm.is_there():
        message = "the page's runtime was not installed: python serving/http/app/npm.py"
        assert not os.environ.get("CI"), message
        pytest.skip(message)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with listening(tmp_path_factory.mktemp("heard") / "voice.wav") as opened:
        yield opened


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("app"), "--bundle", "fast", workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def fast() -> Detector:
    return Detector.shipped("fast")


@contextmanager
def opened(
    browser: Browser, url: str, *, width: str = "wide", scheme: str = "light"
) -> Iterator[Page]:
    """Open the page and wait until it can judge; whatever its console says is a fault."""
    with heard_out(browser, url, width, scheme) as (page, said):
        ready(page)
        yield page
    assert said == []


def ready(page: Page) -> None:
    there = "The detector is here. It works without a network from now on."
    expect(page.locator("#state")).to_have_text(there, timeout=WAIT_MS)


def answer(page: Page) -> dict[str, Any]:
    """Wait for the answer on the recording that was chosen."""
    page.wait_for_selector("body[data-answer]", timeout=WAIT_MS)
    found = page.get_attribute("body", "data-answer")
    assert found is not None
    return dict(json.loads(found))


def judged(page: Page, path: Path) -> dict[str, Any]:
    page.set_input_files("#file", path)
    return answer(page)


def alike(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours["p_spoof"] == pytest.approx(theirs["p_spoof"], abs=1e-3)
    assert ours["verdict"] == theirs["verdict"]
    assert ours["warnings"] == [each["code"] for each in theirs["warnings"]]
    assert (ours["channel"] or {}).get("name") == (theirs["channel"] or {}).get("name")
    for each in ("segments", "parts"):
        spans = [[(s["start_s"], s["end_s"]) for s in said[each]] for said in (ours, theirs)]
        assert np.allclose(*spans, atol=1e-5) if spans[1] else not spans[0]


# --- in the browser -------------------------------------------------------------------------------


def test_without_a_network_it_answers_as_the_service_does(
    browser: Browser, served: Server, corpus_folder: Path
) -> None:
    clips = sorted((corpus_folder / "audio").rglob("*.flac"))
    clips = clips[:: len(clips) // N_CLIPS][:N_CLIPS]
    assert len(clips) == N_CLIPS
    theirs = [served.detect(clip.read_bytes()).json() for clip in clips]
    with opened(browser, f"{served.url}/app/") as page:
        page.context.set_offline(True)
        asked = list[str]()
        page.on("request", lambda request: asked.append(request.url))
        for clip, their in zip(clips, theirs, strict=True):
            alike(judged(page, clip), their)
        assert asked == []


def test_it_is_there_again_without_a_network(
    browser: Browser, served: Server, tmp_path: Path
) -> None:
    """Worker, runtime and detector too: the service worker keeps them."""
    soundfile.write(tmp_path / "a.wav", speech(5.0), 16_000)
    with opened(browser, f"{served.url}/app/") as page:
        before = judged(page, tmp_path / "a.wav")
        page.context.set_offline(True)
        page.reload()
        ready(page)
        after = judged(page, tmp_path / "a.wav")
    assert {**before, "ms": 0} == {**after, "ms": 0}


def test_it_can_be_installed(browser: Browser, served: Server) -> None:
    with opened(browser, f"{served.url}/app/") as page:
        session = page.context.new_cdp_session(page)
        found = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [each["errorId"] for each in found] == ["in-incognito"]  # as every test's context is


@pytest.mark.parametrize(
    ("kind", "subtype", "rate"),
    [
        *(("WAV", "PCM_16", rate) for rate in (8_000, 22_050, 44_100)),
        *(("FLAC", "PCM_24", 48_000), ("OGG", "VORBIS", 44_100), ("OGG", "OPUS", 48_000)),
        *(("MP3", "MPEG_LAYER_III", rate) for rate in (24_000, 44_100)),
    ],
)
def test_files_of_other_kinds_are_judged_as_the_service_does(
    browser: Browser,
    served: Server,
    fast: Detector,
    tmp_path: Path,
    kind: str,
    subtype: str,
    rate: int,
) -> None:
    """The browser decodes; rates are converted, and channels mixed, by the page."""
    path = tmp_path / f"a.{kind.lower()}"
    one = soxr.resample(speech(9.5), 16_000, rate)
    soundfile.write(path, np.stack([one, 0.8 * one], axis=1), rate, subtype, format=kind)
    with opened(browser, f"{served.url}/app/") as page:
        ours = judged(page, path)
    theirs = fast.score(path)
    lossy = kind in ("OGG", "MP3")  # of which decoders differ, in where the sound begins, too
    assert ours["llr"] == pytest.approx(theirs.llr, abs=0.3 if lossy else 0.02)
    assert ours["duration_s"] == pytest.approx(theirs.duration_s, abs=0.1 if lossy else 1e-4)


VOICE = speech(9.5)
AWKWARD = {
    "an offset": (VOICE * 0.5 + 0.2, 16_000, "PCM_16"),
    "8 bits": (VOICE, 16_000, "PCM_U8"),
    "24 bits, quiet at first": (
        np.append(np.round(VOICE[:32_000] * 99) / 32_768, VOICE),
        16_000,
        "PCM_24",
    ),
    "floating point": (VOICE * 3.0, 16_000, "FLOAT"),
    "channels that cancel": (np.stack([VOICE, -VOICE], axis=1), 16_000, "PCM_16"),
    "channels that cancel, of another rate": (np.stack([VOICE, -VOICE], axis=1), 44_100, "PCM_16"),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_files_are_judged_as_the_service_does(
    browser: Browser, served: Server, fast: Detector, tmp_path: Path, name: str
) -> None:
    sound, rate, subtype = AWKWARD[name]
    soundfile.write(tmp_path / "a.wav", sound, rate, subtype)
    with opened(browser, f"{served.url}/app/") as page:
        ours = judged(page, tmp_path / "a.wav")
    expected = tmp_path / "a.wav"
    if "offset" in name:  # an exact mean, where single precision leaves a rest
        expected = soundfile.read(expected)[0]
        expected = (expected - expected.mean()).astype(np.float32)
    elif "cancel" in name:  # the service judges each channel by itself, too
        soundfile.write(expected, sound[:, 0], rate, subtype)
    alike(ours, fast.score(expected).to_json())


@pytest.mark.parametrize("value", [np.nan, np.inf, 5_000.0])
def test_samples_that_are_none_are_refused(
    browser: Browser, served: Server, tmp_path: Path, value: float
) -> None:
    sound = VOICE.copy()
    sound[20_000] = value
    soundfile.write(tmp_path / "a.wav", sound, 16_000, "FLOAT")
    with opened(browser, f"{served.url}/app/") as page:
        page.set_input_files("#file", tmp_path / "a.wav")
        expect(page.locator("#meaning")).to_contain_text("not numbers or beyond 1000 times")


def test_what_was_chosen_last_is_answered(browser: Browser, served: Server, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.flac", np.tile(speech(60.0), 4), 44_100)
    (tmp_path / "bad.flac").write_bytes((tmp_path / "long.flac").read_bytes()[:99_999])
    soundfile.write(tmp_path / "a.wav", speech(5.0), 16_000)
    with opened(browser, f"{served.url}/app/") as page:
        for other in ("long.flac", "bad.flac"):
            page.set_input_files("#file", tmp_path / other)
            assert judged(page, tmp_path / "a.wav")["duration_s"] == 5.0
            page.wait_for_timeout(3_000)
            assert answer(page)["duration_s"] == 5.0


TRACKS = """() => {
  const media = navigator.mediaDevices;
  const ask = media.getUserMedia.bind(media);
  window.tracks = [];
  media.getUserMedia = async (...words) => {
    const found = await ask(...words);
    window.tracks.push(...found.getTracks());
    return found;
  };
}"""


def test_no_microphone_stays_open(browser: Browser, served: Server) -> None:
    with opened(browser, f"{served.url}/app/") as page:
        page.evaluate(TRACKS)
        page.dblclick("#microphone", force=True)
        expect(page.locator("#heard")).to_contain_text("1.", timeout=WAIT_MS)
        page.click("#stop")
        answer(page)
        assert page.evaluate("window.tracks.map((each) => each.readyState)") == ["ended"]
        page.evaluate("""() => {
          AudioWorklet.prototype.addModule = async () => { throw new Error("no"); };
        }""")
        page.click("#microphone")
        expect(page.locator("#meaning")).to_contain_text("Nothing is heard: no")
        states = page.evaluate("window.tracks.map((each) => each.readyState)")
        assert states == ["ended", "ended"]
        expect(page.locator("#microphone")).to_be_enabled()


def test_the_microphone_is_judged_while_it_hears(
    browser: Browser, served: Server, screenshots: Path
) -> None:
    with opened(browser, f"{served.url}/app/") as page:
        page.click("#microphone")
        expect(page.locator("#chance")).to_contain_text("%", timeout=WAIT_MS)
        expect(page.locator("#file")).to_be_disabled()
        page.screenshot(path=screenshots / "app_listens.png")
        page.click("#stop")
        found = answer(page)
        expect(page.locator("#verdict")).to_contain_text("In all: ")
    assert found["duration_s"] >= 4.0 and len(found["segments"]) >= 1


def test_what_cannot_be_judged_is_said_and_the_next_is_judged(
    browser: Browser, served: Server, tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("no sound at all")
    soundfile.write(tmp_path / "quiet.wav", np.zeros(80_000), 16_000)
    soundfile.write(tmp_path / "short.wav", speech(0.7), 16_000)
    soundfile.write(tmp_path / "a.wav", speech(5.0), 16_000)
    with opened(browser, f"{served.url}/app/") as page:
        page.set_input_files("#file", tmp_path / "text.wav")
        expect(page.locator("#meaning")).to_contain_text("cannot decode text.wav")
        assert judged(page, tmp_path / "quiet.wav")["warnings"] == ["no_speech"]
        expect(page.locator("#meaning")).to_contain_text("Nothing in it sounds like speech")
        assert judged(page, tmp_path / "short.wav")["warnings"] == ["too_short"]
        assert judged(page, tmp_path / "a.wav")["verdict"]


DROP = """content => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(content)], "dropped.wav"));
  const dropped = new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true });
  document.querySelector("main").dispatchEvent(dropped);
}"""


def test_a_file_may_be_dropped(browser: Browser, served: Server, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speech(4.0), 16_000)
    with opened(browser, f"{served.url}/app/") as page:
        page.evaluate(DROP, list((tmp_path / "a.wav").read_bytes()))
        assert answer(page)["duration_s"] == 4.0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_can_be_read_by_all(
    browser: Browser, served: Server, tmp_path: Path, screenshots: Path, width: str, scheme: str
) -> None:
    soundfile.write(tmp_path / "a.wav", speech(21.0), 16_000)
    with opened(browser, f"{served.url}/app/", width=width, scheme=scheme) as page:
        judged(page, tmp_path / "a.wav")
        page.screenshot(path=screenshots / f"app_{width}_{scheme}.png", full_page=True)
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_its_policy_lets_nothing_out_and_nothing_in(browser: Browser, served: Server) -> None:
    context: BrowserContext = browser.new_context()
    page, asked = context.new_page(), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    answered = page.goto(f"{served.url}/app/")
    ready(page)
    assert answered is not None
    assert "unsafe" not in answered.headers["content-security-policy"]
    assert all(each.startswith(served.url) for each in asked)
    context.close()


def test_the_runtime_is_sent_as_the_client_takes_it(served: Server) -> None:
    packed, whole = (
        httpx.get(f"{served.url}/app/runtime/ort.wasm", headers={"accept-encoding": each})
        for each in ("br, gzip", "identity")
    )
    assert packed.headers["content-encoding"] == "gzip" and packed.content == whole.content
    assert "content-encoding" not in whole.headers and whole.content.startswith(b"\0asm")
    assert {each.headers["content-type"] for each in (packed, whole)} == {"application/wasm"}
    assert httpx.post(f"{served.url}/app/").status_code == 405
    assert httpx.get(f"{served.url}/app/package.json").status_code == 404
    assert httpx.get(f"{served.url}/app", follow_redirects=True).text.startswith("<!DOCTYPE html>")


def test_without_its_runtime_the_page_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("serving.http.app.RUNTIME", tmp_path)
    contents.cache_clear()
    routes = Starlette(routes=app_routes())
    with TestClient(routes) as client:
        answered = client.get("/app/")
    contents.cache_clear()
    assert answered.status_code == 404
    assert "was built without the page's runtime" in answered.json()["error"]["message"]


@contextmanager
def shown(folder: Path) -> Iterator[str]:
    """Show a folder by a web server that knows nothing of the page."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()


def test_any_web_server_can_show_it(browser: Browser, tmp_path: Path, fast: Detector) -> None:
    write(tmp_path / "site")
    soundfile.write(tmp_path / "a.wav", speech(9.0), 16_000)
    with shown(tmp_path / "site") as url, opened(browser, f"{url}/") as page:
        alike(judged(page, tmp_path / "a.wav"), fast.score(tmp_path / "a.wav").to_json())


def test_two_of_them_on_one_site_keep_out_of_each_other_s_way(
    browser: Browser, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write(tmp_path / "site" / name)
    other = tmp_path / "site" / "b" / "sw.js"
    other.write_text(re.sub("[0-9a-f]{64}", "0" * 64, other.read_text()))
    with shown(tmp_path / "site") as url, opened(browser, f"{url}/a/") as page:
        page.goto(f"{url}/b/")
        ready(page)
        page.context.set_offline(True)
        page.goto(f"{url}/a/")
        ready(page)


def test_a_page_that_is_not_kept_judges_all_the_same(browser: Browser, tmp_path: Path) -> None:
    write(tmp_path / "site")
    (tmp_path / "site" / "sw.js").write_text("throw new Error('not today');")
    soundfile.write(tmp_path / "a.wav", speech(5.0), 16_000)
    context = browser.new_context()
    page = context.new_page()
    with shown(tmp_path / "site") as url:
        page.goto(url)
        expect(page.locator("#state")).to_contain_text("It is not kept", timeout=WAIT_MS)
        assert judged(page, tmp_path / "a.wav")["verdict"]
    context.close()


# --- what it does as Python does ------------------------------------------------------------------

JUDGE = """async ({rules, scored, silent, length}) => {
  const {judge} = await import("./judging.js");
  return judge(rules, scored, silent, length);
}"""
CUT = """async ({rules, pieces}) => {
  const {Cutter, hasSpeech} = await import("./judging.js");
  const cutter = new Cutter(rules);
  const found = [];
  for (const piece of pieces) found.push(...cutter.feed(Float32Array.from(piece)));
  found.push(...cutter.rest());
  return found.map(({start, window: w}) => [start, w[0], w.at(-1), hasSpeech(w, rules)]);
}"""


@pytest.fixture(scope="module")
def module(browser: Browser, served: Server) -> Iterator[Page]:
    with opened(browser, f"{served.url}/app/") as page:
        yield page


def drawn(bundle: Bundle, seed: int) -> tuple[WindowScores, int, int]:
    """Draw scores of a recording, how many windows are without speech, and its length."""
    rng = np.random.default_rng(seed)
    n, size = int(rng.integers(0, 24)), bundle.spec.window_samples
    llr = rng.choice([2.5, 0.0, -0.5, -3.5]) + rng.normal(0, rng.choice([0.3, 2.0]), n)
    if seed % 3 == 0:
        llr[3:6] -= 8.0  # a part
    channel = rng.dirichlet(np.full(len(bundle.channels), 0.3), n).astype(np.float32)
    distance = np.full(n, rng.choice([0.1, 100.0], p=[0.9, 0.1]), np.float32)
    models, stack = (np.zeros((n, m), np.float32) for m in (len(bundle.models), len(META_MODELS)))
    scores = WindowScores(llr.astype(np.float32), models, stack, channel, distance)
    return scores, int(rng.integers(0, 3)), n * size if n > 1 else int(rng.integers(8_000, size))


def test_it_judges_as_the_judge_does(module: Page, fast: Detector) -> None:
    bundle, seen = fast.bundle, set()
    for seed in range(200):
        scores, silent, length = drawn(bundle, seed)
        starts = [bundle.spec.window_samples * n for n in range(len(scores.llr))]
        scored = [
            {"start": start, "llr": float(llr), "channel": channel.tolist(), "distance": float(far)}
            for start, llr, channel, far in zip(
                starts, scores.llr, scores.channel, scores.distance, strict=True
            )
        ]
        given = {"rules": rules(bundle), "scored": scored, "silent": silent, "length": length}
        cautions = cautions_of(len(starts), silent, length)
        judged = Judge(bundle).judged(starts, scores, length, cautions)
        identity = BundleIdentity(**bundle.identity)
        whole = Detection(**judged.entries(), tracks=(), bundle=identity).to_json()
        alike(module.evaluate(JUDGE, given), whole)
        seen |= {judged.verdict, *(each.code for each in judged.warnings)}
    verdicts = {"bonafide", "spoof", "partly_spoof", "inconclusive"}
    assert seen == verdicts | {"no_speech", "too_short", "silent_windows", "unknown_channel"}


@pytest.mark.parametrize("samples", [1, 9_000, 63_999, 64_000, 79_900, 80_000, 150_000, 192_001])
def test_it_cuts_and_hears_as_the_detector_does(
    module: Page, fast: Detector, corpus_folder: Path, samples: int
) -> None:
    clip = decode(next(iter(sorted((corpus_folder / "audio").rglob("*.flac")))))
    sound = np.resize(clip * np.float32(0.003), samples).astype(np.float32)
    sound[: samples // 3] *= np.float32(1e-3)  # near the floor, and below it
    pieces = [piece.tolist() for piece in np.array_split(sound, 5)]
    ours = module.evaluate(CUT, {"rules": rules(fast.bundle), "pieces": pieces})
    theirs = [
        [start, float(window[0]), float(window[-1]), has_speech(window)]
        for start, window in windows([sound], fast.bundle.spec.window_samples)
    ]
    assert ours == theirs
