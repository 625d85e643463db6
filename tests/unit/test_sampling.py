"""What base models are given: weights, batches and standards."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bonafide.errors import ConfigError
from bonafide.features.spec import NARROW, STATISTICS, FeatureSpec, ViewSpec
from bonafide.models.config import FeatureWeights, FitConfig
from bonafide.models.examples import BatchSampler, Examples, Part, SideBySide, Standard
from bonafide.training.config import parse_config
from bonafide.training.fitting import copy_weights
from bonafide.training.folds import TEST, Folds
from bonafide.training.scaling import feature_weights_of, fit_scaler, fit_standard
from bonafide.training.store import FeatureStore

N_ROWS, N_FRAMES, N_FEATURES, N_STATISTICS = 120, 40, 3, 5
STILL: dict[str, Any] = {
    "batch_rows": 64,
    "crop_share": 1.0,
    "offset_scale": 0.0,
    "statistics_noise": 0.0,
}


def part_of(features: NDArray[np.float64], limit: float = np.inf) -> Part:
    width = features.shape[-1]
    standard = Standard(np.full(width, 2, np.float32), np.full(width, 4, np.float32), limit)
    return Part(features.astype(np.float32), standard)


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Rows that can be told by every value: row, frame and feature are in it."""
    row, frame = np.arange(N_ROWS)[:, None, None], np.arange(N_FRAMES)[:, None] / 100
    frames = row + frame + 1000 * np.arange(N_FEATURES)
    statistics = np.arange(N_ROWS)[:, None] + 1000 * np.arange(N_STATISTICS)
    return Examples(
        part_of(statistics),
        is_spoof=np.arange(N_ROWS) % 4 > 0,
        source=np.minimum(np.arange(N_ROWS) // 10, 5),
        frames=part_of(frames),
    )


class TestWeights:
    def test_by_hand(self) -> None:
        # source 0: four spoofs, one bona fide row; source 1: one of each
        is_spoof = np.array([True, True, True, True, False, True, False])
        source = np.array([0, 0, 0, 0, 0, 1, 1])
        examples = Examples(part_of(np.zeros((7, 2))), is_spoof, source)
        weights = examples.weights(np.arange(7))
        spoof = np.array([0.5, 0.5, 0.5, 0.5, 1.0])  # 4 ** -0.5 four times, and 1
        np.testing.assert_allclose(weights[is_spoof], 3.5 * spoof / spoof.sum())
        np.testing.assert_allclose(weights[~is_spoof], [1.75, 1.75])

    @pytest.mark.parametrize("seed", range(5))
    def test_classes_count_alike_and_sources_by_their_root(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        is_spoof, source = rng.random(300) < 0.8, rng.integers(0, 9, 300) ** 2
        examples = Examples(part_of(np.zeros((300, 2))), is_spoof, source)
        rows = rng.permutation(300)[:200]
        weights = examples.weights(rows)
        for label in (False, True):
            mine = is_spoof[rows] == label
            assert weights[mine].sum() == pytest.approx(100)
            names, counts = np.unique(source[rows][mine], return_counts=True)
            totals = [weights[mine & (source[rows] == name)].sum() for name in names]
            np.testing.assert_allclose(np.array(totals) / totals[0], (counts / counts[0]) ** 0.5)

    def test_only_the_rows_asked_for_count(self, examples: Examples) -> None:
        rows = np.arange(0, N_ROWS, 7)
        taken = Examples(
            Part(examples.statistics.features[rows], examples.statistics.standard),
            examples.is_spoof[rows],
            examples.source[rows],
        )
        np.testing.assert_array_equal(examples.weights(rows), taken.weights(np.arange(len(rows))))

    def test_one_class_alone(self, examples: Examples) -> None:
        rows = np.flatnonzero(examples.is_spoof)
        assert np.isfinite(examples.weights(rows)).all()


class TestCopies:
    def examples(self, augmentation_weight: Any) -> Examples:
        """Return ten rows and two copies of each."""
        return Examples(
            part_of(np.arange(30.0)[:, None]),
            np.arange(10) % 2 == 0,
            np.arange(10) // 5,
            augmentation_weight=augmentation_weight,
        )

    def test_come_after_the_rows_with_their_labels_and_a_share_of_their_weight(self) -> None:
        examples, rows = self.examples(0.25), np.array([7, 2, 3])
        every, is_spoof, weight = examples.with_augmentation(rows)
        np.testing.assert_array_equal(every, [7, 2, 3, 17, 12, 13, 27, 22, 23])
        np.testing.assert_array_equal(is_spoof, [False, True, False] * 3)
        own = examples.weights(rows)
        np.testing.assert_allclose(weight, np.concatenate([own, own / 4, own / 4]))

    def test_without_weight_are_left_out(self) -> None:
        rows = np.array([7, 2, 3])
        for weight in (0.0, np.zeros((2, 10))):
            every, is_spoof, weights = self.examples(weight).with_augmentation(rows)
            np.testing.assert_array_equal(every, rows)
            assert len(is_spoof) == len(weights) == 3
        single = np.zeros((2, 10))
        single[1, 2] = 0.5
        every, is_spoof, weights = self.examples(single).with_augmentation(rows)
        np.testing.assert_array_equal(every, [7, 2, 3, 22])
        assert (is_spoof[-1], weights[-1]) == (True, pytest.approx(weights[1] / 2))

    def test_are_drawn_as_often_as_they_weigh(self) -> None:
        rng = np.random.default_rng(0)
        frames = part_of(np.arange(30.0)[:, None, None] + np.zeros((1, 4, 1)))
        examples = Examples(
            part_of(rng.normal(size=(30, 2))),
            np.arange(10) % 2 == 0,
            np.zeros(10, np.int64),
            frames,
            augmentation_weight=0.5,
        )
        sampler = BatchSampler(examples, np.arange(4), FitConfig.model_validate(STILL), 0)
        drawn = np.concatenate([rows_of(sampler.draw()[0][0]) for _ in range(40)])
        assert set(drawn) == {0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23}
        assert np.mean(drawn < 10) == pytest.approx(0.5, abs=0.05)


def rows_of(frames: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return which rows frames came from."""
    return np.floor(frames[:, 0, 0] * 4 + 2 + 1e-3).astype(np.int64)


class TestBatchSampler:
    def sampler(self, examples: Examples, seed: int = 0, **changes: Any) -> BatchSampler:
        fit = FitConfig.model_validate({**STILL, **changes})
        return BatchSampler(examples, np.arange(10, N_ROWS), fit, seed)

    def test_shapes_and_labels(self, examples: Examples) -> None:
        (frames, statistics), labels = self.sampler(examples, label_smoothing=0.1).draw()
        assert frames.shape == (64, N_FRAMES, N_FEATURES)
        assert statistics.shape == (64, N_STATISTICS)
        assert labels.shape == (64, 1)
        assert {array.dtype for array in (frames, statistics, labels)} == {np.dtype(np.float32)}
        spoof = examples.is_spoof[rows_of(frames)]
        assert spoof.sum() == 32
        np.testing.assert_allclose(labels[:, 0], np.where(spoof, 0.9, 0.1), rtol=1e-6)

    def test_both_inputs_are_of_one_row_and_standardised(self, examples: Examples) -> None:
        assert examples.frames is not None
        (frames, statistics), _ = self.sampler(examples).draw()
        rows = rows_of(frames)
        np.testing.assert_array_equal(frames, examples.frames.take(rows))
        np.testing.assert_array_equal(statistics, examples.statistics.take(rows))

    def test_rows_come_as_often_as_they_weigh(self, examples: Examples) -> None:
        sampler = self.sampler(examples)
        drawn = np.concatenate([rows_of(sampler.draw()[0][0]) for _ in range(150)])
        assert drawn.min() == 10  # never a row that is not trained on
        seen = np.bincount(drawn, minlength=N_ROWS)[10:]
        weights = examples.weights(np.arange(10, N_ROWS))
        expected = weights / weights.sum() * len(drawn)
        assert (np.abs(seen - expected) < 5 * np.sqrt(expected)).all()
        assert expected.max() > 1.8 * expected.min()  # they do not all weigh the same

    def test_crops_are_stretches_of_one_row(self, examples: Examples) -> None:
        (frames, _), _ = self.sampler(examples, crop_share=0.5).draw()
        assert frames.shape[1] == N_FRAMES // 2
        steps = np.diff(frames, axis=1)
        np.testing.assert_allclose(steps, 0.01 / 4, atol=1e-4)
        first = np.round((frames[:, 0, 0] * 4 + 2) % 1 * 100)
        assert first.min() >= 0 and first.max() <= N_FRAMES // 2
        assert len(np.unique(first)) > 10

    def test_offsets_are_of_a_feature_and_the_same_in_every_frame(self, examples: Examples) -> None:
        still, shifted = (self.sampler(examples, offset_scale=s).draw()[0][0] for s in (0.0, 0.5))
        offset = shifted - still  # the same seed, the same rows
        np.testing.assert_allclose(offset, np.broadcast_to(offset[:, :1], offset.shape), atol=1e-4)
        assert offset[:, 0].std() == pytest.approx(0.5, rel=0.2)
        assert len(np.unique(offset[:, 0])) == offset[:, 0].size

    def test_noise_is_of_a_statistic(self, examples: Examples) -> None:
        still, noisy = (self.sampler(examples, statistics_noise=s).draw()[0][1] for s in (0.0, 0.3))
        noise = noisy - still
        assert noise.std() == pytest.approx(0.3, rel=0.2)
        assert len(np.unique(noise)) > 0.9 * noise.size

    def test_seed_decides(self, examples: Examples) -> None:
        changes = {"crop_share": 0.7, "offset_scale": 0.3, "statistics_noise": 0.3}

        def drawn(seed: int) -> list[NDArray[np.float32]]:
            sampler = self.sampler(examples, seed, **changes)
            return [part for _ in range(2) for part in sampler.draw()[0]]

        for one, same, other in zip(drawn(1), drawn(1), drawn(2), strict=True):
            np.testing.assert_array_equal(one, same)
            assert np.any(one != other)


def test_the_scaler_is_fitted_on_the_training_side(tmp_path: Path) -> None:
    spec = FeatureSpec(
        views={"lfcc": ViewSpec("lfcc"), "bands": ViewSpec("logmel", 6, 0)},
        statistics={"lfcc": ViewSpec("lfcc")},
        narrow={"few": ViewSpec("lfcc", 24, 4)},
    )
    store = FeatureStore(tmp_path)
    (tmp_path / "spec.json").write_text(json.dumps(spec.to_json()))
    rng = np.random.default_rng(0)
    shapes = {"lfcc": (8, 201, 20), "bands": (8, 201, 6)}
    shapes |= {name: (8, size) for name, size in spec.vectors.items()}
    assert set(shapes) == {"lfcc", "bands", STATISTICS, NARROW}
    for name, shape in shapes.items():
        np.save(tmp_path / f"{name}.npy", rng.normal(size=shape).astype(np.float32))
    fold = np.array([0, 1, TEST, 0, 1, TEST, 0, TEST])
    feature_weights = {"lfcc": FeatureWeights(change=3.0)}
    scaler = fit_scaler(store, Folds(np.arange(8), fold), feature_weights).standards
    assert set(scaler) == set(shapes)
    for name, standard in scaler.items():
        expected = fit_standard(store.view(name), np.array([0, 1, 3, 4, 6]))
        np.testing.assert_array_equal(standard.mean, expected.mean)
        np.testing.assert_array_equal(standard.scale, expected.scale)
        assert standard.limit == (4.0 if name in spec.vectors else np.inf)
    assert scaler["lfcc"].gain is None
    np.testing.assert_array_equal(
        scaler[STATISTICS].gain, feature_weights_of(spec, feature_weights)
    )
    np.testing.assert_array_equal(scaler[NARROW].gain, 1.0)  # none of its views is weighed


class TestSideBySide:
    ONE, OTHER = np.arange(12.0).reshape(6, 2), 100 + np.arange(18.0).reshape(6, 3)

    @pytest.mark.parametrize("rows", [np.array([4, 0, 4]), slice(1, 3), np.array([], np.int64)])
    def test_rows_are_those_of_each_vector_after_one_another(self, rows: Any) -> None:
        both = SideBySide([self.ONE, self.OTHER])
        assert (both.shape, len(both)) == ((6, 5), 6)
        wanted = np.concatenate([self.ONE, self.OTHER], axis=1)[rows]
        np.testing.assert_array_equal(both[rows], wanted)

    def test_one_alone_is_itself(self) -> None:
        np.testing.assert_array_equal(SideBySide([self.ONE])[np.arange(6)], self.ONE)

    def test_its_standard_is_that_of_the_whole(self) -> None:
        rows = np.array([5, 0, 3, 1])
        seen = fit_standard(SideBySide([self.ONE, self.OTHER]), rows, chunk_rows=2)
        whole = fit_standard(np.concatenate([self.ONE, self.OTHER], axis=1), rows)
        np.testing.assert_allclose(seen.mean, whole.mean)
        np.testing.assert_allclose(seen.scale, whole.scale, rtol=1e-6)
        assert seen.limit == whole.limit == 4.0

    def test_gains_of_vectors_stand_side_by_side(self) -> None:
        spec = FeatureSpec()
        weights = {**FitConfig().feature_weights, "narrow_full": FeatureWeights(mean=3.0)}
        gain = feature_weights_of(spec, weights, (STATISTICS, NARROW))
        parts = [feature_weights_of(spec, weights, (name,)) for name in (STATISTICS, NARROW)]
        np.testing.assert_array_equal(gain, np.concatenate(parts))
        assert [np.mean(part**2) for part in parts] == pytest.approx([1.0, 1.0])
        assert len(set(parts[1].tolist())) > 1


class TestFitOfOneModel:
    def test_its_own_section_goes_before_that_of_all(self) -> None:
        common = FitConfig(epochs=9, batch_rows=20)
        own = common.of({"fit": {"epochs": 2, "augmentation_weight": 0.5}})
        assert (own.epochs, own.batch_rows, own.augmentation_weight) == (2, 20, 0.5)
        assert common.of({"trees": 3}) == common
        config = parse_config(
            {"models": {"cnn": {"fit": {"epochs": 4}}}, "fit": {"epochs": 7}}, "x"
        )
        assert config.fit.of(config.model("cnn")).epochs == 4

    def test_what_is_no_part_of_a_fit_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"models\.cnn\.fit.*epoch"):
            parse_config({"models": {"cnn": {"fit": {"epoch": 4}}}}, "x")

    def test_crops_and_copies_weigh_what_it_says(self) -> None:
        fit = FitConfig(crop_weight=0.25, augmentation_weight=0.75)
        weights = copy_weights(("clean", "clean", "telephone", "opus", "clean"), fit)
        np.testing.assert_array_equal(weights[:, 0], [0.25, 0.75, 0.75, 0.25])
        assert copy_weights(("clean",), fit).shape == (0, 1)


class TestEmphasis:
    SPEC = FeatureSpec(
        statistics={"a": ViewSpec("logmel", 4, 0), "b": ViewSpec("logmel", 5, 0, by_class=True)},
        correlated=3,
    )

    def test_by_view_and_by_what_they_are(self) -> None:
        by_kind = FeatureWeights(
            mean=1, deviation=2, change=3, smoothness=4, spikiness=5, pairs=6, classes=7
        )
        gain = feature_weights_of(self.SPEC, {"b": by_kind})
        assert gain.shape == (self.SPEC.n_statistics,) == (7 * 4 + 3 + 7 * 5 + 3 + 8 * 5,)
        assert np.mean(gain**2) == pytest.approx(1.0)
        wanted = [1] * 31 + [1, 2, 3, 4, 4, 5, 5] * 5 + [6] * 3 + [7] * 40
        np.testing.assert_allclose(gain / gain[0], wanted, rtol=1e-6)

    def test_all_alike_changes_nothing(self) -> None:
        np.testing.assert_array_equal(feature_weights_of(self.SPEC, {}), 1.0)

    def test_a_standard_multiplies_after_its_limit(self) -> None:
        gain = np.array([2.0, 0.5], np.float32)
        zeros, ones = np.zeros(2, np.float32), np.ones(2, np.float32)
        scaled = Standard(zeros, ones, 4.0, gain)(np.float32([[1, 1], [9, -9]]))
        np.testing.assert_array_equal(scaled, np.float32([[2, 0.5], [8, -2]]))

    def test_the_default_names_the_default_statistics(self) -> None:
        assert list(FitConfig().feature_weights) == list(FeatureSpec().statistics)

    def test_a_name_that_is_no_statistic_is_refused(self) -> None:
        values = {"fit": {"feature_weights": {"nonsense": {"mean": 2}}}}
        with pytest.raises(
            ConfigError, match=r"fit\.feature_weights names nonsense: must be one of mfcc, "
        ):
            parse_config(values, "x")
