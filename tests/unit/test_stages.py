"""The first stage of a bundle as a bundle of its own, and the two bundles that ship."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from bonafide.bundle import LINEAGE, Bundle, read_bundle
from bonafide.corpora.schema import Corpus
from bonafide.detector import Detector
from bonafide.errors import BonafideError, BundleError
from bonafide.export.rebuild import rebuild
from bonafide.export.stages import first_stage
from bonafide.features.encoder import read_encoder
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.lineage.record import write_lineage
from bonafide.lineage.rows import every_row, hide_name
from bonafide.monitoring.expected import EXPECTED, Expected
from bonafide.training.config import parse_config
from bonafide.training.record import lineage_of, used_rows
from bonafide.training.recordings import Quarantine
from research.shipped import ship
from tests.helpers.lineages import files_of, recordings_of
from tests.helpers.networks import sounds
from tests.helpers.stages import small_encoder, two_stage_bundle


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    noise = np.random.default_rng(2).normal(0, 0.1, (12, 4 * SAMPLE_RATE_HZ))
    return np.concatenate([sounds(12, 4 * SAMPLE_RATE_HZ), noise.astype(np.float32)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, sound: np.ndarray) -> Bundle:
    return two_stage_bundle(tmp_path_factory.mktemp("stages") / "two", sound)


@pytest.fixture(scope="module")
def fast(whole: Bundle, tmp_path_factory: pytest.TempPathFactory, sound: np.ndarray) -> Bundle:
    made = first_stage(whole, tmp_path_factory.mktemp("stages") / "fast", sound)
    return read_bundle(made.folder)


def test_it_answers_as_the_whole_one_where_that_does_not_ask_further(
    whole: Bundle, fast: Bundle, sound: np.ndarray
) -> None:
    before, after = (Detector(bundle).score_windows(sound) for bundle in (whole, fast))
    asked = ~np.isnan(before.models[:, 2])
    assert 0 < asked.sum() < len(asked)
    np.testing.assert_allclose(after.llr[~asked], before.llr[~asked], atol=1e-5)
    assert (np.abs(after.llr - before.llr)[asked] > 1e-3).any()
    np.testing.assert_allclose(after.models, before.models[:, :2], atol=1e-6)
    np.testing.assert_allclose(after.channel, before.channel, atol=1e-6)
    np.testing.assert_allclose(after.distance, before.distance, rtol=1e-5)


def test_its_manifest_is_that_of_the_stage(whole: Bundle, fast: Bundle) -> None:
    (stage,), manifest = fast.stages, fast.manifest
    assert stage == {**whole.stages[0], "prefix": ""}
    for key in ("choice", "calibration", "thresholds", "channel_errors"):
        assert manifest[key] == stage[key]
    assert "route" not in manifest
    assert fast.spec.encoder is None
    assert fast.identity | {"sha256": ""} == {"name": "fast", "version": "3", "sha256": ""}
    assert fast.models == ("low", "both")
    assert set(manifest["labels"]) == set(manifest["hears"]) == {"low", "both"}
    assert {"low", "meta_logistic", "detector"} == set(manifest["parity"])
    assert manifest["parity"]["meta_logistic"] == 3e-7
    assert manifest["metrics"]["eer"] == stage["channel_errors"]["clean"]["eer"]
    assert set(manifest["files"]) == {
        "card.md",
        EXPECTED,
        "detector.onnx",
        *(f"{part}.onnx" for part in fast.parts),
    }
    assert not any("encoder" in name or "fast" in name for name in manifest["files"])


def test_it_expects_what_the_stage_answered(whole: Bundle, fast: Bundle) -> None:
    before, after = Expected.read(whole), Expected.read(fast)
    assert after == Expected(before.channel, {"": before.stages["fast_"]})
    assert {*before.stages[""].models} - {*after.stages[""].models} == {"speech"}


def test_what_is_built_anew_is_the_same(
    whole: Bundle, fast: Bundle, tmp_path: Path, sound: np.ndarray
) -> None:
    for bundle in (whole, fast):
        again = rebuild(bundle, tmp_path / bundle.identity["name"], sound, {})
        assert again.digest() == bundle.digest()


def test_its_card_has_the_results_of_the_stage(whole: Bundle, fast: Bundle) -> None:
    card = (fast.folder / "card.md").read_text()
    assert card.startswith("# fast\n\nThis is the first stage alone of two version 3")
    assert whole.identity["sha256"] in card
    assert "it errs in about 4 of 100 (EER 4.0 % [2.0, 7.0])" in card
    assert "with both stages: On sources it never heard" in card
    titles = [line for line in card.splitlines() if line.startswith("#")]
    assert titles == ["# fast", "## Data", "## Results", "## Channels", "## Limits"]
    assert "| low | 8.0 % |" in card
    assert not any(name in card for name in ("| speech |", "| decision |", "| clean | 2.0 % |"))
    assert "| clean | clean sound | 50 | 4.0 % [2.0, 7.0] | 10 % |" in card


def test_the_second_stage_begins_with_the_models_of_the_first(tmp_path: Path) -> None:
    """As the graph has them, wherever the configuration names the one that hears the encoder."""
    small_encoder(tmp_path / "encoder.onnx")
    dense = {"family": "dense"}
    models = {"speech": {**dense, "hears": ["encoder"]}, "one": dense, "xgboost": {}}
    features = {"encoder": asdict(read_encoder(tmp_path / "encoder.onnx"))}
    config = parse_config({"features": features, "models": models}, "test")
    assert config.stages == (("one", "xgboost"), ("one", "xgboost", "speech"))


def test_a_bundle_of_one_stage_has_none(fast: Bundle, tmp_path: Path, sound: np.ndarray) -> None:
    with pytest.raises(BundleError, match="1 stages; must be two, not adapted") as caught:
        first_stage(fast, tmp_path / "again", sound)
    assert caught.value.code == "no_first_stage"


def test_a_graph_that_differs_from_its_parts_is_refused(
    whole: Bundle, tmp_path: Path, sound: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bonafide.export.stages.fused_difference", lambda *_: 0.01)
    with pytest.raises(BonafideError) as caught:
        first_stage(whole, tmp_path / "fast", sound)
    assert caught.value.code == "parity_failed"


def test_lineage_is_shipped_without_names(whole: Bundle, tmp_path: Path, sound: np.ndarray) -> None:
    corpus = files_of(tmp_path / "corpus", 4)
    recordings = recordings_of(corpus)
    rows = used_rows(recordings, Quarantine((), 4), np.zeros(4, np.bool_))
    (folder := tmp_path / "whole").mkdir()
    whole.save(folder)
    lineage = lineage_of("trained", recordings, rows)
    recorded = write_lineage(folder, whole.manifest, lineage, rows)
    (terms := tmp_path / "terms").write_text("free\n")
    ship(recorded, "7", terms, tmp_path / "shipped", corpus, sound)
    for name in ("default", "fast"):
        shipped = read_bundle(tmp_path / "shipped" / name)
        assert every_row(shipped)["speaker"].to_pylist() == [
            hide_name(f"Ann {number}") for number in range(4)
        ]
        text = (shipped.folder / LINEAGE).read_text()
        assert lineage.code["sha256"] in text and str(tmp_path) not in text
    ship(whole, "7", terms, tmp_path / "bare", corpus, sound)
    bare, shipped = (read_bundle(tmp_path / each / "default") for each in ("bare", "shipped"))
    assert bare.digest() == shipped.digest()


def test_both_bundles_are_shipped(whole: Bundle, tmp_path: Path, sound: np.ndarray) -> None:
    terms = tmp_path / "terms"
    terms.write_text("free\n")
    for _ in range(2):  # the second time in place of what is there
        ship(whole, "7", terms, tmp_path / "shipped", Corpus(tmp_path, []), sound)
    assert {path.name for path in (tmp_path / "shipped").iterdir()} == {"default", "fast"}
    default, fast = (read_bundle(tmp_path / "shipped" / name) for name in ("default", "fast"))
    assert [each.identity["name"] for each in (default, fast)] == ["default", "fast"]
    assert {each.identity["version"] for each in (default, fast)} == {"7"}
    assert (default.folder / "encoder.LICENSE").read_text() == "free\n"
    assert (default.folder / "card.md").read_text().startswith("# default\n\nOn sources")
    seen, source = (Detector(bundle).score_windows(sound).llr for bundle in (default, whole))
    np.testing.assert_array_equal(seen, source)
