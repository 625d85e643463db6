"""The workspace: a corpus with its features, and what the protocol fitted on it."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.channel import CLEAN
from bonafide.corpora import read_corpus
from bonafide.display import reporter
from bonafide.judging import log_odds
from bonafide.process.isolate import run_isolated
from bonafide.process.pool import worker_count
from bonafide.training.caching import cached_extract
from bonafide.training.config import Config, read_config
from bonafide.training.folds import Folds
from bonafide.training.ingest import ingest
from bonafide.training.recordings import Recordings
from bonafide.training.store import FeatureStore
from bonafide.types import AnyFloats, Scores
from research.ablations import FRAMES, Run, model_settings, runs
from research.fitting import Table, file_stem
from research.folds import read_protocol, speaker_folds


@dataclass(frozen=True)
class Workspace:
    """A corpus with its features, and where fits and scores are kept."""

    config: Config
    recordings: Recordings
    folds: Mapping[str, Folds]
    folder: Path

    @classmethod
    def open(cls, corpus: Path, config: Path, folder: Path) -> "Workspace":
        """Ingest the corpus."""
        parsed = read_config(config)
        recordings, _ = ingest(read_corpus(corpus), progress=reporter("ingest"))
        rows = recordings.corpus
        folds = {"sources": read_protocol(rows), "speakers": speaker_folds(rows)}
        return cls(parsed, recordings, folds, folder)

    @cached_property
    def store(self) -> FeatureStore:
        """The features, those extracted that are not there yet: tables of scores need none."""
        return cached_extract(
            self.recordings,
            self.config.spec,
            self.config.augmentation,
            self.folder / "features",
            progress=reporter("extract"),
        )

    @property
    def stretches(self) -> tuple[str, ...]:
        """The channel of each stretch of the store: of the recordings, and of each copy."""
        return self.config.augmentation.stretches

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, clean sound first."""
        return tuple(dict.fromkeys(self.stretches))

    def by_channel(self, values: AnyFloats) -> AnyFloats:
        """Return values (n_rows, n_stretches, ...) of recordings and one copy of each channel."""
        first = [0 if name == CLEAN else self.stretches.index(name) for name in self.channels]
        return values[:, first]

    def path(self, run: Run, model: str, held_out: tuple[int, ...], suffix: str) -> Path:
        """Return the path of one fit's file."""
        folder = self.folder / run.name.replace(": ", "-").replace(" ", "_") / model
        return folder / f"{file_stem(held_out)}{suffix}"

    def scores(self, run: Run, model: str) -> Scores:
        """Return the p_spoof of one model in a run.

        Parameters
        ----------
        run : Run
            With all fits of this model done.
        model : str
            Name of the base model.

        Returns
        -------
        ndarray of float32
            Shape (n_rows, n_stretches): each row, and its augmented copies, scored by a model that
            never saw its fold; NaN where the run scores nothing. Of a nested run, shape (n_rows,
            n_folds, n_stretches): [:, k] by a model that never saw fold k either, so that the
            column of a row's own fold has its ordinary score.
        """
        fold_of, count = self.folds[run.split].fold, len(self.stretches)
        scores = np.full((len(fold_of), int(fold_of.max()) + 1, count), np.nan, dtype=np.float32)
        for held_out in run.held_out:
            found = np.load(self.path(run, model, held_out, ".npy"))
            scored = fold_of[np.isin(fold_of, held_out)]
            for fold in held_out:
                other = held_out[-1] if fold == held_out[0] else held_out[0]
                scores[fold_of == fold, other] = found[scored == fold]
        return scores if run.nested else own_column(scores, fold_of)

    def fit(self, run: Run) -> None:
        """Fit what is missing of a run, one fit per core."""
        corpus = self.recordings.corpus
        table = self.folder / f"{run.split}.npz"
        Table(
            is_spoof=corpus.is_spoof,
            source=np.unique(corpus.column("source"), return_inverse=True)[1],
            fold=self.folds[run.split].fold,
        ).write(table)
        with ThreadPoolExecutor(worker_count()) as pool:
            jobs = [
                pool.submit(self._fit_one, run, model, held_out, table)
                for model in run.models
                for held_out in run.held_out
                if not self.is_fitted(run, model, held_out)
            ]
            for done, job in enumerate(jobs, start=1):
                job.result()
                print(f"{run.name}: {done} of {len(jobs)} fits", flush=True)

    def fitted(self) -> dict[str, NDArray[np.float16]]:
        """Return the scores of all that was fitted with this configuration.

        Returns
        -------
        dict of str to ndarray of float16, shape (n_rows, n_channels)
            By ``run|model``: the log odds of a spoof of each recording, and of one copy through
            each channel, by what never heard its fold; NaN where the run scores nothing.
        """
        found = {}
        for run in runs(self.config):
            fold_of = self.folds[run.split].fold
            for model in run.models:
                if all(self.is_fitted(run, model, held_out) for held_out in run.held_out):
                    scores = self.scores(run, model)
                    own = own_column(scores, fold_of) if run.nested else scores
                    found[f"{run.name}|{model}"] = log_odds(self.by_channel(own)).astype(np.float16)
        return found

    def settings(self, run: Run, model: str, held_out: tuple[int, ...]) -> dict[str, Any]:
        """Return all that determines a fit, as JSON values."""
        return {
            "name": model,
            "model": model_settings(self.config, model),
            "fit": run.fit_settings(self.config, model),
            "store": "/".join(self.store.folder.parts[-2:]),
            "held_out": list(held_out),
            "seed": run.seed,
            "without": [name for name in run.without if name != FRAMES],
            "deaf": FRAMES in run.without,
        }

    def is_fitted(self, run: Run, model: str, held_out: tuple[int, ...]) -> bool:
        """Return whether a fit with exactly these settings exists."""
        path = self.path(run, model, held_out, ".json")
        return path.exists() and json.loads(path.read_text()) == self.settings(run, model, held_out)

    def _fit_one(self, run: Run, model: str, held_out: tuple[int, ...], table: Path) -> None:
        done = self.path(run, model, held_out, ".json")
        done.parent.mkdir(parents=True, exist_ok=True)
        settings = self.settings(run, model, held_out)
        places = {"store": self.store.folder, "table": table, "folder": done.parent}
        arguments = {**settings, **{name: str(path) for name, path in places.items()}}
        run_isolated("research.fitting:fit_held_out", arguments)
        done.write_text(json.dumps(settings))


def own_column(scores: Scores, fold_of: NDArray[np.int64]) -> Scores:
    """Return the scores (n_rows, n_folds, ...) in the column of each row's own fold."""
    own: Scores = scores[np.arange(len(fold_of)), fold_of]
    return own
