"""The router: it finds channels, judges no row by itself, and says what is unlike all it knows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bonafide.corpora.schema import Corpus, Row
from bonafide.export.router import router_graph
from bonafide.features.spec import STATISTICS, FeatureSpec, ViewSpec
from bonafide.models.examples import Standard
from bonafide.runtime import Graph
from bonafide.training import routing
from bonafide.training.config import AugmentationConfig
from bonafide.training.folds import TEST, Folds
from bonafide.training.ridge import softmax
from bonafide.training.routing import KNOWN_SHARE, Router, fit_router
from bonafide.training.scaling import fit_standard
from bonafide.training.store import FeatureStore

N_ROWS, N_FOLDS = 240, 3
SPEC = FeatureSpec(
    window_s=1.0,
    statistics={"few": ViewSpec("logband", n_filters=6, n_coefficients=0)},
    narrow={},
)
MANY = FeatureSpec(window_s=1.0, statistics={"many": ViewSpec("lfcc", 80, 40)}, narrow={})
THREE = AugmentationConfig(channels={"telephone": 1, "opus": 2})
NONE = AugmentationConfig(channels={})
Floats = NDArray[np.float64]


def statistics_of(
    spec: FeatureSpec, augmentation: AugmentationConfig, distance: float = 1.0, seed: int = 0
) -> Floats:
    """Return statistics of recordings and copies: each channel lies elsewhere, in two of them."""
    rng, n = np.random.default_rng(seed), spec.n_statistics
    places = {"clean": (0.0, 0.0), "telephone": (4.0, 0.0), "opus": (0.0, 4.0)}
    stretches = []
    for channel in augmentation.stretches:
        values = rng.normal(size=(N_ROWS, n))
        values[:, :2] += distance * np.array(places[channel])
        stretches.append(values)
    return 10 + 3 * np.concatenate(stretches)


def corpus_of(rates: tuple[str, ...] = ("",)) -> Corpus:
    rows = [
        Row(f"{n}.wav", ("bonafide", "spoof")[n % 2], original_rate=rates[n % len(rates)])
        for n in range(N_ROWS)
    ]
    return Corpus(Path("nowhere"), rows)


def folds_of() -> Folds:
    return Folds(np.arange(N_ROWS), np.arange(N_ROWS) % (N_FOLDS + 1) + TEST)


def fit(
    folder: Path,
    statistics: Floats,
    *,
    spec: FeatureSpec = SPEC,
    augmentation: AugmentationConfig = THREE,
    corpus: Corpus | None = None,
    standard: Standard | None = None,
) -> tuple[Router, NDArray[np.float32]]:
    """Return a router and the statistics as it hears them, (n_stretches, n_rows, n)."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{STATISTICS}.npy", statistics.astype(np.float32))
    (folder / "spec.json").write_text(json.dumps(spec.to_json()))
    (folder / "augmentation.json").write_text(augmentation.model_dump_json())
    store, folds = FeatureStore(folder), folds_of()
    side = np.flatnonzero(~folds.is_test)
    standard = standard or fit_standard(store.view(STATISTICS), side)
    router = fit_router(store, standard, folds, corpus or corpus_of())
    return router, standard(store.view(STATISTICS)).reshape(-1, N_ROWS, spec.n_statistics)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Router, NDArray[np.float32]]:
    return fit(tmp_path_factory.mktemp("router"), statistics_of(SPEC, THREE))


def share_named(router: Router, rows: NDArray[np.bool_]) -> float:
    """Return how often the most probable channel is the right one, out of fold."""
    right = [router.channels.index(name) for name in THREE.stretches]
    return float(np.mean(router.posteriors[rows].argmax(axis=-1) == right))


