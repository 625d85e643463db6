"""What a training run ends in: verdicts on the candidate, the gate, the report and the card."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.bundle import META_MODELS, Bundle
from bonafide.corpora.schema import UNKNOWN
from bonafide.evaluation.evaluate import DECISION, Evaluation, evaluate, percent, simulated_note
from bonafide.evaluation.report import (
    HEADINGS,
    evaluation_section,
    html_page,
    html_table,
    markdown_table,
    system_rows,
    title_line,
)
from bonafide.export.chain import Chain
from bonafide.features.spec import STATISTICS
from bonafide.training.audit import Audit
from bonafide.training.config import Config
from bonafide.training.extraction import FeatureStore
from bonafide.training.folds import Folds
from bonafide.training.ingest import Quarantine, Recordings
from bonafide.training.stacking import Calibration, Stack, log_odds

Floats = NDArray[np.floating[Any]]
BATCH_ROWS = 64
LONE_NOTE = (
    "No source or speaker is known for some rows: each stands alone, a speaker may be on both "
    "sides, and the numbers are better than they would be elsewhere."
)


@dataclass(frozen=True)
class Outcome:
    """Both evaluations, the audit and the parity of a candidate.

    Parameters
    ----------
    held_out : Evaluation or None
        The exported bundle on the test side; None if every row was trained on.
    out_of_fold : Evaluation
        The same systems on the training side, every row by models that never saw its group.
    audit : Audit
    parity : dict of str to float
        Largest absolute difference of each .onnx from its source model.
    """

    held_out: Evaluation | None
    out_of_fold: Evaluation
    audit: Audit
    parity: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "held_out": self.held_out and self.held_out.to_json(),
            "out_of_fold": self.out_of_fold.to_json(),
            "audit": self.audit.to_json(),
            "parity": self.parity,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Outcome":
        """Read what `to_json` gave."""
        held_out = values["held_out"]
        return cls(
            held_out and Evaluation.from_json(held_out),
            Evaluation.from_json(values["out_of_fold"]),
            Audit.from_json(values["audit"]),
            values["parity"],
        )

    @property
    def judged(self) -> Evaluation:
        """What the candidate is judged by: held-out rows, or else its scores out of fold."""
        return self.held_out or self.out_of_fold

    @property
    def evaluations(self) -> list[Evaluation]:
        """Both evaluations, or the one there is."""
        return [e for e in (self.out_of_fold, self.held_out) if e]


@dataclass(frozen=True)
class Judgement:
    """An outcome and its HTML report."""

    outcome: Outcome
    page: str


def score_rows(bundle: Bundle, store: FeatureStore, rows: NDArray[np.intp]) -> dict[str, Floats]:
    """Score rows of a store with the bundle's own graphs: system -> llr, (len(rows),)."""
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
    models: Floats, stack: Floats, llr: Floats, *, names: Sequence[str]
) -> dict[str, Floats]:
    """Name every system that is compared, each as llr: base models, mean, stacks, decision."""
    return {
        **{name: -log_odds(models[:, column]) for column, name in enumerate(names)},
        "mean of the five": -log_odds(models.mean(axis=1)),
        **{f"stack {name}": -log_odds(stack[:, column]) for column, name in enumerate(META_MODELS)},
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
    models: Floats,
    cross_fitted: Floats,
    calibration: Calibration,
    stack: Stack,
    audit: Audit,
    parity: dict[str, float],
    config: Config,
) -> Judgement:
    """Judge a candidate on held-out groups and out of fold.

    Parameters
    ----------
    models : ndarray, shape (n_rows, 5)
        Out-of-fold p_spoof of the base models.
    cross_fitted : ndarray, shape (n_rows, 2)
        Cross-fitted p_spoof of the meta-models.
    """
    corpus, notes = recordings.corpus, _notes(recordings)
    test, side = np.flatnonzero(folds.is_test), np.flatnonzero(~folds.is_test)
    chosen = cross_fitted[:, META_MODELS.index(stack.choice)]
    parts = {"out_of_fold": side}
    # The calibration's two numbers know these rows. A line a fold would keep them apart, but the
    # pair behind each fold is another, and scores of unlike lines do not compare.
    scores = {
        "out_of_fold": systems(
            models[side], cross_fitted[side], calibration.llr(chosen[side]), names=bundle.models
        )
    }
    if len(test):
        parts = {"held_out": test, **parts}
        scores["held_out"] = score_rows(bundle, store, test)
    generators = corpus.column("system")
    seen = set(generators[side].tolist())
    titles = {
        "held_out": "Held-out sources, exported bundle",
        "out_of_fold": "Training side, out of fold",
    }
    judged = {
        key: evaluate(
            scores[key],
            corpus.take(rows),
            title=titles[key],
            prior_spoof=config.decision.prior_spoof,
            seen_generators=seen if key == "held_out" else None,
            resamples=config.resamples,
            seed=config.seed,
            notes=notes,
        )
        for key, rows in parts.items()
    }
    outcome = Outcome(judged.get("held_out"), judged["out_of_fold"], audit, parity)
    sections = [
        f"<p>{html.escape(plain_verdict(outcome))}</p>",
        audit_section(audit, outcome.judged),
        *(
            evaluation_section(judged[key], scores[key], corpus.is_spoof[rows])
            for key, rows in parts.items()
        ),
        parity_section(parity),
    ]
    return Judgement(outcome, html_page(f"Bonafide: {config.name}", sections))


