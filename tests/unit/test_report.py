"""Reports: every number is one that JSON prints, and the same recording gives the same bytes."""

import base64
import copy
import html
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

import bonafide
from bonafide.artifact import file_sha256
from bonafide.cli.root import main
from bonafide.detection import CautionCode, rounded
from bonafide.detector import Detector
from bonafide.drawing import Drawing, first_minutes, reduce
from bonafide.errors import ConfigError
from bonafide.evaluation.metrics import summarise
from bonafide.explanation import Explainer
from bonafide.features.spec import SAMPLE_RATE_HZ as RATE_HZ
from bonafide.home import shipped_folder
from bonafide.provenance import NAMES, examine
from bonafide.report import printer, render, spokesman
from bonafide.report.page import METRICS
from bonafide.report.pictures import LEFT, PLOT, png, ticks
from bonafide.report.scale import ratio, strength, supported
from bonafide.report.words import HEADLINES, NO_WORDS, percent
from bonafide.words import channel_in_words, clock
from serving.http.endpoints.model import answer

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
VOID = {"meta", "rect", "line", "polygon", "image"}
# Numbers of the template itself: the hash, the guideline and its scale, intervals, the version.
OURS = (
    *("SHA-256", "(2015)", "95 %", bonafide.__version__),
    *("1 to 2", "2 to 10", "10 to 100", "100 to 1,000", "1,000 to 10,000"),
    *("10,000 to 1,000,000", "from 1,000,000"),
)
Report = dict[str, Any]


class Parsed(HTMLParser):
    """A page taken apart: its elements, and its text without what programs read."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.data: list[tuple[str, str]] = []
        self.ticks: list[tuple[dict[str, str], str]] = []
        self.text: list[str] = []
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        element = tag, {name: value or "" for name, value in attributes}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, text: str) -> None:
        inside, attributes = self._open[-1] if self._open else ("", {})
        if inside == "data":
            self.data.append((attributes["value"], text))
        elif inside == "text":
            self.ticks.append((attributes, text))
        elif inside != "style":
            self.text.append(text)

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


def numbers_and_words(value: Any) -> Iterator[Any]:
    """Go through all that a JSON value holds."""
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers_and_words(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers_and_words(item)
    else:
        yield value


def sound(*, seconds: float) -> np.ndarray:
    """A buzz in syllables: the detector takes it for speech."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 140 * n * time) / n for n in range(1, 30))
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * time)
    noise = np.random.default_rng(0).normal(0, 0.01, len(time))
    return (0.1 * buzz * syllables + noise).astype(np.float32)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "voice note.wav"
    soundfile.write(path, sound(seconds=9.0), RATE_HZ)
    return path


@pytest.fixture(scope="module")
def shipped() -> Detector:
    return Detector.shipped("fast")


@pytest.fixture(scope="module")
def report(clip: Path, shipped: Detector) -> Report:
    """What a report is made from, as it came through JSON."""
    told = {
        "result": Explainer(shipped).explain(clip).to_json(),
        "model": asdict(answer(shipped.bundle)),
        "origin": rounded(asdict(examine(clip))),
    }
    rest = {"drawing": reduce(first_minutes(clip)), "name": clip.name}
    return {**json.loads(json.dumps(told)), **rest, "sha256": "0" * 64, "size_bytes": 288_044}


def changed(report: Report, **result: Any) -> Report:
    """The same report with another result."""
    return {**report, "result": {**copy.deepcopy(report["result"]), **result}}


def judged(result: Any, **changes: Any) -> Any:
    names = ("verdict", "llr", "p_spoof", "duration_s", "segments", "models", "stack", "channel")
    return {**{name: result[name] for name in (*names, "parts", "warnings")}, **changes}


def caution(code: CautionCode) -> list[dict[str, str]]:
    return [{"code": code, "message": "what it says"}]


