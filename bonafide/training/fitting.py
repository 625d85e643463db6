"""Fitting a base model: once for every fold or two, and once on the training side for export."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, sha256_of
from bonafide.channel import CLEAN
from bonafide.corpora.schema import Corpus
from bonafide.errors import BonafideError
from bonafide.models import family_of
from bonafide.models.base import BaseModel
from bonafide.models.config import FitConfig, ModelConfig, heard_by, view_of
from bonafide.models.examples import Examples
from bonafide.process.isolate import run_isolated
from bonafide.process.pool import Progress, silent
from bonafide.training.folds import TEST, Folds
from bonafide.training.scaling import feature_weights_of, standardised
from bonafide.training.store import FeatureStore
from bonafide.types import Ints, Scores

STEPS = 1000  # of progress that one fit is reported in


def model_seed(seed: int, name: str, *folds: int) -> int:
    """Return the seed of one fit, by model and folds left out (`TEST` for the final fit)."""
    entropy = [seed, *(fold + 1 for fold in folds), *name.encode()]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)


@dataclass(frozen=True)
class FittedBase(Artifact):
    """A base model fitted on the whole training side, and its scores out of fold.

    Parameters
    ----------
    name, label : str
        Its name in the configuration, and what people read.
    view : str
        The view that it takes beside its vectors; empty for a model of vectors alone.
    config : dict
        Its section of the configuration, as JSON.
    content : bytes
        The final model in its own format.
    suffix : str
        Usual end of that format's file names.
    oof : ndarray of float32, shape (n_rows, n_stretches)
        p_spoof of every row, and of its augmented copies, by a model that never saw its fold; of
        test rows by the final model.
    nested : ndarray of float32, shape (n_rows, n_folds, n_stretches)
        Column k: p_spoof of every row by a model that saw neither the row's fold nor fold k, so
        that what is fitted on it can be judged on fold k. NaN for test rows.
    history : dict
        Losses of every fit, by its title: ``final``, ``fold 0``, ``fold 0 and 1`` ...
    """

    name: str
    label: str
    view: str
    config: dict[str, Any]
    content: bytes
    suffix: str
    oof: Scores
    nested: Scores
    history: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write ``model<suffix>``, ``oof.npy``, ``nested.npy`` and ``about.json``."""
        (folder / f"model{self.suffix}").write_bytes(self.content)
        np.save(folder / "oof.npy", self.oof, allow_pickle=False)
        np.save(folder / "nested.npy", self.nested, allow_pickle=False)
        (folder / "about.json").write_text(self._about())

    @property
    def hears(self) -> tuple[str, ...]:
        """The vectors that it hears."""
        return heard_by(self.config)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        about = json.loads((folder / "about.json").read_text())
        content = (folder / f"model{about['suffix']}").read_bytes()
        oof, nested = (
            np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("oof", "nested")
        )
        return cls(content=content, oof=oof, nested=nested, **about)

    def _about(self) -> str:
        names = ("name", "label", "view", "config", "suffix", "history")
        return json.dumps({name: getattr(self, name) for name in names})

    def digest(self) -> str:
        """Return a hash of scores and name; a .keras file carries the date it was saved."""
        return sha256_of(self._about(), self.oof.tobytes(), self.nested.tobytes())

    def facts(self) -> dict[str, JSON]:
        """Return name, view, size and the last loss of each fit."""
        losses = {name: fit["loss"][-1] for name, fit in self.history.items() if fit.get("loss")}
        size = len(self.content)
        return {"model": self.name, "view": self.view, "bytes": size, "loss": losses}

    def pages(self) -> dict[str, str]:
        """Show the learning curves."""
        from bonafide.evaluation.figures import curves_figure
        from bonafide.evaluation.report import figure_page

        title = f"Learning curves: {self.label}"
        return {"curves.html": figure_page(title, curves_figure(self.history), "Training loss")}


