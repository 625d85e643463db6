"""Trees whose answers do not hang on the last bit."""

import numpy as np
import xgboost

from bonafide.training.trees import halfway


def test_splits_lie_between_rows_and_answer_as_before() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 20)).astype(np.float32)
    y = x[:, 0] + rng.standard_normal(300) > 0
    parameters = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1}
    fitted = xgboost.train(parameters, xgboost.DMatrix(x, y), 50)
    moved = halfway(fitted, x)

    def scores(booster: xgboost.Booster, rows: np.ndarray) -> np.ndarray:
        return booster.predict(xgboost.DMatrix(rows))

    shaken = x * np.float32(1 - 1e-6)
    assert np.array_equal(scores(moved, x), scores(fitted, x))
    assert np.array_equal(scores(moved, shaken), scores(moved, x))
    assert np.abs(scores(fitted, shaken) - scores(fitted, x)).max() > 1e-2  # what it cures
