"""Stacking and calibration: no row judged by who saw it, and the same numbers as ONNX."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from bonafide.bundle import META_MODELS
from bonafide.corpora.schema import Corpus, Row
from bonafide.evaluation.metrics import auc, cllr, even_weights, log_loss
from bonafide.export.meta import meta_logistic_graph, meta_trees_graph
from bonafide.export.scaler import scaler_graph
from bonafide.features.encoder import EncoderSpec
from bonafide.features.spec import STATISTICS, FeatureSpec, ViewSpec
from bonafide.judging import CLIP, log_odds
from bonafide.models.config import FitConfig
from bonafide.runtime import Graph
from bonafide.training.folds import TEST, Folds
from bonafide.training.scaling import STATISTICS_LIMIT, feature_weights_of, fit_standard
from bonafide.training.stacking import (
    Calibration,
    Linear,
    Stack,
    fit_calibration,
    fit_linear,
    fit_stack,
    meta_inputs,
    row_weights,
    stack_models,
)
from tests.helpers.routers import of_one_channel, router_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
N_ROWS, N_FOLDS = 240, 3


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x, dtype=np.float64)))


def weights_of(is_spoof: Bools, folds: Folds) -> Floats:
    """Return weights by which both classes count alike on the training side, (n_rows, 1)."""
    side = ~folds.is_test
    share = is_spoof[side].mean()
    return np.where(is_spoof, 0.5 / share, 0.5 / (1 - share))[:, None]


def fit_on(
    models: NDArray[np.float32],
    is_spoof: Bools,
    folds: Folds,
    seed: int,
    weights: Floats | None = None,
) -> tuple[Stack, NDArray[np.float32]]:
    """Fit on base scores that are the same whichever fold was left out too, of recordings alone."""
    oof = models[:, None]
    nested = np.repeat(oof[:, None], folds.count, axis=1)
    router = of_one_channel(len(models), folds.count)
    weights = weights_of(is_spoof, folds) if weights is None else weights
    stack, cross_fitted = fit_stack(oof, nested, router, is_spoof, weights, folds, seed)
    return stack, cross_fitted[:, 0]


def on_one_channel(stack: Stack, models: NDArray[np.float32]) -> NDArray[np.float32]:
    return stack.predict(models, np.ones((len(models), 1), np.float32))


def case(seed: int = 0, signal: float = 1.0) -> tuple[NDArray[np.float32], Bools, Folds]:
    """Return base scores that tell somewhat, labels of 1 : 2, three folds and a test side."""
    rng = np.random.default_rng(seed)
    is_spoof = rng.permutation(np.arange(N_ROWS) % 3 > 0)
    odds = signal * np.where(is_spoof, 1.0, -1.0)[:, None] + 1.5 * rng.normal(size=(N_ROWS, 5))
    fold = rng.permutation(np.arange(N_ROWS) % (N_FOLDS + 1)) + TEST
    return sigmoid(odds).astype(np.float32), is_spoof, Folds(np.arange(N_ROWS), fold)


def booster_of(stack: Stack) -> xgboost.Booster:
    booster = xgboost.Booster()
    booster.load_model(bytearray(stack.trees))
    return booster


@pytest.fixture(scope="module")
def fitted() -> tuple[Stack, NDArray[np.float32]]:
    models, is_spoof, folds = case()
    return fit_on(models, is_spoof, folds, 1)


class TestFitStack:
    def test_shapes_and_use(self, fitted: tuple[Stack, NDArray[np.float32]]) -> None:
        models, is_spoof, folds = case()
        _, cross_fitted = fitted
        assert (cross_fitted.shape, cross_fitted.dtype) == ((N_ROWS, 2), np.float32)
        assert np.isfinite(cross_fitted).all()
        assert cross_fitted.min() >= 0.0
        assert cross_fitted.max() <= 1.0
        best = max(auc(-models[:, k], is_spoof) for k in range(5))
        for column in range(2):
            for rows in (folds.is_test, ~folds.is_test):
                assert auc(-cross_fitted[rows, column], is_spoof[rows]) > best

    @pytest.mark.parametrize("fold", range(N_FOLDS))
    def test_labels_of_the_own_fold_do_not_matter(
        self, fitted: tuple[Stack, NDArray[np.float32]], fold: int
    ) -> None:
        models, is_spoof, folds = case()
        own = folds.fold == fold
        weights = weights_of(is_spoof, folds)
        _, cross_fitted = fit_on(models, is_spoof ^ own, folds, 1, weights)
        np.testing.assert_array_equal(cross_fitted[own], fitted[1][own])
        for column in range(2):  # the others learned from them
            assert np.mean(cross_fitted[~own, column] != fitted[1][~own, column]) > 0.9

    @pytest.mark.parametrize("fold", range(N_FOLDS))
    def test_scores_of_the_own_fold_do_not_matter(
        self, fitted: tuple[Stack, NDArray[np.float32]], fold: int
    ) -> None:
        """A row keeps its score when every other row of its fold gets other base scores."""
        models, is_spoof, folds = case()
        row = int(np.flatnonzero(folds.fold == fold)[0])
        others = (folds.fold == fold) & (np.arange(N_ROWS) != row)
        changed = np.where(others[:, None], 1 - models, models)
        _, cross_fitted = fit_on(changed, is_spoof, folds, 1)
        np.testing.assert_array_equal(cross_fitted[row], fitted[1][row])

    def test_test_rows_decide_nothing(self, fitted: tuple[Stack, NDArray[np.float32]]) -> None:
        models, is_spoof, folds = case()
        stack, cross_fitted = fit_on(models, is_spoof ^ folds.is_test, folds, 1)
        assert stack == fitted[0]
        np.testing.assert_array_equal(cross_fitted, fitted[1])

    def test_test_rows_are_the_final_pairs(self, fitted: tuple[Stack, NDArray[np.float32]]) -> None:
        models, _, folds = case()
        stack, cross_fitted = fitted
        final = on_one_channel(stack, models)
        np.testing.assert_array_equal(final[folds.is_test], cross_fitted[folds.is_test])
        assert np.abs(final - cross_fitted)[~folds.is_test].max() > 1e-3

    def test_without_test_rows_every_row_is_crossed(
        self, fitted: tuple[Stack, NDArray[np.float32]]
    ) -> None:
        models, is_spoof, folds = case()
        side = ~folds.is_test
        alone = Folds(folds.group[side], folds.fold[side])
        stack, cross_fitted = fit_on(models[side], is_spoof[side], alone, 1)
        assert stack == fitted[0]
        np.testing.assert_array_equal(cross_fitted, fitted[1][side])

    def test_noise_is_not_memorised(self) -> None:
        """Labels by chance: who judges a row by a model that saw it does better than chance."""
        rng = np.random.default_rng(5)
        models = rng.random((N_ROWS, 5)).astype(np.float32)
        is_spoof = rng.permutation(np.arange(N_ROWS) % 2 == 0)
        _, _, folds = case()
        stack, cross_fitted = fit_on(models, is_spoof, folds, 1)
        side = ~folds.is_test
        seen = on_one_channel(stack, models)
        assert auc(-seen[side, 1].astype(np.float64), is_spoof[side]) > 0.8
        assert auc(-cross_fitted[side, 1].astype(np.float64), is_spoof[side]) < 0.65

    def test_seed_decides(self, fitted: tuple[Stack, NDArray[np.float32]]) -> None:
        models, is_spoof, folds = case()
        again, cross_fitted = fit_on(models, is_spoof, folds, 1)
        assert again == fitted[0]
        np.testing.assert_array_equal(cross_fitted, fitted[1])
        other, _ = fit_on(models, is_spoof, folds, 2)
        assert other.trees != again.trees
        assert other.logistic == again.logistic

    def test_losses_are_of_crossed_scores_with_classes_counting_alike(
        self, fitted: tuple[Stack, NDArray[np.float32]]
    ) -> None:
        _, is_spoof, folds = case()
        stack, cross_fitted = fitted
        side = ~folds.is_test
        spoof = is_spoof[side]
        for column, name in enumerate(META_MODELS):
            p = cross_fitted[side, column].astype(np.float64)
            expected = (-np.log(p[spoof]).mean() - np.log(1 - p[~spoof]).mean()) / 2
            assert stack.log_loss[name] == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("kind", ["line", "xor"])
    def test_choice_is_the_lower_loss(self, kind: str) -> None:
        """Log odds that add up suit the line; a pattern of two models suits the trees."""
        models, is_spoof, folds = case(signal=1.0)
        if kind == "xor":
            rng = np.random.default_rng(1)
            high = rng.random(N_ROWS) < 0.5
            odds = np.stack([high, high ^ is_spoof], axis=1) * 4.0 - 2.0
            models[:, :2] = sigmoid(odds + 0.3 * rng.normal(size=odds.shape))
            models[:, 2:] = 0.5
        stack, _ = fit_on(models, is_spoof, folds, 1)
        assert stack.choice == {"line": "logistic", "xor": "xgboost"}[kind]
        assert stack.log_loss[stack.choice] == min(stack.log_loss.values())

    def test_round_trip(self, fitted: tuple[Stack, NDArray[np.float32]], tmp_path: Path) -> None:
        stack, _ = fitted
        models, _, _ = case(1)
        stack.save(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["stack.json", "trees.ubj"]
        read = Stack.load(tmp_path)
        assert read == stack
        scores = on_one_channel(read, models)
        np.testing.assert_array_equal(scores, on_one_channel(stack, models))


def corpus_of(is_spoof: NDArray[np.bool_], source: NDArray[np.int64]) -> Corpus:
    labels = ("bonafide", "spoof")
    pairs = zip(is_spoof.tolist(), source.tolist(), strict=True)
    return Corpus(
        Path(),
        [Row(f"{n}.wav", labels[spoof], source=str(of)) for n, (spoof, of) in enumerate(pairs)],
    )


class TestChannels:
    CHANNELS = ("clean", "opus")

    def test_each_channel_has_weights_of_its_own(self) -> None:
        """Of two base models, the first tells nothing on the second channel and the other way."""
        rng = np.random.default_rng(0)
        is_spoof, folds = case()[1:]
        truth = np.where(is_spoof, 2.0, -2.0)
        told = truth[:, None] + rng.normal(size=(N_ROWS, 2))
        noise = 2 * rng.normal(size=(N_ROWS, 2))
        odds = np.stack([[told[:, 0], noise[:, 0]], [noise[:, 1], told[:, 1]]])  # stretch, model, n
        oof = sigmoid(odds.transpose(2, 0, 1)).astype(np.float32)
        posteriors = np.tile(np.eye(2, dtype=np.float32), (N_ROWS, 1, 1))
        router = router_of(posteriors, folds.count, self.CHANNELS)
        nested = np.repeat(oof[:, None], folds.count, axis=1)
        weights = np.repeat(weights_of(is_spoof, folds), 2, axis=1)
        stack, cross_fitted = fit_stack(oof, nested, router, is_spoof, weights, folds, 1)
        assert cross_fitted.shape == (N_ROWS, 2, 2)
        offsets, by_channel = np.split(np.array(stack.logistic.coefficients), [2])
        (own, of_other), (of_one, other) = by_channel.reshape(2, 2)
        assert min(own, other) > 5 * max(abs(of_other), abs(of_one))
        assert np.abs(offsets).max() < 1
        for stretch in range(2):
            best = auc(-oof[:, stretch, stretch].astype(np.float64), is_spoof)
            seen = auc(-cross_fitted[:, stretch, 0].astype(np.float64), is_spoof)
            assert seen == pytest.approx(best, abs=0.02)

    def test_inputs_are_posteriors_and_log_odds_by_channel(self) -> None:
        models, channel = np.array([[0.2, 0.9, 0.5]]), np.array([[0.25, 0.75]])
        odds = log_odds(models)[0]
        wanted = [0.25, 0.75, *(0.25 * odds), *(0.75 * odds)]
        np.testing.assert_allclose(meta_inputs(models, channel), [wanted])

    def test_weights_let_channels_and_classes_count_alike(self) -> None:
        is_spoof, _ = case()[1:]
        source = np.arange(N_ROWS) ** 2 // 4_000
        stretches = ("clean", "clean", "opus", "clean")
        side = np.arange(N_ROWS) % 5 > 0
        weights = row_weights(corpus_of(is_spoof, source), side, stretches)
        assert weights.shape == (N_ROWS, 4)
        assert not weights[~side].any()
        weights, source, is_spoof = weights[side], source[side], is_spoof[side]
        assert weights.mean() == pytest.approx(1.0)
        np.testing.assert_allclose(weights[is_spoof].sum(axis=0), weights[~is_spoof].sum(axis=0))
        assert weights[:, 2].sum() == pytest.approx(weights[:, [0, 1, 3]].sum())
        for label in (False, True):
            mine = is_spoof == label
            names, counts = np.unique(source[mine], return_counts=True)
            totals = [weights[mine & (source == name), 0].sum() for name in names]
            np.testing.assert_allclose(np.array(totals) / totals[0], (counts / counts[0]) ** 0.5)

    def test_each_stage_hears_its_own_base_models(self) -> None:
        models, is_spoof, folds = case()
        corpus = corpus_of(is_spoof, np.arange(N_ROWS))
        nested = np.repeat(models[:, None, None], folds.count, axis=1)
        fitted: Any = [
            SimpleNamespace(name=name, oof=models[:, [k]], nested=nested[..., k])
            for k, name in enumerate("abcde")
        ]
        router = of_one_channel(N_ROWS, folds.count)
        given = router, corpus, folds, ("clean",), 1
        first, last = stack_models(fitted, (("a", "c"), tuple("abcde")), *given)
        assert (first.prefix, first.models) == ("fast_", ("a", "c"))
        assert (last.prefix, last.models) == ("", tuple("abcde"))
        (alone,) = stack_models(fitted[::-1], (("a", "c"),), *given)
        assert (alone.prefix, alone.stack) == ("", first.stack)
        np.testing.assert_array_equal(alone.cross_fitted, first.cross_fitted)
        column = META_MODELS.index(last.stack.choice)
        np.testing.assert_array_equal(last.chosen, last.cross_fitted[:, :, column])
        assert len(last.stack.logistic.coefficients) == 6


class TestLinear:
    @pytest.mark.parametrize("spoofs", [40, 150, 260])
    def test_classes_count_alike(self, spoofs: int) -> None:
        rng = np.random.default_rng(0)
        is_spoof = np.arange(300) < spoofs
        x = rng.normal(size=(300, 2)) + is_spoof[:, None]
        line = fit_linear(x, is_spoof, even_weights(is_spoof))
        model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(x, is_spoof)
        np.testing.assert_allclose(line.coefficients, model.coef_[0], rtol=1e-3)
        assert line.intercept == pytest.approx(float(model.intercept_[0]), rel=1e-2)
        np.testing.assert_allclose(line.predict(x), model.predict_proba(x)[:, 1], atol=1e-3)

    @given(st.floats(0.0, 1.0))
    def test_log_odds(self, p: float) -> None:
        value = float(log_odds(np.array([p]))[0])
        assert abs(value) <= np.log(1 / CLIP)
        if CLIP < p < 1 - CLIP:
            assert float(sigmoid(value)) == pytest.approx(p, rel=1e-9)
        assert float(log_odds(np.array([1 - p]))[0]) == pytest.approx(-value, abs=1e-9)


def llrs(seed: int, n: int, spoof_share: float = 0.8, separation: float = 2.0) -> Any:
    """Draw true log likelihood ratios: normal with mean plus or minus half of the variance."""
    rng = np.random.default_rng(seed)
    is_spoof = rng.random(n) < spoof_share
    mean = np.where(is_spoof, -separation, separation)
    return mean + np.sqrt(2 * separation) * rng.normal(size=n), is_spoof


class TestCalibration:
    @pytest.mark.parametrize(
        ("slope", "intercept"), [(1.0, 0.0), (0.4, 0.0), (2.5, -1.5), (0.8, 2)]
    )
    @pytest.mark.parametrize("spoof_share", [0.5, 0.85])
    def test_recovers_an_affine_miscalibration(
        self, slope: float, intercept: float, spoof_share: float
    ) -> None:
        true, is_spoof = llrs(1, 20_000, spoof_share)
        p = sigmoid((-true - intercept) / slope)
        calibration = fit_calibration(p, is_spoof, even_weights(is_spoof))
        assert calibration.slope == pytest.approx(slope, rel=0.06)
        assert calibration.intercept == pytest.approx(intercept, abs=0.12)
        inside = (p > 1e-5) & (p < 1 - 1e-5)
        np.testing.assert_allclose(calibration.llr(p)[inside], true[inside], atol=0.6)

    @pytest.mark.parametrize(("slope", "intercept"), [(0.4, 0.0), (2.5, -1.5), (1.0, 2.0)])
    def test_lowers_cllr_on_other_rows(self, slope: float, intercept: float) -> None:
        true, is_spoof = llrs(2, 3_000)
        p = sigmoid((-true - intercept) / slope)
        known = is_spoof[:1_500]
        calibration = fit_calibration(p[:1_500].astype(np.float32), known, even_weights(known))
        rows = slice(1_500, None)
        before = cllr(-log_odds(p[rows]), is_spoof[rows])
        after = cllr(calibration.llr(p[rows]), is_spoof[rows])
        assert after < before - 0.02
        assert after == pytest.approx(cllr(true[rows], is_spoof[rows]), abs=0.02)

    def test_weights_decide_which_rows_it_suits(self) -> None:
        true, is_spoof = llrs(3, 20_000)
        second = np.arange(20_000) % 2 == 1
        p = sigmoid(np.where(second, -true / 0.5, -true))
        for rows, slope in ((second, 0.5), (~second, 1.0)):
            calibration = fit_calibration(p, is_spoof, even_weights(is_spoof) * rows)
            assert calibration.slope == pytest.approx(slope, rel=0.08)

    def test_a_score_that_points_the_wrong_way_says_nothing(self) -> None:
        true, is_spoof = llrs(4, 500)
        assert fit_calibration(sigmoid(true), is_spoof, even_weights(is_spoof)) == Calibration(0, 0)

    def test_scores_that_tell_everything_do_not_make_it_boundless(self) -> None:
        slopes = []
        for n_rows in (20, 200, 2_000):
            is_spoof = np.arange(n_rows) % 2 == 1
            p = np.where(is_spoof, 0.9, 0.1)
            line = fit_calibration(p, is_spoof, even_weights(is_spoof))
            sure = np.abs(line.llr(p))
            # Platt's rule: of n rows of a class, n + 1 of n + 2 are what they are called
            np.testing.assert_allclose(sure, np.log(n_rows / 2 + 1), rtol=0.01)
            slopes.append(line.slope)
        assert slopes == sorted(slopes)

    def test_higher_is_more_bona_fide(self) -> None:
        calibration = Calibration(1.5, 0.2)
        llr = calibration.llr(np.array([0.0, 0.1, 0.5, 0.9, 1.0]))
        assert np.all(np.diff(llr) < 0)
        assert np.isfinite(llr).all()
        assert llr[2] == pytest.approx(-0.2)


EDGES = np.array(
    [
        [0.0] * 5,
        [1.0] * 5,
        [0.0, 1.0, 0.0, 1.0, 0.0],
        [CLIP, 1 - CLIP, CLIP / 2, 1 - CLIP / 2, 0.5],
        [np.nextafter(np.float32(1), np.float32(0))] * 5,
        [np.finfo(np.float32).tiny, 1e-45, 1e-7, 0.999999, 1.0],
    ],
    dtype=np.float32,
)


def some_channels(n_rows: int) -> NDArray[np.float32]:
    """Return posteriors of three channels, some of them certain, (n_rows, 3)."""
    rng = np.random.default_rng(8)
    drawn = rng.dirichlet(np.ones(3), n_rows)
    drawn[::3] = np.eye(3)[rng.integers(0, 3, len(drawn[::3]))]
    return drawn.astype(np.float32)


@pytest.fixture(scope="module")
def by_channel() -> Stack:
    """Both meta-models, fitted with three channels."""
    models, is_spoof, folds = case()
    oof = models[:, None]
    nested = np.repeat(oof[:, None], folds.count, axis=1)
    router = router_of(some_channels(N_ROWS)[:, None], folds.count, ("clean", "opus", "codec"))
    return fit_stack(oof, nested, router, is_spoof, weights_of(is_spoof, folds), folds, 1)[0]


@pytest.fixture(scope="module")
def graphs(by_channel: Stack) -> tuple[Graph, Graph]:
    return (
        Graph(meta_logistic_graph(by_channel.logistic, 5).SerializeToString()),
        Graph(meta_trees_graph(booster_of(by_channel), 5).SerializeToString()),
    )


class TestOnnx:
    @pytest.mark.parametrize("column", range(2))
    def test_metas_on_edges_and_random_rows(
        self, by_channel: Stack, graphs: tuple[Graph, Graph], column: int
    ) -> None:
        rng = np.random.default_rng(0)
        rows = np.concatenate([EDGES, rng.random((500, 5)), sigmoid(9 * rng.normal(size=(500, 5)))])
        rows = rows.astype(np.float32)
        graph = graphs[column]
        assert (graph.inputs, graph.outputs) == (("models", "channel"), ("p_spoof",))
        channel = some_channels(len(rows))
        seen = graph({"models": rows, "channel": channel})["p_spoof"]
        source = by_channel.predict(rows, channel)[:, column]
        assert (seen.shape, seen.dtype) == ((len(rows),), np.float32)
        assert source.std() > 0.1
        np.testing.assert_allclose(seen, source, rtol=0, atol=4e-6)

    @given(st.lists(st.floats(0.0, 1.0, width=32), min_size=5, max_size=5))
    @settings(max_examples=60, deadline=None)
    def test_metas_on_any_row(
        self, by_channel: Stack, graphs: tuple[Graph, Graph], row: Any
    ) -> None:
        channel = some_channels(3)
        models = np.repeat(np.array([row], dtype=np.float32), 3, axis=0)
        source = by_channel.predict(models, channel)
        for column, graph in enumerate(graphs):
            seen = graph({"models": models, "channel": channel})["p_spoof"]
            assert seen.min() >= 0.0 and seen.max() <= 1.0
            np.testing.assert_allclose(seen, source[:, column], rtol=0, atol=4e-6)

    def test_a_line_of_large_weights(self) -> None:
        line = Linear((0.5, 4.0, -3.0, 2.5, 0.0, 1.0), -2.0)
        graph = Graph(meta_logistic_graph(line, 5).SerializeToString())
        rows = np.concatenate([EDGES, np.random.default_rng(3).random((200, 5))])
        models, channel = rows.astype(np.float32), np.ones((len(rows), 1), np.float32)
        seen = graph({"models": models, "channel": channel})["p_spoof"]
        expected = line.predict(meta_inputs(models, channel))
        np.testing.assert_allclose(seen, expected, rtol=0, atol=5e-6)

    def test_scaler_is_exact_to_the_bit(self) -> None:
        spec = FeatureSpec(
            views={
                "lfcc": ViewSpec("lfcc", n_filters=8, n_coefficients=5),
                "bands": ViewSpec("logmel", n_filters=7, n_coefficients=0, hop_samples=64),
            },
            encoder=EncoderSpec("ab12", {"frames": 4}),
        )
        shapes: dict[str, tuple[int, ...]] = {
            "lfcc": (6, 201, 5),
            "bands": (6, 1001, 7),
            **{name: (6, size) for name, size in spec.vectors.items()},
        }
        assert tuple(spec.vectors) == (STATISTICS, "narrow", "encoder")
        rng = np.random.default_rng(0)
        features, standards = {}, {}
        for name, shape in shapes.items():
            spread = 10.0 ** rng.uniform(-3, 3, shape[-1])
            values = (spread * rng.normal(size=shape) + 40 * spread).astype(np.float32)
            values[..., -1] = 3.25  # a feature that never changes
            gain = None
            if name in (STATISTICS, "narrow"):
                gain = feature_weights_of(spec, FitConfig().feature_weights, (name,))
            standards[name] = fit_standard(values, np.arange(4), gain=gain)
            values[4] += 50 * spread.astype(np.float32)  # unlike anything that was fitted to
            features[name] = values
        graph = Graph(scaler_graph(spec, standards).SerializeToString())
        assert graph.inputs == tuple(shapes)
        for rows in (slice(6), slice(4, 5)):
            seen = graph({name: values[rows] for name, values in features.items()})
            assert set(seen) == {f"scaled_{name}" for name in shapes}
            for name, values in features.items():
                np.testing.assert_array_equal(seen[f"scaled_{name}"], standards[name](values[rows]))
            known = seen[f"scaled_{STATISTICS}"]
            np.testing.assert_array_equal(
                known.max(axis=0)[:-1], STATISTICS_LIMIT * standards[STATISTICS].gain[:-1]
            )
            assert min(seen[f"scaled_{name}"].max() for name in spec.views) > STATISTICS_LIMIT


class TestStandard:
    @pytest.mark.parametrize("chunk_rows", [1, 4, 256])
    def test_mean_and_deviation_of_every_frame(self, chunk_rows: int) -> None:
        rng = np.random.default_rng(0)
        view = (5 * rng.normal(size=(10, 20, 3)) + 100).astype(np.float32)
        rows = np.array([7, 1, 4, 9, 0])
        standard = fit_standard(view, rows, chunk_rows=chunk_rows)
        frames = view[rows].reshape(-1, 3).astype(np.float64)
        np.testing.assert_allclose(standard.mean, frames.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(standard.scale, frames.std(axis=0), rtol=1e-5)
        scaled = standard(view[rows])
        assert scaled.dtype == np.float32
        np.testing.assert_allclose(scaled.reshape(-1, 3).mean(axis=0), 0, atol=1e-4)
        assert standard.limit == np.inf
        np.testing.assert_allclose(standard(1e6 * view).max(), 2e7, rtol=0.5)

    def test_statistics_are_kept_within_the_limit(self) -> None:
        rng = np.random.default_rng(0)
        values = (5 * rng.normal(size=(200, 3)) + 100).astype(np.float32)
        standard = fit_standard(values, np.arange(200))
        inside = standard(values)
        assert np.abs(inside).max() < STATISTICS_LIMIT
        np.testing.assert_array_equal(inside, (values - standard.mean) / standard.scale)
        far = standard(np.float32([[100 - 1e4, 100, 100 + 1e4]]))
        assert far.dtype == np.float32
        np.testing.assert_allclose(far, [[-STATISTICS_LIMIT, 0, STATISTICS_LIMIT]], atol=0.2)
        assert np.array_equal(np.abs(far[0, [0, 2]]), [STATISTICS_LIMIT] * 2)


def test_log_loss_of_the_metrics_is_the_one_used() -> None:
    p, spoof = np.array([0.2, 0.9, 0.6]), np.array([False, True, True])
    expected = -np.log([0.8, 0.9, 0.6]).mean()
    assert log_loss(p, spoof) == pytest.approx(expected)