def train_base(
    name: str,
    model: ModelConfig | Mapping[str, Any],
    fit: FitConfig,
    store: FeatureStore,
    folds: Folds,
    corpus: Corpus,
    *,
    seed: int,
    nested: bool = True,
    progress: Progress = silent,
) -> FittedBase:
    """Fit one base model on every side that `left_out` names, in a process of its own.

    Parameters
    ----------
    name : str
        A family of `bonafide.models`.
    model : ModelConfig or mapping
        Its section of the configuration, or that as JSON.
    fit : FitConfig
        How base models are fitted.
    store : FeatureStore
        Of the corpus's rows, in their order.
    folds : Folds
        Of these rows.
    corpus : Corpus
        Labels and sources.
    seed : int
        Of the run; `model_seed` makes one of it for every fit.
    nested : bool
        Fit what `FittedBase.nested` needs, a model for every two folds. Otherwise only the column
        of a row's own fold is filled; the others are NaN.
    progress : callable
        Called with (done, total).

    Returns
    -------
    FittedBase

    Raises
    ------
    ConfigError
        ``unknown_model`` if there is no such family.
    IsolatedError
        ``training_failed`` if the process fails.
    """
    values = model.model_dump(mode="json") if isinstance(model, ModelConfig) else dict(model)
    chosen = family_of(name, values)
    with TemporaryDirectory() as work:
        folder = Path(work)
        np.savez(
            folder / "table.npz",
            is_spoof=corpus.is_spoof,
            source=np.unique(corpus.column("source"), return_inverse=True)[1],
            fold=folds.fold,
        )
        arguments = {
            "name": name,
            "model": values,
            "fit": fit.of(values).model_dump(mode="json"),
            "store": str(store.bring([n for n in (*heard_by(values), view_of(values)) if n])),
            "folder": str(folder),
            "seed": seed,
            "nested": nested,
        }
        result = run_isolated("bonafide.training.fitting:fit_base", arguments, progress)
        content = (folder / f"model{chosen.suffix}").read_bytes()
        with np.load(folder / "scores.npz") as scores:
            oof, inner = scores["oof"], scores["nested"]
    return FittedBase(
        *(name, values.get("label") or chosen.label, view_of(values), values, content),
        *(chosen.suffix, oof, inner, result["history"]),
    )


def left_out(n_folds: int, *, nested: bool) -> Iterator[tuple[int, ...]]:
    """Return, for each fit of one base model, the folds that it does not see.

    Parameters
    ----------
    n_folds : int
        Number of folds on the training side.
    nested : bool
        Leave out every two folds as well.

    Yields
    ------
    tuple of int
        Each fold alone; then `TEST`, which is the final fit; then every two folds.
    """
    yield from ((fold,) for fold in range(n_folds))
    yield (TEST,)
    if nested:
        yield from combinations(range(n_folds), 2)


def fit_one(
    name: str, model: Mapping[str, Any], fit: FitConfig, examples: Examples, rows: Ints, seed: int,
    progress: Progress = silent,
) -> BaseModel:  # fmt: skip
    """Fit one base model on some rows.

    Parameters
    ----------
    name : str
        A family of `bonafide.models`.
    model : mapping
        Its section of the configuration, as JSON.
    fit : FitConfig
        How base models are fitted.
    examples : Examples
        Features and labels of all rows.
    rows : ndarray of int64, shape (n_training_rows,)
        The rows to fit on.
    seed : int
        Of this very fit; see `model_seed`.
    progress : callable
        Called with (done, total).

    Returns
    -------
    BaseModel
        Fitted.
    """
    chosen = family_of(name, model)
    base = chosen(chosen.Config.model_validate(model), fit, seed)
    base.fit(examples, rows, progress)
    return base