def audit_section(audit: Audit, judged: Evaluation) -> str:
    """Write the audit's EER beside ours, as HTML."""
    where = "held-out sources" if audit.test_eer else "out of fold"
    rows = [
        [f"trivial measures alone, {where}", percent(audit.eer)],
        [f"this detector, {where}", percent(judged.systems[DECISION]["eer"])],
    ]
    leading = ", ".join(f"{name} {share:.0%}" for name, share in [*audit.importance.items()][:5])
    return (
        "<h2>Could it be a shortcut?</h2>"
        + html_table(("judge", "EER"), rows)
        + f"<p>{html.escape('What the trivial measures lean on: ' + leading)}</p>"
    )


def parity_section(parity: Mapping[str, float]) -> str:
    """Write the largest difference of every exported model from its source, as HTML."""
    rows = [[name, f"{value:.1e}"] for name, value in parity.items()]
    headings = ("exported model", "largest difference")
    return "<h2>Exported models against their sources</h2>" + html_table(headings, rows)


def gate(outcome: Outcome, config: Config) -> list[str]:
    """Return the reasons not to promote a candidate; none means it may be."""
    eer = outcome.judged.systems[DECISION]["eer"]
    allowed = config.gate.max_eer
    if eer.high <= allowed:
        return []
    return [
        f"EER on sources it never heard is {percent(eer)}; the gate allows {100 * allowed:.1f} % "
        "at the interval's upper end"
    ]


def plain_verdict(outcome: Outcome) -> str:
    """Say in plain words how good the candidate is."""
    eer = outcome.judged.systems[DECISION]["eer"]
    audit = outcome.audit.eer
    wrong = round(100 * eer.value)
    words = (
        f"On sources it never heard, this detector errs in about {wrong} of 100 recordings "
        f"(EER {percent(eer)}); measures without speech in them err in {100 * audit.value:.0f} "
        f"({percent(audit)})."
    )
    return " ".join([words, *outcome.judged.notes])


def model_card(
    bundle: Bundle, outcome: Outcome, recordings: Recordings, quarantine: Quarantine
) -> str:
    """Write the model card, Markdown: intended use, data, protocol, results, limits."""
    corpus = recordings.corpus
    manifest = bundle.manifest
    tables = [
        f"{title_line(evaluation)}.\n\n{markdown_table(HEADINGS, system_rows(evaluation))}"
        for evaluation in reversed(outcome.evaluations)
    ]
    return "\n\n".join(
        [
            f"# {manifest['name']}",
            plain_verdict(outcome),
            "## Intended use",
            "To sort recordings of speech for people who look further: research, triage, and "
            "checks beside others. Not for decisions about people without a person, not as "
            "evidence, not against someone who tunes recordings to this very detector, and not "
            "for music or sounds other than speech.",
            "## Data",
            f"{len(corpus)} recordings ({int((~corpus.is_spoof).sum())} bona fide, "
            f"{int(corpus.is_spoof.sum())} spoof); {len(quarantine.rejected)} of "
            f"{quarantine.n_rows} rows were set aside. Rows hash: `{recordings.rows_sha256}`. "
            f"{_copies(manifest['config'])} {_terms(recordings)}".rstrip(),
            *(_by(recordings, name) for name in ("licence", "attack_type", "language")),
            "## Protocol",
            f"Sources and known speakers stay whole. {_protocol(outcome)} The threshold is the "
            f"prior's ({manifest['prior_spoof']:g}), chosen before any row is judged.",
            "## Results",
            *tables,
            "## Limits",
            "The error on sources unlike these can be several times higher. A verdict is a "
            "statistical statement, not proof.",
        ]
    )


def _protocol(outcome: Outcome) -> str:
    if outcome.held_out is None:
        return (
            "Every row is scored out of fold, by models that never saw its group; the models "
            "given here then learned from all of them."
        )
    return (
        "A fifth or so of the rows, in whole groups, is held out from everything; the rest is "
        "scored out of fold."
    )


def _copies(config: Mapping[str, Any]) -> str:
    count, weight = config["augmentation"]["count"], config["fit"]["augmentation_weight"]
    if not count or not weight:
        return "Models train on the recordings as they are."
    groups = [name for name, share in config["augmentation"]["shares"].items() if share]
    return (
        f"Beside each recording models train on {count} augmented copies, which count {weight:g} "
        f"each: {', '.join(groups)}."
    )


def _terms(recordings: Recordings) -> str:
    """Say so where licences bind those who use what was learned."""
    licence = np.char.lower(recordings.corpus.column("licence").astype(str))
    unknown = np.isin(licence, (UNKNOWN, "unknown"))
    bound = np.char.find(licence, "-nc") >= 0
    if not (unknown | bound).any():
        return ""
    return (
        f"Of the recordings {int(unknown.sum())} have no licence that is known and "
        f"{int(bound.sum())} one without commercial use: **for research and evaluation only**."
    )


def _by(recordings: Recordings, name: str, n: int = 12) -> str:
    """Count recordings and sources by a column, Markdown; the rarest together."""
    corpus = recordings.corpus
    values, source = corpus.column(name), corpus.column("source")
    names, counts = np.unique(values, return_counts=True)
    ordered = names[np.argsort(-counts, kind="stable")].tolist()
    groups = [([value], value) for value in ordered[:n]]
    if rest := ordered[n:]:
        groups.append((rest, f"{len(rest)} others"))
    lines = [
        [
            text,
            str(int((mine & ~corpus.is_spoof).sum())),
            str(int((mine & corpus.is_spoof).sum())),
            str(len(set(source[mine].tolist()))),
        ]
        for members, text in groups
        for mine in [np.isin(values, members)]
    ]
    return markdown_table((name, "bona fide", "spoof", "sources"), lines)
