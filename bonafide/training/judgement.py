"""Judging a candidate: its evaluations, and the report."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, Plain, sha256_of
from bonafide.bundle import META_MODELS, Bundle
from bonafide.errors import CorpusError
from bonafide.evaluation.evaluate import (
    DECISION,
    MEAN,
    Evaluation,
    evaluate,
    percent,
)
from bonafide.evaluation.report import CHANNEL_HEADINGS, channel_rows, evaluation_values, render
from bonafide.judging import log_odds
from bonafide.process.pool import Progress, silent
from bonafide.scoring import left_out_note
from bonafide.training.audit import Audit
from bonafide.training.config import Config
from bonafide.training.fitting import FittedBase
from bonafide.training.folds import Folds, GoldenRows
from bonafide.training.recordings import MEASURES, Recordings
from bonafide.training.rules import Rules
from bonafide.training.served import score_recordings
from bonafide.training.sides import Sides
from bonafide.training.stacking import Stage
from bonafide.types import AnyFloats, Floats, Mask

OUT_OF_FOLD = "Training side, out of fold"
ARRAYS = ("rows", "llr", "trained")  # of a judgement, beside the outcome
GATE = "<!-- gate -->"  # where a page has room for what the gate says of the candidate


@dataclass(frozen=True)
class Outcome(Plain):
    """Evaluations, audit and parity of a candidate.

    Parameters
    ----------
    held_out : Evaluation or None
        The exported bundle on the test side; None if every row was trained on.
    out_of_fold : Evaluation
        The same systems on the training side, every row scored by models that never saw its group.
    audit : Audit
        How well trivial measures alone do.
    parity : dict of str to float
        Largest absolute difference of each .onnx from its source model.
    unheard : str
        What the rows that count are, in words: ``sources it never heard``.
    golden : GoldenRows or None
        What was held out because a golden set holds it; None where there was no such set.
    """

    held_out: Evaluation | None
    out_of_fold: Evaluation
    audit: Audit
    parity: dict[str, float]
    unheard: str = "sources it never heard"
    golden: GoldenRows | None = None

    @property
    def judged(self) -> Evaluation:
        """The evaluation that counts: on held-out rows, or else out of fold."""
        return self.held_out or self.out_of_fold

    @property
    def evaluations(self) -> list[Evaluation]:
        """Both evaluations, or the one there is."""
        return [e for e in (self.out_of_fold, self.held_out) if e]


@dataclass(frozen=True)
class Judgement(Artifact):
    """An outcome, its HTML report, and the scores to compare other bundles with.

    Parameters
    ----------
    outcome : Outcome
        The evaluations.
    page : str
        The report.
    rows : ndarray of int, shape (n,)
        Rows of the recordings that count, whose source or speaker is known and was never heard.
    llr : ndarray of float64, shape (n_recordings,)
        The decision on each recording by what never heard it: as served if it is held out, else
        out of fold; NaN where there is none.
    trained : ndarray of bool, shape (n_recordings,)
        Which recordings the candidate was trained on.
    """

    outcome: Outcome
    page: str
    rows: NDArray[np.intp]
    llr: Floats
    trained: Mask

    def save(self, folder: Path) -> None:
        """Write ``outcome.json``, ``page.html`` and an ``.npy`` of each array."""
        (folder / "outcome.json").write_text(json.dumps(self.outcome.to_json()))
        (folder / "page.html").write_text(self.page, encoding="utf-8")
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        outcome = Outcome.from_json(json.loads((folder / "outcome.json").read_text()))
        page = (folder / "page.html").read_text(encoding="utf-8")
        arrays = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ARRAYS)
        return cls(outcome, page, *arrays)

    def digest(self) -> str:
        """Return a hash of the numbers."""
        numbers = json.dumps(self.outcome.to_json())
        return sha256_of(numbers, *(getattr(self, name).tobytes() for name in ARRAYS))

    def facts(self) -> dict[str, JSON]:
        """Return the EER of every system on the rows that count, and what these are."""
        judged = self.outcome.judged
        eers = {name: metrics["eer"].value for name, metrics in judged.systems.items()}
        about = {"rows_judged": judged.title, "intervals_over": judged.clusters}
        return {"eer": eers[DECISION], "eer_by_system": eers, **about, **judged.counts}

    def pages(self) -> dict[str, str]:
        """Show the report."""
        return {"report.html": self.page}


def systems(
    models: AnyFloats, stack: AnyFloats, llr: AnyFloats, *, names: Sequence[str]
) -> dict[str, AnyFloats]:
    """Return the llr of every system that is compared: base models, their mean, stacks, decision.

    Parameters
    ----------
    models : ndarray, shape (n_rows, n_models)
        p_spoof of the base models; NaN: not asked.
    stack : ndarray, shape (n_rows, 2)
        p_spoof of the meta-models.
    llr : ndarray, shape (n_rows,)
        The decision's.
    names : sequence of str
        The name of the base model in each column of `models`.

    Returns
    -------
    dict of str to ndarray, shape (n_rows,)
        System -> llr, higher for bona fide.
    """
    asked = {
        name: -log_odds(p)
        for name, p in zip(names, models.T, strict=True)
        if not np.isnan(p).any()  # a model that is not always asked cannot be compared
    }
    return {
        **asked,
        MEAN: -log_odds(np.nanmean(models, axis=1)),
        **{f"stack {name}": -log_odds(p) for name, p in zip(META_MODELS, stack.T, strict=True)},
        DECISION: np.asarray(llr),
    }


def _middle_note(
    recordings: Recordings, rows: NDArray[np.intp], window_s: float
) -> tuple[str, ...]:
    """Return the note that long recordings are not scored as served out of fold."""
    longer = int((recordings.measures[rows, MEASURES.index("duration_s")] > window_s).sum())
    if not longer:
        return ()
    return (
        f"Scored by the middle {window_s:g} s of each recording; {longer} of {len(rows)} are "
        "longer, and served as the mean over their windows.",
    )


def evaluate_candidate(
    bundle: Bundle,
    recordings: Recordings,
    folds: Folds,
    *,
    fitted: Sequence[FittedBase],
    stages: Sequence[Stage],
    rules: Rules,
    audit: Audit,
    parity: dict[str, float],
    config: Config,
    progress: Progress = silent,
) -> Judgement:
    """Judge a candidate on held-out groups, as it will be served, and out of fold.

    Parameters
    ----------
    bundle : Bundle
        The candidate.
    recordings : Recordings
        What it was trained on and is judged on.
    folds : Folds
        Of these recordings.
    fitted : sequence of FittedBase
        The base models, with their scores out of fold.
    stages : sequence of Stage
        Their meta-models, with cross-fitted scores.
    rules : Rules
        With the cross-fitted decision.
    audit : Audit
        What trivial measures alone reach, on the same rows.
    parity : dict of str to float
        Largest absolute difference of each .onnx from its source model.
    config : Config
        Prior, seed and number of bootstrap resamples.
    progress : callable
        Called with (done, total), in held-out rows.

    Returns
    -------
    Judgement

    Raises
    ------
    CorpusError
        ``nothing_usable`` if no held-out row of a label has a verdict.
    """
    sides, side = Sides(recordings.corpus, folds), np.flatnonzero(~folds.is_test)
    # The calibration's two numbers were fitted on these rows. One calibration a fold would avoid
    # that, but each fold has its own meta-models, and scores of unlike calibrations do not compare.
    oof = {base.name: base.oof[side, 0] for base in fitted}
    models = np.stack([oof[name] for name in bundle.models], axis=1)
    stacked = stages[-1].cross_fitted[side, 0]
    ours = systems(models, stacked, rules.decision[side], names=bundle.models)
    middle = _middle_note(recordings, side, bundle.spec.window_s)
    parts = [_Part(OUT_OF_FOLD, side, ours, (*sides.notes(), *middle))]
    if folds.is_test.any():
        parts.insert(0, _served(bundle, sides, progress))
    evaluations = [part.judged(sides, config) for part in parts]
    held_out = evaluations[0] if len(parts) == 2 else None
    outcome = Outcome(held_out, evaluations[-1], audit, parity, sides.unheard(), folds.golden)
    corpus, first = recordings.corpus, parts[0]
    counts = sides.never_heard[first.rows] if held_out else ~sides.lone[first.rows]
    shown = [
        (evaluation, part.scores, corpus.is_spoof[part.rows])
        for evaluation, part in zip(evaluations, parts, strict=True)
    ]
    channels = channel_rows(bundle.manifest)
    page = report_page(f"Bonafide: {config.name}", outcome, shown, channels)
    llr = np.full(len(corpus), np.nan)
    for part in parts:
        llr[part.rows] = part.scores[DECISION]
    return Judgement(outcome, page, first.rows[counts], llr, ~folds.is_test)


@dataclass(frozen=True)
class _Part:
    """Rows that are evaluated together, and every system's scores on them."""

    title: str
    rows: NDArray[np.intp]
    scores: dict[str, AnyFloats]
    notes: tuple[str, ...]

    def judged(self, sides: Sides, config: Config) -> Evaluation:
        """Return the evaluation of these rows."""
        generators = sides.corpus.column("system")[~sides.folds.is_test]
        return evaluate(
            self.scores,
            sides.corpus.take(self.rows),
            title=self.title,
            prior_spoof=config.decision.prior_spoof,
            seen_generators=None if self.title == OUT_OF_FOLD else set(generators.tolist()),
            resamples=config.resamples,
            seed=config.seed,
            notes=self.notes,
        )


