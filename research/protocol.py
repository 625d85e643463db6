"""The yardstick: leave-sources-out cross-validation with the folds of configs/protocol.csv.

Every fold is scored by models that heard none of its sources and speakers, stacked and calibrated
on the other folds alone. What is fitted is kept with its settings, so that a run that was stopped
goes on; the scores of all that was fitted with this configuration go into one file, from which
`research.results` makes every table. Needs the extra ``train``.
"""

import argparse
import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from bonafide.training.base import fix_threads, make_base_model, model_seed
from numpy.typing import NDArray

from bonafide.corpora import read_corpus
from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.display import reporter
from bonafide.errors import CorpusError
from bonafide.features.spec import BASE_MODELS, META_MODELS, NETWORKS, STATISTICS
from bonafide.models.config import FeatureWeights, FitConfig
from bonafide.models.examples import Examples, Standard
from bonafide.process.isolate import run_isolated
from bonafide.process.pool import Progress, worker_count
from bonafide.training.augmentation import CHANGES
from bonafide.training.config import Config, read_config
from bonafide.training.extraction import FeatureStore, cached_extract, changes_of
from bonafide.training.folds import TEST, Folds, connected_groups, make_folds
from bonafide.training.ingest import Recordings, ingest
from bonafide.training.scaling import feature_weights_of
from bonafide.training.stacking import Calibration, Stack, fit_calibration, fit_stack

ROOT = Path(__file__).resolve().parent.parent
PROTOCOL = ROOT / "configs" / "protocol.csv"
CONFIG = ROOT / "configs" / "shipped.yaml"
SCORES = ROOT / "docs" / "results"
SEEDS = (1, 2, 3)
MIN_ROWS = 4  # of each label, where a source is to hold both
Scores = NDArray[np.float32]
SHAKEN = {"crop_share": 1.0, "offset_scale": 0.0, "statistics_noise": 0.0}
PLAIN = {"augmentation_weight": 0.0, **SHAKEN}
OF_ALL_MODELS = ("augmentation_weight", "feature_weights")  # of the `FitConfig`


@dataclass(frozen=True)
class Run:
    """One setting, fitted on every fold.

    Parameters
    ----------
    name : str
    models : sequence of str
        Which base models are fitted.
    seed : int
    fit : mapping
        What differs from the configuration's `FitConfig`.
    without : tuple of str
        Statistics, by view or by kind, that are kept from the models; ``frames`` keeps from the
        networks what they hear frame by frame; a group of `bonafide.training.augmentation` the
        changed copies that it had a part in.
    folds : tuple of int
        Which folds are scored.
    split : {"sources", "speakers"}
        Leave sources out, or only speakers: everything else as in training.
    """

    name: str
    models: Sequence[str] = BASE_MODELS
    seed: int = 1
    fit: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    folds: tuple[int, ...] = (0, 1, 2, 3)
    split: str = "sources"


def runs(config: Config) -> Iterator[Run]:
    """Return every run that the results need, the most important ones first."""
    for seed in SEEDS:
        yield Run(f"seed {seed}", seed=seed)
    statistics = tuple(config.spec.statistics)
    kinds = tuple(FeatureWeights.model_fields)
    probe = ("gru",)
    yield Run("speakers", split="speakers", folds=(0,))
    for name in ("gru", "xgboost"):
        yield Run(f"{name}: no copies", (name,), fit={"augmentation_weight": 0.0})
        yield Run(f"{name}: no feature_weights", (name,), fit={"feature_weights": {}})
    yield Run("gru: no augmentation", probe, fit=PLAIN)
    for name, value in SHAKEN.items():
        yield Run(f"gru: no {name}", probe, fit={name: value})
    for name in CHANGES:
        yield Run(f"xgboost: no copies with {name}", ("xgboost",), without=(name,))
    yield Run("gru: no statistics", probe, without=statistics)
    yield Run("gru: no statistics, no augmentation", probe, fit=PLAIN, without=statistics)
    yield Run("gru: no frames", probe, without=("frames",))
    for name in (*statistics, *kinds):
        yield Run(f"xgboost: no {name}", ("xgboost",), without=(name,))


def source_id(name: str) -> str:
    """Name a source by its hash: sources are often named after people."""
    return hashlib.sha256(name.encode()).hexdigest()[:10]


