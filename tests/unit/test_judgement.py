"""A candidate that learned from every row: judged out of fold, kept and promoted by that."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from markupsafe import escape

from bonafide.bundle import Bundle, read_bundle, write_bundle
from bonafide.corpora.schema import UNKNOWN, Corpus, Row
from bonafide.evaluation.evaluate import DECISION, MEAN
from bonafide.evaluation.metrics import eer
from bonafide.features.spec import FeatureSpec
from bonafide.process.lock import is_locked
from bonafide.registry import production_folder
from bonafide.training.audit import audit_shortcuts
from bonafide.training.card import model_card
from bonafide.training.config import Config
from bonafide.training.fitting import FittedBase
from bonafide.training.folds import make_folds
from bonafide.training.gate import Decision, decide
from bonafide.training.gate.deciding import absolute
from bonafide.training.gate_config import GateConfig
from bonafide.training.judgement import (
    GATE,
    Judgement,
    Outcome,
    _middle_note,
    evaluate_candidate,
    systems,
)
from bonafide.training.promotion import keep_and_promote
from bonafide.training.recordings import MEASURES, Quarantine, Recordings
from bonafide.training.rules import fit_rules
from bonafide.training.stacking import Calibration, stack_models
from tests.helpers.bundles import BASE_MODELS, GRAPHS
from tests.helpers.routers import of_one_channel

N_ROWS = 240


@dataclass(frozen=True)
class Judged:
    """Everything that judging takes, and what came of it."""

    bundle: Bundle
    recordings: Recordings
    config: Config
    judgement: Judgement


def corpus() -> Corpus:
    """Make 40 sources of 6 rows, of which the manifest would hold some out."""
    return Corpus(
        Path("nowhere"),
        [
            Row(
                f"{row}.wav",
                ("bonafide", "spoof")[row % 2],
                source=f"source {row // 6}",
                system=("", "vocoder")[row % 2],
                split="test" if row // 6 % 5 == 0 else "train",
            )
            for row in range(N_ROWS)
        ],
    )


def candidate(
    folder: Path, config: Config, calibration: Calibration, choice: str, errors: dict[str, Any]
) -> Bundle:
    """Write a bundle whose graphs cannot be run: nothing may be scored with them."""
    folder.mkdir()
    for name in (*GRAPHS, "router"):
        (folder / f"{name}.onnx").write_bytes(f"no graph {name}".encode())
    low, high = config.decision.undecided
    return write_bundle(
        folder,
        {
            "name": config.name,
            "version": "0",
            "feature_spec": FeatureSpec().to_json(),
            "models": list(BASE_MODELS),
            "views": {},
            "hears": {name: ["statistics"] for name in BASE_MODELS},
            "channels": [{"name": "clean", "label": "no channel that leaves a trace"}],
            "stages": [
                {
                    "prefix": "",
                    "models": list(BASE_MODELS),
                    "choice": choice,
                    "calibration": vars(calibration),
                }
            ],
            "channel_errors": errors,
            "config": config.model_dump(mode="json"),
            "prior_spoof": config.decision.prior_spoof,
            "thresholds": {"bonafide_to": low, "spoof_from": high},
            "choice": choice,
            "calibration": vars(calibration),
        },
    )


def base_of(name: str, p_spoof: np.ndarray, n_folds: int) -> FittedBase:
    """Return a base model's scores of the recordings, the same whichever fold is out."""
    oof, nested = p_spoof[:, None], np.repeat(p_spoof[:, None, None], n_folds, axis=1)
    return FittedBase(*(name, name.upper(), "", {}, b"", ".keras", oof, nested), history={})


