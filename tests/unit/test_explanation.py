"""Explanations: values that add up, what was planted is found, and the right sound is explained."""

import json
import re
import shutil
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.sounds import Samples, encode, speech
from bonafide.audio import AudioStream, decode, tile
from bonafide.bundle import Bundle, write_bundle
from bonafide.cli import main
from bonafide.corpora import read_corpus
from bonafide.detection import Detection, Part, Segment
from bonafide.detector import Detector
from bonafide.errors import AudioError, BundleError
from bonafide.explanation import Explained, Explainer
from bonafide.explanation.bands import EDGES_HZ, Bands, as_bands, band_gains
from bonafide.explanation.explainer import MOST_WINDOWS, _answered, _most
from bonafide.explanation.focus import focus_of, in_words, shortest_run
from bonafide.explanation.opinions import MOST_MODELS, FirstStage, Stage
from bonafide.explanation.seconds import keep_seconds, second_edges, second_shares
from bonafide.explanation.shapley import shapley_values
from bonafide.explanation.types import Band, Focus, Second
from bonafide.export.rebuild import WORKED_OUT
from bonafide.home import shipped_folder
from bonafide.words import channel_in_words, explanation_in_words
from tests.helpers.stages import two_stage_bundle

SIZE = 64_000
WORTH = arrays(np.float64, 16, elements=st.floats(-10, 10))
N_BANDS = len(EDGES_HZ) - 1


@pytest.fixture(scope="module", params=["default", "fast"])
def explainer(request: pytest.FixtureRequest) -> Explainer:
    return Explainer(Detector.shipped(request.param))


@pytest.fixture(scope="module")
def fast() -> Explainer:
    return Explainer(Detector.shipped("fast"))


@pytest.fixture(scope="module")
def noisy() -> Samples:
    """A window in the channel of which the first stage leaves the answer to the second."""
    rng = np.random.default_rng(0)
    return (speech(4.0) + 0.05 * rng.normal(size=SIZE)).astype(np.float32).clip(-1, 1)


class TestValues:
    @given(WORTH)
    def test_each_is_the_mean_of_what_a_player_adds_over_all_orders(self, worth: Any) -> None:
        expected = np.zeros(4)
        orders = list(permutations(range(4)))
        for order in orders:
            joined = 0
            for player in order:
                expected[player] += (worth[joined | 1 << player] - worth[joined]) / len(orders)
                joined |= 1 << player
        np.testing.assert_allclose(shapley_values(worth), expected, atol=1e-9)
        assert shapley_values(worth).sum() == pytest.approx(worth[-1] - worth[0], abs=1e-9)

    def test_many_games_are_valued_at_once(self) -> None:
        worth = np.random.default_rng(1).normal(size=(8, 5))
        each = np.stack([shapley_values(one) for one in worth.T], axis=1)
        np.testing.assert_allclose(shapley_values(worth), each)


class TestSeconds:
    @given(st.integers(1, 2 * SIZE))
    def test_edges_cut_what_was_heard_into_pieces_of_about_a_second(self, n_samples: int) -> None:
        edges = second_edges(n_samples, SIZE)
        assert edges[0] == 0 and edges[-1] == min(n_samples, SIZE) and edges == sorted(set(edges))
        assert len(edges) == 2 or 10_000 < np.diff(edges).min() <= np.diff(edges).max() < 24_000

    def test_what_is_kept_follows_each_other(self) -> None:
        window = np.repeat(np.arange(1, 5, dtype=np.float32), 16_000)
        edges = second_edges(SIZE, SIZE)
        assert keep_seconds(window, edges, np.ones(4, bool)) is window
        kept = keep_seconds(window, edges, np.array([True, False, True, False]))
        assert len(kept) == SIZE and set(np.unique(kept)) >= {1.0, 3.0}
        assert not np.isin(kept, [2.0, 4.0]).any() or np.mean(kept == 2.0) < 0.01

    @pytest.mark.parametrize("second", range(4))
    def test_a_planted_second_is_found_and_all_sum_to_the_score(self, second: int) -> None:
        window = speech(4.0)
        place = slice(second * 16_000, (second + 1) * 16_000)
        window[place] = 0.9 * np.sign(window[place])

        def score(windows: Any) -> Any:
            return -10 * (np.abs(windows) > 0.8).mean(axis=1) + 1

        found = second_shares(window, 32_000, 200_000, score)
        assert np.argmin([each.llr for each in found]) == second
        assert sum(each.llr for each in found) == pytest.approx(score(window[None])[0])
        assert [(each.start_s, each.end_s) for each in found] == [(2 + k, 3 + k) for k in range(4)]

    def test_seconds_without_sound_add_nothing(self) -> None:
        window = speech(4.0)
        window[:32_000] = 0
        found = second_shares(window, 0, SIZE, lambda windows: np.full(len(windows), -3.0))
        assert [each.llr for each in found] == pytest.approx([0, 0, -1.5, -1.5])