PART = {"start_s": 4.0, "end_s": 8.0, "p_spoof": 0.97}
OTHER = {"track": 1, "channel_number": 1, "verdict": "bonafide", "llr": 1.23, "p_spoof": 0.226}


def cases(report: Report) -> dict[str, Report]:
    """Reports of every kind."""
    result = report["result"]
    without = {name: value for name, value in result.items() if name != "explanation"}
    both = [judged(result, **OTHER), judged(result, track=1, channel_number=2)]
    low, high = {"bonafide_to": None}, {"spoof_from": None}
    never = copy.deepcopy(report["model"])
    for thresholds, edges in zip(
        never["thresholds"]["channels"].values(), (low, high), strict=False
    ):
        thresholds.update(edges)
    unmeasured = {**(result["channel"] or {}), "decided": None, "wrong": None}
    return {
        "as it is": report,
        "without why": {**report, "result": without},
        "without origin": {**report, "origin": None},
        "not drawn": {**report, "drawing": None},
        "likely real": changed(report, verdict="bonafide", llr=3.2, p_spoof=0.03916),
        "likely generated": changed(report, verdict="spoof", llr=-7.25, p_spoof=0.99929),
        "inconclusive": changed(report, verdict="inconclusive", llr=0.1, p_spoof=0.475),
        "in part": changed(report, verdict="partly_spoof", parts=[PART]),
        "unknown channel": changed(
            report, verdict="inconclusive", warnings=caution("unknown_channel")
        ),
        "no channel": changed(report, channel=None),
        "not measured": changed(report, channel=unmeasured),
        "too short": changed(report, verdict="inconclusive", warnings=caution("too_short")),
        "no speech": changed(
            report, verdict="inconclusive", segments=[], channel=None, warnings=caution("no_speech")
        ),
        "two channels": changed(report, tracks=both),
        "no answer there": {**report, "model": never},
        "no card": {**report, "model": {**report["model"], "card": "", "channel_errors": {}}},
    }


KINDS = (
    *("as it is", "without why", "without origin", "not drawn", "likely real", "likely generated"),
    *("inconclusive", "in part", "unknown channel", "no channel", "not measured", "too short"),
    *("no speech", "two channels", "no answer there", "no card"),
)


TOO_LITTLE = ("too short", "no speech")


def test_every_kind_is_tried(report: Report) -> None:
    assert tuple(cases(report)) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_is_one_that_json_prints(kind: str, report: Report) -> None:
    case = cases(report)[kind]
    told = [*numbers_and_words({k: v for k, v in case.items() if k != "drawing"})]
    numbers = [each for each in told if isinstance(each, (int, float))]
    printed = {json.dumps(number) for number in numbers}
    page = Parsed(render(**case))
    assert page.data
    for value, text in page.data:
        assert value in printed, (value, text)
        number = json.loads(value)
        rounded_ones = {value, f"{number / 1000:g}"}
        if 0 <= number <= 1:
            rounded_ones.add(percent(number))
        if number >= 0:
            rounded_ones.add(clock(number))
        assert text in rounded_ones or text == ratio(number), (value, text)
    text = "\n".join(page.text)
    words = [each for each in told if isinstance(each, str) and NUMBER.search(each)]
    known = [*words, channel_in_words(case["result"]), *case["model"]["thresholds"]["channels"]]
    known += [
        *NAMES.values(),
        *(part.replace("`", "") for part in case["model"]["card"].split("\n\n")),
    ]
    for each in sorted({*known, *OURS} - {""}, key=len, reverse=True):
        text = text.replace(each, "")
    text = re.sub(r"track \d+(, channel \d+)?", "", text)
    assert NUMBER.findall(text) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_well_formed_and_loads_nothing(kind: str, report: Report) -> None:
    page = Parsed(render(**cases(report)[kind]))
    tags = [tag for tag, _ in page.elements]
    assert not {"script", "iframe", "link", "a", "object", "form", "base"} & {*tags}
    for tag, attributes in page.elements:
        sources = {attributes.get(name, "data:image/png;base64,") for name in ("src", "href")}
        assert all(source.startswith("data:image/png;base64,") for source in sources), tag
        assert not any(name.startswith("on") for name in attributes)
    policy = next(a["content"] for t, a in page.elements if "http-equiv" in a)
    assert "default-src 'none'" in policy and "script" not in policy
    style = re.search(r"<style>(.*?)</style>", render(**cases(report)[kind]), re.DOTALL)
    assert style and not re.search(r"url\(|@import|expression", style[1])