def judge(folder: Path, test_share: float, rows: Corpus) -> Judged:
    rng = np.random.default_rng(0)
    folds_of = {"count": 3, "test_share": test_share}
    config = Config.model_validate({"resamples": 50, "folds": folds_of})
    recordings = Recordings(
        rows,
        np.array([f"{row:064x}" for row in range(N_ROWS)]),
        rng.normal(size=(N_ROWS, len(MEASURES))),
    )
    folds = make_folds(rows, count=config.folds.count, test_share=config.folds.test_share, seed=1)
    odds = np.where(rows.is_spoof, 1.5, -1.5)[:, None] + 2 * rng.normal(size=(N_ROWS, 5))
    models = (1 / (1 + np.exp(-odds))).astype(np.float32)
    fitted = [base_of(name, p, folds.count) for name, p in zip(BASE_MODELS, models.T, strict=True)]
    router = of_one_channel(N_ROWS, folds.count)
    stages = stack_models(fitted, (BASE_MODELS,), router, rows, folds, ("clean",), 1)
    rules = fit_rules(stages, router, recordings, folds, ("clean",), config, window_s=4.0)
    (calibration,) = rules.calibrations
    errors = rules.answers[0].channel_errors
    bundle = candidate(folder / "candidate", config, calibration, stages[0].stack.choice, errors)
    judgement = evaluate_candidate(
        bundle,
        recordings,
        folds,
        fitted=fitted,
        stages=stages,
        rules=rules,
        audit=audit_shortcuts(recordings, folds, resamples=50),
        parity={"cnn": 1e-7},
        config=config,
    )
    return Judged(bundle, recordings, config, judgement)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judge(tmp_path_factory.mktemp("outcome"), 0.0, corpus())


def scored(bundle: Bundle, corpus: Corpus, **_: object) -> tuple[np.ndarray, ...]:
    """Score as served: the first recording of a spoof is silent."""
    llr = np.where(corpus.is_spoof, -1.0, 1.0) + np.linspace(-1.5, 1.5, len(corpus))
    llr[np.flatnonzero(corpus.is_spoof)[0]] = np.nan
    p = 1 / (1 + np.exp(llr))[:, None]
    return llr, np.repeat(p, len(bundle.models), axis=1), np.repeat(p, 2, axis=1)


def test_held_out_rows_are_judged_by_what_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bonafide.training.judgement.score_recordings", scored)
    judgement = judge(tmp_path, 0.2, corpus()).judgement
    outcome, held_out = judgement.outcome, judgement.outcome.held_out
    test = np.flatnonzero([row.split == "test" for row in corpus()])
    assert held_out is outcome.judged and held_out.title == "Held-out sources, as served"
    assert (held_out.counts["rows"], held_out.counts["spoof"]) == (
        len(test) - 1,
        len(test) // 2 - 1,
    )
    left_out = f"Left out: 1 of {len(test)} recordings (0 bona fide, 1 spoof) could not be scored"
    assert any(note.startswith(left_out) for note in held_out.notes)
    llr = scored(judged_bundle(), corpus().take(test))[0]
    usable = np.isfinite(llr)
    np.testing.assert_array_equal(judgement.rows, test[usable])
    np.testing.assert_array_equal(judgement.llr[test], llr)
    np.testing.assert_array_equal(judgement.trained, [row.split != "test" for row in corpus()])
    assert np.isfinite(judgement.llr[judgement.trained]).all()  # out of fold
    decision = held_out.systems[DECISION]["eer"].value
    assert decision == eer(llr[usable], corpus().is_spoof[test[usable]])


def judged_bundle() -> Any:
    return SimpleNamespace(models=BASE_MODELS)


def test_rows_that_share_a_source_with_training_are_titled_so_and_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bonafide.training.judgement.score_recordings", scored)
    rows = [replace(r, source="source 1") if r.source == "source 0" else r for r in corpus()]
    judgement = judge(tmp_path, 0.2, Corpus(Path("nowhere"), rows)).judgement
    assert judgement.outcome.judged.title == "Held-out rows, 1 source on both sides, as served"
    assert "held-out recordings, with 1 source on both sides" in judgement.page
    assert judgement.outcome.judged.counts["rows"] == 47
    assert judgement.rows.tolist() == [k for k, row in enumerate(rows) if row.split == "test"][6:]