class TestBands:
    def test_nothing_neutral_is_the_window_and_all_have_its_spectrum(self) -> None:
        window = speech(4.0)
        bands = Bands(window)
        none, every = np.zeros(N_BANDS, bool), np.ones(N_BANDS, bool)
        np.testing.assert_allclose(bands.neutral(none), window, atol=1e-6)
        for band in range(N_BANDS):
            changed = bands.neutral(every & (np.arange(N_BANDS) == band))
            assert in_band(changed, band) == pytest.approx(in_band(window, band), rel=0.25)
            others = [other for other in range(N_BANDS) if abs(other - band) > 1]
            assert all(
                in_band(changed, other) == pytest.approx(in_band(window, other), rel=0.05)
                for other in others
            )

    @pytest.mark.parametrize("band", range(N_BANDS))
    def test_a_planted_band_is_found(self, band: int) -> None:
        rng = np.random.default_rng(band)
        window = 0.01 * rng.normal(size=SIZE).astype(np.float32)
        tone = (EDGES_HZ[band] + EDGES_HZ[band + 1]) / 2
        window += 0.2 * np.sin(2 * np.pi * tone * np.arange(SIZE) / 16_000).astype(np.float32)

        def score(windows: Any) -> Any:  # low where one frequency stands out
            power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
            return -np.log(power.max(axis=1) / np.median(power, axis=1))

        found = as_bands(band_gains(window, score), np.zeros((2, N_BANDS)))
        assert np.argmin([each.unusual for each in found]) == band
        assert (found[band].low_hz, found[band].high_hz) == EDGES_HZ[band : band + 2]

    def test_silence_has_no_rhythm_and_stays_silent(self) -> None:
        bands = Bands(np.zeros(SIZE, np.float32))
        assert not bands.neutral(np.ones(N_BANDS, bool)).any()
        assert not bands.others().any()

    def test_others_are_as_loud_and_differ(self) -> None:
        window = speech(4.0)
        others = Bands(window).others()
        assert others.shape == (3, N_BANDS, SIZE)
        for band in range(N_BANDS):
            each = [in_band(other[band], band) for other in others]
            assert each == pytest.approx([in_band(window, band)] * 3, rel=0.25)
            assert not np.allclose(others[0, band], others[1, band], atol=1e-4)

    def test_what_a_neighbour_holds_is_moved(self) -> None:
        tones = np.sin(2 * np.pi * np.outer([1_300, 2_400], np.arange(SIZE)) / 16_000)
        window = (0.1 * tones.sum(axis=0)).astype(np.float32)
        _, below, above = Bands(window).others()
        hz = np.fft.rfftfreq(SIZE, 1 / 16_000)

        def loudest(sound: Any) -> list[float]:
            return sorted(hz[np.argsort(np.abs(np.fft.rfft(sound)))[-2:]].tolist())

        assert loudest(below[2]) == [1_300, 2_300]
        assert loudest(above[1]) == [1_400, 2_400]
        assert not np.allclose(below[1], window, atol=1e-4)  # its neighbour is silent: noise


