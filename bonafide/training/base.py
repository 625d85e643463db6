"""One base model: fitted once a fold for out-of-fold scores, and once more for export."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, sha256_of
from bonafide.corpora.schema import Corpus
from bonafide.features.spec import STATISTICS
from bonafide.process.isolate import run_isolated
from bonafide.process.pool import Progress, silent
from bonafide.training.config import FitConfig, NetworkConfig, TreesConfig
from bonafide.training.folds import TEST, Folds
from bonafide.training.sampling import Examples, Rows, feature_weights_of
from bonafide.training.store import FeatureStore

STEPS = 1000  # of progress that one fit is reported in


class BaseModel(Protocol):
    """What every base model does; probabilities are of spoof, in [0, 1]."""

    suffix: str
    history_: dict[str, list[float]]

    def fit(self, examples: Examples, rows: Rows, progress: Progress = silent) -> "BaseModel":
        """Fit on rows."""

    def predict(self, examples: Examples, rows: Rows) -> NDArray[np.float32]:
        """Return p_spoof, shape (len(rows),)."""

    def save(self, path: Path) -> None:
        """Write the model in its own format."""


def make_base_model(name: str, model: Mapping[str, Any], fit: FitConfig, seed: int) -> BaseModel:
    """Make an unfitted base model by its name, importing its library only now.

    Parameters
    ----------
    name : str
        One of `BASE_MODELS`.
    model : mapping
        Its section of the configuration, as JSON.
    fit : FitConfig
        How base models are fitted.
    seed : int
    """
    if name == "xgboost":
        from bonafide.models.xgboost import Trees

        return Trees(TreesConfig.model_validate(model), seed)
    from bonafide.models.networks import Network

    return Network(name, NetworkConfig.model_validate(model), fit, seed)


def fix_threads(name: str) -> None:
    """Fix what could make two runs differ: thread counts and the order of reductions."""
    if name != "xgboost":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()


def model_seed(seed: int, name: str, fold: int) -> int:
    """Return each model and fold a seed of its own; fold -1 is the final fit."""
    entropy = [seed, fold + 1, *name.encode()]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)


@dataclass(frozen=True)
class FittedBase(Artifact):
    """A base model fitted on the whole training side, and its scores out of fold.

    Parameters
    ----------
    name : str
        One of `BASE_MODELS`.
    view : str
        The view that it takes beside the statistics; empty for the trees.
    content : bytes
        The model in its own format: .keras, or UBJSON for the trees.
    oof : ndarray of float32, shape (n_rows,)
        p_spoof of every row by a model that never saw its group; of test rows by the final one.
    history : dict
        Losses of the final fit and of each fold's.
    """

    name: str
    view: str
    content: bytes
    oof: NDArray[np.float32]
    history: dict[str, Any]

    @property
    def suffix(self) -> str:
        """Return the usual end of the model's file name."""
        return ".ubj" if self.name == "xgboost" else ".keras"

    def save(self, folder: Path) -> None:
        """Write ``model.keras`` or ``model.ubj``, ``oof.npy`` and ``about.json``."""
        (folder / f"model{self.suffix}").write_bytes(self.content)
        np.save(folder / "oof.npy", self.oof, allow_pickle=False)
        about = {"name": self.name, "view": self.view, "history": self.history}
        (folder / "about.json").write_text(json.dumps(about))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        about = json.loads((folder / "about.json").read_text())
        content = next(folder.glob("model.*")).read_bytes()
        oof = np.load(folder / "oof.npy", allow_pickle=False)
        return cls(about["name"], about["view"], content, oof, about["history"])

    def digest(self) -> str:
        """Return a hash of scores and name; a .keras file carries the date it was saved."""
        return sha256_of(self.name, self.view, self.oof.tobytes(), json.dumps(self.history))

    def facts(self) -> dict[str, JSON]:
        """Return name, view, size and the last loss of each fit."""
        losses = {name: float(fit["loss"][-1]) for name, fit in self.history.items()}
        return {
            "model": self.name,
            "view": self.view,
            "bytes": len(self.content),
            "loss": losses,
        }

    def pages(self) -> dict[str, str]:
        """Show the learning curves."""
        from bonafide.evaluation.figures import curves_figure
        from bonafide.evaluation.report import figure_page

        title = f"Learning curves: {self.name}"
        return {"curves.html": figure_page(title, curves_figure(self.history), "Training loss")}


