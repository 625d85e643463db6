"""The page in a real browser: what people without a command line see."""

import itertools
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from bonafide.detector import Detector
from bonafide.process.service import free_port
from bonafide.registry import find_bundle
from serving.app.language import Words
from serving.app.wording import nothing_to_judge
from tests.browser.conftest import (
    WIDTHS,
    App,
    Open,
    Stub,
    answering,
    assert_fits,
    choose,
    keep_screenshot,
    running_app,
)
from tests.helpers.moments import ALL

EN = Words("en")
KEY = "a-key-of-the-test"
LOOKS = [*itertools.product(WIDTHS, ("light", "dark"))]
ENDS = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)


@pytest.fixture(scope="module")
def told_app(stub: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The page on the service that says what it is told."""
    folder = tmp_path_factory.mktemp("told")
    words = ("--service", stub.url)
    with running_app(folder, folder / "log", *words, BONAFIDE_API_KEY=KEY) as app:
        yield app


@pytest.mark.parametrize(("width", "scheme"), LOOKS if ALL else LOOKS[::3])
def test_a_recording_is_judged_heard_and_drawn(
    app: App,
    open_page: Open,
    recordings: dict[str, Path],
    bundle_home: Path,
    screenshots: Path,
    scheme: str,
    width: str,
) -> None:
    expected = Detector(find_bundle(bundle_home)).score(recordings["wav"])
    page = open_page(app, scheme=scheme, width=WIDTHS[width])
    choose(page, recordings["wav"])
    expect(page.get_by_test_id("verdict")).to_have_text(EN(f"verdict.{expected.verdict}"))
    said = f"{EN.percent(expected.p_spoof)} chance that this is a deepfake"
    expect(page.get_by_text(said)).to_be_visible()
    expect(page.get_by_text("Demonstration only.")).to_be_visible()
    expect(page.get_by_test_id("stAudio")).to_have_count(1)
    duration_s = page.get_by_test_id("stAudio").evaluate(
        "a => new Promise(done => a.readyState ? done(a.duration) : "
        "a.onloadedmetadata = () => done(a.duration))"
    )
    assert duration_s == pytest.approx(10.0, abs=0.1)
    expect(page.get_by_test_id("stVegaLiteChart").locator("canvas, svg")).to_have_count(4)
    keep_screenshot(page, screenshots / f"verdict-{scheme}-{width}.png")
    assert_fits(page)
    for chart in page.get_by_test_id("stVegaLiteChart").all():
        box = chart.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= WIDTHS[width]


@pytest.mark.parametrize("kind", ["mp3", "mp4"])
def test_other_kinds_of_files_are_judged_too(
    app: App, open_page: Open, recordings: dict[str, Path], bundle_home: Path, kind: str
) -> None:
    expected = Detector(find_bundle(bundle_home)).score(recordings[kind])
    page = open_page(app)
    choose(page, recordings[kind])
    expect(page.get_by_test_id("verdict")).to_have_text(EN(f"verdict.{expected.verdict}"))
    expect(page.get_by_test_id("stVegaLiteChart").locator("canvas, svg")).to_have_count(4)


@pytest.mark.parametrize("kind", ["text", "short", "silent"])
def test_what_cannot_be_judged_is_said_in_words(
    app: App, open_page: Open, recordings: dict[str, Path], screenshots: Path, kind: str
) -> None:
    page = open_page(app, width=WIDTHS["phone"])
    choose(page, recordings[kind])
    said = {
        "text": EN("error.not_audio"),
        "short": nothing_to_judge(EN, "too_short"),
        "silent": nothing_to_judge(EN, "no_speech"),
    }
    expect(page.get_by_text(said[kind])).to_be_visible()
    expect(page.get_by_test_id("verdict")).to_have_count(0 if kind == "text" else 1)
    if kind != "text":
        expect(page.get_by_test_id("verdict")).to_have_text("Inconclusive")
    keep_screenshot(page, screenshots / f"{kind}-light-phone.png")


def test_names_of_files_stay_on_the_page(
    app: App, open_page: Open, recordings: dict[str, Path], tmp_path: Path
) -> None:
    named = tmp_path / "<b>secret<b> **name**.wav"
    named.write_bytes(recordings["wav"].read_bytes())
    page = open_page(app)
    choose(page, named)
    expect(page.get_by_test_id("verdict")).to_be_visible()
    expect(page.get_by_role("button", name=f"Remove {named.name}")).to_be_visible()
    assert "secret" not in app.log.read_text()


def test_bundle_is_named_with_its_hash(
    app: App, open_page: Open, bundle_home: Path, screenshots: Path
) -> None:
    page = open_page(app, scheme="dark", width=WIDTHS["phone"])
    page.get_by_text("About this detector").click()
    for name, value in find_bundle(bundle_home).identity.items():
        expect(page.get_by_text(f"{name}: {value}")).to_be_visible()
    keep_screenshot(page, screenshots / "about-dark-phone.png")
    assert_fits(page)


MODEL = {
    "bundle": {"name": "real", "version": "9", "sha256": "ab" * 32},
    "thresholds": {"bonafide_to": 0.3, "spoof_from": 0.8},
    "prior_spoof": 0.1,
    "card": "# real",
    "manifest": {"choice": "logistic", "corpus": {"rows": 5000}},
}


def result(verdict: str, p_spoof: float, *warnings: dict[str, str]) -> dict[str, Any]:
    segment = {"start_s": 0.0, "end_s": 4.0, "llr": 0.0, "p_spoof": p_spoof}
    return {
        "verdict": verdict,
        "llr": 0.0,
        "p_spoof": p_spoof,
        "duration_s": 10.0,
        "segments": [segment, {**segment, "start_s": 4.0, "end_s": 8.0, "p_spoof": 1 - p_spoof}],
        "models": dict.fromkeys(("cnn", "rnn", "bilstm", "gru", "xgboost"), p_spoof),
        "stack": dict.fromkeys(("logistic", "xgboost"), p_spoof),
        "parts": [],
        "warnings": list(warnings),
        "tracks": [],
        "bundle": MODEL["bundle"],
    }


@pytest.mark.parametrize(
    ("verdict", "p_spoof", "said"),
    [
        ("bonafide", 0.02, "2 % chance that this is a deepfake, assuming that 10 % of all"),
        ("spoof", 0.998, "over 99 % chance that this is a deepfake"),
        ("inconclusive", 0.5, "between 30 % and 80 %, where this detector errs too often"),
    ],
)
def test_each_verdict_in_words(
    told_app: App,
    stub: Stub,
    open_page: Open,
    recordings: dict[str, Path],
    screenshots: Path,
    verdict: str,
    p_spoof: float,
    said: str,
) -> None:
    bundle = {**MODEL["bundle"], "sha256": verdict}  # what is cached is kept by bundle
    stub.model = (200, {**MODEL, "bundle": bundle})
    warnings = (
        {"code": "silent_windows", "message": "stretches without speech-like sound: 1 of 3"},
        {"code": "of_tomorrow", "message": "*"},
    )
    stub.answer = (200, result(verdict, p_spoof, *warnings))
    page = open_page(told_app)
    choose(page, recordings["wav"])
    expect(page.get_by_test_id("verdict")).to_have_text(EN(f"verdict.{verdict}"))
    expect(page.get_by_text(said)).to_be_visible()
    expect(page.get_by_text("stretches without speech-like sound: 1 of 3")).to_be_visible()
    expect(page.get_by_text("trained on: 5000.")).to_be_visible()
    expect(page.get_by_text("Demonstration only.")).to_have_count(0)
    keep_screenshot(page, screenshots / f"{verdict}-light-wide.png")
    _, headers, body = next(asked for asked in stub.asked[::-1] if asked[0] == "/v1/detect")
    assert headers["authorization"] == f"Bearer {KEY}"
    assert b'name="audio"' in body and recordings["wav"].name.encode() not in body
    assert recordings["wav"].read_bytes() in body


def test_parts_and_tracks_in_words(
    told_app: App, stub: Stub, open_page: Open, recordings: dict[str, Path], screenshots: Path
) -> None:
    stub.model = (200, {**MODEL, "bundle": {**MODEL["bundle"], "sha256": "parts"}})
    scores = [0.03, 0.05, 0.97, 0.96, 0.02]
    segments = [
        {"start_s": 2.0 * place, "end_s": 2.0 * place + 2, "llr": 0.0, "p_spoof": p_spoof}
        for place, p_spoof in enumerate(scores)
    ]
    left_out = {"code": "not_all_judged", "message": "track 2 of 2 cannot be decoded (no codec)"}
    fake = {
        **result("partly_spoof", 0.2, left_out),
        "segments": segments,
        "parts": [{"start_s": 4.0, "end_s": 8.0, "p_spoof": 0.965}],
    }
    other = {**result("bonafide", 0.04), "track": 1, "channel_number": 1}
    stub.answer = (200, {**fake, "tracks": [other, {**fake, "track": 1, "channel_number": 2}]})
    page = open_page(told_app)
    choose(page, recordings["wav"])
    expect(page.get_by_test_id("verdict")).to_have_text(EN("verdict.partly_spoof"))
    expect(page.get_by_text("0:04-0:08 (96 %)")).to_be_visible()
    expect(page.get_by_text("track 1, channel 1: Likely a real recording (4 %)")).to_be_visible()
    expect(page.get_by_text("Not all of the file was judged: track 2 of 2")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart").locator("canvas, svg")).to_have_count(4)
    keep_screenshot(page, screenshots / "parts-light-wide.png")
    assert_fits(page)


def error(code: str, message: str = "said by the service") -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def test_busy_says_when_to_try_again_and_does(
    told_app: App, stub: Stub, open_page: Open, recordings: dict[str, Path]
) -> None:
    stub.model = (200, {**MODEL, "bundle": {**MODEL["bundle"], "sha256": "busy"}})
    stub.answer, stub.headers = (429, error("busy")), {"retry-after": "7"}
    page = open_page(told_app)
    choose(page, recordings["wav"])
    expect(page.get_by_text("Please try again in 7 s.")).to_be_visible()
    stub.answer, stub.headers = (200, result("spoof", 0.9)), {}
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_test_id("verdict")).to_have_text(EN("verdict.spoof"))


def test_nothing_is_lost_while_the_service_is_gone(
    open_page: Open, recordings: dict[str, Path], tmp_path: Path, screenshots: Path
) -> None:
    stub = Stub(model=(200, MODEL), answer=(200, result("spoof", 0.9)))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with running_app(tmp_path, tmp_path / "log", "--service", address) as app:
        with answering(stub, port):
            page = open_page(app)
            choose(page, recordings["wav"])
            expect(page.get_by_test_id("verdict")).to_have_text(EN("verdict.spoof"))
        page.get_by_role("button", name=EN("report.make")).click()
        gone = page.get_by_text(EN("error.unreachable"))
        expect(gone.first).to_be_visible()
        upload = page.get_by_role("button", name=f"Remove {recordings['wav'].name}")
        expect(upload).to_be_visible()
        expect(page.get_by_test_id("verdict")).to_have_text(EN("verdict.spoof"))
        keep_screenshot(page, screenshots / "gone-light-wide.png")
        with answering(stub, port):
            page.get_by_role("button", name=EN("page.again")).first.click()
            expect(gone).to_have_count(0)
            expect(upload).to_be_visible()
            expect(page.get_by_test_id("verdict")).to_have_text(EN("verdict.spoof"))


def test_a_known_recording_that_cannot_be_judged_is_told_as_in_the_table(
    told_app: App, stub: Stub, open_page: Open, recordings: dict[str, Path], screenshots: Path
) -> None:
    stub.model = (200, {**MODEL, "bundle": {**MODEL["bundle"], "sha256": "known"}})
    stub.answer = (200, result("spoof", 0.9))
    page = open_page(told_app)
    choose(page, recordings["wav"])
    expect(page.get_by_test_id("verdict")).to_be_visible()
    stub.answer = (422, error("no_speech"))
    page.get_by_text(EN("compare.title")).click()
    uploads = page.get_by_test_id("stFileUploaderDropzoneInput")
    uploads.last.set_input_files([recordings["silent"]])
    said = nothing_to_judge(EN, "no_speech")
    expect(page.get_by_text(said)).to_be_visible()
    uploads.first.set_input_files([recordings["silent"]])
    expect(page.get_by_text(EN("batch.choose"))).to_be_visible()
    cells = page.get_by_test_id("stDataFrame").first.locator("td")
    expect(cells.filter(has_text=said)).to_have_count(1)
    assert cells.filter(has_text="None").count() == 0
    keep_screenshot(page, screenshots / "table-light-wide.png")


def test_service_that_refuses_or_is_gone(
    told_app: App, stub: Stub, open_page: Open, tmp_path: Path
) -> None:
    stub.model = (401, error("unauthorized"))
    page = open_page(told_app)
    expect(page.get_by_text("its API key is missing or not known")).to_be_visible()
    with running_app(tmp_path, tmp_path / "log", "--service", "http://127.0.0.1:9") as app:
        gone = open_page(app)
        expect(gone.get_by_text(EN("error.unreachable"))).to_be_visible()
        expect(gone.get_by_role("button", name="Try again")).to_be_visible()


@pytest.mark.parametrize("sent", ENDS if ALL else ENDS[:2])
def test_nothing_is_left_however_it_ends(
    bundle_home: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    with running_app(bundle_home, tmp_path / "log") as app:
        assert any("bentoml" in line for line in app.descendants())
        app.process.send_signal(sent)
        assert app.process.wait(timeout=30) == (-sent if sent == signal.SIGKILL else 0)
        deadline = time.monotonic() + 60
        while app.descendants() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert app.descendants() == []
    assert "Traceback" not in app.log.read_text()