def test_out_of_fold_says_how_many_are_served_otherwise(judged: Judged) -> None:
    longer = int((judged.recordings.measures[:, MEASURES.index("duration_s")] > 4.0).sum())
    notes = " ".join(judged.judgement.outcome.out_of_fold.notes)
    assert longer == 0 and "middle" not in notes
    recordings = judged.recordings
    measures = recordings.measures.copy()
    measures[:7, MEASURES.index("duration_s")] = 9.0
    changed = replace(recordings, measures=measures)
    (said,) = _middle_note(changed, np.arange(N_ROWS), 4.0)
    assert said.startswith("Scored by the middle 4 s of each recording; 7 of 240 are longer")


def test_every_row_is_judged_out_of_fold(judged: Judged) -> None:
    outcome = judged.judgement.outcome
    assert outcome.held_out is None
    assert outcome.judged is outcome.out_of_fold
    assert outcome.evaluations == [outcome.out_of_fold]
    assert outcome.judged.counts["rows"] == N_ROWS
    assert 0.02 < outcome.judged.systems[DECISION]["eer"].value < 0.25  # of models that tell a lot
    assert outcome.audit.test_eer is None
    assert outcome.audit.eer == outcome.audit.fold_eer
    assert 0.35 < outcome.audit.eer.value < 0.65  # of measures that tell nothing
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


def test_systems_bear_the_names_they_are_given() -> None:
    models = np.array([[0.2, 0.9], [0.4, 0.6]])
    found = systems(models, models, np.array([1.0, -1.0]), names=("one", "other"))
    assert list(found) == ["one", "other", MEAN, "stack logistic", "stack xgboost", DECISION]
    np.testing.assert_allclose(1 / (1 + np.exp(found["other"])), [0.9, 0.6])
    np.testing.assert_allclose(1 / (1 + np.exp(found[MEAN])), [0.55, 0.5])
    models[0, 0] = np.nan  # not asked: the mean is of the others, and it cannot be compared
    some = systems(models, models[::-1], np.array([1.0, -1.0]), names=("one", "other"))
    assert list(some) == ["other", MEAN, "stack logistic", "stack xgboost", DECISION]
    np.testing.assert_allclose(1 / (1 + np.exp(some[MEAN])), [0.9, 0.5])
    with pytest.raises(ValueError, match="zip"):
        systems(models, models, np.array([1.0, -1.0]), names=("one",))


def test_the_gate_looks_at_what_there_is(judged: Judged) -> None:
    outcome = judged.judgement.outcome
    assert all(ruling.passed for ruling in absolute(outcome, judged.config.gate))
    strict = Config.model_validate({"gate": {"max_eer": 0.01}})
    first, *others = absolute(outcome, strict.gate)
    assert not first.passed and "the gate allows 1.0 %" in first.words
    assert all(ruling.passed for ruling in others)


def test_report_and_card_speak_of_no_held_out_rows(judged: Judged) -> None:
    page = judged.judgement.page
    card = model_card(judged.bundle, judged.judgement.outcome, judged.recordings, Quarantine())
    for text in (page, card):
        assert "out of fold" in text
        assert "eld-out" not in text and "held out" not in text
    assert page.count("trivial measures alone") == 1
    assert "Training side, out of fold" in card
    assert "the channel that they went through: 3 clean, 2 telephone, 2 noise, 1 low_rate," in card
    n_side = judged.judgement.outcome.judged.counts["rows"]
    assert f"| clean | no channel that leaves a trace | {n_side} |" in card
    assert f"<td>no channel that leaves a trace</td><td>{n_side}</td>" in page
    terms = f"Of the recordings, {N_ROWS} have no known licence and 0 a licence that excludes"
    assert terms in card and "for research and evaluation only" in card
    n_real = int((~judged.recordings.corpus.is_spoof).sum())
    assert f"| {UNKNOWN} | {n_real} | {N_ROWS - n_real} | 40 |" in card  # by licence


