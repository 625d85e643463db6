"""A candidate for the gate to decide on, with scores in place of models."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bonafide.bundle import Bundle, read_bundle, write_bundle
from bonafide.corpora.schema import Corpus, Row
from bonafide.evaluation.evaluate import DECISION, evaluate
from bonafide.evaluation.metrics import Interval
from bonafide.home import SHIPPED
from bonafide.training.audit import Audit
from bonafide.training.config import Config, parse_config
from bonafide.training.gate import Decision, decide
from bonafide.training.judgement import Judgement, Outcome
from bonafide.training.recordings import MEASURES, Quarantine, Recordings
from bonafide.training.served import Answers

Floats = NDArray[np.float64]
CHANCE = Interval(0.5, 0.4, 0.6)


def corpus_of(sources: int = 40, each: int = 6, **columns: str) -> Corpus:
    labels = ("bonafide", "spoof")
    return Corpus(
        Path("nowhere"),
        [
            Row(f"{row}.wav", labels[row % 2], **{"source": f"s{row // each}", **columns})
            for row in range(sources * each)
        ],
    )


def llr_of(corpus: Corpus, shift: float, seed: int = 0) -> Floats:
    """Return scores whose EER falls as `shift` rises: 0 is chance."""
    rng = np.random.default_rng(seed)
    return np.where(corpus.is_spoof, -shift, shift) + rng.normal(size=len(corpus))


class Case:
    """A candidate to decide on, and how often it and what it would replace were scored."""

    def __init__(self, root: Path, bundle: Bundle, patch: pytest.MonkeyPatch) -> None:
        self.root, self.bundle = root, bundle
        self.theirs: Callable[[Corpus], Floats] = lambda corpus: llr_of(corpus, 1.0)
        self.asked: list[tuple[str, bool]] = []
        self.seconds = (1.0, 1.0)
        self.quarantine = Quarantine()
        self.llr: dict[str, float] = {}
        self.sound_of: Callable[[Row], str] = lambda row: row.path
        deciding = "bonafide.training.gate.deciding"
        patch.setattr(f"{deciding}.score_recordings", self.scored)
        patch.setattr(f"{deciding}.answer_recordings", self.answered)
        patch.setattr("bonafide.training.gate.cost.seconds", lambda *_: self.seconds)

    def scored(
        self, bundle: Bundle, corpus: Corpus, *, middle: bool, **_: Any
    ) -> tuple[Floats, ...]:
        self.asked.append((bundle.identity["name"], middle))
        return (self.theirs(corpus),) * 3

    def answered(self, bundle: Bundle, corpus: Corpus, **_: Any) -> Answers:
        self.asked.append((bundle.identity["name"], False))
        ours = bundle.identity == self.bundle.identity
        llr = np.array([self.llr[r.path] for r in corpus]) if ours else self.theirs(corpus)
        return answers_of(llr)

    def decided(
        self,
        corpus: Corpus,
        llr: Floats,
        *,
        rows: NDArray[np.intp] | None = None,
        held_out: bool = True,
        trained: NDArray[np.bool_] | None = None,
        **gate: Any,
    ) -> Decision:
        rows = np.arange(len(corpus)) if rows is None else rows
        trained = np.zeros(len(corpus), dtype=bool) if trained is None else trained
        self.llr |= {row.path: float(v) for row, v in zip(corpus, llr, strict=True)}
        found = evaluate({DECISION: llr}, corpus, title="t", prior_spoof=0.5, resamples=50)
        outcome = Outcome(found if held_out else None, found, Audit(CHANCE, CHANCE, {}), {})
        config: Config = parse_config({"resamples": 200, "gate": gate}, "c")
        judgement = Judgement(outcome, "", rows, llr, trained)
        sounds = np.array([self.sound_of(row) for row in corpus])
        given = replace(recordings_of(corpus), sha256=sounds)
        return decide(self.root, self.bundle, judgement, given, self.quarantine, config)


def recordings_of(corpus: Corpus) -> Recordings:
    sounds = np.array([row.path for row in corpus])
    return Recordings(corpus, sounds, np.zeros((len(corpus), len(MEASURES))))


def answers_of(llr: Floats) -> Answers:
    """Return answers that call what lies more than a nat from 0, all of it clean."""
    called = np.where(np.abs(llr) < 1, 0, np.sign(np.nan_to_num(llr))).astype(np.int8)
    return Answers(llr, called, np.full(len(llr), "clean"))


def refused(decision: Decision) -> list[str]:
    return [ruling.rule for ruling in decision.rulings if ruling.passed is False]


def candidate_in(folder: Path) -> Bundle:
    """Another bundle than the shipped one, which the gate never runs."""
    shutil.copytree(SHIPPED, folder)
    return write_bundle(folder, {**read_bundle(folder).manifest, "name": "mine", "version": "1"})
