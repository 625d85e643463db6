"""Stacks judged on noise: ordinary out-of-fold scores flatter them, nested scores do not.

The out-of-fold scores of the other folds come from base models that were fitted on the judged fold.
A stack that is fitted on them has heard of its labels: on pure noise it does better than chance.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bonafide.evaluation.metrics import auc
from bonafide.training.folds import Folds
from bonafide.training.stacking import fit_stack
from tests.helpers.routers import of_one_channel

Scores = NDArray[np.float32]
Mask = NDArray[np.bool_]
N_GROUPS, ROWS_OF_A_GROUP, N_FEATURES, N_MODELS, N_FOLDS = 18, 4, 100, 5, 3
REPEATS = 48


def draw(rng: np.random.Generator, signal: float = 0.0) -> tuple[NDArray[Any], Mask, Folds]:
    """Return features of each base model, labels that are even in every fold, whole groups.

    Features (n_models, n_rows, n_features) are noise of groups and rows, and `signal` times the
    label on top.
    """
    group = np.repeat(np.arange(N_GROUPS), ROWS_OF_A_GROUP)
    fold, n_rows = group % N_FOLDS, len(group)
    is_spoof = np.empty(n_rows, dtype=bool)
    for number in range(N_FOLDS):
        rows = fold == number
        is_spoof[rows] = rng.permutation(np.arange(rows.sum()) % 2 == 0)
    x = rng.normal(size=(N_MODELS, n_rows, N_FEATURES))
    x += rng.normal(size=(N_MODELS, N_GROUPS, N_FEATURES))[:, group]
    x[:, :, :10] += signal * np.where(is_spoof, 1.0, -1.0)[:, None]
    return x, is_spoof, Folds(group, fold)


def ridge(x: NDArray[Any], is_spoof: Mask, held_out: Mask) -> NDArray[Any]:
    """Return p_spoof of the rows held out, by a ridge regression on the others."""
    known = x[~held_out]
    kernel = known @ known.T + 10.0 * np.eye(len(known))
    weights = known.T @ np.linalg.solve(kernel, np.where(is_spoof[~held_out], 1.0, -1.0))
    return 1 / (1 + np.exp(-2.0 * x[held_out] @ weights))


def base_scores(x: NDArray[Any], is_spoof: Mask, folds: Folds) -> tuple[Scores, Scores]:
    """Return out-of-fold scores (n_rows, n_models), and nested (n_rows, n_folds, n_models)."""
    nested = np.empty((len(is_spoof), folds.count, len(x)), np.float32)
    for model, features in enumerate(x):
        for one in range(folds.count):
            for other in range(one, folds.count):
                held_out = np.isin(folds.fold, (one, other))
                scores = np.zeros(len(is_spoof))
                scores[held_out] = ridge(features, is_spoof, held_out)
                for own, kept in ((one, other), (other, one)):
                    nested[folds.fold == own, kept, model] = scores[folds.fold == own]
    return nested[np.arange(len(is_spoof)), folds.fold], nested


def ordinary(oof: Scores) -> Scores:
    """Pass out-of-fold scores off as nested ones."""
    return np.repeat(oof[:, None], N_FOLDS, axis=1)


def aucs(repeats: int, signal: float = 0.0) -> dict[str, NDArray[np.float64]]:
    """Return the AUC of cross-fitted stacks by kind of scores, (repeats, n_meta_models)."""
    rng, found = np.random.default_rng(0), {"ordinary": list[Any](), "nested": list[Any]()}
    for seed in range(repeats):
        x, is_spoof, folds = draw(rng, signal)
        oof, nested = base_scores(x, is_spoof, folds)
        for kind, scores in (("ordinary", ordinary(oof)), ("nested", nested)):
            cross_fitted = stacked(oof, scores, is_spoof, folds, seed)
            found[kind].append([auc(-column, is_spoof) for column in cross_fitted.T.astype(float)])
    return {kind: np.array(values) for kind, values in found.items()}


def stacked(oof: Scores, nested: Scores, is_spoof: Mask, folds: Folds, seed: int) -> Scores:
    """Return the cross-fitted scores of both meta-models; labels are even in every fold."""
    router, weights = of_one_channel(len(oof), folds.count), np.ones((len(oof), 1))
    given = oof[:, None], nested[:, :, None], router, is_spoof, weights, folds, seed
    return fit_stack(*given)[1][:, 0]


def errors_from_chance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how many standard errors the mean lies over 0.5."""
    return (values.mean(axis=0) - 0.5) / (values.std(axis=0) / np.sqrt(len(values)))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Fits of 48 rows: threads that wait for each other on a busy machine take longer."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def on_noise() -> dict[str, NDArray[np.float64]]:
    return aucs(REPEATS)


def test_ordinary_scores_flatter_stacks_on_noise(on_noise: dict[str, NDArray[Any]]) -> None:
    assert errors_from_chance(on_noise["ordinary"]).min() > 3.0
    assert on_noise["ordinary"].mean() > 0.55


def test_nested_scores_are_at_chance_on_noise(on_noise: dict[str, NDArray[Any]]) -> None:
    assert np.abs(errors_from_chance(on_noise["nested"])).max() < 2.0
    assert on_noise["nested"].mean() == pytest.approx(0.5, abs=0.02)


def test_where_there_is_something_to_hear_both_say_the_same() -> None:
    found = aucs(8, signal=0.6)
    assert found["nested"].mean() > 0.9
    assert found["nested"].mean() == pytest.approx(found["ordinary"].mean(), abs=0.02)


@pytest.mark.parametrize("fold", range(N_FOLDS))
def test_labels_of_a_fold_decide_nothing_of_it(fold: int) -> None:
    """With nested scores, that is, and down to the last bit."""
    x, is_spoof, folds = draw(np.random.default_rng(7))
    own = folds.fold == fold
    sides = [base_scores(x, labels, folds) for labels in (is_spoof, is_spoof ^ own)]
    stacks = {
        kind: [
            stacked(oof, nested if kind == "nested" else ordinary(oof), labels, folds, 1)
            for (oof, nested), labels in zip(sides, (is_spoof, is_spoof ^ own), strict=True)
        ]
        for kind in ("nested", "ordinary")
    }
    np.testing.assert_array_equal(stacks["nested"][0][own], stacks["nested"][1][own])
    assert (stacks["ordinary"][0][own] != stacks["ordinary"][1][own]).mean() > 0.5
