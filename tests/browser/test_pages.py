"""The pages for who keeps a detector, and files of this machine, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from bonafide.bundle import read_bundle
from bonafide.home import SHIPPED
from bonafide.registry import Registry
from serving.app.keeper import KEEPER
from serving.app.language import LANGUAGES, Words
from tests.browser.conftest import (
    WIDTHS,
    App,
    Open,
    Stub,
    assert_fits,
    keep_screenshot,
    running_app,
)
from tests.browser.test_desk import expect_verdict, press_until, rest
from tests.helpers.kept import RUNS, keep_home

EN = Words("en")
DEFAULT = "{name}:{version}".format(**read_bundle(SHIPPED).manifest)
EVERY = {"": "page", **{name: name for name in KEEPER}}  # end of the address -> its messages


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, recordings: dict[str, Path]) -> Path:
    """A folder that is open to the page: a recording, notes, and a link that leads out of it."""
    folder = tmp_path_factory.mktemp("open")
    (folder / "deep").mkdir()
    (folder / "deep" / "voice.mp3").write_bytes(recordings["mp3"].read_bytes())
    (folder / "out.wav").symlink_to(recordings["wav"])
    return folder


@pytest.fixture(scope="module")
def kept(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The page in a home with a past, with all that an operator may allow."""
    home = tmp_path_factory.mktemp("kept") / "home"
    keep_home(home)
    with running_app(home, home.with_name("log"), "--manage", "--files", str(folder)) as app:
        yield app


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The page in a home where nothing happened yet, as it is by itself."""
    home = tmp_path_factory.mktemp("fresh") / "home"
    home.mkdir()
    with running_app(home, home.with_name("log")) as app:
        yield app


def show(page: Page, app: App, name: str, words: Words = EN) -> None:
    """Open one of the pages in a language."""
    page.goto(f"{app.url}/{name}?lang={words.language}")
    title = words(f"{EVERY[name]}.title")
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()


def pick(page: Page, label: str, text: str) -> None:
    """Choose in a list by what is typed."""
    rest(page)
    page.get_by_role("combobox", name=label, exact=True).press_sequentially(text)
    page.keyboard.press("Enter")


def cells(page: Page, table: int = 0) -> list[str]:
    """Return the cells of a table, which a screen reader finds below its drawing."""
    cells = page.get_by_test_id("stDataFrame").nth(table).locator("td")
    expect(cells.first).to_be_attached()
    return cells.all_text_contents()


def confirm(page: Page, why: str) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(EN("switch.why")).fill(why)
    dialog.get_by_label(EN("switch.why")).press("Tab")
    rest(page)
    dialog.get_by_role("button", name=EN("switch.go_on")).click()


def test_models_are_listed_shown_and_compared(
    kept: App, open_page: Open, screenshots: Path
) -> None:
    page = open_page(kept)
    page.get_by_role("link", name=EN("models.short")).click()
    expect(page.get_by_role("heading", name=EN("models.title"))).to_be_visible()
    expect(page).to_have_url(f"{kept.url}/models")
    listed = cells(page)
    for expected in ("fast:2", EN("models.stage_production"), "14.4 % [11.8, 17.2]", DEFAULT):
        assert expected in listed
    page.get_by_text(EN("models.channels")).click()
    expect(page.get_by_test_id("stDataFrame")).to_have_count(2)
    assert EN("channel.opus") in cells(page, 1)
    pick(page, EN("models.compare"), "fast:4")
    expect(page.get_by_test_id("stDataFrame")).to_have_count(3)
    differing = cells(page, 2)
    at = differing.index("remark")
    assert differing[at : at + 3] == ["remark", "1", "3"]
    assert "prior_spoof" not in differing
    keep_screenshot(page, screenshots / "models-light-wide.png")
    assert_fits(page)


def test_a_bundle_is_promoted_and_rolled_back_once_that_is_confirmed(
    kept: App, open_page: Open, screenshots: Path
) -> None:
    registry = Registry(kept.home, kept.home)
    page = open_page(kept)
    show(page, kept, "models")
    pick(page, EN("models.choose"), "fast:3")
    page.get_by_role("button", name=EN("switch.promote", bundle="fast:3")).click()
    said = EN("switch.promote_sure", bundle="fast:3", now="fast:2")
    expect(page.get_by_role("dialog").get_by_text(said)).to_be_visible()
    assert str(registry.production()) == "fast:2"  # it was asked, and nothing done
    confirm(page, "it listened for a week")
    expect(page.get_by_text(EN("switch.done", bundle="fast:3", now="fast:2"))).to_be_visible()
    last = registry.journal()[-1]
    assert (last.action, str(last.after), last.why) == (
        *("promote", "fast:3"),
        "it listened for a week",
    )
    assert not last.override
    page.get_by_role("button", name=EN("switch.back", bundle="fast:2")).click()
    confirm(page, "it erred")
    expect(page.get_by_text(EN("switch.done", bundle="fast:2", now="fast:3"))).to_be_visible()
    last = registry.journal()[-1]
    assert (last.action, str(last.after), last.why) == ("rollback", "fast:2", "it erred")
    registry.release(registry.find("fast:2"))  # for other tests
    keep_screenshot(page, screenshots / "switched-light-wide.png")


def test_what_the_registry_refuses_is_said_in_words(
    kept: App, open_page: Open, screenshots: Path
) -> None:
    registry = Registry(kept.home, kept.home)
    before = registry.state()
    page = open_page(kept)
    show(page, kept, "models")
    pick(page, EN("models.choose"), "fast:4")
    page.get_by_role("button", name=EN("switch.promote", bundle="fast:4")).click()
    confirm(page, "I like it")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("no report of the gate can be read")).to_contain_text("(not_gated)")
    keep_screenshot(page, screenshots / "refused-light-wide.png")
    dialog.get_by_role("button", name=EN("switch.cancel")).click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("Traceback")).to_have_count(0)
    assert registry.state() == before


def test_a_rollback_that_another_switch_overtook_is_refused(kept: App, open_page: Open) -> None:
    registry = Registry(kept.home, kept.home)
    page = open_page(kept)
    show(page, kept, "models")
    page.get_by_role("button", name=EN("switch.back", bundle="fast:1")).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    registry.promote(registry.find("fast:3"), override="somebody else")
    confirm(page, "too late")
    expect(page.get_by_role("dialog").get_by_text("(overtaken)")).to_be_visible()
    overtaking, refused = registry.journal()[-2:]
    assert (overtaking.why, refused.action) == ("somebody else", "refused")
    assert str(registry.production()) == "fast:3"
    registry.rollback("fast:2")  # for other tests
    registry.release(registry.find("fast:2"))


def test_what_a_bundle_was_made_from_is_drawn(
    kept: App, open_page: Open, screenshots: Path
) -> None:
    page = open_page(kept)
    show(page, kept, "lineage")
    drawn = page.get_by_alt_text(EN("lineage.of", bundle="fast:2"))
    expect(drawn).to_be_visible()
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    heard = EN("lineage.heard", sounds=4171, sources=311, speakers=2401)
    expect(page.get_by_text(heard)).to_be_visible()
    expect(page.get_by_text("step train_cnn")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name=EN("lineage.save")).click()
    assert "<svg" in Path(download.value.path()).read_text()
    keep_screenshot(page, screenshots / "lineage-light-wide.png")


def test_drift_is_told_with_what_moved_and_since_when(
    kept: App, open_page: Open, screenshots: Path
) -> None:
    page = open_page(kept, scheme="dark")
    show(page, kept, "drift")
    expect(page.get_by_text(EN("drift.alarm", rows=100))).to_be_visible()
    moved = page.get_by_role("listitem").filter(has_text=EN("drift.channels"))
    expect(moved).to_contain_text("since \u20661970-01-01 00:00 UTC")
    drawn = page.get_by_alt_text(EN("drift.title"))
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert "invert" in str(drawn.get_attribute("style"))
    expect(page.get_by_text(EN("drift.damaged", rows=1))).to_be_visible()
    keep_screenshot(page, screenshots / "drift-dark-wide.png")
    page.get_by_text(EN("drift.against_training"), exact=True).click()
    expect(page.get_by_text(EN("drift.alarm_training", rows=100))).to_be_visible()


def test_runs_are_listed_the_newest_first(kept: App, open_page: Open, screenshots: Path) -> None:
    page = open_page(kept)
    show(page, kept, "runs")
    listed = cells(page)
    at = [listed.index(EN(f"runs.status_{run['status']}")) for run in RUNS]
    assert at == sorted(at, reverse=True)
    for expected in ("2026-03-01 03:00", "14.4 % [11.8, 17.2]", "worse than fast:1"):
        assert expected in listed
    assert "night-1.log" in listed
    keep_screenshot(page, screenshots / "runs-light-wide.png")


def test_nothing_is_changed_where_the_operator_did_not_say_so(fresh: App, open_page: Open) -> None:
    page = open_page(fresh)
    expect(page.get_by_text(EN("page.stays"))).to_be_visible()
    expect(page.get_by_label(EN("page.path"))).to_have_count(0)
    show(page, fresh, "models")
    expect(page.get_by_text("bonafide app --manage")).to_be_visible()
    assert DEFAULT in cells(page)
    expect(page.get_by_text(EN("switch.title"))).to_have_count(0)
    for name in ("drift", "runs"):
        show(page, fresh, name)
        said = EN(f"{name}.none").partition("`")[0].strip()
        expect(page.get_by_text(said)).to_be_visible()


def test_what_answers_elsewhere_has_no_such_pages(
    stub: Stub, open_page: Open, tmp_path: Path
) -> None:
    with running_app(tmp_path, tmp_path / "log", "--service", stub.url) as app:
        page = open_page(app)
        expect(page.get_by_role("heading", name=EN("page.title"))).to_be_visible()
        expect(page.get_by_role("link", name=EN("models.short"))).to_have_count(0)
        page.goto(f"{app.url}/models")
        expect(page.get_by_role("heading", name=EN("page.title"))).to_be_visible()


def test_a_language_that_is_chosen_stays(fresh: App, open_page: Open) -> None:
    page = open_page(fresh)
    expect(page.get_by_text(EN("page.stays"))).to_be_visible()
    german = Words("de")
    press_until(page, EN("language.name"))
    page.keyboard.type(german("language.name"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=german("page.title"))).to_be_visible()
    expect(page).to_have_url(f"{fresh.url}/?lang=de")
    page.get_by_role("link", name=german("models.short")).click()
    expect(page).to_have_url(f"{fresh.url}/models?lang=de")
    page.reload()
    expect(page.get_by_role("heading", name=german("models.title"))).to_be_visible()


def test_a_path_in_the_open_folder_is_judged_and_no_other(
    kept: App, open_page: Open, folder: Path, recordings: dict[str, Path], screenshots: Path
) -> None:
    page = open_page(kept)
    field = page.get_by_label(EN("page.path"))
    field.fill("deep/voice.mp3")
    field.press("Enter")
    expect_verdict(page)
    keep_screenshot(page, screenshots / "path-light-wide.png")
    for named, code in {
        str(recordings["wav"]): "outside_folder",
        "../" * 9 + "etc/passwd": "outside_folder",
        "out.wav": "outside_folder",
        "gone.wav": "no_file",
    }.items():
        field.fill(named)
        field.press("Enter")
        said = f"{EN(f'error.{code}')} ({code})"
        expect(page.get_by_text(said)).to_be_visible()
        expect(page.get_by_test_id("verdict")).to_have_count(0)
    field.fill((folder / "deep" / "voice.mp3").as_uri())
    field.press("Enter")
    expect_verdict(page)


def test_pages_are_reached_and_used_by_the_keyboard_alone(kept: App, open_page: Open) -> None:
    page = open_page(kept)
    expect(page.get_by_text(EN("page.stays"))).to_be_visible()
    press_until(page, EN("models.short"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=EN("models.title"))).to_be_visible()
    press_until(page, "fast:2 (")
    page.keyboard.type("fast:4")
    page.keyboard.press("Enter")
    promote = EN("switch.promote", bundle="fast:4")
    expect(page.get_by_role("button", name=promote)).to_be_visible()
    press_until(page, promote)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_every_language_fits_on_a_phone(kept: App, open_page: Open, screenshots: Path) -> None:
    page = open_page(kept, scheme="dark", width=WIDTHS["phone"])
    for language in LANGUAGES:
        words = Words(language)
        for name in KEEPER:
            show(page, kept, name, words)
            rest(page)
            expect(page.locator("html")).to_have_attribute("dir", words.direction)
            assert_fits(page)
            keep_screenshot(page, screenshots / f"{name}-{language}-dark-phone.png")
            page.set_viewport_size({"width": WIDTHS["phone"], "height": 900})


@pytest.mark.parametrize(
    ("scheme", "language", "width"), [("light", "en", "wide"), ("dark", "ar", "phone")]
)
def test_no_serious_violation_of_accessibility(
    kept: App, open_page: Open, scheme: str, language: str, width: str
) -> None:
    page = open_page(kept, scheme=scheme, width=WIDTHS[width])
    serious = []
    for name in EVERY:
        show(page, kept, name, Words(language))
        rest(page)
        page.wait_for_timeout(1000)
        serious += [
            (name, each["id"], each["impact"], [node["html"][:200] for node in each["nodes"]])
            for each in Axe().run(page).response["violations"]
            if each["impact"] in ("serious", "critical")
        ]
    assert serious == []
