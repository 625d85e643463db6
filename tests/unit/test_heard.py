"""The verdict names the channel: thresholds by channel, what that means, and unknown ones."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile

from bonafide.bundle import Bundle, content_sha256, read_bundle, write_bundle
from bonafide.cli import main
from bonafide.corpora.schema import Corpus, Row
from bonafide.detector import Detector
from bonafide.errors import BundleError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.home import SHIPPED, SHIPPED_NAMES
from bonafide.judging import verdict_of
from bonafide.registry import find_bundle
from bonafide.report.words import thresholds_for
from bonafide.scoring import evaluate_corpus
from bonafide.words import channel_in_words, errors_in_words
from serving.app import wording
from serving.app.charts import opinions_chart, timeline_chart
from serving.app.language import Words
from serving.app.verdict import bar
from serving.http.endpoints import find_endpoints
from serving.http.endpoints.model import answer
from serving.http.openapi import document
from tests.helpers.channels import FAR, WRONG, channel_bundle, through
from tests.helpers.coded import CodedDetector, sound_of

EN = Words("en")

SENTENCE = (
    "Sounds like Opus, as voice notes have. Of 100 such recordings 70 get a verdict; "
    "of 100 such verdicts 9 are wrong (95 %: 6 to 12)."
)
HUMAN, FAKE = 3.0, -3.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("heard") / "bundle"
    channel_bundle(folder)
    return read_bundle(folder)


@pytest.fixture(scope="module")
def detector(bundle: Bundle) -> Detector:
    return Detector(bundle)


# --- the rules ------------------------------------------------------------------------------------


def test_the_channel_is_named_with_its_errors(detector: Detector) -> None:
    heard = detector.score(through("opus", FAKE)).to_json()["channel"]
    label = "Opus, as voice notes have"
    assert heard == {
        "name": "opus",
        "p": pytest.approx(1.0, abs=1e-3),
        "label": label,
        "decided": 0.7,
        "wrong": WRONG,
    }
    unmeasured = detector.score(through("telephone", FAKE)).to_json()["channel"]
    assert (unmeasured["decided"], unmeasured["wrong"]) == (None, None)


def test_where_no_verdict_is_given_none_is_said_to_be_right(bundle: Bundle) -> None:
    never = {"rows": 600, "undecided": 1.0, "wrong": {"value": 0.0, "low": 0.0, "high": 0.0}}
    manifest = {**bundle.manifest, "channel_errors": {"opus": never}}
    result = Detector(Bundle(bundle.folder, manifest)).score(through("opus", FAKE)).to_json()
    assert (result["channel"]["decided"], result["channel"]["wrong"]) == (0.0, None)
    assert channel_in_words(result).endswith(
        "On such sound it gives no verdict: it would err too often."
    )


@pytest.mark.parametrize(
    ("channel", "llr", "verdict"),
    [
        ("clean", 2.0, "bonafide"),  # p_spoof 0.12
        ("opus", 2.0, "inconclusive"),
        ("opus", 3.0, "bonafide"),  # 0.05
        ("clean", -2.0, "spoof"),  # 0.88
        ("opus", -3.0, "inconclusive"),  # 0.95
        ("opus", -4.0, "spoof"),
        ("telephone", -3.0, "spoof"),
        ("telephone", 4.5, "inconclusive"),  # never called bona fide
    ],
)
def test_thresholds_are_those_of_the_channel(
    channel: str, llr: float, verdict: str, detector: Detector
) -> None:
    detection = detector.score(through(channel, llr))
    assert detection.verdict == verdict
    assert detection.llr == pytest.approx(llr, abs=0.01)
    assert detection.warnings == ()


def test_a_verdict_of_null_is_never_given() -> None:
    never = {"bonafide_to": None, "spoof_from": None}
    assert {verdict_of(p, never) for p in (0.0, 0.5, 1.0)} == {"inconclusive"}


def test_the_channel_is_that_of_the_mean_posterior(detector: Detector) -> None:
    both = np.concatenate([through("opus", FAKE, FAKE), through("clean", FAKE)])
    heard = detector.score(both).channel
    assert heard is not None and heard.name == "opus"
    assert heard.p == pytest.approx(2 / 3, abs=0.01)


def test_models_are_means_over_the_windows_that_asked_them(
    detector: Detector, bundle: Bundle
) -> None:
    last = bundle.models[-1]
    clean = detector.score(through("clean", 1.0))
    assert clean.models[last] is None and clean.to_json()["models"][last] is None
    assert None not in [clean.models[name] for name in bundle.models[:-1]]
    alone = detector.score(through("opus", -1.0)).models[last]
    both = np.concatenate([through("clean", 1.0), through("opus", -1.0)])
    mixed = detector.score(both)
    assert mixed.models[last] == pytest.approx(alone, abs=1e-5)
    json.dumps(mixed.to_json(), allow_nan=False)


def test_a_channel_unlike_all_gets_no_verdict(detector: Detector) -> None:
    near = detector.score(sound_of(-4.5) + np.float32(FAR - 0.01))
    assert (near.verdict, near.warnings) == ("spoof", ())
    far = detector.score(sound_of(-4.5) + np.float32(FAR + 0.01))
    (caution,) = far.warnings
    assert (far.verdict, caution.code) == ("inconclusive", "unknown_channel")
    assert far.has_verdict  # a result like others, and no failure
    assert far.channel is not None


def test_a_channel_unlike_all_has_no_parts(detector: Detector) -> None:
    windows = [*[HUMAN] * 4, FAKE, FAKE, *[HUMAN] * 5]
    assert detector.score(through("clean", *windows)).verdict == "partly_spoof"
    far = detector.score(sound_of(*windows) + np.float32(FAR + 0.01))
    assert (far.verdict, far.parts) == ("inconclusive", ())


def test_parts_are_a_verdict_of_spoof(tmp_path: Path) -> None:
    """Where that is never given, there are none."""
    never = {"opus": {"bonafide_to": 0.1, "spoof_from": None}}
    thresholds = {"bonafide_to": 0.15, "spoof_from": 0.85, "parts_from": 3.5, "channels": never}
    detector = Detector(channel_bundle(tmp_path / "b", thresholds=thresholds))
    windows = [*[HUMAN] * 4, FAKE, FAKE, *[HUMAN] * 5]
    assert detector.score(through("clean", *windows)).parts
    found = detector.score(through("opus", *windows))
    assert (found.verdict, found.parts) == ("inconclusive", ())


def test_of_silence_no_channel_is_heard(detector: Detector) -> None:
    assert detector.score(np.zeros(SAMPLE_RATE_HZ * 5, np.float32)).channel is None


def test_too_little_sound_is_said_before_the_channel(detector: Detector) -> None:
    short = detector.score(sound_of(-4.5, n_samples=8_000) + np.float32(FAR + 0.1))
    assert "unknown_channel" not in [caution.code for caution in short.warnings]
    assert short.verdict == "inconclusive"


def test_tracks_name_their_own(detector: Detector) -> None:
    sound = through("opus", FAKE)
    found = detector.score(wav(np.stack([sound, -sound], axis=1)))  # inverted, it is a telephone's
    names = [track.channel.name for track in found.tracks if track.channel]
    assert names == ["opus", "telephone"]
    assert [track.channel_number for track in found.tracks] == [1, 2]


def test_older_bundles_name_no_channel() -> None:
    found = CodedDetector().score(sound_of(FAKE))
    assert found.channel is None and found.to_json()["channel"] is None
    assert found.verdict == "spoof"


def test_windows_are_scored_with_channel_and_distance(detector: Detector) -> None:
    scores = detector.score_windows(np.stack([through("clean", 1.0), through("opus", 1.0)]))
    assert scores.channel is not None and scores.channel.argmax(axis=1).tolist() == [0, 1]
    assert scores.distance is not None and scores.distance.tolist() == pytest.approx(
        [0, 1], abs=0.1
    )
    assert math.isnan(scores.models[0, -1]) and not np.isnan(scores.models[1]).any()
    assert CodedDetector().score_windows(through("clean", 1.0)[None]).channel is None


# --- the manifest ---------------------------------------------------------------------------------


def test_parts_of_a_bundle_with_channels(bundle: Bundle) -> None:
    names = [*bundle.models, "fast_meta_logistic", "fast_meta_xgboost"]
    assert bundle.parts == (
        *("frontend", "scaler", "router", "encoder"),
        *(*names, "meta_logistic", "meta_xgboost"),
    )
    with_encoder = {**bundle.manifest["feature_spec"], "encoder": {"sha256": "0"}}
    other = Bundle(bundle.folder, {**bundle.manifest, "feature_spec": with_encoder})
    assert other.parts[2:4] == ("router", "encoder")
    assert bundle.manifest["format"] == 3


def test_what_older_manifests_lack_is_derived() -> None:
    older = CodedDetector().bundle
    assert older.channels == () and older.channel_errors == {}
    assert older.hears == {name: ["statistics"] for name in older.models}
    (stage,) = older.stages
    assert (stage["prefix"], tuple(stage["models"])) == ("", older.models)
    assert stage["choice"] == older.manifest["choice"]
    assert older.parts[-2:] == ("meta_logistic", "meta_xgboost")


STAGE = {"prefix": "", "models": ["cnn"], "choice": "logistic", "calibration": {}}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no stages": ({"stages": None}, "stages=None: must be a list of one or two"),
    "three stages": ({"stages": [STAGE] * 3}, "must be a list of one or two"),
    "prefix": ({"stages": [{**STAGE, "prefix": "fast_"}]}, "the last one's prefix must be empty"),
    "two of a prefix": ({"stages": [STAGE] * 2}, "must be empty, and no other's"),
    "stage's model": ({"stages": [{**STAGE, "models": ["tcn"]}]}, "'tcn' must be one of "),
    "choice": ({"stages": [{**STAGE, "choice": "best"}]}, "'best' must be one of logistic, xgb"),
    "calibration": ({"stages": [{**STAGE, "calibration": 0}, {}]}, "prefix"),
    "no route": ({"route": None}, "NoneType"),
    "hears": ({"hears": {}}, "cnn"),
    "hears nothing": ({"hears": {"tcn": ["statistics"]}}, "hears: 'tcn' must be one of "),
    "no channels": ({"channels": []}, r"channels=\[\]: must be a list of names"),
    "no label": ({"channels": [{"name": "a"}]}, "label"),
    "label": ({"channels": [{"name": "a", "label": 1}]}, "label 1 must be a text"),
    "two of a name": (
        {"channels": [{"name": "a", "label": "x"}] * 2},
        "must not hold a name twice",
    ),
    "thresholds of none": (
        {"thresholds": {"channels": {"gsm": {}}}},
        "thresholds of a channel: 'gsm' must be one of clean, opus, telephone",
    ),
    "side": ({"thresholds": {"channels": {"opus": {"from": 1}}}}, "'from' must be one of bona"),
    "threshold": (
        {"thresholds": {"channels": {"opus": {"spoof_from": "high"}}}},
        "spoof_from of opus='high': must be from 0 to 1, or null",
    ),
    "undecided": ({"channel_errors": {"opus": {"undecided": "x"}}}, "undecided='x' of opus"),
    "wrong": (
        {"channel_errors": {"opus": {"undecided": 0.5, "wrong": 0.1}}},
        "wrong of opus: 0.1: must be a value from 0 to 1 and its interval's ends",
    ),
    "errors of none": ({"channel_errors": {"gsm": {}}}, "channel_errors of a channel: 'gsm'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_manifest_that_is_not_whole_is_refused(case: str, bundle: Bundle, tmp_path: Path) -> None:
    entries, said = BAD[case]
    write_bundle(tmp_path, {**bundle.manifest, **entries})
    with pytest.raises(BundleError, match=said) as caught:
        read_bundle(tmp_path)
    assert caught.value.code == "bad_manifest"


@pytest.mark.parametrize("key", ["stages", "hears"])
def test_an_entry_that_is_missing_is_refused(key: str, bundle: Bundle, tmp_path: Path) -> None:
    write_bundle(tmp_path, {name: value for name, value in bundle.manifest.items() if name != key})
    with pytest.raises(BundleError, match=key):
        read_bundle(tmp_path)


def test_channels_are_of_format_3(bundle: Bundle, tmp_path: Path) -> None:
    older = {**bundle.manifest, "format": 2}
    older["sha256"] = content_sha256(older)
    (tmp_path / "manifest.json").write_text(json.dumps(older))
    with pytest.raises(BundleError, match="format 2: must be 3, as there are channels"):
        read_bundle(tmp_path)


def test_a_graph_without_channels_is_refused(bundle: Bundle) -> None:
    known = [*bundle.manifest["channels"], {"name": "gsm", "label": "GSM"}]
    with pytest.raises(BundleError, match="output channel has shape") as caught:
        Detector(Bundle(bundle.folder, {**bundle.manifest, "channels": known}))
    assert caught.value.code == "bad_graph"


# --- two bundles ship -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_two_bundles_ship(name: str, tmp_path: Path) -> None:
    detector = Detector.shipped(name)
    assert detector.bundle.identity["name"] == name
    assert detector.bundle.folder == SHIPPED.parent / name
    assert find_bundle(tmp_path, name) == detector.bundle
    assert find_bundle(tmp_path, f"{name}:{detector.bundle.identity['version']}") == detector.bundle


def test_no_other_ships() -> None:
    assert Detector.shipped().bundle.folder == SHIPPED
    with pytest.raises(BundleError, match="slow: no shipped bundle; must be one of default, fast"):
        Detector.shipped("slow")


# --- in words -------------------------------------------------------------------------------------


def wav(waveform: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLE_RATE_HZ, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for name, sound in {
        "a.wav": through("opus", FAKE),
        "b.wav": through("opus", HUMAN),
        "c.wav": through("telephone", FAKE),
        "d.wav": sound_of(-4.5) + np.float32(FAR + 0.01),
    }.items():
        (folder / name).write_bytes(wav(sound))
    return folder


def scored(style: str, folder: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> str:
    words = ["score", str(folder), "--bundle", str(bundle.folder), "--format", style]
    assert main(words) == 0
    return capsys.readouterr().out


def test_the_table_names_the_channel_and_says_once_what_it_means(
    folder: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = scored("table", folder, bundle, capsys).splitlines()
    heading = lines[0]
    assert heading.split() == ["verdict", "p_spoof", "llr", "seconds", "channel", "file"]
    rows = [line for line in lines[1:] if line.endswith(".wav")]
    seen = [row[heading.index("channel") :].split()[0] for row in rows]
    assert seen == ["opus", "opus", "telephone", "opus"]
    assert [row.rindex(str(folder)) for row in rows] == [heading.index("file")] * 4
    below = [line.strip() for line in lines[1:] if line not in rows]
    assert below == [
        SENTENCE,
        "Sounds like a telephone call. How many verdicts on such sound are wrong was not measured.",
        "unknown_channel: it went through a channel unlike all that the detector knows, so no "
        "verdict is given",
    ]


def test_csv_and_jsonl_have_the_channel(
    folder: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(csv.DictReader(io.StringIO(scored("csv", folder, bundle, capsys))))
    assert [row["channel"] for row in rows] == ["opus", "opus", "telephone", "opus"]
    assert all(float(row["channel_p"]) > 0.9 for row in rows)
    results = [json.loads(line) for line in scored("jsonl", folder, bundle, capsys).splitlines()]
    assert results[0]["channel"]["wrong"] == WRONG
    assert results[3]["warnings"][0]["code"] == "unknown_channel"


def test_the_answer_is_what_the_document_says(detector: Detector, bundle: Bundle) -> None:
    written = document(find_endpoints())
    schemas = json.loads(json.dumps(written["components"]["schemas"]))
    whole = {"components": {"schemas": schemas}, "$ref": "#/components/schemas/Detection"}
    assert {"name", "p", "label", "decided", "wrong"} == schemas["ChannelHeard"][
        "properties"
    ].keys()
    for sound in (through("opus", FAKE), through("clean", 1.0), sound_of(1.0) + np.float32(0.5)):
        jsonschema.validate(detector.score(sound).to_json(), whole)
    jsonschema.validate(CodedDetector().score(sound_of(FAKE)).to_json(), whole)


def test_the_model_tells_stages_route_and_errors(bundle: Bundle) -> None:
    told = answer(bundle)
    assert [stage["prefix"] for stage in told.stages] == ["fast_", ""]
    assert told.route == bundle.manifest["route"]
    assert [channel["name"] for channel in told.channels] == list(bundle.channels)
    assert told.channel_errors["opus"]["wrong"] == WRONG
    older = answer(CodedDetector().bundle)
    assert (older.channels, older.channel_errors, older.route) == ([], {}, None)
    assert len(older.stages) == 1


@pytest.mark.parametrize(
    ("wrong", "decided", "said"),
    [
        ((0.093, 0.06, 0.118), 0.31, ("31 get", "9 are wrong (95 %: 6 to 12)")),
        ((0.012, 0.0, 0.03), 0.9, ("90 get", "1 is wrong (95 %: 0 to 3)")),
        ((0.02, 0.0, 0.04), 0.01, ("1 gets", "2 are wrong (95 %: 0 to 4)")),
        ((0.0, 0.0, 0.02), 0.003, ("under 1 gets", "under 1 is wrong (95 %: 0 to 2)")),
    ],
)
def test_error_rates_in_words(
    wrong: tuple[float, float, float], decided: float, said: tuple[str, str]
) -> None:
    """Each number says what it is of: 100 recordings, or 100 verdicts."""
    share = dict(zip(("value", "low", "high"), wrong, strict=True))
    assert errors_in_words({"decided": decided, "wrong": share}) == (
        f"Of 100 such recordings {said[0]} a verdict; of 100 such verdicts {said[1]}."
    )


def test_a_corpus_is_told_by_channel(detector: Detector, folder: Path) -> None:
    labels = {"a.wav": "spoof", "b.wav": "bonafide", "c.wav": "spoof"}
    corpus = Corpus(folder, [Row(name, label) for name, label in labels.items()])
    notes = evaluate_corpus(detector, corpus, progress=lambda *_: None).evaluation.notes
    assert f"Channel, 2 of 3: s{SENTENCE[1:]}" in notes


def shown(detector: Detector, bundle: Bundle, sound: np.ndarray) -> tuple[Any, Any]:
    result = detector.score(sound).to_json()
    return result, thresholds_for(result, {"thresholds": bundle.manifest["thresholds"]})


def test_the_page_goes_by_the_channels_thresholds(detector: Detector, bundle: Bundle) -> None:
    result, thresholds = shown(detector, bundle, through("opus", 0.0))
    assert channel_in_words(result) == SENTENCE
    assert "lies between 10 % and 97 %" in wording.undecided(EN, thresholds)
    assert 'aria-label="Chance of a deepfake: 50 %. Real up to 10 %, deepfake from 97 %."' in bar(
        EN, result["p_spoof"], thresholds
    )


def test_the_page_says_that_a_verdict_is_never_given(detector: Detector, bundle: Bundle) -> None:
    result, thresholds = shown(detector, bundle, through("telephone", 4.0))
    said = wording.undecided(EN, thresholds)
    assert "never calls a recording real, and a deepfake only from 90 %" in said
    assert "Never real, deepfake from 90 %" in bar(EN, result["p_spoof"], thresholds)
    assert timeline_chart(EN, result["segments"], 4.0, thresholds).to_dict()
    never = {"bonafide_to": 0.1, "spoof_from": None}
    assert "never calls a recording a deepfake, and real only up to 10 %" in wording.undecided(
        EN, never
    )
    assert "Real up to 10 %, never deepfake" in bar(EN, 0.5, never)
    neither = {"bonafide_to": None, "spoof_from": None}
    assert "errs too often for any verdict" in wording.undecided(EN, neither)


def test_the_page_says_what_an_unknown_channel_is(detector: Detector, bundle: Bundle) -> None:
    result, _ = shown(detector, bundle, sound_of(-4.5) + np.float32(FAR + 0.01))
    assert wording.is_unknown(result) and channel_in_words(result) == ""
    assert "so there is no verdict" in wording.warning(EN, result["warnings"][0]).lower()


def test_a_model_that_was_not_asked_is_named(detector: Detector, bundle: Bundle) -> None:
    result, thresholds = shown(detector, bundle, through("clean", 1.0))
    labels = {bundle.models[-1]: "Encoder"}
    said = wording.opinions(EN, result, labels)
    assert said.endswith("Not asked, as the others left no doubt: Encoder.")
    drawn = opinions_chart(EN, result, {"thresholds": thresholds, "manifest": {"labels": labels}})
    assert json.dumps(drawn.to_dict()).count('"kind": "model"') == len(bundle.models) - 1
    asked = detector.score(through("opus", 1.0)).to_json()
    assert "Not asked" not in wording.opinions(EN, asked, labels)