@pytest.mark.parametrize("kind", KINDS)
def test_who_does_not_see_it_can_read_it(kind: str, report: Report) -> None:
    page = Parsed(render(**cases(report)[kind]))
    assert ("html", {"lang": "en"}) in page.elements
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = page.ids()
    assert len(ids) == len({*ids})
    for tag, attributes in page.elements:
        assert {*attributes.get("aria-labelledby", "").split()} <= {*ids}
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-labelledby"]
        if tag == "th":
            assert attributes["scope"] in ("row", "col")


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_lines_say_what_may_be_concluded(kind: str, report: Report) -> None:
    case = cases(report)[kind]
    result = case["result"]
    page = render(**case)
    text = html.unescape(re.sub(r"<[^>]+>", "", page.partition("<main>")[2])).split()
    first = " ".join(text[:250])
    assert first.startswith(f"The answer {HEADLINES[result['verdict']]}")
    for said in ("What may be concluded", "What may not be concluded", "no proof", "Who speaks."):
        assert said in first
    worth = " ".join(text).partition("What such answers are worth ")[2]
    none = "There is no answer" if kind in TOO_LITTLE else "What the recording went through is not"
    assert worth.startswith(channel_in_words(result) or none)
    assert ("no hint either way" in first) == (result["verdict"] == "inconclusive")
    if result["verdict"] == "partly_spoof":
        assert "0:04\u20130:08 (97 %)" in first
    if kind == "unknown channel":
        assert "unlike everything" in first and "errs too often" not in first
    if kind == "too short":
        assert "too little sound" in first
    if kind == "no speech":
        assert "only speech can be judged" in first


def test_no_words_for_a_ratio_that_supports_nothing(report: Report) -> None:
    for kind, case in cases(report).items():
        page = render(**case)
        verdict = case["result"]["verdict"]
        worded = supported(case["result"]["llr"])
        assert ((NO_WORDS.get(verdict) or worded) in page) == (kind not in TOO_LITTLE), kind
        assert ("(this recording)" in page) == (verdict not in NO_WORDS), kind


def test_what_is_missing_is_said(report: Report) -> None:
    said = {
        "without why": "No explanation was asked for.",
        "without origin": "The file was not examined for its origin.",
        "not drawn": "The recording could not be drawn.",
        "no channel": "<td>not known</td>",
        "no card": "This bundle has no model card.",
        "no speech": "nothing in the recording could be scored",
    }
    for kind, case in cases(report).items():
        page = render(**case)
        for other, words in said.items():
            assert (words in page) == (kind == other), (kind, other)


@pytest.mark.parametrize("kind", TOO_LITTLE)
def test_numbers_of_too_little_sound_are_not_interpreted(kind: str, report: Report) -> None:
    case = cases(report)[kind]
    before, heading, after = render(**case).partition("Numbers that say nothing")
    assert heading and "none of it says anything" in after
    result = case["result"]
    numbers = {result["llr"], result["p_spoof"], *result["models"].values()}
    numbers |= {each[key] for each in result["segments"] for key in ("llr", "p_spoof")}
    earlier, later = (re.findall('value="(.*?)">(.*?)</data>', half) for half in (before, after))
    assert {value for value, _ in earlier}.isdisjoint(map(json.dumps, numbers))
    shown = [(value, text) for value, text in later if json.loads(value) in numbers]
    assert all(value == text for value, text in shown)  # no percentage, no ratio
    assert {json.loads(value) for value, _ in shown} == numbers
    for words in ("Likelihood ratio", "LR in words", "Chance of a deepfake", "so many times"):
        assert words not in before + after
    assert "Chance of a deepfake <code>" in render(**report)


