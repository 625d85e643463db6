"""Trees whose answers do not hang on the last bit."""

from dataclasses import replace

import numpy as np
import pytest
import xgboost

from bonafide.evaluation.metrics import even_weights
from bonafide.export.meta import meta_trees_graph
from bonafide.models.config import FitConfig
from bonafide.models.examples import Examples, Part, Standard
from bonafide.models.xgboost import XGBoost, XGBoostConfig, halfway, load_booster
from bonafide.runtime import Graph
from bonafide.training.stacking import Scored, _fit_pair


def test_splits_lie_between_rows_and_answer_as_before() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 20)).astype(np.float32)
    y = x[:, 0] + rng.standard_normal(300) > 0
    parameters = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1}
    fitted = xgboost.train(parameters, xgboost.DMatrix(x, y), 50)
    moved = halfway(fitted, [x[:200], x[200:]])

    def scores(booster: xgboost.Booster, rows: np.ndarray) -> np.ndarray:
        return booster.predict(xgboost.DMatrix(rows))

    shaken = x * np.float32(1 - 1e-6)
    assert np.array_equal(scores(moved, x), scores(fitted, x))
    assert np.array_equal(scores(moved, shaken), scores(moved, x))
    assert np.abs(scores(fitted, shaken) - scores(fitted, x)).max() > 1e-2  # what it cures


def test_a_stream_gives_the_very_trees_that_all_rows_at_once_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 12)).astype(np.float32)
    is_spoof, gain = x[:, 0] + rng.standard_normal(500) > 0, rng.random(12, np.float32)
    standard = Standard(np.zeros(12, np.float32), np.ones(12, np.float32), gain=gain)
    examples = Examples(Part(x, standard), is_spoof, np.arange(500) % 7)
    rows, model = np.arange(0, 500, 2), XGBoost(XGBoostConfig(trees=20), FitConfig(), 3)
    every, labels, weight = examples.with_augmentation(rows)
    taken = examples.statistics.take(every)
    matrix = xgboost.DMatrix(taken, labels, weight=weight, feature_weights=gain)
    whole = halfway(xgboost.train(model._parameters(), matrix, 20), [taken])
    for chunk_rows in (7, 250):
        monkeypatch.setattr("bonafide.models.xgboost.CHUNK_ROWS", chunk_rows)
        streamed = model.fit(examples, rows).model_
        assert streamed.get_dump(dump_format="json") == whole.get_dump(dump_format="json")


def onnx_difference(booster: xgboost.Booster, x: np.ndarray) -> float:
    """Return the largest difference of a booster's p_spoof from that of its graph."""
    graph = Graph(meta_trees_graph(booster, x.shape[1] - 1).SerializeToString())
    source = booster.predict(xgboost.DMatrix(x))
    seen = graph({"models": x[:, :-1], "channel": x[:, -1:]})["p_spoof"]
    return float(np.abs(seen - source).max())


def meta_trees(x: np.ndarray, is_spoof: np.ndarray, seed: int) -> xgboost.Booster:
    """Fit the meta-model's trees to scores, and the posterior of a channel in the last column."""
    scored = Scored(x[:, :-1], x[:, -1:])
    return load_booster(_fit_pair(scored, is_spoof, even_weights(is_spoof), seed).trees)


@pytest.mark.parametrize("n_rows", [16, 24, 100])
def test_trees_that_never_split_are_exported_too(n_rows: int) -> None:
    """The converter takes a base score of 0.5 for log odds where the first tree is one leaf of 0.

    Few rows leave the meta-model's trees like that.
    """
    x = np.random.default_rng(0).random((n_rows, 3)).astype(np.float32)
    booster = meta_trees(x, np.arange(n_rows) % 2 == 0, 1)
    assert onnx_difference(booster, x) <= 1e-6
    splits = sum("children" in tree for tree in booster.get_dump(dump_format="json"))
    assert (splits == 0) == (n_rows < 100)


@pytest.mark.parametrize("n_rows", [20, 30, 40, 50, 60])
def test_meta_models_of_few_rows_are_exported_right(n_rows: int) -> None:
    is_spoof = np.arange(n_rows) % 2 == 1
    worst = []
    for seed in range(20):
        rng = np.random.default_rng(100 * n_rows + seed)
        odds = rng.normal(size=(n_rows, 5)) + np.where(is_spoof, 1.0, -1.0)[:, None]
        models = (1 / (1 + np.exp(-odds))).astype(np.float32)
        uneven = is_spoof if seed % 2 else np.arange(n_rows) < 2 + seed % 3
        both = np.concatenate([models, np.ones((n_rows, 1), np.float32)], axis=1)
        worst.append(onnx_difference(meta_trees(both, uneven, seed), both))
    assert max(worst) <= 1e-6


@pytest.mark.parametrize("n_rows", [20, 30, 40, 50, 60])
def test_base_models_of_few_rows_are_exported_right(n_rows: int) -> None:
    """By default, and where whole numbers of rows in the leaves look like a regression's."""
    settings = (
        XGBoostConfig(trees=20),
        XGBoostConfig(trees=1, depth=1, row_share=1.0, column_share=1.0),
    )
    for seed in range(20):
        rng = np.random.default_rng(100 * n_rows + seed)
        is_spoof = np.arange(n_rows) % 2 == 1 if seed % 2 else np.arange(n_rows) < 1 + seed % 3
        statistics = rng.normal(size=(n_rows, 4)) + is_spoof[:, None]
        if seed % 4 > 1:
            statistics[:] = 1.0  # nothing to split by
        rows, config = np.arange(n_rows), settings[seed % 3 == 0]
        examples = examples_of(statistics, is_spoof, rows)
        trees = XGBoost(config, FitConfig(), seed).fit(examples, rows)
        inputs = {"statistics": examples.statistics.take(rows)}
        graph = Graph(trees.to_onnx(inputs).SerializeToString())
        np.testing.assert_allclose(graph(inputs)["p_spoof"], trees.score(inputs), atol=1e-6)


