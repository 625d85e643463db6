"""The desk in a real browser: many recordings, the microphone, reasons, origin, languages."""

import csv
import hashlib
import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from benchmarks.sounds import FORMATS, encode, speech
from bonafide.detector import Detector
from bonafide.explanation import Explainer
from bonafide.registry import find_bundle
from bonafide.words import clock
from serving.app import wording
from serving.app.examples import EXAMPLES
from serving.app.language import LANGUAGES, Words
from serving.app.launch import options
from serving.settings import Settings
from tests.browser.conftest import (
    WIDTHS,
    App,
    Open,
    assert_fits,
    choose,
    keep_screenshot,
    running_app,
)
from tests.helpers.servers import private_home, wait_for

EN = Words("en")
MANY = 50
REPOSITORY = Path(__file__).resolve().parents[2]


def charts(page: Page) -> Any:
    return page.get_by_test_id("stVegaLiteChart").locator("canvas, svg")


def expect_verdict(page: Page, words: Words = EN) -> None:
    expect(page.get_by_test_id("verdict")).to_be_visible()
    expect(page.get_by_text(words("origin.not_found"))).to_be_visible()  # the last part is there


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Fifty recordings of all formats, one of which cannot be judged."""
    folder = tmp_path_factory.mktemp("many")
    paths = []
    for number in range(MANY - 1):
        kind = FORMATS[number % len(FORMATS)]
        paths.append(folder / f"voice-{number:02}.{kind}")
        paths[-1].write_bytes(encode(speech(3.0, seed=number), kind))
    (folder / "notes.txt").write_text("no sound at all\n")
    return [*paths, folder / "notes.txt"]


def test_fifty_recordings_of_all_formats(
    app: App, open_page: Open, many: list[Path], bundle_home: Path, screenshots: Path
) -> None:
    page = open_page(app)
    choose(page, *many)
    expect(page.get_by_text(f"Recordings: {MANY};")).to_be_visible()
    expect(page.get_by_text("not judged: 1.")).to_be_visible()
    saved = {}
    for style in ("csv", "json"):
        rest(page)  # what is drawn anew loses a click
        with page.expect_download() as download:
            ours = page.get_by_test_id("stDownloadButton")  # the table has one, too
            ours.get_by_role("button", name=EN(f"batch.{style}")).click()
        saved[style] = Path(download.value.path()).read_text()
    rows = list(csv.DictReader(saved["csv"].splitlines()))
    assert [row["path"] for row in rows] == [path.name for path in many]
    assert rows[-1]["error"].startswith("not_audio: ")
    detector = Detector(find_bundle(bundle_home))
    for result, path in list(zip(json.loads(saved["json"]), many, strict=True))[:-1:7]:
        assert result == {"path": path.name, **detector.score(path).to_json()}
    keep_screenshot(page, screenshots / "many-light-wide.png")
    assert_fits(page)
    rest(page)
    table = page.get_by_test_id("stDataFrame").first  # the history has another
    table.click(position={"x": 16, "y": 35 + 17})  # the box of the first row
    expect_verdict(page)


def test_the_microphone_is_judged(app: App, open_page: Open, screenshots: Path) -> None:
    page = open_page(app, width=WIDTHS["phone"])
    microphone = page.get_by_test_id("stAudioInput")
    microphone.get_by_role("button", name="Record").click()
    page.wait_for_timeout(4000)
    microphone.get_by_role("button", name="Stop recording").click()
    expect_verdict(page)
    keep_screenshot(page, screenshots / "microphone-light-phone.png")
    assert_fits(page)


def test_an_answer_comes_soon_after_the_click(
    app: App, open_page: Open, recordings: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    page = open_page(app)
    expect(page.get_by_text(EN("page.stays"))).to_be_visible()
    start = time.monotonic()
    choose(page, recordings["mp3"])
    expect(page.get_by_test_id("verdict")).to_be_visible()
    took_s = time.monotonic() - start
    with capsys.disabled():
        print(f"\nan uploaded recording was answered {took_s:.2f} s after the click")  # noqa: T201


def test_examples_are_judged(app: App, open_page: Open) -> None:
    page = open_page(app)
    for name in EXAMPLES:
        page.get_by_role("button", name=EN(f"page.example_{name}")).click()
        expect(page.get_by_text(EN("picture.hear"), exact=True)).to_be_visible()
        expect_verdict(page)


def test_a_stretch_is_heard_by_a_click_or_by_its_name(
    app: App, open_page: Open, recordings: dict[str, Path], bundle_home: Path
) -> None:
    segments = Detector(find_bundle(bundle_home)).score(recordings["wav"]).segments
    names = ["-".join(map(clock, (each.start_s, each.end_s))) for each in segments]
    page = open_page(app)
    choose(page, recordings["wav"])
    expect_verdict(page)
    expect(charts(page)).to_have_count(4)
    option = page.get_by_role("option", name=names[0])

    def opened() -> bool:
        page.get_by_role("combobox", name=EN("picture.hear")).press("ArrowDown")
        page.wait_for_timeout(1000)
        return option.count() > 0

    wait_for(opened, "the list opens")  # what the page still draws closes it
    option.click()
    expect(page.get_by_text(f"{EN('picture.hear')}: {names[0]}")).to_be_visible()
    timeline = charts(page).nth(2)
    box = timeline.bounding_box()
    assert box
    timeline.click(position={"x": box["width"] - 30, "y": box["height"] / 2 - 20})
    expect(page.get_by_text(f"{EN('picture.hear')}: {names[-1]}")).to_be_visible()
    rest(page)  # what was drawn before stays beside the new until then
    expect(page.get_by_test_id("stAudio")).to_have_count(1)
    started_s = page.get_by_test_id("stAudio").evaluate(
        "a => new Promise(done => a.currentTime ? done(a.currentTime) : "
        "a.onseeked = () => done(a.currentTime))"
    )
    assert started_s >= segments[-1].start_s - 0.1


def test_reasons_are_those_of_the_explanation(
    app: App, open_page: Open, recordings: dict[str, Path], bundle_home: Path, screenshots: Path
) -> None:
    detector = Detector(find_bundle(bundle_home))
    explained = Explainer(detector).explain(recordings["wav"]).to_json()
    page = open_page(app)
    choose(page, recordings["wav"])
    expect_verdict(page)
    page.get_by_role("button", name=EN("why.ask")).click()
    said = wording.focus(EN, explained["explanation"], explained)
    expect(page.get_by_text(said)).to_be_visible()
    expect(charts(page)).to_have_count(7)
    expect(page.get_by_test_id("verdict")).to_be_visible()
    keep_screenshot(page, screenshots / "why-light-wide.png")
    assert_fits(page)


def test_the_file_s_origin_is_told_apart(
    app: App, open_page: Open, tmp_path: Path, screenshots: Path
) -> None:
    path = tmp_path / "tagged.m4a"
    path.write_bytes(encode(speech(4.0), "m4a"))
    page = open_page(app, width=WIDTHS["phone"])
    choose(page, path)
    expect_verdict(page)
    expect(page.get_by_text(EN("finding.encoder_tag.name"), exact=True)).to_be_visible()
    expect(page.get_by_text("Lavf")).to_be_visible()
    expect(page.get_by_text(EN("finding.encoder_tag.proves"))).to_be_visible()
    keep_screenshot(page, screenshots / "origin-light-phone.png")
    assert_fits(page)


def test_every_language_on_a_phone(
    app: App, open_page: Open, recordings: dict[str, Path], screenshots: Path
) -> None:
    page = open_page(app, width=WIDTHS["phone"])
    choose(page, recordings["wav"])
    expect_verdict(page)
    page.get_by_role("button", name=EN("why.ask")).click()
    for language in reversed(LANGUAGES):
        words = Words(language)
        choice = page.get_by_test_id("stSelectbox").first.get_by_role("combobox")
        choice.press_sequentially(words("language.name"))
        page.get_by_role("option", name=words("language.name")).click()
        expect(page.get_by_role("heading", name=words("page.title"))).to_be_visible()
        expect(page.get_by_text(words("why.framed"))).to_be_visible()
        root = page.locator("html")
        expect(root).to_have_attribute("lang", language)
        expect(root).to_have_attribute("dir", words.direction)
        keep_screenshot(page, screenshots / f"{language}-light-phone.png")
        assert_fits(page)


def test_the_language_is_switched_by_the_keyboard_alone(
    app: App, open_page: Open, recordings: dict[str, Path]
) -> None:
    page = open_page(app)
    expect(page.get_by_text(EN("page.stays"))).to_be_visible()
    press_until(page, EN("language.name"))
    page.keyboard.type("Deutsch")
    page.keyboard.press("Enter")
    words = Words("de")
    expect(page.get_by_role("heading", name=words("page.title"))).to_be_visible()
    with page.expect_file_chooser() as chooser:
        press_until(page, "Upload")
        page.keyboard.press("Enter")
    chooser.value.set_files(recordings["wav"])
    expect_verdict(page, words)
    press_until(page, words("why.ask"))
    page.keyboard.press("Enter")
    expect(page.get_by_text(words("why.framed"))).to_be_visible()


def rest(page: Page) -> None:
    """Wait until the page's script has ended: what is still drawn closes, and loses the focus."""
    page.wait_for_timeout(300)
    expect(page.locator("[data-test-script-state=notRunning]")).to_have_count(1)