def restated(explainer: Explainer, stated: Any, folder: Path) -> Bundle:
    """Write the bundle `fast` with other typical bands."""
    shutil.copytree(shipped_folder("fast"), folder / "b")
    manifest = {**explainer.detector.bundle.manifest, "typical_bands": stated}
    return write_bundle(folder / "b", {k: v for k, v in manifest.items() if k not in WORKED_OUT})


def in_band(window: Any, band: int) -> float:
    hz = np.fft.rfftfreq(len(window), 1 / 16_000)
    inside = (hz >= EDGES_HZ[band]) & (hz < EDGES_HZ[band + 1])
    return float(np.linalg.norm(np.fft.rfft(window)[inside]))


class TestOpinions:
    def test_the_first_stage_alone_is_what_answers_sure_windows(
        self, real_clips: list[Path]
    ) -> None:
        detector = Detector.shipped()
        sound = np.stack([tile(decode(path), SIZE) for path in real_clips])
        scores = detector.score_windows(sound)
        sure = np.isnan(scores.models).any(axis=1)
        assert sure.any() and not sure.all()
        first = FirstStage(detector.bundle).score_windows(sound)
        np.testing.assert_allclose(first[sure], scores.llr[sure], atol=1e-3)
        assert np.abs(first - scores.llr)[~sure].min() > 1e-3

    def test_both_stages_add_up(self, real_clips: list[Path]) -> None:
        explainer = Explainer(Detector.shipped())
        for path in real_clips[:4]:
            consistent(explainer.explain(path), explainer.detector.score(path))

    def test_too_many_models_are_refused_before_anything_is_loaded(self) -> None:
        names = [f"m{number}" for number in range(MOST_MODELS + 1)]
        entries = {"models": names, "choice": "logistic", "calibration": {}}
        with pytest.raises(BundleError, match="15 base models in a stage; at most 14") as raised:
            Stage(Bundle(Path("b"), entries), -1)
        assert raised.value.code == "too_many_models"


def consistent(explained: Explained, detection: Detection) -> None:
    """Check that an explanation adds up to the detection, which it leaves as it is."""
    kept = explained.to_json()
    said = kept.pop("explanation")
    assert kept == detection.to_json()
    models = [value for value in explained.explanation.models.values() if value is not None]
    total = sum(models) + explained.explanation.base
    assert total == pytest.approx(detection.llr, abs=2e-3)
    for window in explained.explanation.windows:
        own = [
            each.llr
            for each in explained.explanation.seconds
            if window.start_s <= each.start_s and each.end_s <= window.end_s + 1e-6
        ]
        if len(detection.segments) == 1:
            assert sum(own) == pytest.approx(window.llr, abs=2e-3)
    assert json.loads(json.dumps(said)) == said


TOO_ODD = [[0.0] * 7, ["1"] * N_BANDS, [True] * N_BANDS, [10**400] * N_BANDS, [1e308] * N_BANDS]
TOO_ODD += [[row] * 2 for row in TOO_ODD]


