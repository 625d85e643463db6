"""Hyper-parameters of one base model, searched by Optuna in a bounded study that can go on."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bonafide.artifact import JSON, JsonArtifact
from bonafide.evaluation.metrics import log_loss
from bonafide.models import family
from bonafide.process.pool import Progress, silent
from bonafide.training.config import Config
from bonafide.training.fitting import STEPS, train_base
from bonafide.training.folds import Folds
from bonafide.training.recordings import Recordings
from bonafide.training.stacking import even_weights
from bonafide.training.store import FeatureStore

if TYPE_CHECKING:
    from optuna.trial import Trial

Values = dict[str, Any]


@dataclass(frozen=True)
class Study(JsonArtifact):
    """What a search found.

    Parameters
    ----------
    model : str
        The base model.
    best : dict
        Values of its section of the configuration.
    loss : float
        Their out-of-fold log loss in nats, classes counting alike.
    trials : list of dict
        Each with ``number``, ``loss`` and ``values``, in the order they were run.
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
    """Name studies so that only trials of the same question are counted together."""
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
    kept in a SQLite file as they end: the same call goes on until `trials` have ended.

    Parameters
    ----------
    name : str
        One of the configuration's base models.
    trials : int
        How many trials the study holds when it is done.
    folder : Path
        Receives ``studies.db``.

    Returns
    -------
    Study

    Raises
    ------
    ConfigError
        ``unknown_model`` if the configuration does not name it.
    IsolatedError
        ``training_failed``.
    """
    import optuna
    from optuna.trial import TrialState

    folder.mkdir(parents=True, exist_ok=True)
    section, chosen = config.model(name), family(name)
    side, is_spoof = ~folds.is_test, recordings.corpus.is_spoof
    even = even_weights(is_spoof[side])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / 'studies.db'}",
        study_name=_study_name(name, config, store, folds),
        load_if_exists=True,
    )
    ended = len(study.get_trials(states=(TrialState.COMPLETE,)))
    # A sampler starts anew with every call: without the count it would draw the same trials again.
    study.sampler = optuna.samplers.TPESampler(seed=config.seed + ended)

    def loss_of(trial: "Trial") -> float:
        model = chosen.Config.model_validate({**section.model_dump(), **chosen.suggest(trial)})
        done = STEPS * len(study.get_trials(states=(TrialState.COMPLETE,)))

        def report(now: int, total: int) -> None:
            progress(done + STEPS * now // total, STEPS * trials)

        fitted = train_base(
            name,
            model,
            config.fit,
            store,
            folds,
            recordings.corpus,
            seed=config.seed,
            nested=False,
            progress=report,
        )
        return log_loss(fitted.oof[side], is_spoof[side], even)

    study.optimize(loss_of, n_trials=max(0, trials - ended))
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    listed = [{"number": t.number, "loss": t.value, "values": t.params} for t in complete]
    return Study(name, dict(study.best_params), float(study.best_value), listed)
