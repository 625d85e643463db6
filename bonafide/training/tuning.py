"""The hyper-parameter search of one base model: a bounded Optuna study that can be resumed."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bonafide.artifact import JSON, JsonArtifact
from bonafide.evaluation.metrics import even_weights, log_loss
from bonafide.models import family_of
from bonafide.models.config import ModelConfig
from bonafide.process.pool import Progress, silent
from bonafide.training.config import Config
from bonafide.training.fitting import part_of, train_base
from bonafide.training.folds import Folds
from bonafide.training.recordings import Recordings
from bonafide.training.store import FeatureStore

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, Trial

Values = dict[str, Any]


@dataclass(frozen=True)
class Study(JsonArtifact):
    """The result of a search.

    Parameters
    ----------
    model : str
        Name of the base model.
    best : dict
        The best values for its section of the configuration.
    loss : float
        Their out-of-fold log loss in nats, classes counting alike.
    trials : list of dict
        Each with ``number``, ``loss`` and ``values``, in the order in which they were run.
    """

    FILE: ClassVar = "study.json"

    model: str
    best: Values
    loss: float
    trials: list[dict[str, Any]] = field(default_factory=list)

    def facts(self) -> dict[str, JSON]:
        """Return model, loss and the best values."""
        return {
            "model": self.model,
            "loss": self.loss,
            "trials": len(self.trials),
            "best": json.dumps(self.best),
        }

    def pages(self) -> dict[str, str]:
        """Show every trial, the best first."""
        from bonafide.evaluation.report import tables_page

        ranked = sorted(self.trials, key=lambda trial: float(trial["loss"]))
        lines = [
            [str(trial["number"]), f"{trial['loss']:.4f}", json.dumps(trial["values"])]
            for trial in ranked
        ]
        table = (("trial", "loss", "values"), lines)
        return {"trials.html": tables_page(f"Hyper-parameters: {self.model}", {"": table})}


def _study_name(name: str, config: Config, store: FeatureStore, folds: Folds) -> str:
    """Return a name that is the same only for trials with equal settings, features and folds."""
    question = [
        config.models[name].model_dump(mode="json"),
        config.fit.model_dump(mode="json"),
        config.seed,
        store.sha256,
        hashlib.sha256(folds.fold.tobytes()).hexdigest(),
    ]
    return f"{name}-{hashlib.sha256(json.dumps(question).encode()).hexdigest()[:12]}"


def tune(
    name: str,
    config: Config,
    recordings: Recordings,
    store: FeatureStore,
    folds: Folds,
    *,
    trials: int,
    folder: Path,
    progress: Progress = silent,
) -> Study:
    """Search the hyper-parameters of one base model.

    A trial fits the model on every fold; its loss is that of the out-of-fold scores. Trials are
    kept in a SQLite file as they end, so that the same call resumes a search that was stopped.

    Parameters
    ----------
    name : str
        One of the configuration's base models.
    config : Config
        Gives the seed, how base models are fitted, and the values that are not searched.
    recordings : Recordings
        Labels and sources.
    store : FeatureStore
        Of these recordings.
    folds : Folds
        Of these recordings.
    trials : int
        How many trials the study holds when it is done, at least 1.
    folder : Path
        Receives ``studies.db``.
    progress : callable
        Called with (done, total).

    Returns
    -------
    Study

    Raises
    ------
    ConfigError
        ``unknown_model`` if the configuration does not name it.
    IsolatedError
        ``training_failed`` if the process of a trial fails.
    """
    section = config.model(name).model_dump()
    chosen = family_of(name, section)
    from optuna.samplers import TPESampler

    folder.mkdir(parents=True, exist_ok=True)
    study = _open_study(folder / "studies.db", _study_name(name, config, store, folds))
    ended = len(_complete(study))
    # Every call makes a new sampler: without the count it would draw the same trials again.
    study.sampler = TPESampler(seed=config.seed + ended)

    def loss_of(trial: "Trial") -> float:
        model = chosen.Config.model_validate({**section, **chosen.suggest(trial)})
        report = part_of(progress, len(_complete(study)), trials)
        return _out_of_fold_loss(name, model, config, recordings, store, folds, report)

    study.optimize(loss_of, n_trials=max(0, trials - ended))
    listed = [{"number": t.number, "loss": t.value, "values": t.params} for t in _complete(study)]
    return Study(name, dict(study.best_params), float(study.best_value), listed)


def _open_study(file: Path, name: str) -> "optuna.Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(storage=f"sqlite:///{file}", study_name=name, load_if_exists=True)


def _complete(study: "optuna.Study") -> "list[FrozenTrial]":
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE,))


def _out_of_fold_loss(
    name: str,
    model: ModelConfig,
    config: Config,
    recordings: Recordings,
    store: FeatureStore,
    folds: Folds,
    progress: Progress,
) -> float:
    """Fit a base model on every fold; return its log loss in nats, classes counting alike."""
    corpus, side = recordings.corpus, ~folds.is_test
    fitted = train_base(
        *(name, model, config.fit, store, folds, corpus),
        seed=config.seed,
        nested=False,
        progress=progress,
    )
    is_spoof = corpus.is_spoof[side]
    return log_loss(fitted.oof[side, 0], is_spoof, even_weights(is_spoof))