def test_labels_are_words_with_the_code_beside_them(report: Report) -> None:
    origin = copy.deepcopy(report["origin"])
    texts = {"seen": "x", "proves": "y", "absence": "z", "why": "w"}
    every = [{"code": code, **texts} for code in NAMES]
    origin |= {"findings": every, "not_found": every, "not_looked_for": every}
    page = render(**{**report, "origin": origin})
    for code, name in NAMES.items():
        assert page.count(f"<strong>{name}</strong> <code>{code}</code>") == 1
        assert page.count(f'<th scope="row">{name} <code>{code}</code></th>') == 2
    model = copy.deepcopy(report["model"])
    model["manifest"]["metrics"] |= dict.fromkeys(METRICS, model["manifest"]["metrics"]["eer"])
    assert {*summarise([0.0, 1.0], [True, False], [0, 1], n_resamples=9)} == {*METRICS}
    page = html.unescape(render(**{**report, "model": model}))
    assert all(f'<th scope="row">{words}' in page for words in METRICS.values())


def test_a_file_s_facts_are_told_once_and_in_words(report: Report) -> None:
    origin = copy.deepcopy(report["origin"])
    origin["facts"] |= {"container": "flac", "codec": "flac", "library": "reference libFLAC 1.4.3"}
    origin["facts"]["band_hz"] = 10_500.0
    page = html.unescape(render(**{**report, "origin": origin}))
    assert "Container and codec</th><td>flac</td>" in page
    assert "Encoder's tag</th><td>reference libFLAC 1.4.3</td>" in page
    assert '<data value="10500.0">10.5</data> kHz' in page
    origin["facts"]["container"] = "matroska,webm"
    page = render(**{**report, "origin": origin})
    assert "Container, codec</th><td>matroska,webm, flac</td>" in page


def test_an_average_that_is_not_known_is_no_number(report: Report) -> None:
    explanation = copy.deepcopy(report["result"]["explanation"])
    for band in explanation["bands"]:
        band["typical"] = None
    page = render(**changed(report, explanation=explanation))
    assert page.count("<td>\u2013</td>") == len(explanation["bands"]) == 8
    said = "on average is not known for this bundle"
    assert said in page and said not in render(**report)
    assert "<td>\u2013</td>" not in render(**report) and ">null<" not in page


def test_each_track_is_told(report: Report) -> None:
    case = cases(report)["two channels"]
    page = render(**case)
    assert spokesman(case["result"]) == case["result"]["tracks"][1]
    assert "the most suspicious one counts: track 1, channel 2." in page
    assert "They are of track 1, channel 2." in page
    assert '<data class="exact" value="1.23">1.23</data>' in page


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>.wav",
        '"><img src=x onerror=alert(1)>.wav',
        "</style><b>.wav",
        "a\nb\x1b[31m.wav",
        "\u202egpj.exe.wav",
        os.fsdecode(b"\xff\xfe.wav"),
        "-rf.wav",
        "it's $(here) & there.wav",
    ],
)
def test_hostile_names_and_tags_stay_text(name: str, report: Report) -> None:
    origin = copy.deepcopy(report["origin"])
    found = {"code": "text_tag", "seen": f"title: {name}", "proves": "<i>", "absence": "</dd>"}
    origin["findings"] = [found]
    origin["facts"] |= {"library": name, "damage": name, "omitted": "1 of 2 tracks"}
    page = render(**{**report, "name": name, "origin": origin})
    page.encode("utf-8")
    assert "1 of 2 tracks</td>" in page
    tags = {tag for tag, _ in Parsed(page).elements}
    plain = {
        tag
        for tag, _ in Parsed(render(**{**report, "origin": {**origin, "findings": []}})).elements
    }
    assert tags - plain <= {"dl", "dt", "dd", "strong"}
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", page)