def both_labels(corpus: Corpus) -> NDArray[np.bool_]:
    """Return which rows come from sources that hold both labels four times and more, (n_rows,)."""
    _, member = np.unique(corpus.column("source"), return_inverse=True)
    spoof, real = np.bincount(member, corpus.is_spoof), np.bincount(member, ~corpus.is_spoof)
    return np.asarray(np.minimum(spoof, real)[member] >= MIN_ROWS)


def _read_folds(path: Path) -> dict[str, int]:
    with path.open(newline="") as file:
        return {row["source"]: int(row["fold"]) for row in csv.DictReader(file)}


def extend_protocol(corpus: Corpus, path: Path = PROTOCOL) -> None:
    """Add the sources of a corpus that the file does not name; those that it names stay.

    A source that shares a speaker, directly or through others, with one that has a fold goes there;
    the others are split as a training run splits them (`make_folds`).
    """
    fold_of = _read_folds(path)
    count = max(fold_of.values()) + 1
    sources = np.array([source_id(name) for name in corpus.column("source").tolist()])
    group = connected_groups(corpus)
    known = {number: fold_of[s] for number, s in zip(group, sources, strict=True) if s in fold_of}
    fold = np.array([known.get(number, TEST) for number in group], dtype=np.int64)
    new = np.flatnonzero(fold == TEST)
    if len(new):
        fold[new] = make_folds(corpus.take(new), count=count, test_share=0.0, seed=SEEDS[0]).fold
    fold_of = dict(zip(sources.tolist(), fold.tolist(), strict=True)) | fold_of
    lines = [f"{source},{number}" for source, number in sorted(fold_of.items())]
    path.write_text("\n".join(["source,fold", *lines]) + "\n")


def read_protocol(corpus: Corpus, path: Path = PROTOCOL) -> Folds:
    """Read the fold of each source, which the file names by `source_id`.

    Raises
    ------
    CorpusError
        ``no_fold`` if a source of the corpus has none, ``split_speaker`` if a speaker stands in
        two folds.
    """
    fold_of = _read_folds(path)
    sources = [source_id(name) for name in corpus.column("source").tolist()]
    unknown = sorted(set(sources) - set(fold_of))
    if unknown:
        raise CorpusError(
            "no_fold",
            f"{path}: no fold for {', '.join(unknown[:5])}; `python -m research.protocol "
            "--extend-protocol` gives every source of the corpus one",
        )
    fold = np.array([fold_of[source] for source in sources], dtype=np.int64)
    group = connected_groups(corpus)
    for number in np.unique(group):
        if len(set(fold[group == number].tolist())) > 1:
            row = int(np.flatnonzero(group == number)[0])
            raise CorpusError("split_speaker", f"{path}: row {row} has speakers in two folds")
    return Folds(group, fold)


def speaker_folds(corpus: Corpus, count: int = 4, seed: int = 0) -> Folds:
    """Put whole speakers, not whole sources, into folds; unknown speakers stand alone."""
    from sklearn.model_selection import StratifiedGroupKFold

    names = corpus.column("speaker").astype("U200")
    unknown = np.flatnonzero(names == UNKNOWN)
    names[unknown] = [f"row {row}" for row in unknown]
    group = np.unique(names, return_inverse=True)[1].astype(np.int64)
    fold = np.empty(len(group), dtype=np.int64)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for number, (_, rows) in enumerate(splitter.split(group, corpus.is_spoof, group)):
        fold[rows] = number
    return Folds(group, fold)


def _without(config: Config, names: Sequence[str]) -> NDArray[np.intp]:
    """Return the columns of the statistics that come from these views or are of these kinds."""
    columns = [
        name in names or kind in names
        for name, view in config.spec.statistics.items()
        for kind in config.spec.kinds_of(view)
    ]
    return np.flatnonzero(columns)


