"""The runs of the protocol: what each one leaves out, and how."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.features.spec import FeatureSpec
from bonafide.models import BUILT_IN
from bonafide.models.config import FeatureWeights, view_of
from bonafide.training.augmentation import CHANGES
from bonafide.training.config import Config
from bonafide.training.extraction import changes_of
from bonafide.training.store import FeatureStore

MODELS = tuple(BUILT_IN)
SEEDS = (1, 2, 3)
FRAMES = "frames"  # in `Run.without`
NO_AUGMENTATION = {"augmentation_weight": 0.0}
NO_PERTURBATION = {"crop_share": 1.0, "offset_scale": 0.0, "statistics_noise": 0.0}
OF_ALL_MODELS = ("augmentation_weight", "feature_weights")  # of the `FitConfig`


@dataclass(frozen=True)
class Run:
    """One setting of the base models, fitted for every fold.

    Parameters
    ----------
    name : str
        Names its scores and its folder.
    models : sequence of str
        Which base models are fitted.
    seed : int
        Of every fit, together with model and folds.
    fit : mapping
        What differs from the configuration's `FitConfig`.
    without : tuple of str
        Views or kinds of statistics that are withheld from the models; ``frames`` withholds the
        frames of their view from the networks; a name in `bonafide.training.augmentation.CHANGES`
        leaves out the augmented copies that it had a part in.
    folds : tuple of int
        Which folds are scored.
    nested : bool
        Fit without every pair of folds too, so that stacks can be judged on a fold that nothing in
        them was fitted on.
    split : {"sources", "speakers"}
        Whether folds keep sources whole, or only speakers.
    """

    name: str
    models: Sequence[str] = MODELS
    seed: int = 1
    fit: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    folds: tuple[int, ...] = (0, 1, 2, 3)
    nested: bool = False
    split: str = "sources"

    @property
    def held_out(self) -> list[tuple[int, ...]]:
        """The folds that each fit does not see."""
        pairs = combinations(self.folds, 2) if self.nested else ()
        return [*((fold,) for fold in self.folds), *pairs]

    def fit_settings(self, config: Config, model: str) -> dict[str, Any]:
        """Return the part of the `FitConfig` that affects a fit of one model, as JSON."""
        fit = {**config.fit.model_dump(mode="json"), **self.fit}
        return fit if view_of(config.models[model]) else {key: fit[key] for key in OF_ALL_MODELS}


def seed_run(seed: int) -> Run:
    """Return the run of all base models with one seed and nothing left out."""
    return Run(f"seed {seed}", seed=seed, nested=True)


def runs(config: Config) -> Iterator[Run]:
    """Yield every run that the results need, the most important ones first."""
    statistics = tuple(config.spec.statistics)
    gru, trees = ("gru",), ("xgboost",)
    plain = {**NO_AUGMENTATION, **NO_PERTURBATION}
    yield from map(seed_run, SEEDS)
    yield Run("speakers", split="speakers", folds=(0,))
    for name in ("gru", "xgboost"):
        yield Run(f"{name}: no offline augmentation", (name,), fit=NO_AUGMENTATION)
        yield Run(f"{name}: no feature weights", (name,), fit={"feature_weights": {}})
    yield Run("gru: no augmentation", gru, fit=plain)
    for name, value in NO_PERTURBATION.items():
        yield Run(f"gru: no {name}", gru, fit={name: value})
    for name in CHANGES:
        yield Run(f"xgboost: no {name} augmentation", trees, without=(name,))
    yield Run("gru: no statistics", gru, without=statistics)
    yield Run("gru: no statistics, no augmentation", gru, fit=plain, without=statistics)
    yield Run("gru: no frames", gru, without=(FRAMES,))
    for name in (*statistics, *FeatureWeights.model_fields):
        yield Run(f"xgboost: no {name}", trees, without=(name,))


def model_settings(config: Config, model: str) -> dict[str, Any]:
    """Return a base model's section of the configuration, as JSON."""
    section: dict[str, Any] = config.models[model].model_dump(mode="json")
    return section


def left_out_statistics(spec: FeatureSpec, names: Sequence[str]) -> NDArray[np.intp]:
    """Return the columns of statistics that come from these views or are of these kinds."""
    columns = [
        name in names or kind in names
        for name, view in spec.statistics.items()
        for kind in spec.kinds_of(view)
    ]
    return np.flatnonzero(columns)


def left_out_augmentation(
    store: FeatureStore, sha256: Sequence[str], names: Sequence[str]
) -> NDArray[np.bool_]:
    """Return which augmented copies any of these changes had a part in.

    Parameters
    ----------
    store : FeatureStore
        Holds the augmented copies, and how they were made.
    sha256 : sequence of str, length n_rows
        Hash of each recording's sound.
    names : sequence of str
        Changes; names that are not in `bonafide.training.augmentation.CHANGES` are ignored.

    Returns
    -------
    ndarray of bool, shape (n_copies, n_rows)
    """
    augmentation = store.augmentation
    left_out = np.zeros((augmentation.count, len(sha256)), dtype=np.bool_)
    if not set(names).isdisjoint(CHANGES):
        for number, row in np.ndindex(left_out.shape):
            changes = changes_of(sha256[row], number + 1, augmentation)
            left_out[number, row] = not set(names).isdisjoint(changes)
    return left_out