class TestExplainer:
    @pytest.mark.parametrize("seconds", [1.2, 4.0, 9.4])
    def test_it_adds_up_and_leaves_the_verdict_as_it_is(
        self, explainer: Explainer, seconds: float
    ) -> None:
        sound = speech(seconds)
        consistent(explainer.explain(sound), explainer.detector.score(sound))

    def test_windows_that_the_last_stage_answers_add_up_too(self, noisy: Samples) -> None:
        explainer = Explainer(Detector.shipped())
        detection = explainer.detector.score(noisy)
        assert None not in detection.models.values()  # all were asked
        consistent(explainer.explain(noisy), detection)

    def test_an_adapted_bundle_adds_up(self, tmp_path: Path) -> None:
        sound = np.stack([speech(4.0), speech(4.0)[::-1]])
        bundle = two_stage_bundle(tmp_path / "two", sound)
        explainer = Explainer(Detector(bundle))
        consistent(explainer.explain(sound[0]), explainer.detector.score(sound[0]))

    def test_the_same_sound_has_the_same_explanation(self, fast: Explainer) -> None:
        content = encode(speech(9.0), "flac")
        assert fast.explain(content).to_json() == fast.explain(content).to_json()

    def test_of_a_long_recording_the_windows_that_say_most(self, fast: Explainer) -> None:
        explained = fast.explain(speech(60.0))
        windows = explained.explanation.windows
        assert len(windows) == MOST_WINDOWS < len(explained.segments)
        towards = np.sign(explained.llr)
        rest = [s.llr for s in explained.segments if s.start_s not in {w.start_s for w in windows}]
        assert min(towards * w.llr for w in windows) >= max(towards * llr for llr in rest) - 0.01
        assert [w.start_s for w in windows] == sorted(w.start_s for w in windows)
        looked_at = f"speak most for the answer, {MOST_WINDOWS} of {len(explained.segments)}. "
        assert looked_at in explained.explanation.summary
        assert looked_at in explanation_in_words(explained.to_json())[0]

    def test_of_windows_that_say_as_much_those_from_all_over(self) -> None:
        tied = {10 + row: 2.0 + 0.001 * (row >= 250) for row in range(500)}  # by rounding
        taken = sorted(_most(tied))
        assert len(taken) == MOST_WINDOWS and max(np.diff([10, *taken, 510])) < 150
        assert {13, 410} < _most({**tied, 13: 2.1, 410: 2.1})
        assert _most({4: 1.0, 7: 2.0}) == {4, 7}

    def test_of_a_recording_with_parts_what_sounds_generated_in_them(self, fast: Explainer) -> None:
        llrs = (2.0, -3.0, 0.2, -2.5, 2.0, -1.0)
        segments = [Segment(4.0 * k, 4.0 * k + 4, llr, 0.5) for k, llr in enumerate(llrs)]
        whole = fast.explain(speech(24.0))
        partly = replace(whole, segments=tuple(segments), parts=(Part(4.0, 16.0, 0.9),))
        assert _answered(partly) == [1, 3]
        assert _answered(replace(partly, parts=())) == list(range(6))

    def test_parts_are_explained_by_windows_in_them_alone(
        self, fast: Explainer, corpus_folder: Path
    ) -> None:
        rows = [row for row in read_corpus(corpus_folder).rows if row.source == "b04901014/MQTTS"]
        real, fake = (
            np.concatenate([decode(corpus_folder / row.path) for row in rows if row.label == label])
            for label in ("bonafide", "spoof")
        )
        parts = [np.tile(real, 3)[: 44 * 16_000], fake[: 12 * 16_000], real[: 12 * 16_000]]
        found = fast.explain(np.concatenate(parts))
        assert found.verdict == "partly_spoof" and found.llr > 0
        (part,), explanation = found.parts, found.explanation
        assert 1 <= len(explanation.windows) <= 3
        for window in explanation.windows:
            assert part.start_s <= window.start_s < part.end_s and window.llr < 0
        focus = explanation.focus
        assert focus and part.start_s <= focus.start_s < focus.end_s <= part.end_s
        of_models = [value for value in explanation.models.values() if value is not None]
        own = np.mean([window.llr for window in explanation.windows])
        assert sum(of_models) + explanation.base == pytest.approx(own, abs=2e-3)
        assert "at most one false part an hour" in channel_in_words(found.to_json())

    def test_nothing_to_score_is_nothing_to_explain(self, fast: Explainer) -> None:
        explanation = fast.explain(np.zeros(32_000, np.float32)).explanation
        assert explanation.focus is None and explanation.summary.startswith("Nothing")
        assert not explanation.seconds and set(explanation.models.values()) == {None}

    def test_the_channel_that_speaks_for_the_file_is_explained(self, fast: Explainer) -> None:
        left, right = speech(8.0), np.roll(speech(8.0)[::-1], 40_000)
        content = encode(np.stack([left, right], axis=1), "wav")
        explained = fast.explain(content)
        assert len(explained.tracks) == 2
        speaks = max(range(2), key=lambda n: explained.tracks[n].p_spoof)
        alone = fast.explain(replace(AudioStream(content), channel=speaks, track=0))
        assert explained.llr == alone.llr
        assert explained.explanation == alone.explanation

    def test_bands_are_told_with_what_is_typical(self, fast: Explainer) -> None:
        stated = fast.detector.bundle.manifest["typical_bands"]
        bands = fast.explain(speech(4.0)).explanation.bands
        over_noise, over_all = stated
        assert [each.typical for each in bands] == over_noise and len(set(over_noise)) == N_BANDS
        again = band_gains(speech(4.0), FirstStage(fast.detector.bundle).score_windows)
        assert [each.unusual for each in bands] == pytest.approx(again[1] - over_all, abs=1e-4)

    def test_an_older_manifest_states_another_measure(
        self, fast: Explainer, tmp_path: Path
    ) -> None:
        stated = fast.detector.bundle.manifest["typical_bands"][0]
        older = Explainer(Detector(restated(fast, stated, tmp_path)))
        bands = older.explain(speech(4.0)).explanation.bands
        assert {each.typical for each in bands} == {None}
        again = band_gains(speech(4.0), FirstStage(older.detector.bundle).score_windows)
        assert [each.unusual for each in bands] == pytest.approx(again[1], abs=1e-4)
        said = older.explain(speech(4.0)).explanation.summary
        assert said.endswith("that speak for one side in nearly every recording.")

    @pytest.mark.parametrize("stated", [*TOO_ODD, None, 1.0, [[0.0] * N_BANDS] * 3])
    def test_a_manifest_that_states_something_else_is_refused(
        self, fast: Explainer, stated: Any, tmp_path: Path
    ) -> None:
        bundle = restated(fast, stated, tmp_path)
        with pytest.raises(
            BundleError, match=r"typical_bands=.*: must be two lists of 8"
        ) as raised:
            Explainer(Detector(bundle))
        assert raised.value.code == "bad_manifest"

    def test_a_recording_that_changes_meanwhile_is_noticed(
        self, fast: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (path := tmp_path / "a.wav").write_bytes(encode(speech(9.0), "wav"))
        score = fast.detector.score

        def then_cut(source: Any) -> Detection:
            detection = score(source)
            path.write_bytes(encode(speech(4.0), "wav"))
            return detection

        monkeypatch.setattr(fast.detector, "score", then_cut)
        with pytest.raises(AudioError, match="changed while it was explained") as raised:
            fast.explain(path)
        assert raised.value.code == "unreadable"

    def test_a_folder_that_changed_meanwhile_is_noticed(self, tmp_path: Path) -> None:
        shutil.copytree(shipped_folder("fast"), tmp_path / "b")
        detector = Detector(tmp_path / "b")
        (tmp_path / "b" / "router.onnx").write_bytes(b"other")
        with pytest.raises(BundleError, match="router") as raised:
            Explainer(detector)
        assert raised.value.code == "altered"
        shutil.rmtree(tmp_path / "b")
        shutil.copytree(shipped_folder("default"), tmp_path / "b")
        with pytest.raises(BundleError, match="no longer the bundle that answers"):
            Explainer(detector)


class TestFocus:
    def test_the_shortest_stretch_that_holds_half(self) -> None:
        places = [(float(k), k + 1.0) for k in range(6)]
        assert shortest_run([1, 1, 5, 1, 1, 1], places) == (2.0, 3.0)
        assert shortest_run([3, 0, 0, 0, 0, 3], places) == (0.0, 1.0)
        assert shortest_run([2, 0, 3, 3, 0, 2], places) == (2.0, 4.0)
        assert shortest_run([-1, -1, 0, 0, 0, -1], places) == (0.0, 6.0)
        apart = [(0.0, 1.0), (90.0, 91.0), (91.0, 92.0)]
        assert shortest_run([2, 1, 1], apart) == (0.0, 1.0)

    def test_it_says_what_speaks_for_the_answer(self) -> None:
        seconds = [Second(k, k + 1, llr) for k, llr in enumerate((0.5, -2.0, -1.5, 0.2))]
        gains = enumerate((-0.5, 3, -4, 1))
        bands = [Band(k * 1e3, (k + 1) * 1e3, 0.0, 0.0, unusual) for k, unusual in gains]
        assert focus_of(seconds, bands, -1.0) == Focus("spoof", 1, 2, 2000.0, 3000.0)
        assert focus_of(seconds, bands, 1.0) == Focus("bonafide", 0, 1, 1000.0, 2000.0)

    def test_words_name_no_place_where_there_is_none(self) -> None:
        spread = Focus("bonafide", 0.0, 4.0, 0.0, 8000.0)
        said = "What speaks for genuine speech is spread over all of it."
        assert in_words(spread, 4.0, 2, 2, is_open=False) == said
        low = in_words(replace(spread, high_hz=500.0), 4.0, 2, 2, is_open=False)
        assert low == "What speaks most for genuine speech lies at 0-0.5 kHz."
        some = in_words(spread, 4.0, 8, 9, is_open=False)
        assert some.endswith(" is spread over all of them.")

    def test_an_answer_that_is_open_takes_no_side(self) -> None:
        said = in_words(Focus("spoof", 1.0, 2.0, 0.0, 8000.0), 9.0, 2, 2, is_open=True)
        assert said.startswith("The answer is inconclusive, so this is no hint either way. What ")

    def test_stretches_that_lie_apart_are_not_made_one(self) -> None:
        values = {0: -1.0, 1: -0.5, 90: -0.2, 91: -2.0, 92: -1.9, 93: 0.3, 700: -2.1}
        seconds = [Second(float(k), k + 1.0, llr) for k, llr in values.items()]
        focus = focus_of(seconds, [Band(0.0, 8000.0, 0.0, None, -1.0)], -1.0)
        assert (focus.start_s, focus.end_s) == (91.0, 93.0)


class TestCommand:
    @pytest.fixture
    def files(self, tmp_path: Path) -> list[str]:
        (tmp_path / "a.wav").write_bytes(encode(speech(4.0), "wav"))
        (tmp_path / "b.txt").write_text("no audio")
        return [str(tmp_path / "a.wav"), str(tmp_path / "b.txt")]

    def run(self, *arguments: str) -> int:
        return main(["score", "--bundle", "fast", "--explain", *arguments])

    def test_a_table_says_it_below_the_result(
        self, files: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(files[0]) == 0
        said = capsys.readouterr().out
        assert "What speaks" in said and "base models add to the llr: " in said
        *added, base = map(float, re.findall(r"[+-]\d+\.\d\d", said.rpartition("llr: ")[2]))
        assert sum(added) + base == pytest.approx(float(said.splitlines()[1].split()[2]), abs=0.05)

    def test_too_little_sound_is_explained_by_nothing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "short.wav").write_bytes(encode(speech(0.3), "wav"))
        assert self.run(str(tmp_path / "short.wav")) == 1
        said = capsys.readouterr().out
        assert "too_short: " in said and "speaks" not in said and "llr:" not in said

    def test_json_has_it_beside_the_result(
        self, files: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run("--format", "jsonl", *files) == 1
        first, second = map(json.loads, capsys.readouterr().out.splitlines())
        assert second["error"]["code"] == "not_audio"
        expected = Explainer(Detector.shipped("fast")).explain(Path(files[0])).to_json()
        assert {key: value for key, value in first.items() if key != "path"} == expected

    def test_csv_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run("--format", "csv", "a.wav") == 2
        assert "--explain: a row of csv has no room for it" in capsys.readouterr().err
