"""One training run from the outside: start it, wait, and collect what it ended in."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zenml import Model
from zenml.client import Client

from bonafide.bundle import Bundle
from bonafide.corpora.readers import join, read_corpus, require_both_labels
from bonafide.errors import BonafideError
from bonafide.home import clean_work, home
from bonafide.training.config import Config
from bonafide.training.isolate import stop_all
from bonafide.training.outcome import Judgement
from bonafide.training.recordings import Quarantine
from pipelines.training import static_training, training


@dataclass(frozen=True)
class Trained:
    """What a run ended in; `cached` names the steps that did not have to run again."""

    run: str
    bundle: Bundle
    judgement: Judgement
    quarantine: Quarantine
    refusals: list[str]
    cached: list[str]
    ran: list[str]


def fingerprint(corpora: list[str], corpus_format: str | None) -> str:
    """Hash rows and each file's size and time, after checking that the rows can be trained on.

    Raises
    ------
    CorpusError
        What reading raises, and ``one_class``.
    """
    corpus = join([read_corpus(Path(path), corpus_format) for path in corpora])
    require_both_labels(corpus, ", ".join(corpora))
    digest = hashlib.sha256(corpus.to_csv().encode())
    for row in corpus:
        path = corpus.audio_path(row)
        status = path.stat() if path.exists() else None  # a missing one is set aside later
        state = (status.st_size, status.st_mtime_ns) if status else None
        digest.update(repr(state).encode())
    return digest.hexdigest()


def run_training(
    config: Config,
    corpora: list[str],
    corpus_format: str | None = None,
    *,
    static: bool = False,
) -> Trained:
    """Run the pipeline on the active ZenML stack.

    Raises
    ------
    BonafideError
        What the steps raise.
    KeyboardInterrupt
        After ending every process that trains; finished steps are kept.
    """
    arguments: dict[str, Any] = {
        "config": config,
        "corpora": [str(Path(path).resolve()) for path in corpora],
        "corpus_format": corpus_format,
        "fingerprint": fingerprint(corpora, corpus_format),
    }
    wired = (static_training if static else training).with_options(model=Model(name=config.name))
    try:
        run = wired(**arguments)
    finally:
        stop_all()
        clean_work(home())
    if run is None:
        raise BonafideError(
            "run_elsewhere",
            "the active ZenML stack runs the pipeline elsewhere; follow it in its dashboard",
        )
    return collect(str(run.id))


def collect(run_id: str) -> Trained:
    """Read a finished run's results out of ZenML."""
    run = Client().get_pipeline_run(run_id)

    def load(step: str, output: str) -> Any:
        return run.steps[step].outputs[output][0].load()

    statuses = {name: str(step.status.value) for name, step in run.steps.items()}
    return Trained(
        run=run.name,
        bundle=load("promote", "bundle"),
        judgement=load("evaluate", "judgement"),
        quarantine=load("ingest", "quarantine"),
        refusals=load("promote", "refusals"),
        cached=[name for name, status in statuses.items() if status == "cached"],
        ran=[name for name, status in statuses.items() if status != "cached"],
    )