def train_base(
    name: str,
    model: NetworkConfig | TreesConfig,
    fit: FitConfig,
    store: FeatureStore,
    folds: Folds,
    corpus: Corpus,
    *,
    seed: int,
    progress: Progress = silent,
) -> FittedBase:
    """Fit one base model in a process of its own; see `fit_base` for what it does.

    Raises
    ------
    IsolatedError
        ``training_failed``.
    """
    with TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        np.savez(
            folder / "table.npz",
            is_spoof=corpus.is_spoof,
            source=np.unique(corpus.column("source"), return_inverse=True)[1],
            fold=folds.fold,
        )
        result = run_isolated(
            "bonafide.training.base:fit_base",
            {
                "name": name,
                "model": model.model_dump(mode="json"),
                "fit": fit.model_dump(mode="json"),
                "store": str(store.folder),
                "folder": str(folder),
                "seed": seed,
            },
            progress,
        )
        content = (folder / result["model"]).read_bytes()
        oof = np.load(folder / "oof.npy")
    return FittedBase(name, getattr(model, "view", ""), content, oof, result["history"])


def fit_base(
    *,
    progress: Progress,
    name: str,
    model: dict[str, Any],
    fit: dict[str, Any],
    store: str,
    folder: str,
    seed: int,
) -> dict[str, Any]:
    """Fit one base model on every fold and on the whole training side (an `Isolated` function).

    Parameters
    ----------
    name : str
        One of `BASE_MODELS`.
    model, fit : dict
        Sections of the configuration, as JSON.
    store : str
        Folder of a `FeatureStore`.
    folder : str
        Holds ``table.npz`` with ``is_spoof``, ``source`` and ``fold``, each (n_rows,); receives
        the model and ``oof.npy``.
    seed : int

    Returns
    -------
    dict
        ``model`` (file name) and ``history``.
    """
    fix_threads(name)
    columns = np.load(Path(folder) / "table.npz")
    fold_of, is_spoof = columns["fold"], columns["is_spoof"]
    features = FeatureStore(Path(store))
    statistics = features.view(STATISTICS)
    frames = features.view(model["view"]) if "view" in model else None
    oof = np.full(len(fold_of), np.nan, dtype=np.float32)
    history: dict[str, Any] = {}
    fits = [*range(int(fold_of.max()) + 1), TEST]
    fit_config = FitConfig.model_validate(fit)
    gain = feature_weights_of(features.spec, fit_config.feature_weights)
    for done, fold in enumerate(fits):
        side = np.flatnonzero((fold_of != fold) & (fold_of != TEST))
        scored = np.flatnonzero(fold_of == fold)
        examples = Examples.standardised(
            side,
            statistics,
            is_spoof,
            columns["source"],
            frames,
            gain=gain,
            augmentation_weight=fit_config.augmentation_weight,
        )
        own_seed = model_seed(seed, name, fold)
        base = make_base_model(name, model, fit_config, own_seed)
        base.fit(examples, side, _part(progress, done, len(fits)))
        oof[scored] = base.predict(examples, scored)
        history["final" if fold == TEST else f"fold {fold}"] = base.history_
        progress(STEPS * (done + 1), STEPS * len(fits))
    base.save(Path(folder) / f"model{base.suffix}")
    np.save(Path(folder) / "oof.npy", oof)
    return {"model": f"model{base.suffix}", "history": history}


def _part(progress: Progress, part: int, parts: int) -> Progress:
    """Report one of several equal parts."""

    def report(done: int, total: int) -> None:
        progress(STEPS * part + STEPS * done // total, STEPS * parts)

    return report