def fit_fold(
    *,
    progress: Progress,
    name: str,
    model: dict[str, Any],
    fit: dict[str, Any],
    store: str,
    table: str,
    fold: int,
    seed: int,
    without: list[int],
    deaf: bool,
    folder: str,
) -> dict[str, Any]:
    """Fit one base model on all folds but one and score that one (an `Isolated` function).

    Writes ``<fold>.npy``, p_spoof of the fold's rows, and beside it the model and its standards.
    """
    fix_threads(name)
    with np.load(table) as columns:
        is_spoof, source, fold_of = columns["is_spoof"], columns["source"], columns["fold"]
        left_out = columns["left_out"]
    side, held = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
    features, fit_config = FeatureStore(Path(store)), FitConfig.model_validate(fit)
    statistics = np.array(features.view(STATISTICS))
    statistics[:, without] = 0.0
    frames = features.view(model["view"]) if "view" in model else None
    if frames is not None and deaf:
        frames = np.zeros((len(frames), 16, frames.shape[2]), np.float32)
    weight = fit_config.augmentation_weight * ~left_out
    gain = feature_weights_of(features.spec, fit_config.feature_weights)
    examples = Examples.standardised(
        side, statistics, is_spoof, source, frames, gain=gain, augmentation_weight=weight
    )
    own_seed = model_seed(seed, name, fold)
    base = make_base_model(name, model, fit_config, own_seed)
    base.fit(examples, side, progress)
    target = Path(folder)
    base.save(target / f"{fold}{base.suffix}")
    standards = {
        f"{key}_{field}": value
        for key, part in ((STATISTICS, examples.statistics), ("frames", examples.frames))
        if part is not None
        for field, value in vars(part.standard).items()
        if value is not None
    }
    np.savez(target / f"{fold}.npz", allow_pickle=False, **standards)
    np.save(target / f"{fold}.npy", base.predict(examples, held))
    return {}


def read_standards(path: Path) -> dict[str, Standard]:
    """Read the standards that `fit_fold` kept beside a model: of statistics, and of frames."""
    with np.load(path) as arrays:
        fields = {key: dict[str, Any]() for key in (STATISTICS, "frames")}
        for name in arrays.files:
            key, _, field = name.rpartition("_")
            fields[key][field] = arrays[name] if arrays[name].ndim else float(arrays[name])
    return {key: Standard(**values) for key, values in fields.items() if values}