def test_the_command_names_the_file_for_a_shell(report: Report) -> None:
    for name, words in {
        "it's here.wav": """bonafide report 'it'"'"'s here.wav' --bundle fast:""",
        "-rf.wav": "bonafide report ./-rf.wav --bundle fast:",
    }.items():
        text = html.unescape(render(**{**report, "name": name}))
        assert f"{words}{report['model']['bundle']['version']} --html report.html" in text


@pytest.mark.parametrize(
    "name",
    [
        *(
            "new\nline.wav",
            "a\nb\x1b[31m.wav",
            "\u202egpj.exe.wav",
            "\u200f1\u2066.wav",
            "\x7f7.wav",
        ),
        *(
            "it's\\here\n.wav",
            "\\n.wav",
            "\n",
            "-rf\n.wav",
            os.fsdecode(b"\xff\xfe\n'1.wav"),
            "ü  .wav",
        ),
    ],
)
def test_a_shell_takes_the_command_s_name_for_the_file(name: str, report: Report) -> None:
    folder = f"../{name}"
    page = html.unescape(render(**{**report, "name": name, "bundle_folder": folder}))
    (command,) = re.findall("<code>(bonafide report .*) --html report.html</code>", page)
    told = subprocess.run(
        ["bash", "-c", f"bonafide() {{ printf '%s\\0' \"$@\"; }}; {command}"],
        stdout=subprocess.PIPE,
        check=True,
    )
    file = f"./{name}" if name.startswith("-") else name
    words = [os.fsencode(word) for word in ("report", file, "--bundle", folder)]
    assert told.stdout.split(b"\0")[:-1] == words


def test_the_scale_at_its_edges() -> None:
    edges = {
        2: ("no support", "weak support"),
        10: ("weak support", "moderate support"),
        100: ("moderate support", "moderately strong support"),
        1_000: ("moderately strong support", "strong support"),
        10_000: ("strong support", "very strong support"),
        1_000_000: ("very strong support", "extremely strong support"),
    }
    for edge, (below, above) in edges.items():
        for sign in (-1, 1):
            assert strength(sign * (math.log(edge) - 1e-5)) == below
            assert strength(sign * math.log(edge)) == above
        shown = float(ratio(math.log(edge) - 1e-5).replace(",", ""))
        assert edge * 0.99 < shown < edge  # never the edge, which has another word
    assert strength(0.0) == "no support" and ratio(0.0) == "1.00"
    assert ratio(900.0) == "1,000,000 or more"  # whose exponential is no float


def test_the_words_name_the_proposition() -> None:
    assert "that a machine made the speech, rather" in supported(-3.0)
    assert "that a person made the speech, rather" in supported(3.0)
    assert (
        supported(0.1)
        == supported(-0.1)
        == ("The findings do not support one proposition over the other.")
    )


def test_the_bounds_of_the_scale_stand_in_the_page(report: Report) -> None:
    rows = re.findall(r"<td>([\d,a-z ]+)</td><td>([a-z ]+ support)", render(**report))
    assert rows == [
        ("1 to 2", "no support"),
        ("2 to 10", "weak support"),
        ("10 to 100", "moderate support"),
        ("100 to 1,000", "moderately strong support"),
        ("1,000 to 10,000", "strong support"),
        ("10,000 to 1,000,000", "very strong support"),
        ("from 1,000,000", "extremely strong support"),
    ]


def test_the_spectrogram_is_the_drawing(report: Report) -> None:
    drawing: Drawing = report["drawing"]
    found = re.search(r'href="data:image/png;base64,([^"]+)"', render(**report))
    assert found
    content = base64.b64decode(found[1])
    assert content == png(255 - drawing.level)
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(np.asarray(image), 255 - drawing.level)


