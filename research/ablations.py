"""The runs of the protocol: what each one leaves out, and how."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.channel import CLEAN
from bonafide.features.spec import ENCODER, NARROW, STATISTICS, FeatureSpec
from bonafide.models import family_of
from bonafide.models.config import FeatureWeights
from bonafide.models.network import Network
from bonafide.training.config import Config, default_models
from bonafide.types import Mask

MODELS = tuple(default_models(encoder=True))
SEEDS = (1, 2, 3)
FRAMES = "frames"  # in `Run.without`
NO_COPIES = {"crop_weight": 0.0, "augmentation_weight": 0.0}
NO_PERTURBATION = {"crop_share": 1.0, "offset_scale": 0.0, "statistics_noise": 0.0}
OF_ALL_MODELS = (*NO_COPIES, "feature_weights")  # of the `FitConfig`
NO_NARROW = "robust: no narrow"


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
        Vectors, their views or kinds of statistics that are withheld from the models; ``frames``
        withholds the frames of their view from the networks; the name of a channel leaves out the
        augmented copies that went through it.
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
        section = config.models[model]
        fit = {**config.fit.of(section).model_dump(mode="json"), **self.fit}
        if issubclass(family_of(model, model_settings(config, model)), Network):
            return fit
        return {key: fit[key] for key in OF_ALL_MODELS}


def seed_run(seed: int) -> Run:
    """Return the run of all base models with one seed and nothing left out."""
    return Run(f"seed {seed}", seed=seed, nested=True)


def runs(config: Config) -> Iterator[Run]:
    """Yield every run that the results need, the most important ones first."""
    yield from map(seed_run, SEEDS)
    yield Run(NO_NARROW, ("robust",), without=(NARROW,), nested=True)
    yield Run("speakers", split="speakers", folds=(0,))
    yield from _of_robust(config)
    yield from _of_clean(config)


def _of_robust(config: Config) -> Iterator[Run]:
    """Yield the runs of the base models that are fitted on copies through all channels."""
    robust, speech = ("robust",), ("speech",)
    yield Run("robust: no statistics", robust, without=(STATISTICS,))
    yield Run("robust: no augmentation", robust, fit=NO_COPIES)
    for name, count in config.augmentation.channels.items():
        if count:
            kind = "crops" if name == CLEAN else f"{name} augmentation"
            yield Run(f"robust: no {kind}", robust, without=(name,))
    yield Run("speech: no augmentation", speech, fit=NO_COPIES)


def _of_clean(config: Config) -> Iterator[Run]:
    """Yield the runs of a network and of the trees for clean sound."""
    views = tuple(config.spec.statistics)
    gru, trees = ("gru",), ("xgboost",)
    plain = {**NO_COPIES, **NO_PERTURBATION}
    yield Run("gru: no crops", gru, fit=NO_COPIES)
    yield Run("gru: all channels", gru, fit={"augmentation_weight": 0.5})
    yield Run("gru: no augmentation", gru, fit=plain)
    for name, value in NO_PERTURBATION.items():
        yield Run(f"gru: no {name}", gru, fit={name: value})
    yield Run("gru: no statistics", gru, without=(STATISTICS,))
    yield Run("gru: no statistics, no augmentation", gru, fit=plain, without=(STATISTICS,))
    yield Run("gru: no frames", gru, without=(FRAMES,))
    for name in (*gru, *trees):
        yield Run(f"{name}: no feature weights", (name,), fit={"feature_weights": {}})
    for name in (*views, *FeatureWeights.model_fields):
        yield Run(f"xgboost: no {name}", trees, without=(name,))


def model_settings(config: Config, model: str) -> dict[str, Any]:
    """Return a base model's section of the configuration, as JSON."""
    section: dict[str, Any] = config.models[model].model_dump(mode="json")
    return section


def left_out_columns(
    spec: FeatureSpec, hears: Sequence[str], names: Sequence[str]
) -> NDArray[np.intp]:
    """Return which numbers of some vectors are withheld.

    Parameters
    ----------
    spec : FeatureSpec
        Says what the vectors hold.
    hears : sequence of str
        The vectors that stand side by side.
    names : sequence of str
        Vectors, views and kinds of statistics; others are ignored.

    Returns
    -------
    ndarray of int
        Columns, from 0.
    """
    columns: list[bool] = []
    for vector in hears:
        views = {} if vector == ENCODER else getattr(spec, vector)
        of_views = [
            name in names or kind in names
            for name, view in views.items()
            for kind in spec.kinds_of(view)
        ]
        found = of_views or [False] * spec.vectors[vector]
        columns += [True] * len(found) if vector in names else found
    return np.flatnonzero(columns)


def left_out_copies(stretches: Sequence[str], names: Sequence[str]) -> Mask:
    """Return which augmented copies went through any of these channels, (n_copies, 1).

    Parameters
    ----------
    stretches : sequence of str
        Channel of each stretch of a store, the recordings' first.
    names : sequence of str
        Channels; other names are ignored.
    """
    return np.isin(np.array(stretches[1:], dtype=np.str_), names)[:, None]