def press_until(page: Page, name: str) -> None:
    """Press the tabulator until something of that name, or with that value, has the focus."""
    rest(page)
    said = "(e => e.innerText || e.value || e.ariaLabel || '')(document.activeElement)"
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(said))
        if name in seen[-1]:
            return
    raise AssertionError(f"{name!r} is not among {seen}")


@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-GB"), ("dark", "ar-EG")])
def test_no_serious_violation_of_accessibility(
    app: App, open_page: Open, recordings: dict[str, Path], scheme: str, locale: str
) -> None:
    words = Words(locale[:2])
    page = open_page(app, scheme=scheme, locale=locale)
    choose(page, recordings["wav"])
    expect_verdict(page, words)
    page.get_by_role("button", name=words("why.ask")).click()
    expect(page.get_by_text(words("why.framed"))).to_be_visible()
    page.wait_for_timeout(1500)
    found = Axe().run(page).response["violations"]
    serious = [
        (each["id"], each["impact"], [node["html"][:200] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_the_report_is_that_of_the_command(
    app: App, open_page: Open, recordings: dict[str, Path], tmp_path: Path, screenshots: Path
) -> None:
    page = open_page(app)
    choose(page, recordings["mp3"])
    expect_verdict(page)
    page.get_by_role("button", name=EN("report.make")).click()
    for kind in ("html", "pdf"):
        with page.expect_download() as download:
            page.get_by_role("button", name=EN("report.download", kind=kind.upper())).click()
        download.value.save_as(tmp_path / f"page.{kind}")
    command = ["report", str(recordings["mp3"].name)]
    for kind in ("html", "pdf"):
        command += [f"--{kind}", str(tmp_path / f"command.{kind}")]
    subprocess.run(
        [sys.executable, "-m", "bonafide.cli", *command],
        cwd=recordings["mp3"].parent,
        env={**os.environ, "BONAFIDE_HOME": str(app.home)},
        check=True,
    )
    for kind in ("html", "pdf"):
        ours, theirs = (tmp_path / f"{by}.{kind}" for by in ("page", "command"))
        assert ours.read_bytes() == theirs.read_bytes()
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF-")
    report = open_page(app)
    report.goto("about:blank")
    report.set_content((tmp_path / "page.html").read_text())
    report.screenshot(path=screenshots / "report-light-wide.png", full_page=True)


def test_answers_are_kept_until_they_are_deleted_or_not_at_all(
    app: App, open_page: Open, tmp_path: Path, screenshots: Path
) -> None:
    path = tmp_path / "kept once.flac"
    path.write_bytes(encode(speech(3.0, seed=77), "flac"))
    history = app.home / "page" / "history.jsonl"
    page = open_page(app)
    choose(page, path)
    expect_verdict(page)
    last = json.loads(history.read_text().splitlines()[-1])
    assert last["name"] == path.name
    assert last["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert history.stat().st_mode & 0o777 == 0o600
    page.get_by_text(EN("history.title"), exact=True).click()
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    keep_screenshot(page, screenshots / "history-light-wide.png")
    page.get_by_role("button", name=EN("history.delete")).click()
    expect(page.get_by_text(EN("history.none"))).to_be_visible()
    assert not history.exists()
    page.get_by_text(EN("history.keep")).click()
    wait_for(lambda: (history.parent / "history.off").exists(), "it is switched off")
    page.reload()
    choose(page, path)
    expect_verdict(page)
    assert not history.exists()
    page.get_by_text(EN("history.title"), exact=True).click()
    page.get_by_text(EN("history.keep")).click()
    wait_for(lambda: not (history.parent / "history.off").exists(), "it is switched on")


def test_a_recording_is_compared_with_known_ones(
    app: App, open_page: Open, recordings: dict[str, Path], many: list[Path], screenshots: Path
) -> None:
    score = Detector(find_bundle(app.home)).score
    known = [path for path in many if path.suffix == ".flac"][:6]
    scores = [score(path).llr for path in known]
    page = open_page(app)
    choose(page, recordings["wav"])
    expect_verdict(page)
    page.get_by_text(EN("compare.title")).click()
    uploads = page.get_by_test_id("stFileUploaderDropzoneInput").last
    uploads.set_input_files(known[:2])
    expect(page.get_by_text(EN("compare.few", n=2, fewest=5))).to_be_visible()
    uploads.set_input_files(known[2:])
    more = sum(llr <= score(recordings["wav"]).llr for llr in scores)
    expect(page.get_by_text(EN("compare.lies", n=6, more=more))).to_be_visible()
    expect(charts(page)).to_have_count(5)
    keep_screenshot(page, screenshots / "compare-light-wide.png")
    assert_fits(page)


STREAMLIT = ("streamlit", "run", "app.py", "--server.port")


def test_streamlit_runs_the_page_too(
    bundle_home: Path, open_page: Open, recordings: dict[str, Path], tmp_path: Path
) -> None:
    home = private_home(bundle_home, tmp_path / "home")
    with running_app(home, tmp_path / "log", run=STREAMLIT) as app:
        page = open_page(app)
        choose(page, recordings["wav"])
        expect_verdict(page)
        app.process.terminate()
        app.process.wait(timeout=30)
        deadline = time.monotonic() + 60
        while app.descendants() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert app.descendants() == []


def test_streamlit_is_not_opened_to_the_network(open_page: Open, tmp_path: Path) -> None:
    open_to_all = ("--server.address", "0.0.0.0")
    with running_app(tmp_path, tmp_path / "log", *open_to_all, run=STREAMLIT) as app:
        page = open_page(app)
        expect(page.get_by_text("Other machines can reach this page")).to_be_visible()
        expect(page.get_by_test_id("stFileUploader")).to_have_count(0)


def test_both_ways_have_the_same_settings() -> None:
    written = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text())
    flat = {
        f"{section}.{name}": value
        for section, settings in written.items()
        for name, value in settings.items()
        if not isinstance(value, dict)
    }
    for scheme in ("light", "dark"):
        flat[f"theme.{scheme}.primaryColor"] = written["theme"][scheme]["primaryColor"]
    ours = options(8501, Settings().max_body_bytes)
    assert flat == {name: value for name, value in ours.items() if name != "server.port"}