@pytest.mark.parametrize("base_score", [None, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("depth", [1, 6])
@pytest.mark.parametrize("kind", ["signal", "constant", "one spoof", "missing"])
def test_no_booster_is_read_as_another(kind: str, depth: int, base_score: float | None) -> None:
    rng = np.random.default_rng(0)
    for n_rows, n_trees in ((8, 1), (20, 1), (20, 10), (60, 10)):
        x = rng.normal(size=(n_rows, 3)).astype(np.float32)
        is_spoof = np.arange(n_rows) < 1 if kind == "one spoof" else x[:, 0] > 0
        if kind == "constant":
            x[:] = 1.0
        if kind == "missing":
            x[::3, 1] = np.nan
        parameters = {"objective": "binary:logistic", "max_depth": depth, "nthread": 1}
        if base_score is not None:
            parameters["base_score"] = base_score
        booster = xgboost.train(parameters, xgboost.DMatrix(x, is_spoof), n_trees)
        assert onnx_difference(booster, x) <= 1e-6, (n_rows, n_trees)


def examples_of(statistics: np.ndarray, is_spoof: np.ndarray, source: np.ndarray) -> Examples:
    ones = np.ones(statistics.shape[1], np.float32)
    part = Part(statistics.astype(np.float32), Standard(0 * ones, ones, 4.0))
    return Examples(part, is_spoof, source)


@pytest.mark.parametrize("n_spoof", [60, 200, 340])
def test_classes_count_alike_however_many_rows_they_have(n_spoof: int) -> None:
    n_rows = 400
    silence = np.zeros((n_rows, 3))  # nothing tells the classes apart
    examples = examples_of(silence, np.arange(n_rows) < n_spoof, np.arange(n_rows))
    trees = XGBoost(XGBoostConfig(trees=30, column_share=1.0, row_share=1.0), FitConfig(), 0)
    p_spoof = trees.fit(examples, np.arange(n_rows)).predict(examples, np.arange(n_rows))
    np.testing.assert_allclose(p_spoof, 0.5, atol=1e-3)
    assert len(trees.history_["loss"]) == 30


def test_big_sources_do_not_rule() -> None:
    """Where the statistics are high, one source of 64 real rows stands against 16 spoofs of 16."""
    high = np.repeat([True, True, False, False], [64, 16, 64, 16])
    is_spoof = np.repeat([False, True, True, False], [64, 16, 64, 16])
    source = np.concatenate(
        [np.repeat(0, 64), np.arange(1, 17), np.repeat(17, 64), 18 + np.arange(16)]
    )
    examples = examples_of(np.tile(high[:, None], (1, 2)), is_spoof, source)
    config = XGBoostConfig(trees=100, learning_rate=0.3, column_share=1.0, row_share=1.0)
    rows = np.arange(len(source))
    p_spoof = XGBoost(config, FitConfig(), 0).fit(examples, rows).predict(examples, rows)
    # a source of 64 weighs as 8 of one row do: two thirds to one third, by rows it would be 1 to 4
    np.testing.assert_allclose(p_spoof, np.where(high, 2 / 3, 1 / 3), atol=0.02)


@pytest.mark.parametrize(("weight", "learned"), [(0.0, 0.5), (0.5, 0.9)])
def test_copies_teach_what_recordings_do_not(weight: float, learned: float) -> None:
    is_spoof = np.arange(200) % 2 == 0
    silence, told = np.zeros((200, 1)), is_spoof[:, None] - 0.5
    examples = replace(
        examples_of(np.concatenate([silence, told]), is_spoof, np.arange(200)),
        augmentation_weight=weight,
    )
    trees = XGBoost(
        XGBoostConfig(trees=50, learning_rate=0.3, column_share=1.0, row_share=1.0), FitConfig(), 0
    )
    p_spoof = trees.fit(examples, np.arange(200)).predict(examples, np.array([200, 201]))
    np.testing.assert_allclose(p_spoof, [learned, 1 - learned], atol=0.1)


def test_columns_are_offered_as_often_as_they_count() -> None:
    rng = np.random.default_rng(0)
    is_spoof = np.arange(400) % 2 == 0
    statistics = is_spoof[:, None] + rng.normal(size=(400, 4))  # each tells as much as the others
    examples = examples_of(statistics, is_spoof, np.arange(400))
    gain = np.array([3, 1, 1, 1], np.float32)
    standard = replace(examples.statistics.standard, gain=gain)
    examples = replace(examples, statistics=replace(examples.statistics, standard=standard))
    config = XGBoostConfig(trees=300, depth=1, learning_rate=0.01, column_share=0.25)
    trees = XGBoost(config, FitConfig(), 0).fit(examples, np.arange(400))
    asked = trees.model_.get_score(importance_type="weight")
    shares = np.array([asked[f"f{column}"] for column in range(4)]) / sum(asked.values())
    np.testing.assert_allclose(shares, gain / gain.sum(), atol=0.08)
