"""Judging a candidate: its evaluations, the report, and the gate to production."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, Plain, sha256_of
from bonafide.bundle import META_MODELS, Bundle
from bonafide.corpora.schema import UNKNOWN
from bonafide.evaluation.evaluate import (
    DECISION,
    MEAN,
    Evaluation,
    evaluate,
    percent,
    simulated_note,
)
from bonafide.export.chain import Chain
from bonafide.features.spec import STATISTICS
from bonafide.training.audit import Audit
from bonafide.training.config import Config
from bonafide.training.folds import Folds
from bonafide.training.recordings import Recordings
from bonafide.training.stacking import Calibration, Stack, log_odds
from bonafide.training.store import FeatureStore
from bonafide.types import AnyFloats

BATCH_ROWS = 64
HELD_OUT, OUT_OF_FOLD = "Held-out sources, exported bundle", "Training side, out of fold"
LONE_NOTE = (
    "No source or speaker is known for some rows: each stands alone, a speaker may be on both "
    "sides, and the numbers are better than they would be elsewhere."
)


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
    """

    held_out: Evaluation | None
    out_of_fold: Evaluation
    audit: Audit
    parity: dict[str, float]

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
    """An outcome and its HTML report."""

    outcome: Outcome
    page: str

    def save(self, folder: Path) -> None:
        """Write ``outcome.json`` and ``page.html``."""
        (folder / "outcome.json").write_text(json.dumps(self.outcome.to_json()))
        (folder / "page.html").write_text(self.page, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read both."""
        outcome = Outcome.from_json(json.loads((folder / "outcome.json").read_text()))
        return cls(outcome, (folder / "page.html").read_text(encoding="utf-8"))

    def digest(self) -> str:
        """Return a hash of the numbers."""
        return sha256_of(json.dumps(self.outcome.to_json()))

    def facts(self) -> dict[str, JSON]:
        """Return the EER of every system on sources never heard in training."""
        judged = self.outcome.judged
        eers = {name: metrics["eer"].value for name, metrics in judged.systems.items()}
        return {"eer": eers[DECISION], "eer_by_system": eers, **judged.counts}

    def pages(self) -> dict[str, str]:
        """Show the report."""
        return {"report.html": self.page}


def score_rows(bundle: Bundle, store: FeatureStore, rows: NDArray[np.intp]) -> dict[str, AnyFloats]:
    """Score rows of a store with the bundle's own graphs.

    Parameters
    ----------
    bundle : Bundle
        Scored with its single graphs, as `Chain` does.
    store : FeatureStore
        Made with the bundle's feature spec.
    rows : ndarray of int, shape (n,)
        Rows of the store.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        System -> llr; see `systems`.
    """
    chain = Chain(bundle)
    features = {name: store.view(name) for name in (*store.spec.views, STATISTICS)}
    parts = []
    for start in range(0, len(rows), BATCH_ROWS):
        chunk = rows[start : start + BATCH_ROWS]
        taken = {name: values[chunk] for name, values in features.items()}
        parts.append(chain.score_features(taken))
    llr, models, stack = (np.concatenate(column) for column in zip(*parts, strict=True))
    return systems(models, stack, llr, names=bundle.models)


def systems(
    models: AnyFloats, stack: AnyFloats, llr: AnyFloats, *, names: Sequence[str]
) -> dict[str, AnyFloats]:
    """Return the llr of every system that is compared: base models, their mean, stacks, decision.

    Parameters
    ----------
    models : ndarray, shape (n_rows, n_models)
        p_spoof of the base models.
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
    return {
        **{name: -log_odds(p) for name, p in zip(names, models.T, strict=True)},
        MEAN: -log_odds(models.mean(axis=1)),
        **{f"stack {name}": -log_odds(p) for name, p in zip(META_MODELS, stack.T, strict=True)},
        DECISION: np.asarray(llr),
    }


def _notes(recordings: Recordings) -> tuple[str, ...]:
    sources, speakers = (recordings.corpus.column(name) for name in ("source", "speaker"))
    lone = (sources == UNKNOWN) & (speakers == UNKNOWN)
    return (*simulated_note(recordings.corpus), *((LONE_NOTE,) if lone.any() else ()))


def evaluate_candidate(
    bundle: Bundle,
    recordings: Recordings,
    store: FeatureStore,
    folds: Folds,
    *,
    models: AnyFloats,
    cross_fitted: AnyFloats,
    calibration: Calibration,
    stack: Stack,
    audit: Audit,
    parity: dict[str, float],
    config: Config,
) -> Judgement:
    """Judge a candidate on held-out groups and out of fold.

    Parameters
    ----------
    bundle : Bundle
        The candidate.
    recordings : Recordings
        What it was trained on and is judged on.
    store : FeatureStore
        Of these recordings.
    folds : Folds
        Of these recordings.
    models : ndarray, shape (n_rows, n_models)
        Out-of-fold p_spoof of the base models.
    cross_fitted : ndarray, shape (n_rows, 2)
        Cross-fitted p_spoof of the meta-models.
    calibration : Calibration
        Of the chosen meta-model.
    stack : Stack
        Says which meta-model was chosen.
    audit : Audit
        What trivial measures alone reach, on the same rows.
    parity : dict of str to float
        Largest absolute difference of each .onnx from its source model.
    config : Config
        Prior, seed and number of bootstrap resamples.

    Returns
    -------
    Judgement
    """
    test, side = np.flatnonzero(folds.is_test), np.flatnonzero(~folds.is_test)
    # The calibration's two numbers were fitted on these rows. One calibration a fold would avoid
    # that, but each fold has its own meta-models, and scores of unlike calibrations do not compare.
    llr = calibration.llr(cross_fitted[side, META_MODELS.index(stack.choice)])
    parts = {
        OUT_OF_FOLD: (side, systems(models[side], cross_fitted[side], llr, names=bundle.models))
    }
    if len(test):
        parts = {HELD_OUT: (test, score_rows(bundle, store, test)), **parts}
    corpus, notes = recordings.corpus, _notes(recordings)
    seen = set(corpus.column("system")[side].tolist())
    judged = {
        title: evaluate(
            scores,
            corpus.take(rows),
            title=title,
            prior_spoof=config.decision.prior_spoof,
            seen_generators=seen if title == HELD_OUT else None,
            resamples=config.resamples,
            seed=config.seed,
            notes=notes,
        )
        for title, (rows, scores) in parts.items()
    }
    outcome = Outcome(judged.get(HELD_OUT), judged[OUT_OF_FOLD], audit, parity)
    shown = [(judged[t], scores, corpus.is_spoof[rows]) for t, (rows, scores) in parts.items()]
    return Judgement(outcome, report_page(f"Bonafide: {config.name}", outcome, shown))


def report_page(
    title: str,
    outcome: Outcome,
    evaluations: Iterable[tuple[Evaluation, Mapping[str, AnyFloats], NDArray[np.bool_]]],
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

    Returns
    -------
    str
        HTML that loads nothing from elsewhere.
    """
    from bonafide.evaluation.report import evaluation_values, render

    audit = outcome.audit
    where = "held-out sources" if audit.test_eer else "out of fold"
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
        parity=[[name, f"{value:.1e}"] for name, value in outcome.parity.items()],
    )


def gate(outcome: Outcome, config: Config) -> list[str]:
    """Return the reasons not to promote a candidate; none if it may be promoted."""
    eer = outcome.judged.systems[DECISION]["eer"]
    allowed = config.gate.max_eer
    if eer.high <= allowed:
        return []
    return [
        f"EER on sources it never heard is {percent(eer)}; the gate allows {100 * allowed:.1f} % "
        "at the interval's upper end"
    ]


def plain_verdict(outcome: Outcome) -> str:
    """Describe in plain words how good the candidate is."""
    eer = outcome.judged.systems[DECISION]["eer"]
    audit = outcome.audit.eer
    wrong = round(100 * eer.value)
    words = (
        f"On sources it never heard, this detector errs in about {wrong} of 100 recordings "
        f"(EER {percent(eer)}); measures without speech in them err in {100 * audit.value:.0f} "
        f"({percent(audit)})."
    )
    return " ".join([words, *outcome.judged.notes])
