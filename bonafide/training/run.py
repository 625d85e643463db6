"""The whole training job without an orchestrator: from corpora to a bundle that is kept."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from pathlib import Path
from typing import Any

from bonafide.bundle import Bundle
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus, join
from bonafide.display import reporter
from bonafide.errors import BonafideError, storing
from bonafide.export.candidate import build_candidate
from bonafide.features.spec import STATISTICS
from bonafide.home import home, scratch
from bonafide.lineage.record import Step
from bonafide.process.isolate import side_by_side
from bonafide.process.pool import Progress
from bonafide.training.audit import Audit, audit_shortcuts
from bonafide.training.caching import cached_extract
from bonafide.training.config import Config
from bonafide.training.families import fit_families
from bonafide.training.fingerprint import is_change
from bonafide.training.fitting import FittedBase, train_base
from bonafide.training.folds import Folds, split_corpus
from bonafide.training.golden import GoldenSet, golden_set
from bonafide.training.ingest import ingest
from bonafide.training.judgement import Judgement, evaluate_candidate
from bonafide.training.promotion import keep_and_promote
from bonafide.training.record import step_of
from bonafide.training.recordings import Quarantine, Recordings
from bonafide.training.routing import fit_router
from bonafide.training.rules import fit_rules
from bonafide.training.scaling import fit_scaler
from bonafide.training.stacking import stack_models
from bonafide.training.store import FeatureStore

FITTED = ("fitted", "stages", "rules")
EXPORTED = ("recordings", "features", "scaler", "router", "families", *FITTED)
JUDGED = ("candidate", "parity", "recordings", "folds", *FITTED, "audit")


def train(
    config: Config,
    corpora: Sequence[str | Path | Corpus] | str | Path | Corpus,
    *,
    root: str | Path | None = None,
    progress: Callable[[str], Progress] = reporter,
) -> Bundle:
    """Train, judge, export and keep a detector; promote it if the gate lets it.

    This does what the ZenML pipeline does, by the same functions: the same configuration and
    recordings give a bundle of the same content hash. Only the features are cached.

    Parameters
    ----------
    config : Config
        What to train and how; see `bonafide.read_config`.
    corpora : Corpus, path, or sequence of these
        Corpora, or the manifests and folders that `bonafide.read_corpus` reads.
    root : str, Path or None
        Where bundles, features and reports are kept; None for `bonafide.home.home`. An encoder
        that the configuration names as a file was kept in the latter when it was read.
    progress : callable
        Called with the name of a part; returns what to call with its (done, total).

    Returns
    -------
    Bundle
        As kept, with metrics and model card. Whether it was promoted, and why not, stands in
        ``reports/NAME-VERSION.gate.json`` in the home folder.

    Raises
    ------
    CorpusError
        If a corpus cannot be read, or has too few usable rows or groups; ``changed`` if a file
        changes again and again while it is read.
    StorageError
        ``disk_full`` or ``unwritable``.
    IsolatedError
        ``training_failed`` if a base model cannot be fitted or exported.
    BonafideError
        ``parity_failed`` if an exported model differs from its source.
    """
    root = Path(root) if root else home()
    given = [corpora] if isinstance(corpora, (str, Path, Corpus)) else list(corpora)
    corpus = join([c if isinstance(c, Corpus) else read_corpus(Path(c)) for c in given])
    with storing(root):
        return train_on(config, corpus, root, progress)


def train_on(
    config: Config,
    corpus: Corpus,
    root: Path,
    progress: Callable[[str], Progress] = reporter,
    golden: GoldenSet | None = None,
) -> Bundle:
    """Train on a corpus that was read; see `train`.

    Parameters
    ----------
    config : Config
        What to train and how.
    corpus : Corpus
        Of which every row is used.
    root : Path
        The home folder.
    progress : callable
        As in `train`.
    golden : GoldenSet or None
        Holds what must be held out; None for the one to judge on in this home.

    Returns
    -------
    Bundle
        As kept.

    Raises
    ------
    BonafideError
        As in `train`.
    """
    try:
        prepared = _prepare(config, corpus, root, progress, golden)
    except BonafideError as error:
        if not is_change(error):
            raise
        prepared = _prepare(config, corpus, root, progress, golden)  # ingested once more
    recordings, quarantine, folds, store = prepared
    with scratch(root) as work:
        steps = [
            step_of("ingest", (), recordings=recordings, quarantine=quarantine),
            step_of("split", ("recordings",), folds=folds),
            step_of("extract", ("recordings",), features=store),
        ]
        candidate, judgement = _candidate(config, recordings, store, folds, work, progress, steps)
        bundle, _ = keep_and_promote(
            root, candidate, judgement, recordings, quarantine, config, run={}, steps=steps
        )
    return bundle


def _prepare(
    config: Config,
    corpus: Corpus,
    root: Path,
    progress: Callable[[str], Progress],
    golden: GoldenSet | None,
) -> tuple[Recordings, Quarantine, Folds, FeatureStore]:
    """Ingest, split and extract."""
    recordings, quarantine = ingest(corpus, progress=progress("ingest"))
    golden = golden or golden_set(root, config.gate.golden)
    held = golden.rows(recordings) if golden else None
    folds = split_corpus(recordings.corpus, config.folds, config.seed, golden=held)
    stores, report = root / "features", progress("extract")
    store = cached_extract(recordings, config.spec, config.augmentation, stores, progress=report)
    return recordings, quarantine, folds, store


def _candidate(
    config: Config,
    recordings: Recordings,
    store: FeatureStore,
    folds: Folds,
    work: Path,
    progress: Callable[[str], Progress],
    steps: list[Step],
) -> tuple[Bundle, Judgement]:
    """Fit, stack, export and judge; add each step to those that are recorded."""
    corpus, stretches = recordings.corpus, store.augmentation.stretches
    fitted, audit = _fit_side_by_side(config, recordings, store, folds, progress)
    scaler = fit_scaler(store, folds, config.fit.feature_weights)
    router = fit_router(store, scaler.standards[STATISTICS], folds, corpus)
    families = fit_families(store, scaler.standards, folds, corpus)
    stages = stack_models(fitted, config.stages, router, corpus, folds, stretches, config.seed)
    window_s = store.spec.window_s
    rules = fit_rules(stages, router, recordings, folds, stretches, config, window_s=window_s)
    candidate, parity = build_candidate(
        work / "candidate",
        config=config,
        recordings=recordings,
        store=store,
        scaler=scaler.standards,
        router=router,
        families=families,
        fitted=fitted,
        stages=stages,
        rules=rules,
    )
    judgement = evaluate_candidate(
        candidate,
        recordings,
        folds,
        fitted=fitted,
        stages=stages,
        rules=rules,
        audit=audit,
        parity=parity,
        config=config,
        progress=progress("judge"),
    )
    made = {"audit": audit, "scaler": scaler, "router": router, "stages": stages, "rules": rules}
    made |= {"families": families, "candidate": candidate, "parity": parity, "judgement": judgement}
    steps += _steps(fitted, made)
    return candidate, judgement


def _steps(fitted: Sequence[FittedBase], made: Mapping[str, Any]) -> list[Step]:
    """Return the record of the steps after extraction: what they took, by name, and made."""
    learned = ("recordings", "features", "folds")
    taken = {
        "audit": ("recordings", "folds"),
        "scaler": ("features", "folds"),
        "router": (*learned, "scaler"),
        "stages": (*learned, "fitted", "router"),
        "rules": (*learned, "stages", "router"),
        "candidate": EXPORTED,
        "judgement": JUDGED,
    }
    names = {"audit": "audit", "scaler": "scale", "router": "route", "stages": "stack"}
    names |= {"rules": "calibrate", "candidate": "export", "judgement": "evaluate"}
    outputs = {key: {key: made[key]} for key in taken}
    outputs["router"]["families"] = made["families"]
    outputs["candidate"]["parity"] = made["parity"]
    rest = [step_of(names[key], taken[key], **outputs[key]) for key in taken]
    return [*(step_of(f"train_{base.name}", learned, fitted=base) for base in fitted), *rest]


def _fit_side_by_side(
    config: Config,
    recordings: Recordings,
    store: FeatureStore,
    folds: Folds,
    progress: Callable[[str], Progress],
) -> tuple[list[FittedBase], Audit]:
    """Fit the base models, each in a process of its own, and audit shortcuts meanwhile."""
    with side_by_side(len(config.models) + 1) as pool:
        auditing = pool.submit(
            audit_shortcuts, recordings, folds, resamples=config.resamples, seed=config.seed
        )
        fits = [
            pool.submit(
                train_base,
                *(name, model, config.fit, store, folds, recordings.corpus),
                seed=config.seed,
                progress=progress(name),
            )
            for name, model in config.models.items()
        ]
        running: list[Future[Any]] = [auditing, *fits]
        for done in wait(running, return_when=FIRST_EXCEPTION).done:
            done.result()  # the first failure ends the others
        return [fit.result() for fit in fits], auditing.result()
