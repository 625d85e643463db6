"""The model card: intended use, data, protocol, results and limits of a bundle."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bonafide.bundle import Bundle
from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.evaluation.report import (
    CHANNEL_HEADINGS,
    HEADINGS,
    channel_rows,
    render,
    system_rows,
    title_line,
)
from bonafide.training.judgement import Outcome, plain_verdict
from bonafide.training.recordings import Quarantine, Recordings

COLUMNS = ("licence", "attack_type", "language")
MAX_GROUPS = 12


def model_card(
    bundle: Bundle, outcome: Outcome, recordings: Recordings, quarantine: Quarantine
) -> str:
    """Return the model card of a candidate, in Markdown.

    Parameters
    ----------
    bundle : Bundle
        The candidate.
    outcome : Outcome
        Its evaluations, audit and parity.
    recordings : Recordings
        What it was trained on.
    quarantine : Quarantine
        What was set aside.

    Returns
    -------
    str
        Markdown, with the licences, results and limits of what was trained.
    """
    manifest, corpus = bundle.manifest, recordings.corpus
    return render(
        "card.md.j2",
        name=manifest["name"],
        verdict=plain_verdict(outcome),
        counts={
            **_counts(corpus),
            "set_aside": len(quarantine.rejected),
            "read": quarantine.n_rows,
        },
        rows_sha256=recordings.rows_sha256,
        augmentation=_augmentation(manifest["config"]),
        channel_headings=CHANNEL_HEADINGS,
        channels=channel_rows(manifest),
        columns={name: _by(corpus, name) for name in COLUMNS},
        held_out=outcome.held_out.counts["rows"] if outcome.held_out else 0,
        prior_spoof=manifest["prior_spoof"],
        results=[
            (title_line(evaluation), HEADINGS, system_rows(evaluation))
            for evaluation in reversed(outcome.evaluations)
        ],
    )


def _counts(corpus: Corpus) -> dict[str, int]:
    """Count recordings by label, and those whose licence limits the use of what was learned."""
    licence = np.char.lower(corpus.column("licence").astype(str))
    return {
        "rows": len(corpus),
        "bonafide": int((~corpus.is_spoof).sum()),
        "spoof": int(corpus.is_spoof.sum()),
        "unlicensed": int(np.isin(licence, (UNKNOWN, "unknown")).sum()),
        "non_commercial": int((np.char.find(licence, "-nc") >= 0).sum()),
    }


def _augmentation(config: Mapping[str, Any]) -> list[list[str]]:
    """Return through which channels how many copies of a recording went."""
    return [[name, str(n)] for name, n in config["augmentation"]["channels"].items() if n]


def _by(corpus: Corpus, name: str) -> list[list[str]]:
    """Count bona fide, spoof and sources by the values of a column, the rarest together."""
    values, source = corpus.column(name), corpus.column("source")
    names, counts = np.unique(values, return_counts=True)
    ordered = names[np.argsort(-counts, kind="stable")].tolist()
    groups = [([value], value) for value in ordered[:MAX_GROUPS]]
    if rest := ordered[MAX_GROUPS:]:
        groups.append((rest, f"{len(rest)} others"))
    return [
        [
            text,
            str(int((mine & ~corpus.is_spoof).sum())),
            str(int((mine & corpus.is_spoof).sum())),
            str(len(set(source[mine].tolist()))),
        ]
        for members, text in groups
        for mine in [np.isin(values, members)]
    ]