@dataclass(frozen=True)
class Bench:
    """A corpus with its features, and where fits and scores are kept."""

    config: Config
    recordings: Recordings
    store: FeatureStore
    folds: Mapping[str, Folds]
    work: Path

    @classmethod
    def open(cls, corpus: Path, config: Path, work: Path) -> "Bench":
        """Ingest and extract what is not there yet."""
        parsed = read_config(config)
        recordings, _ = ingest(read_corpus(corpus), progress=reporter("ingest"))
        store = cached_extract(
            recordings,
            parsed.spec,
            parsed.augmentation,
            work / "features",
            progress=reporter("extract"),
        )
        rows = recordings.corpus
        folds = {"sources": read_protocol(rows), "speakers": speaker_folds(rows)}
        return cls(parsed, recordings, store, folds, work)

    def scores(self, run: Run, model: str) -> Scores:
        """Return p_spoof of one model, NaN where the run scores nothing."""
        fold_of = self.folds[run.split].fold
        scores = np.full(len(fold_of), np.nan, dtype=np.float32)
        for fold in run.folds:
            scores[fold_of == fold] = np.load(self.folder(run, model) / f"{fold}.npy")
        return scores

    def folder(self, run: Run, model: str) -> Path:
        """Return the folder of a run's fits of one model."""
        return self.work / run.name.replace(": ", "-").replace(" ", "_") / model

    def fit(self, run: Run) -> None:
        """Fit what is missing of a run, a core a fit."""
        corpus, folds = self.recordings.corpus, self.folds[run.split]
        table = self.work / f"{run.split}.npz"
        np.savez(
            table,
            allow_pickle=False,
            is_spoof=corpus.is_spoof,
            source=np.unique(corpus.column("source"), return_inverse=True)[1],
            fold=folds.fold,
            left_out=self._left_out(run.without),
        )
        with ThreadPoolExecutor(worker_count()) as pool:
            jobs = [
                pool.submit(self._fit_one, run, model, fold, table)
                for model in run.models
                for fold in run.folds
                if not self._is_fitted(run, model, fold)
            ]
            for done, job in enumerate(jobs, start=1):
                job.result()
                print(f"{run.name}: {done} of {len(jobs)} fits", flush=True)

    def fitted(self) -> dict[str, Scores]:
        """Return the scores of all that is fitted with this configuration, by run and model."""
        return {
            f"{run.name}|{model}": self.scores(run, model)
            for run in runs(self.config)
            for model in run.models
            if all(self._is_fitted(run, model, fold) for fold in run.folds)
        }

    def _settings(self, run: Run, model: str, fold: int) -> dict[str, Any]:
        fit = {**self.config.fit.model_dump(mode="json"), **run.fit}
        return {
            "name": model,
            "model": getattr(self.config.models, model).model_dump(mode="json"),
            # the rest is of the networks
            "fit": fit if model in NETWORKS else {key: fit[key] for key in OF_ALL_MODELS},
            "store": self.store.folder.name,
            "fold": fold,
            "seed": run.seed,
            "without": _without(self.config, run.without).tolist(),
            "left_out": sorted(set(run.without) & set(CHANGES)),
            "deaf": "frames" in run.without,
        }

    def _is_fitted(self, run: Run, model: str, fold: int) -> bool:
        path = self.folder(run, model) / f"{fold}.json"
        return path.exists() and json.loads(path.read_text()) == self._settings(run, model, fold)

    def _left_out(self, groups: Sequence[str]) -> NDArray[np.bool_]:
        """Return which copies these groups had a part in, (n_copies, n_rows)."""
        copies, sounds = self.store.augmentation, self.recordings.sha256.tolist()
        left_out = np.zeros((copies.count, len(sounds)), dtype=np.bool_)
        if not set(groups).isdisjoint(CHANGES):
            for number, row in np.ndindex(left_out.shape):
                changes = changes_of(sounds[row], number + 1, copies)
                left_out[number, row] = not set(groups).isdisjoint(changes)
        return left_out

    def _fit_one(self, run: Run, model: str, fold: int, table: Path) -> None:
        folder = self.folder(run, model)
        folder.mkdir(parents=True, exist_ok=True)
        settings = self._settings(run, model, fold)
        arguments = {key: value for key, value in settings.items() if key != "left_out"}
        places = {"store": str(self.store.folder), "table": str(table), "folder": str(folder)}
        run_isolated("research.protocol:fit_fold", {**arguments, **places})
        (folder / f"{fold}.json").write_text(json.dumps(settings))


def stacked(
    models: Scores, is_spoof: NDArray[np.bool_], folds: Folds, fold: int, seed: int
) -> tuple[Stack, Calibration]:
    """Fit stack and calibration for one fold on the out-of-fold scores of the others."""
    rest = folds.fold != fold
    renumbered = np.unique(folds.fold[rest], return_inverse=True)[1].astype(np.int64)
    others = Folds(folds.group[rest], renumbered)
    stack, cross_fitted = fit_stack(models[rest], is_spoof[rest], others, seed)
    column = META_MODELS.index(stack.choice)
    return stack, fit_calibration(cross_fitted[:, column], is_spoof[rest])


def options(description: str | None) -> argparse.ArgumentParser:
    """Return the options that the yardstick, the conditions and the results share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--work", type=Path, required=True, help="folder for features and fits")
    parser.add_argument("--scores", type=Path, default=SCORES)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit every run and write its scores."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="*", help="names of runs; all without it")
    parser.add_argument("--models", nargs="*", choices=BASE_MODELS, default=BASE_MODELS)
    parser.add_argument(
        "--extend-protocol", action="store_true", help="give new sources a fold, and fit nothing"
    )
    chosen = parser.parse_args(arguments)
    if chosen.extend_protocol:
        extend_protocol(read_corpus(chosen.corpus))
        return
    bench = Bench.open(chosen.corpus, chosen.config, chosen.work)
    chosen.scores.mkdir(parents=True, exist_ok=True)
    path = chosen.scores / "scores.npz"
    for run in runs(bench.config):
        if chosen.only and run.name not in chosen.only:
            continue
        run = replace(run, models=[name for name in run.models if name in chosen.models])
        bench.fit(run)
        sound = bench.recordings.sha256.astype("U16")
        np.savez_compressed(path, allow_pickle=False, sound=sound, **bench.fitted())
    (chosen.scores / "config.json").write_text(
        json.dumps(bench.config.model_dump(mode="json"), indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