def fit_base(
    *,
    progress: Progress,
    name: str,
    model: dict[str, Any],
    fit: dict[str, Any],
    store: str,
    folder: str,
    seed: int,
    nested: bool,
) -> dict[str, Any]:
    """Fit one base model on every side that `left_out` names (an `Isolated` function).

    Parameters
    ----------
    progress : callable
        Called with (done, total), `STEPS` a fit.
    name : str
        A family of `bonafide.models`.
    model, fit : dict
        Sections of the configuration, as JSON.
    store : str
        Folder of a `FeatureStore`.
    folder : str
        Holds ``table.npz`` with ``is_spoof``, ``source`` and ``fold``, each (n_rows,); receives
        ``model<suffix>`` and ``scores.npz`` with `FittedBase.oof` and `FittedBase.nested`.
    seed : int
        Of the run.
    nested : bool
        Leave out every two folds as well.

    Returns
    -------
    dict
        ``history``, as `FittedBase` has it.
    """
    family_of(name, model).fix_threads()
    with np.load(Path(folder) / "table.npz") as columns:
        fold_of, is_spoof, source = columns["fold"], columns["is_spoof"], columns["source"]
    n_folds, fit_config = int(fold_of.max()) + 1, FitConfig.model_validate(fit)
    features, view, hears = FeatureStore(Path(store)), view_of(model), heard_by(model)
    standardise = partial(
        standardised,
        statistics=features.vectors(hears),
        is_spoof=is_spoof,
        source=source,
        frames=features.view(view) if view else None,
        gain=feature_weights_of(features.spec, fit_config.feature_weights, hears),
        augmentation_weight=copy_weights(features.augmentation.stretches, fit_config),
    )
    n_stretches = len(features.augmentation.stretches)
    oof = np.full((len(fold_of), n_stretches), np.nan, dtype=np.float32)
    inner = np.full((len(fold_of), n_folds, n_stretches), np.nan, dtype=np.float32)
    history: dict[str, Any] = {}
    fits = list(left_out(n_folds, nested=nested))
    for done, out in enumerate(fits):
        side = np.flatnonzero(~np.isin(fold_of, (TEST, *out)))
        examples, part = standardise(side), part_of(progress, done, len(fits))
        own_seed = model_seed(seed, name, *out)
        base = fit_one(name, model, fit_config, examples, side, own_seed, part)
        _score_left_out(base, examples, fold_of, out, oof, inner)
        if out == (TEST,):
            base.save(Path(folder) / f"model{base.suffix}")
        history[_title(out)] = base.history_
        part(1, 1)
    np.savez(Path(folder) / "scores.npz", allow_pickle=False, oof=oof, nested=inner)
    return {"history": history}


def _score_left_out(
    base: BaseModel, examples: Examples, fold_of: Ints, out: tuple[int, ...], oof: Scores,
    nested: Scores,
) -> None:  # fmt: skip
    """Score the folds that a model did not see, into `oof` and `nested` of `FittedBase`."""
    n_stretches = oof.shape[1]
    for fold, column in zip(out, reversed(out), strict=True):  # of two folds, each has the other's
        rows = np.flatnonzero(fold_of == fold)
        every = (rows + len(fold_of) * np.arange(n_stretches)[:, None]).ravel()
        scores = _checked(base.name, base.predict(examples, every), len(every))
        scores = scores.reshape(n_stretches, -1).T
        if fold != TEST:
            nested[rows, column] = scores
        if len(out) == 1:
            oof[rows] = scores


def copy_weights(stretches: Sequence[str], fit: FitConfig) -> NDArray[np.float64]:
    """Return the weight of each augmented copy relative to its recording.

    Parameters
    ----------
    stretches : sequence of str
        Channel of each stretch of a store, the recordings' first.
    fit : FitConfig
        Holds the weights.

    Returns
    -------
    ndarray of float64, shape (n_copies, 1)
        For `Examples.augmentation_weight`.
    """
    weights = [
        fit.crop_weight if channel == CLEAN else fit.augmentation_weight
        for channel in stretches[1:]
    ]
    return np.array(weights, dtype=np.float64)[:, None]


def _checked(name: str, scores: Scores, n_rows: int) -> Scores:
    """Return scores unchanged; raise ``bad_scores`` unless `BaseModel.score` promises them."""
    seen = f"shape {np.shape(scores)}"
    if np.shape(scores) == (n_rows,):
        low, high = np.min(scores, initial=0.0), np.max(scores, initial=1.0)
        if low >= 0.0 and high <= 1.0:  # false for NaN
            return scores
        seen = f"values of {np.min(scores):g} to {np.max(scores):g}"
    raise BonafideError(
        "bad_scores", f"base model {name}: {seen}; must be ({n_rows},) and between 0 and 1"
    )


def _title(out: tuple[int, ...]) -> str:
    return "final" if out == (TEST,) else f"fold {' and '.join(map(str, out))}"


def part_of(progress: Progress, part: int, parts: int) -> Progress:
    """Return what reports the progress of one of several equal parts, from 0, as that of all."""

    def report(done: int, total: int) -> None:
        progress(STEPS * part + STEPS * done // max(total, 1), STEPS * parts)

    return report
