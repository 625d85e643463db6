"""One contract for all six families of base models, on a small synthetic store."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import xgboost
from numpy.typing import NDArray

from bonafide.corpora.schema import Corpus, Row
from bonafide.evaluation.metrics import auc
from bonafide.features.spec import NARROW, STATISTICS, FeatureSpec, ViewSpec
from bonafide.models import BUILT_IN, family
from bonafide.models.architecture import DenseConfig, NetworkConfig
from bonafide.models.config import FitConfig, ModelConfig, heard_by, view_of
from bonafide.models.examples import Examples, Part
from bonafide.models.xgboost import XGBoostConfig
from bonafide.process.isolate import IsolatedError, run_isolated
from bonafide.runtime import Graph
from bonafide.training.config import AugmentationConfig
from bonafide.training.fitting import FittedBase, left_out, model_seed, train_base
from bonafide.training.folds import Folds, make_folds
from bonafide.training.scaling import fit_standard
from bonafide.training.store import FeatureStore

HELPERS = Path(__file__).parents[1] / "helpers"
BASE_MODELS = tuple(BUILT_IN)
NETWORKS = tuple(name for name in BASE_MODELS if name != "xgboost")
OF_FRAMES = tuple(name for name in NETWORKS if name != "dense")
VIEW = "lfcc"
SPEC = FeatureSpec(
    window_s=1.0,
    views={
        VIEW: ViewSpec("lfcc", n_filters=8, n_coefficients=4),
        "other": ViewSpec("logmel", n_filters=5, n_coefficients=0),
    },
    statistics={VIEW: ViewSpec("lfcc", n_filters=8, n_coefficients=4)},
    narrow={"few": ViewSpec("lfcc", n_filters=4, n_coefficients=3, high_hz=3_600.0)},
)
AUGMENTATION = AugmentationConfig(channels={"telephone": 1})
N_STRETCHES = len(AUGMENTATION.stretches)
N_FRAMES, N_FEATURES = SPEC.n_frames(SPEC.views[VIEW]), SPEC.views[VIEW].n_features
N_ROWS, N_SOURCES = 48, 12
FIT = FitConfig(
    epochs=3,
    steps_per_epoch=15,
    batch_rows=16,
    learning_rate=1e-2,
    average_momentum=0.9,
    offset_scale=0.1,
    statistics_noise=0.1,
    label_smoothing=0.05,
    feature_weights={},
)
SEED = 7
MODELS: dict[str, ModelConfig] = {
    **{
        name: NetworkConfig(
            view=VIEW, width=8, dropout=0.1, statistics_width=8, statistics_dropout=0.2
        )
        for name in OF_FRAMES
    },
    "xgboost": XGBoostConfig(trees=40, depth=3, column_share=0.5, learning_rate=0.2),
    "dense": DenseConfig(
        hears=(STATISTICS, NARROW),
        statistics_width=8,
        statistics_dropout=0.2,
        fit={"augmentation_weight": 0.5},
    ),
}
Scores = NDArray[np.float32]


def write_store(folder: Path, features: dict[str, NDArray[np.float32]]) -> None:
    """Write a store as `bonafide.training.extraction.extract` does."""
    folder.mkdir(parents=True)
    for name, values in features.items():
        np.save(folder / f"{name}.npy", values)
    (folder / "spec.json").write_text(json.dumps(SPEC.to_json()))
    (folder / "augmentation.json").write_text(AUGMENTATION.model_dump_json())
    n_rows = len(features[STATISTICS]) // N_STRETCHES
    done = {row: f"{row:064x}" for row in range(n_rows)}
    (folder / "rows.jsonl").write_text(json.dumps(done) + "\n")


def easy_features(is_spoof: NDArray[np.bool_], source: NDArray[np.int64]) -> dict[str, Any]:
    """Make features whose level, wobble in time and per-source offset are known.

    Spoofs are louder in feature 0 and alternate in time in feature 1; feature 2 names the source.
    The first three statistics tell the classes somewhat, the fourth names the source; scale and
    mean are far from standard. The narrow vector tells nothing. Copies follow the recordings.
    """
    rng = np.random.default_rng(0)
    is_spoof, source = (np.tile(column, N_STRETCHES) for column in (is_spoof, source))
    values = rng.normal(size=(len(is_spoof), N_FRAMES, N_FEATURES))
    sign = np.where(is_spoof, 1.0, -1.0)[:, None]
    values[:, :, 0] += 1.5 * sign
    values[:, :, 1] += sign * np.sin(np.arange(N_FRAMES) / 3)
    values[:, :, 2] += rng.normal(size=N_SOURCES)[source][:, None]
    other = rng.normal(size=(len(is_spoof), N_FRAMES, SPEC.views["other"].n_features))
    statistics = rng.normal(size=(len(is_spoof), SPEC.n_statistics))
    statistics[:, :3] += sign
    statistics[:, 3] += 3 * rng.normal(size=N_SOURCES)[source]
    narrow = rng.normal(size=(len(is_spoof), SPEC.vectors[NARROW]))
    features = {VIEW: values, "other": other, STATISTICS: 5 * statistics - 20, NARROW: narrow}
    return {name: array.astype(np.float32) for name, array in features.items()}


@dataclass(frozen=True)
class Case:
    """A store with its corpus and folds, and a way to fit on it."""

    store: FeatureStore
    corpus: Corpus
    folds: Folds

    def fit(self, name: str, *, corpus: Corpus | None = None, **changes: Any) -> FittedBase:
        options: dict[str, Any] = {"seed": SEED, **changes}
        return train_base(
            name, MODELS[name], FIT, self.store, self.folds, corpus or self.corpus, **options
        )

    def statistics(self, hears: tuple[str, ...] = (STATISTICS,)) -> Part:
        """Return the vectors as the final fits are given them."""
        features = self.store.vectors(hears)
        return Part(features, fit_standard(features, np.flatnonzero(~self.folds.is_test)))

    def flipped(self, rows: NDArray[np.bool_]) -> Corpus:
        """Return the corpus with the labels of these rows the other way round."""
        other = {"spoof": "bonafide", "bonafide": "spoof"}
        return Corpus(
            self.corpus.root,
            [
                replace(row, label=other[row.label]) if flip else row
                for row, flip in zip(self.corpus.rows, rows, strict=True)
            ],
        )


def make_corpus(labels: list[str], sources: list[int]) -> Corpus:
    rows = [
        Row(path=f"{number}.wav", label=label, source=f"source {source}")
        for number, (label, source) in enumerate(zip(labels, sources, strict=True))
    ]
    return Corpus(Path("nowhere"), rows)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    sources = np.arange(N_ROWS) % N_SOURCES
    labels = ["spoof" if (row // N_SOURCES) % 2 else "bonafide" for row in range(N_ROWS)]
    corpus = make_corpus(labels, sources.tolist())
    store = FeatureStore(tmp_path_factory.mktemp("contract") / "store")
    write_store(store.folder, easy_features(corpus.is_spoof, sources))
    return Case(store, corpus, make_folds(corpus, count=3, test_share=0.25, seed=1))


def write_table(case: Case, corpus: Corpus, folder: Path) -> None:
    """Write what `train_base` hands to `fit_base`."""
    folder.mkdir(parents=True)
    np.savez(
        folder / "table.npz",
        is_spoof=corpus.is_spoof,
        source=np.unique(corpus.column("source"), return_inverse=True)[1],
        fold=case.folds.fold,
    )


@dataclass(frozen=True)
class Fits:
    """Every model fitted twice: with the true labels, and with some that must not matter flipped.

    ``unseen`` marks the rows whose labels were flipped the second time; ``folder`` holds the
    second fits of the networks, exported.
    """

    first: dict[str, FittedBase]
    again: dict[str, tuple[Scores, Scores]]
    unseen: dict[str, NDArray[np.bool_]]
    progress: list[tuple[int, int]]
    folder: Path

    def scores(self, name: str) -> dict[str, NDArray[Any]]:
        return dict(np.load(self.folder / name / "seen.npz"))


def fitted_scores(folder: Path) -> tuple[Scores, Scores]:
    """Read what `fit_base` left: scores out of fold, and nested ones."""
    with np.load(folder / "scores.npz") as scores:
        return scores["oof"], scores["nested"]


@pytest.fixture(scope="module")
def samples(case: Case) -> dict[str, dict[str, Scores]]:
    """What graphs and their sources are held against each other on, standardised, by model."""
    frames = case.store.view(VIEW)
    standard = fit_standard(frames, np.arange(N_ROWS))
    rows = np.arange(20)
    heard = {"frames": standard(frames[rows])}
    return {
        name: {
            STATISTICS: case.statistics(heard_by(model)).take(rows),
            **(heard if view_of(model) else {}),
        }
        for name, model in MODELS.items()
    }


@pytest.fixture(scope="module")
def fits(
    case: Case,
    samples: dict[str, dict[str, Scores]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Fits:
    """Fit the GRU alone, the others side by side, and beside them all networks again."""
    folder = tmp_path_factory.mktemp("networks")
    last = case.folds.fold == case.folds.count - 1
    unseen = dict.fromkeys(BASE_MODELS, last | case.folds.is_test)
    unseen["gru"] = case.folds.is_test
    for name in NETWORKS:
        write_table(case, case.flipped(unseen[name]), folder / name)
    for name, inputs in samples.items():
        np.savez(folder / f"{name}.npz", allow_pickle=False, **inputs)
    models = {name: MODELS[name].model_dump(mode="json") for name in NETWORKS}
    common = {
        "fit": FIT.model_dump(mode="json"),
        "store": str(case.store.folder),
        "seed": SEED,
        "nested": True,
    }
    again = {
        "models": models,
        "common": common,
        "folder": str(folder),
        "samples": str(folder),
    }
    progress: list[tuple[int, int]] = []
    alone = case.fit("gru", progress=lambda done, total: progress.append((done, total)))
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(6) as pool:
        patch.setenv("PYTHONPATH", str(HELPERS))
        refit = pool.submit(run_isolated, "children:refit_networks", again)
        others = {name: pool.submit(case.fit, name) for name in BASE_MODELS if name != "gru"}
        trees = pool.submit(case.fit, "xgboost", corpus=case.flipped(unseen["xgboost"]))
        first = {"gru": alone} | {name: future.result() for name, future in others.items()}
        refit.result()
    second = {name: fitted_scores(folder / name) for name in NETWORKS}
    second["xgboost"] = (trees.result().oof, trees.result().nested)
    return Fits(first, second, unseen, progress, folder)


every_model = pytest.mark.parametrize("name", BASE_MODELS)
every_network = pytest.mark.parametrize("name", NETWORKS)
MAX_DIFFERENCE = 1e-4


@pytest.fixture(scope="module", autouse=True)
def tensorflow_stays_in_its_own_processes() -> Iterator[None]:
    before = {"tensorflow", "keras"} & set(sys.modules)  # tests of other files import it
    yield
    assert {"tensorflow", "keras"} & set(sys.modules) == before


def spoof_auc(p_spoof: NDArray[Any], is_spoof: NDArray[np.bool_]) -> float:
    return auc(-p_spoof.astype(np.float64), is_spoof)


def booster_of(content: bytes) -> xgboost.Booster:
    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    return booster


def operators(model: onnx.ModelProto) -> Counter[str]:
    """Count operators, those inside subgraphs too."""
    found: Counter[str] = Counter()
    graphs = [model.graph]
    while graphs:
        for node in graphs.pop().node:
            found[node.op_type] += 1
            graphs += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return found


class TestFit:
    @every_model
    def test_every_row_gets_a_probability(self, fits: Fits, name: str) -> None:
        fitted = fits.first[name]
        assert (fitted.name, fitted.view) == (name, VIEW if name in OF_FRAMES else "")
        assert fitted.hears == ((STATISTICS, NARROW) if name == "dense" else (STATISTICS,))
        assert fitted.oof.shape == (N_ROWS, N_STRETCHES)
        assert fitted.oof.dtype == np.float32
        assert np.isfinite(fitted.oof).all()
        assert fitted.oof.min() >= 0.0
        assert fitted.oof.max() <= 1.0
        assert len(np.unique(fitted.oof)) > 4

    @every_model
    def test_learns(self, case: Case, fits: Fits, name: str) -> None:
        is_spoof, oof = case.corpus.is_spoof, fits.first[name].oof
        for rows in (~case.folds.is_test, case.folds.is_test):
            least = 0.8 if name in ("cnn", "xgboost") else 0.6
            for stretch in range(N_STRETCHES):  # of recordings and of copies
                assert spoof_auc(oof[rows, stretch], is_spoof[rows]) > least

    @every_model
    def test_one_fit_a_fold_and_a_final_one(self, case: Case, fits: Fits, name: str) -> None:
        history = fits.first[name].history
        assert list(history) == [
            *("fold 0", "fold 1", "fold 2", "final"),
            *("fold 0 and 1", "fold 0 and 2", "fold 1 and 2"),
        ]
        model = MODELS[name]
        length = model.trees if isinstance(model, XGBoostConfig) else FIT.epochs
        for losses in history.values():
            assert list(losses) == ["loss"]
            assert len(losses["loss"]) == length
            assert np.isfinite(losses["loss"]).all()
            assert losses["loss"][-1] < losses["loss"][0]
        losses_seen = {tuple(losses["loss"]) for losses in history.values()}
        assert len(losses_seen) == len(history)

    @every_model
    def test_own_format(self, fits: Fits, name: str) -> None:
        fitted = fits.first[name]
        start = b"{" if name == "xgboost" else b"PK"  # UBJSON object, zip
        assert fitted.content.startswith(start)
        assert fitted.suffix == (".ubj" if name == "xgboost" else ".keras")

    def test_progress_rises_to_the_total(self, fits: Fits) -> None:
        done = [number for number, _ in fits.progress]
        assert {total for _, total in fits.progress} == {7000}
        assert done == sorted(done)
        assert done[-1] == 7000
        assert len(set(done)) > 7  # not the ends of the fits alone


class TestNoRowByAModelThatSawIt:
    @every_model
    def test_labels_of_the_own_fold_do_not_matter(self, case: Case, fits: Fits, name: str) -> None:
        """Also: same seed, same numbers to the last bit, whatever runs beside it."""
        own = case.folds.fold == case.folds.count - 1
        assert own.sum() >= 10
        np.testing.assert_array_equal(fits.first[name].oof[own], fits.again[name][0][own])

    @pytest.mark.parametrize("name", [name for name in BASE_MODELS if name != "gru"])
    def test_labels_of_other_folds_do(self, case: Case, fits: Fits, name: str) -> None:
        other = case.folds.fold == 0
        assert np.any(fits.first[name].oof[other] != fits.again[name][0][other])
        test = case.folds.is_test
        assert np.any(fits.first[name].oof[test] != fits.again[name][0][test])

    def test_labels_of_test_rows_decide_nothing(self, case: Case, fits: Fits) -> None:
        np.testing.assert_array_equal(fits.first["gru"].oof, fits.again["gru"][0])
        seen = fits.scores("gru")["batch"][case.folds.is_test]
        np.testing.assert_allclose(
            seen, fits.first["gru"].oof[case.folds.is_test, 0], rtol=0, atol=1e-6
        )

    def test_trees_are_the_same_to_the_last_byte(self, case: Case, fits: Fits) -> None:
        again = case.fit("xgboost", corpus=case.flipped(case.folds.is_test))
        assert again.content == fits.first["xgboost"].content
        np.testing.assert_array_equal(again.oof, fits.first["xgboost"].oof)

    def test_a_group_cannot_be_recognised(self, tmp_path: Path) -> None:
        """Every group has a fingerprint and a label by chance: only who saw a group can tell."""
        n_groups, per_group = 24, 4
        source = np.repeat(np.arange(n_groups), per_group)
        rng = np.random.default_rng(3)
        chance = rng.permutation(np.arange(n_groups) % 2)[source]
        corpus = make_corpus([("bonafide", "spoof")[k] for k in chance], source.tolist())
        noise = 0.01 * rng.normal(size=(N_STRETCHES * len(source), SPEC.n_statistics))
        fingerprint = rng.normal(size=(n_groups, SPEC.n_statistics))[np.tile(source, N_STRETCHES)]
        store = FeatureStore(tmp_path / "store")
        write_store(store.folder, {STATISTICS: (fingerprint + noise).astype(np.float32)})
        folds = make_folds(corpus, count=4, test_share=0.25, seed=1)
        case = Case(store, corpus, folds)
        fitted = case.fit("xgboost")
        side = ~folds.is_test
        statistics = case.statistics().take(np.arange(len(source)))
        seen = booster_of(fitted.content).predict(xgboost.DMatrix(statistics))
        assert spoof_auc(seen[side], corpus.is_spoof[side]) > 0.9  # the final model knows them
        for stretch in range(N_STRETCHES):  # nor by its copies
            assert spoof_auc(fitted.oof[side, stretch], corpus.is_spoof[side]) < 0.75
        np.testing.assert_array_equal(fitted.oof[folds.is_test, 0], seen[folds.is_test])


class TestNested:
    @every_model
    def test_every_training_row_is_scored_for_every_fold(
        self, case: Case, fits: Fits, name: str
    ) -> None:
        fitted, side = fits.first[name], ~case.folds.is_test
        assert fitted.nested.shape == (N_ROWS, case.folds.count, N_STRETCHES)
        assert fitted.nested.dtype == np.float32
        assert np.isfinite(fitted.nested[side]).all()
        assert np.isnan(fitted.nested[~side]).all()
        own = fitted.nested[np.flatnonzero(side), case.folds.fold[side]]
        np.testing.assert_array_equal(own, fitted.oof[side])

    @every_model
    def test_labels_of_the_judged_fold_do_not_matter(
        self, case: Case, fits: Fits, name: str
    ) -> None:
        """The last fold's labels are flipped in the second fits: its column must not move."""
        judged, test = case.folds.count - 1, case.folds.is_test
        first, again = fits.first[name].nested, fits.again[name][1]
        np.testing.assert_array_equal(first[~test, judged], again[~test, judged])
        others = case.folds.fold == 0
        flipped = fits.unseen[name] & ~test
        assert np.any(first[others, 1] != again[others, 1]) == flipped.any()

    def test_a_search_does_without(self, case: Case) -> None:
        fitted = case.fit("xgboost", nested=False)
        assert list(fitted.history) == ["fold 0", "fold 1", "fold 2", "final"]
        assert np.isnan(fitted.nested[case.folds.fold == 0, 1:]).all()
        assert np.isfinite(fitted.oof).all()

    def test_every_fit_leaves_out_what_it_says(self) -> None:
        assert list(left_out(3, nested=False)) == [(0,), (1,), (2,), (-1,)]
        assert list(left_out(4, nested=True))[5:] == [
            *((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
        ]


class TestSeeds:
    def test_networks_differ(self, case: Case, fits: Fits) -> None:
        other = np.load(fits.folder / "other_seed.npy")
        assert np.all(other != fits.again["rnn"][0][case.folds.is_test, 0])

    def test_a_fit_does_not_depend_on_those_before_it(self, case: Case, fits: Fits) -> None:
        """Fits of one network share what TensorFlow traced, and nothing else.

        The same rows at once: in another batch a processor may round otherwise.
        """
        own, before = (np.load(fits.folder / f"{name}.npy") for name in ("own_seed", "before"))
        np.testing.assert_array_equal(own, before)  # the second fit of its trainer; the fourth
        oof = fits.again["rnn"][0][case.folds.is_test, 0]
        np.testing.assert_allclose(own, oof, rtol=0, atol=1e-6)

    def test_trees_differ(self, case: Case, fits: Fits) -> None:
        other = case.fit("xgboost", seed=SEED + 1)
        assert np.any(other.oof != fits.first["xgboost"].oof)

    def test_every_model_and_fold_has_its_own(self) -> None:
        seeds = {
            model_seed(seed, name, *folds)
            for seed in (1, 2)
            for name in BASE_MODELS
            for folds in ((-1,), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
        }
        assert len(seeds) == 2 * 6 * 7
        assert all(0 <= seed < 2**31 for seed in seeds)


class TestPredict:
    @every_network
    def test_networks_batch_equals_single(self, fits: Fits, name: str) -> None:
        found = fits.scores(name)
        assert found["batch"].shape == (N_ROWS,)
        np.testing.assert_allclose(found["batch"][:4], found["single"], rtol=0, atol=1e-6)
        assert found["empty"].shape == (0,)

    @every_network
    def test_the_file_is_the_final_model(self, case: Case, fits: Fits, name: str) -> None:
        found, test = fits.scores(name), case.folds.is_test
        oof = found["oof"][:, 0]
        np.testing.assert_allclose(found["batch"][test], oof[test], rtol=0, atol=1e-6)
        assert np.abs(found["batch"] - oof)[~test].max() > 1e-4  # the rest: other models

    @pytest.mark.parametrize(
        ("name", "other"),
        [
            *((name, "other_statistics") for name in NETWORKS),
            *((name, "other_frames") for name in OF_FRAMES),
        ],
    )
    def test_networks_hear_every_input(self, fits: Fits, name: str, other: str) -> None:
        found = fits.scores(name)
        changed = np.abs(found[other] - found["batch"]) > 1e-4
        assert changed.mean() > 0.9

    def test_trees_batch_equals_single(self, case: Case, fits: Fits) -> None:
        rows, no_source = np.arange(N_ROWS), np.zeros(N_ROWS, np.int64)
        examples = Examples(case.statistics(), case.corpus.is_spoof, no_source)
        trees: Any = family("xgboost")(MODELS["xgboost"], FIT, 0)
        trees.model_ = booster_of(fits.first["xgboost"].content)
        single = [trees.predict(examples, rows[i : i + 1]) for i in rows]
        batch = trees.predict(examples, rows)
        np.testing.assert_allclose(batch, np.concatenate(single), rtol=0, atol=1e-6)
        test = case.folds.is_test
        np.testing.assert_array_equal(batch[test], fits.first["xgboost"].oof[test, 0])
        assert trees.predict(examples, rows[:0]).shape == (0,)


@pytest.fixture(scope="module")
def graphs(fits: Fits) -> dict[str, onnx.ModelProto]:
    trees: Any = family("xgboost")(MODELS["xgboost"], FIT, 0)
    trees.model_ = booster_of(fits.first["xgboost"].content)
    shapes = {STATISTICS: np.zeros((1, SPEC.n_statistics), np.float32)}
    return {
        **{name: onnx.load(fits.folder / name / f"{name}.onnx") for name in NETWORKS},
        "xgboost": trees.to_onnx(shapes),
    }


class TestOnnx:
    def source(self, name: str, fits: Fits, samples: dict[str, dict[str, Scores]]) -> NDArray[Any]:
        if name != "xgboost":
            with np.load(fits.folder / name / f"{name}_scores.npz") as scores:
                keras, tf2onnx = scores["source"], scores["tf2onnx"]
            assert np.abs(keras - tf2onnx).max() <= MAX_DIFFERENCE
            return keras
        inputs = xgboost.DMatrix(samples[name][STATISTICS])
        return np.asarray(booster_of(fits.first[name].content).predict(inputs))

    @every_model
    def test_parity_at_any_batch_size(
        self,
        fits: Fits,
        samples: dict[str, dict[str, Scores]],
        graphs: dict[str, onnx.ModelProto],
        name: str,
    ) -> None:
        graph = Graph(graphs[name].SerializeToString())
        source = self.source(name, fits, samples)
        assert source.std() > 0.01  # a hundred times what is allowed
        for size in (1, 3, len(source)):
            inputs = {part: samples[name][part][:size] for part in graph.inputs}
            seen = graph(inputs)["p_spoof"]
            assert seen.shape == (size,)
            assert np.abs(seen - source[:size]).max() <= MAX_DIFFERENCE

    @every_model
    def test_surface(self, graphs: dict[str, onnx.ModelProto], name: str) -> None:
        graph = graphs[name].graph
        sides = [(v.name, v.type.tensor_type) for v in (*graph.input, *graph.output)]
        shapes = {
            side: [d.dim_param or d.dim_value for d in tensor.shape.dim] for side, tensor in sides
        }
        heard = {"frames": ["batch", N_FRAMES, N_FEATURES]} if name in OF_FRAMES else {}
        n_statistics = sum(SPEC.vectors[vector] for vector in heard_by(MODELS[name]))
        assert shapes == {
            **heard,
            STATISTICS: ["batch", n_statistics],
            "p_spoof": ["batch"],
        }
        assert all(tensor.elem_type == onnx.TensorProto.FLOAT for _, tensor in sides)

    @pytest.mark.parametrize(
        ("name", "recurrence"),
        [
            ("cnn", {}),
            ("rnn", {"RNN": 1}),
            ("bilstm", {"LSTM": 1}),
            ("gru", {"GRU": 1}),
            ("xgboost", {}),
            ("dense", {}),
        ],
    )
    def test_native_operators(
        self, graphs: dict[str, onnx.ModelProto], name: str, recurrence: dict[str, int]
    ) -> None:
        found = operators(graphs[name])
        assert {k: found[k] for k in ("RNN", "LSTM", "GRU") if found[k]} == recurrence
        assert {"Loop", "Scan", "If"} & set(found) == set()
        assert ("TreeEnsembleClassifier" in found) == (name == "xgboost")
        assert ("Conv" in found) == (name in OF_FRAMES)

    @pytest.mark.parametrize(
        ("name", "direction"), [("rnn", "forward"), ("bilstm", "bidirectional"), ("gru", "forward")]
    )
    def test_directions(
        self, graphs: dict[str, onnx.ModelProto], name: str, direction: str
    ) -> None:
        (node,) = (n for n in graphs[name].graph.node if n.op_type in ("RNN", "LSTM", "GRU"))
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert attributes["direction"] == direction.encode()
        assert attributes["hidden_size"] == 8


def test_a_fit_that_fails_says_why(case: Case, tmp_path: Path) -> None:
    other = replace(case, store=FeatureStore(tmp_path))
    with pytest.raises(IsolatedError, match=r"statistics\.npy: cannot be read") as error:
        other.fit("xgboost")
    assert error.value.code == "damaged_features"
    np.save(tmp_path / "statistics.npy", np.zeros((3, 2), np.float32))
    with pytest.raises(IsolatedError, match=r"(?s)fit_base ended with status 1.*spec\.json"):
        other.fit("xgboost")