def test_pictures_share_one_axis(report: Report) -> None:
    duration_s = report["result"]["duration_s"]
    labels = [(a, text) for a, text in Parsed(render(**report)).ticks if ":" in text]
    assert [text for _, text in labels] == 3 * [clock(second) for second in ticks(duration_s)]
    for attributes, text in labels:
        minutes, seconds = map(int, text.split(":"))
        place = LEFT + PLOT * (60 * minutes + seconds) / duration_s
        assert float(attributes["x"]) == pytest.approx(place, abs=0.01)


@pytest.mark.parametrize("end_s", [0.4, 9.0, 61.0, 3_600.0, 200_000.0])
def test_ticks_are_few(end_s: float) -> None:
    found = ticks(end_s)
    assert found[0] == 0 and found[-1] <= end_s and len(found) <= 12


def test_bars_are_as_high_as_the_chance(report: Report) -> None:
    segments = [
        {"start_s": 0.0, "end_s": 4.0, "llr": 3.0, "p_spoof": 0.05},
        {"start_s": 4.0, "end_s": 8.0, "llr": 0.0, "p_spoof": 0.5},
        {"start_s": 5.0, "end_s": 9.0, "llr": -3.0, "p_spoof": 0.95},
    ]
    page = Parsed(render(**changed(report, segments=segments)))
    bars = [a for tag, a in page.elements if tag == "rect"]
    assert [bar["class"] for bar in bars] == ["real", "open", "fake"]
    heights = [float(bar["height"]) for bar in bars]
    np.testing.assert_allclose(np.divide(heights, heights[1]) / 2, [0.05, 0.5, 0.95], rtol=0.01)
    assert float(bars[2]["x"]) == pytest.approx(LEFT + PLOT * 8 / 9, abs=0.01)  # not twice


@pytest.fixture(scope="module")
def to_pdf() -> Callable[[str], bytes]:
    try:
        return printer()
    except ConfigError as error:
        assert not os.environ.get("CI"), error
        pytest.skip(str(error))