def _served(bundle: Bundle, sides: Sides, progress: Progress) -> _Part:
    """Score the held-out rows as the service would, and leave out those without a verdict."""
    test = np.flatnonzero(sides.folds.is_test)
    corpus = sides.corpus.take(test)
    scored = score_recordings(bundle, corpus, progress=progress)
    usable = np.isfinite(scored[0])
    if len(set(corpus.is_spoof[usable].tolist())) < 2:
        raise CorpusError(
            "nothing_usable",
            f"{usable.sum()} of {len(test)} held-out recordings could be scored; both labels are "
            "needed",
        )
    llr, models, stack = (values[usable] for values in scored)
    left_out = left_out_note(corpus.take(np.flatnonzero(~usable)), len(test))
    scores = systems(models, stack, llr, names=bundle.models)
    return _Part(sides.title(), test[usable], scores, (*sides.notes(), *left_out))


def report_page(
    title: str,
    outcome: Outcome,
    evaluations: Iterable[tuple[Evaluation, Mapping[str, AnyFloats], NDArray[np.bool_]]],
    channels: Sequence[Sequence[str]],
) -> str:
    """Return the HTML report of an outcome.

    Parameters
    ----------
    title : str
        Heading of the page.
    outcome : Outcome
        Gives the verdict in words, the audit and the parity.
    evaluations : iterable of tuple
        Each evaluation with the scores of its systems and the labels of its rows (True for spoof),
        in the order they are shown.
    channels : sequence of sequence of str
        What verdicts are worth on each channel, as `channel_rows` returns it.

    Returns
    -------
    str
        HTML that loads nothing from elsewhere.
    """
    audit = outcome.audit
    where = "held out" if audit.test_eer else "out of fold"
    leading = [f"{name} {share:.0%}" for name, share in audit.importance.items()]
    return render(
        "report.html.j2",
        title=title,
        verdict=plain_verdict(outcome),
        shortcut=[
            [f"trivial measures alone, {where}", percent(audit.eer)],
            [f"this detector, {where}", percent(outcome.judged.systems[DECISION]["eer"])],
        ],
        leaning=", ".join(leading[:5]),
        evaluations=[evaluation_values(*drawn) for drawn in evaluations],
        channel_headings=CHANNEL_HEADINGS,
        channels=channels,
        gate=GATE,
        parity=[[name, f"{value:.1e}"] for name, value in outcome.parity.items()],
    )


def plain_verdict(outcome: Outcome) -> str:
    """Describe in plain words how good the candidate is."""
    eer = outcome.judged.systems[DECISION]["eer"]
    audit = outcome.audit.eer
    wrong = round(100 * eer.value)
    words = (
        f"On {outcome.unheard}, this detector errs in about {wrong} of 100 recordings "
        f"(EER {percent(eer)}); measures without speech in them err in {100 * audit.value:.0f} "
        f"({percent(audit)})."
    )
    return " ".join([words, *outcome.judged.notes])