class TestFit:
    def test_it_finds_the_channels(self, fitted: tuple[Router, Any]) -> None:
        router, _ = fitted
        assert router.channels == ("clean", "telephone", "opus")
        assert router.posteriors.shape == (N_ROWS, 4, 3)
        assert router.nested.shape == (N_ROWS, N_FOLDS, 4, 3)
        np.testing.assert_allclose(router.posteriors.sum(axis=-1), 1.0, atol=1e-5)
        for rows in (folds_of().is_test, ~folds_of().is_test):
            assert share_named(router, rows) > 0.9

    def test_posteriors_are_meant(self, tmp_path: Path) -> None:
        """Of what it calls 0.7 likely, seven of ten are so: here channels overlap."""
        router, _ = fit(tmp_path, statistics_of(SPEC, THREE, distance=0.4))
        right = np.eye(3)[[0, 1, 2, 2]]
        p = router.posteriors.reshape(-1)
        hit = np.broadcast_to(right, router.posteriors.shape).reshape(-1)
        weight = np.broadcast_to([[1.0], [1.0], [0.5], [0.5]], router.posteriors.shape).reshape(-1)
        for low in (0.1, 0.3, 0.5, 0.7):
            some = (p >= low) & (p < low + 0.2)
            assert np.average(hit[some], weights=weight[some]) == pytest.approx(
                np.average(p[some], weights=weight[some]), abs=0.12
            )

    def test_noise_tells_no_channel_out_of_fold(self, tmp_path: Path) -> None:
        """Many statistics of few rows: the final router knows the rows that it was fitted on."""
        noise = statistics_of(MANY, THREE, distance=0.0)
        assert noise.shape[1] > 300
        router, heard = fit(tmp_path, noise, spec=MANY)
        side = ~folds_of().is_test
        right = np.array([0, 1, 2, 2])[:, None]
        seen = router(heard[:, side].reshape(-1, heard.shape[-1]))[0].reshape(4, -1, 3)
        assert np.mean(seen.argmax(axis=-1) == right) > 0.6
        assert share_named(router, side) < 0.45
        assert share_named(router, ~side) < 0.45
        for fold in range(N_FOLDS):  # nor where another fold is left out as well
            named = router.nested[side, fold].argmax(axis=-1) == right[:, 0]
            assert named.mean() < 0.47

    def test_the_own_fold_is_not_heard(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A row keeps its posteriors when the others of its fold swap their channels."""
        values, folds = statistics_of(SPEC, THREE), folds_of()
        row = int(np.flatnonzero(folds.fold == 1)[0])
        others = (folds.fold == 1) & (np.arange(N_ROWS) != row)
        moved = np.where(np.tile(others, 4)[:, None], values[::-1], values)
        standard = fit_standard(values.astype(np.float32), np.flatnonzero(~folds.is_test))
        one, other = (
            fit(tmp_path / name, x, standard=standard)[0]
            for name, x in (("one", values), ("other", moved))
        )
        np.testing.assert_allclose(one.posteriors[row], other.posteriors[row], atol=1e-6)
        rest = (folds.fold == 0) | folds.is_test  # the others learned from them
        assert np.abs(one.posteriors[rest] - other.posteriors[rest]).mean() > 1e-3
        judged = folds.fold == 0  # but not those that are to judge that fold
        np.testing.assert_allclose(one.nested[judged, 1], other.nested[judged, 1], atol=1e-6)
        # A row's own fold has a share in the softmax of what leaves out another one, and no other.
        monkeypatch.setattr(routing, "fit_softmax", lambda *_: (np.eye(3), np.zeros(3)))
        one, other = (
            fit(tmp_path / name, x, standard=standard)[0]
            for name, x in (("one", values), ("other", moved))
        )
        np.testing.assert_allclose(one.nested[row], other.nested[row], atol=1e-6)

    def test_nested_is_of_two_folds_left_out(self, fitted: tuple[Router, Any]) -> None:
        router, folds = fitted[0], folds_of()
        side = np.flatnonzero(~folds.is_test)
        assert np.isnan(router.nested[folds.is_test]).all()
        assert np.isfinite(router.nested[side]).all()
        own = router.nested[side, folds.fold[side]]
        np.testing.assert_array_equal(own, router.posteriors[side])
        other = router.nested[side, (folds.fold[side] + 1) % N_FOLDS]
        assert np.abs(other - own).max() > 1e-5

    def test_test_rows_decide_nothing(self, fitted: tuple[Router, Any], tmp_path: Path) -> None:
        test = np.tile(folds_of().is_test, 4)
        values = statistics_of(SPEC, THREE)
        router, _ = fit(tmp_path, np.where(test[:, None], 99.0, values))
        side = ~folds_of().is_test
        np.testing.assert_array_equal(router.weights, fitted[0].weights)
        np.testing.assert_array_equal(router.posteriors[side], fitted[0].posteriors[side])

    def test_recordings_at_a_telephones_rate_decide_nothing(self, tmp_path: Path) -> None:
        """What they went through is not known; they are named all the same."""
        rates = ("", "8000", "16000")
        slow = np.arange(N_ROWS) % 3 == 1
        values = statistics_of(SPEC, THREE)
        moved = np.where(np.tile(slow, 4)[:, None], values[::-1], values)
        known = fit_standard(values.astype(np.float32), np.arange(N_ROWS))
        one, other = (
            fit(tmp_path / name, x, corpus=corpus_of(rates), standard=known)[0]
            for name, x in (("one", values), ("other", moved))
        )
        np.testing.assert_array_equal(one.weights, other.weights)
        np.testing.assert_array_equal(one.posteriors[~slow], other.posteriors[~slow])
        assert np.isfinite(other.posteriors[slow]).all()
        heard = fit(tmp_path / "all", moved, standard=known)[0]
        assert np.abs(heard.weights - one.weights).max() > 1e-3

    def test_two_channels(self, tmp_path: Path) -> None:
        two = AugmentationConfig(channels={"opus": 1})
        router, heard = fit(tmp_path, statistics_of(SPEC, two), augmentation=two)
        assert router.channels == ("clean", "opus")
        assert np.mean(router.posteriors.argmax(axis=-1) == [0, 1]) > 0.9
        assert parity(router, heard.reshape(-1, heard.shape[-1])) < 1e-5

    def test_one_channel_is_certain(self, tmp_path: Path) -> None:
        router, heard = fit(tmp_path, statistics_of(SPEC, NONE), augmentation=NONE)
        assert router.channels == ("clean",)
        np.testing.assert_array_equal(router.posteriors, 1.0)
        assert parity(router, heard[0]) < 1e-5


class TestDistance:
    def test_known_sound_is_about_one_off(self, fitted: tuple[Router, Any]) -> None:
        router, heard = fitted
        assert router.distances.mean() == pytest.approx(1.0, abs=0.05)
        seen = router(heard[2])[1]
        np.testing.assert_allclose(router.distances[:, 2], seen, rtol=1e-4)

    def test_the_bar_lets_known_sound_pass_and_strange_sound_not(
        self, fitted: tuple[Router, Any]
    ) -> None:
        router, heard = fitted
        side = ~folds_of().is_test
        bar = router.distance_to(side)
        assert np.mean(router.distances[side] <= bar) == pytest.approx(KNOWN_SHARE, abs=0.003)
        strange = heard[0] + 6 * np.sign(np.random.default_rng(0).normal(size=heard.shape[-1]))
        assert (router(strange.astype(np.float32))[1] > bar).all()


def parity(router: Router, rows: NDArray[np.float32]) -> float:
    """Return the largest difference between a router and its graph."""
    graph = Graph(router_graph(router).SerializeToString())
    seen = graph({STATISTICS: rows})
    posterior, distance = router(rows)
    ratio = seen["distance"] / np.maximum(distance, 1e-6)
    return float(max(np.abs(seen["channel"] - posterior).max(), np.abs(ratio - 1).max()))


def test_its_graph_says_the_same(fitted: tuple[Router, Any]) -> None:
    router, heard = fitted
    rows = heard.reshape(-1, heard.shape[-1])
    assert parity(router, rows) < 1e-5
    assert parity(router, rows[:1]) < 1e-5
    graph = Graph(router_graph(router).SerializeToString())
    assert (graph.inputs, graph.outputs) == ((STATISTICS,), ("channel", "distance"))


def test_it_is_what_it_was_when_it_is_read(fitted: tuple[Router, Any], tmp_path: Path) -> None:
    router, heard = fitted
    router.save(tmp_path)
    read = Router.load(tmp_path)
    assert read.digest() == router.digest() and read.channels == router.channels
    for one, other in zip(read(heard[1]), router(heard[1]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert replace(router, channels=("a", "b", "c")).digest() != router.digest()


def test_a_softmax_of_large_numbers_is_finite() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0], [3.0, 3.0]])), [[1, 0], [0.5, 0.5]])