def test_it_is_kept_and_promoted(
    judged: Judged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chance(bundle: Bundle, corpus: Corpus, **_: object) -> tuple[np.ndarray, ...]:
        return (np.random.default_rng(1).normal(size=len(corpus)),) * 3

    def alone(*given: Any) -> Decision:
        assert is_locked(tmp_path / "gate.lock")  # no other compares with what this one replaces
        return decide(*given)

    monkeypatch.setattr("bonafide.training.gate.deciding.score_recordings", chance)
    monkeypatch.setattr("bonafide.training.gate.deciding.cost", lambda *_: [])
    monkeypatch.setattr("bonafide.training.promotion.decide", alone)
    bundle, decision = keep_and_promote(
        tmp_path,
        judged.bundle,
        judged.judgement,
        judged.recordings,
        Quarantine(),
        judged.config,
        run={"run": "r"},
    )
    assert decision.reasons == []
    assert "(shipped) on rows of its corpus, out of fold, 240 recordings" in decision.compared
    told = json.loads((tmp_path / "reports" / "bonafide-1.gate.json").read_text())
    assert told == decision.to_json()
    assert production_folder(tmp_path) == bundle.folder
    manifest = read_bundle(bundle.folder).manifest
    out_of_fold = judged.judgement.outcome.out_of_fold
    assert manifest["metrics"]["rows"] == out_of_fold.title
    assert manifest["metrics"]["on"] == "sources it never heard"
    assert manifest["metrics"]["clusters"] == "source"
    assert manifest["metrics"]["eer"] == out_of_fold.systems[DECISION]["eer"].to_json()
    assert manifest["audit"]["test_eer"] is None
    page = (tmp_path / "reports" / "bonafide-1.html").read_text()
    before, after = judged.judgement.page.split(GATE)
    assert page.startswith(before) and page.endswith(after)
    section = page.removeprefix(before).removesuffix(after)
    assert "It was promoted." in section and section.count("<tr>") == 1 + len(decision.rulings)
    assert all(escape(ruling.words) in section for ruling in decision.rulings)


@pytest.mark.parametrize("approval", ["automatic", "manual"])
def test_the_first_that_passes_leaves_a_golden_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, approval: str
) -> None:
    """Held-out recordings are what those after it are judged on, whoever promotes it."""
    frozen = list[list[int]]()

    def freeze(root: Path, given: Recordings, rows: Any, origin: str, **_: object) -> None:
        assert (root, origin) == (tmp_path, "held out from bonafide:1")
        frozen.append(rows.tolist())

    monkeypatch.setattr("bonafide.training.judgement.score_recordings", scored)
    monkeypatch.setattr("bonafide.training.promotion.freeze_held_out", freeze)
    made = judge(tmp_path, 0.2, corpus())
    gate = {"approval": approval, "min_groups": 3}
    config = made.config.model_copy(update={"gate": GateConfig.model_validate(gate)})

    def kept_by(reasons: list[str]) -> tuple[Bundle, Decision]:
        passed = Decision(reasons, "compared", waits=approval == "manual" and not reasons)
        monkeypatch.setattr("bonafide.training.promotion.decide", lambda *_: passed)
        return keep_and_promote(
            tmp_path, made.bundle, made.judgement, made.recordings, Quarantine(), config, run={}
        )

    kept_by(["worse"])
    assert frozen == [] and production_folder(tmp_path) is None
    page = (tmp_path / "reports" / "bonafide-1.html").read_text()
    assert "It was not promoted" in page
    bundle, decision = kept_by([])
    assert frozen == [made.judgement.rows.tolist()]
    page = (tmp_path / "reports" / "bonafide-1.html").read_text()
    if approval == "manual":
        assert decision.waits and production_folder(tmp_path) is None
        assert "waits for a person to promote it" in page
    else:
        assert production_folder(tmp_path) == bundle.folder