class TestCommand:
    def test_the_same_bytes_in_another_process(
        self, clip: Path, report: Report, tmp_path: Path, to_pdf: Callable[[str], bytes]
    ) -> None:
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
        page, paper = (tmp_path / "one" / f"report.{kind}" for kind in ("html", "pdf"))
        outputs = ["--html", str(page), "--pdf", str(paper)]
        assert main(["report", str(clip), "--bundle", "fast", *outputs]) == 0
        version = report["model"]["bundle"]["version"]
        words = ["report", clip.name, "--bundle", f"fast:{version}"]
        again = [word.replace("/one/", "/other/") for word in outputs]
        command = [sys.executable, "-m", "bonafide.cli", *words, *again]
        done = subprocess.run(command, cwd=clip.parent, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        for path in (page, paper):
            assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()
        about = {"sha256": file_sha256(clip), "size_bytes": clip.stat().st_size}
        assert page.read_text("utf-8") == render(**{**report, **about})  # as the page makes it
        assert len([*tmp_path.rglob("*.*")]) == 4  # and no draft
        self.check_paper(paper.read_bytes())

    def test_the_command_finds_a_bundle_that_only_its_folder_names(
        self, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, there = tmp_path / "here", tmp_path / "there"
        shutil.copytree(shipped_folder("fast"), here / "my fast")
        there.mkdir()
        shutil.copy(clip, there / "a\nb.wav")
        monkeypatch.chdir(here)
        words = ["report", "../there/a\nb.wav", "--html", "first.html", "--bundle", "my fast"]
        assert main(words) == 0
        page = (here / "first.html").read_text("utf-8")
        (command,) = re.findall("<code>(bonafide report .*)</code>", html.unescape(page))
        assert command.startswith(
            "bonafide report $'a\\012b.wav' --bundle '../here/my fast' --html"
        )
        run = f'bonafide() {{ {sys.executable} -m bonafide.cli "$@"; }}; {command}'
        subprocess.run(["bash", "-c", run], cwd=there, check=True)
        assert (there / "report.html").read_text("utf-8") == page

    @staticmethod
    def check_paper(content: bytes) -> None:
        """It is a tagged PDF in English, without a date."""
        assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
        streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
        inside = content + b"".join(zlib.decompressobj().decompress(each) for each in streams)
        assert b"/Lang (en)" in inside and b"/StructTreeRoot" in inside
        assert not re.search(rb"/(CreationDate|ModDate)", inside)

    def test_what_it_cannot_do_is_said(
        self, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "notes.txt").write_text("no sound\n" * 50)
        out = tmp_path / "out.html"
        for words, code, reason in (
            ((clip,), 2, "give --html FILE, --pdf FILE or both"),
            ((clip, "--html", clip), 2, "is the recording itself; must be another file"),
            ((clip, "--html", out, "--pdf", out), 2, "must be two files"),
            ((clip, "--html", tmp_path / "gone" / "r.html"), 2, "there is no folder"),
            ((clip, "--html", out, "--bundle", "nobody"), 2, "nobody"),
            ((tmp_path / "notes.txt", "--html", out), 1, "[not_audio]"),
            ((tmp_path / "gone.wav", "--html", out), 1, "gone.wav: cannot be read: No such file"),
            ((tmp_path, "--html", out), 1, "cannot be read: Is a directory [unreadable]"),
        ):
            assert main(["report", "--bundle", "fast", *map(str, words)]) == code, words
            assert reason in capsys.readouterr().err
        assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]

    def test_too_little_sound_is_reported_and_no_success(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        short, out = tmp_path / "short.wav", tmp_path / "short.html"
        soundfile.write(short, sound(seconds=0.4), RATE_HZ)
        out.write_text("an older report")
        assert main(["report", str(short), "--bundle", "fast", "--html", str(out)]) == 1
        assert "a verdict needs 1 s" in capsys.readouterr().err
        assert "too little sound for an answer" in out.read_text("utf-8")

    def test_a_file_that_changes_meanwhile_has_no_report(
        self,
        clip: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path, out = tmp_path / "voice.wav", tmp_path / "out.html"
        path.write_bytes(clip.read_bytes())

        def rewritten(*_: Any) -> Drawing:
            path.write_bytes(path.read_bytes() + b"\0")
            return reduce(sound(seconds=1.0))

        monkeypatch.setattr("bonafide.drawing.reduce", rewritten)
        assert main(["report", str(path), "--bundle", "fast", "--html", str(out)]) == 1
        assert "changed while the report was written [unreadable]" in capsys.readouterr().err
        assert not out.exists()

    def test_what_comes_through_a_pipe(self, clip: Path) -> None:
        words = ["report", "-", "--bundle", "fast", "--html", "-"]
        command = [sys.executable, "-m", "bonafide.cli", *words]
        done = subprocess.run(command, input=clip.read_bytes(), capture_output=True)
        assert done.returncode == 0, done.stderr
        page = done.stdout.decode()
        assert page.endswith("</html>") and "bonafide report - --bundle fast:" in page


class TestPaper:
    def test_nothing_is_fetched(self, tmp_path: Path, to_pdf: Callable[[str], bytes]) -> None:
        (tmp_path / "secret.txt").write_text("secret")
        inner = f'<link rel="attachment" href="file://{tmp_path}/secret.txt">'
        content = to_pdf(f"<html><head>{inner}</head><body>x</body></html>")
        assert b"EmbeddedFile" not in content

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (ModuleNotFoundError(name="weasyprint"), r"pip install 'bonafide\[report\]'"),
            (OSError("cannot load library 'libpango-1.0-0'"), "Pango is missing: apt-get install"),
        ],
    )
    def test_what_is_not_installed(
        self, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(name: str, *_: Any) -> Any:
            raise error

        for name in [name for name in sys.modules if name.split(".")[0] == "weasyprint"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr("builtins.__import__", missing)
        with pytest.raises(ConfigError, match=said):
            printer()
