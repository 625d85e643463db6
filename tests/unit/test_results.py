"""The results page: every section from scores made here, and in the words of the kept page."""

import json
import re
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bonafide.corpora.schema import Corpus, Row
from bonafide.training.config import read_config
from bonafide.training.folds import Folds
from bonafide.training.recordings import MEASURES, Recordings
from bonafide.training.store import FeatureStore
from research.ablations import MODELS, runs
from research.conditions import CONDITIONS
from research.folds import source_id, speaker_folds
from research.judging import Results
from research.protocol import CONFIG, SCORES
from research.results import page, read_scores, write_card
from research.sections import outcomes
from research.workspace import Workspace

N_ROWS, N_SOURCES, N_FOLDS = 240, 16, 4


def corpus_of(rng: np.random.Generator) -> Corpus:
    rows = [
        Row(
            path=f"{i}.wav",
            label="spoof" if rng.random() < 0.5 else "bonafide",
            source=f"s{i % N_SOURCES}",
            speaker=f"p{i % N_SOURCES}-{i % 5}",
            language=("en", "de")[i % 2],
            original_codec=("wav", "mp3")[i % 3 == 0],
            system=f"g{i % 3}" if i % 2 else f"own{i % N_SOURCES}",
            attack_type=("tts", "vc")[i % 2],
        )
        for i in range(N_ROWS)
    ]
    return Corpus(Path("/nowhere"), rows)


@pytest.fixture(scope="module")
def results() -> Results:
    rng = np.random.default_rng(0)
    corpus, config = corpus_of(rng), read_config(CONFIG)
    hashes = np.array([4 * f"{i:016x}" for i in range(N_ROWS)])
    recordings = Recordings(corpus, hashes, rng.normal(size=(N_ROWS, len(MEASURES))))
    source = np.arange(N_ROWS) % N_SOURCES
    folds = {"sources": Folds(source, source % N_FOLDS), "speakers": speaker_folds(corpus)}
    workspace = Workspace(config, recordings, FeatureStore(Path("/nowhere")), folds, Path())
    sign, scores = 2 * corpus.is_spoof - 1, dict[str, np.ndarray]()
    for run in runs(config):
        for model in run.models:
            odds = sign + 1.5 * rng.normal(size=(N_FOLDS, N_ROWS))
            p_spoof = (1 / (1 + np.exp(-odds))).T.astype(np.float32)
            scores[f"{run.name}|{model}"] = p_spoof if run.nested else p_spoof[:, 0]
    judged = np.arange(0, N_ROWS, 2)
    conditions = {
        name: np.float32(3 * rng.normal(size=(len(judged), 6)) - 2 * sign[judged, None])
        for name in CONDITIONS
    }
    speed = json.loads((SCORES / "bench.json").read_text())
    return Results(workspace, scores, {"rows": judged, **conditions}, speed, resamples=20)


@pytest.fixture(scope="module")
def made(results: Results) -> str:
    return page(results)


def headings(text: str) -> list[str]:
    """Lines that tell what stands below them: titles, and the first row of each table."""
    lines = text.splitlines()
    heads = [a for a, b in pairwise(lines) if b.startswith("| --- |")]
    summaries = re.findall(r"<summary>(.*) \(\d+\)</summary>", text)
    return [*(line for line in lines if line.startswith("#")), *heads, *summaries]


def test_the_kept_page_has_the_headings_of_the_one_made_now(made: str) -> None:
    assert headings(SCORES.with_suffix(".md").read_text()) == headings(made)


def test_the_kept_page_has_the_rows_of_the_one_made_now(made: str) -> None:
    """Of every table but those by kind of recording, which the corpus decides."""
    before = "## By kind of recording"
    kept, now = (
        [line.split(" | ")[0] for line in text.partition(before)[0].splitlines() if line[:1] == "|"]
        for text in (SCORES.with_suffix(".md").read_text(), made)
    )
    assert kept == now


def test_every_run_is_on_the_page_with_its_own_error(results: Results, made: str) -> None:
    for key in results.scores:
        run = key.partition("|")[0]
        if not run.startswith(("seed", "speakers")):
            interval = results.interval(results.run_llr(key), results.both)
            assert f"\n| {run} | {100 * interval.value:.1f} % [" in made
    assert "&" not in made.replace("&lt;", "") and "None" not in made  # Markdown, not HTML


def test_without_the_speakers_run_the_page_has_no_such_section(results: Results) -> None:
    fewer = {k: v for k, v in results.scores.items() if not k.startswith("speakers")}
    text = page(Results(results.workspace, fewer, results.conditions, results.speed, 20))
    assert "other speakers" not in text
    assert ".\n\n## Calibration\n\n" in text


def test_a_fold_is_judged_by_what_did_not_see_it(results: Results) -> None:
    """Labels of a fold, and scores of the others by models that saw it, decide nothing of it."""
    folds = results.workspace.folds["sources"]
    own = folds.fold == 2
    ours = results.systems(1)
    blind = {
        key: np.where((np.arange(N_FOLDS) == 2) | own[:, None], values, np.float32(0.5))
        if values.ndim == 2
        else values
        for key, values in results.scores.items()
    }
    other = Results(results.workspace, blind, results.conditions, results.speed)
    for name, llr in other.systems(1).items():
        np.testing.assert_array_equal(llr[own], ours[name][own])
    assert (other.systems(1)["decision"][~own] != ours["decision"][~own]).mean() > 0.9


def test_outcomes_are_shares_of_what_was_decided() -> None:
    p = np.array([0.1, 0.5, 0.9, 0.9, 0.1, 0.9])
    is_spoof = np.array([False, False, False, True, True, True])
    assert outcomes(p, is_spoof, (0.2, 0.8)) == pytest.approx([1 / 6, 1 / 2, 1 / 3])


def test_a_card_is_completed_once(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = SimpleNamespace(manifest={"name": "x", "format": 1, "files": {}, "sha256": "0"})
    written = list[dict[str, object]]()
    monkeypatch.setattr("research.results.read_bundle", lambda folder: known)
    monkeypatch.setattr(
        "research.results.write_bundle", lambda folder, manifest: written.append(manifest)
    )
    card = tmp_path / "card.md"
    card.write_text("# Model card\n\n## Limits\n\nSome.\n")
    write_card(results, tmp_path)
    once = card.read_text()
    assert once.startswith("# Model card\n\n## Limits\n\nSome.\n\n## Channel conditions\n\n")
    assert [line for line in once.splitlines() if line.startswith("## ")] == [
        *("## Limits", "## Channel conditions", "## Known failures", "## Latency")
    ]
    write_card(results, tmp_path)
    assert card.read_text() == once
    assert written == [{"name": "x"}] * 2


def test_scores_of_other_recordings_raise(results: Results, tmp_path: Path) -> None:
    path, sound = tmp_path / "scores.npz", results.workspace.recordings.sha256
    np.savez(path, sound=sound.astype("U16"), **results.scores)
    assert set(read_scores(path, sound)) == set(results.scores)
    with pytest.raises(SystemExit, match=r"other recordings; run python -m research\.protocol"):
        read_scores(path, sound[::-1])


def test_sources_are_named_by_their_hashes(results: Results, made: str) -> None:
    assert all(f"| {source_id(f's{number}')} |" in made for number in range(N_SOURCES - 1))
    assert not re.search(r"\| s\d+ \|", made)
    assert len(MODELS) + 4 == len(results.by_seed[0])
