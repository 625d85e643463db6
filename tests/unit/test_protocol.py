"""The yardstick's protocol, its runs, and what the conditions do to sound."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from benchmarks.sounds import speech
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus, Row
from bonafide.errors import CorpusError
from bonafide.models.config import FeatureWeights
from bonafide.training.config import read_config
from bonafide.training.extraction import FeatureStore
from bonafide.training.folds import Folds
from bonafide.training.ingest import Recordings
from research.conditions import CONDITIONS
from research.protocol import (
    CONFIG,
    PROTOCOL,
    Bench,
    Run,
    _without,
    extend_protocol,
    read_protocol,
    runs,
    source_id,
    speaker_folds,
    stacked,
)
from tests.helpers.bundles import BASE_MODELS

ZEROS = "0.1 s of zeros at both ends"
OTHER_LENGTH = {"trimmed silence", ZEROS, "2 s", "1 s", "matched level, length, silence"}


def corpus_of(*rows: tuple[str, str]) -> Corpus:
    return Corpus(
        Path("/nowhere"),
        [
            Row(path=f"{i}.wav", label=("bonafide", "spoof")[i % 2], source=a, speaker=b)
            for i, (a, b) in enumerate(rows)
        ],
    )


def protocol_of(path: Path, **folds: int) -> Path:
    lines = [f"{source_id(name)},{fold}" for name, fold in folds.items()]
    path.write_text("\n".join(["source,fold", *lines]) + "\n")
    return path


def test_the_protocol_keeps_sources_and_speakers_of_the_real_corpus_whole(
    corpus_folder: Path,
) -> None:
    corpus = read_corpus(corpus_folder / "manifest.csv")
    folds = read_protocol(corpus)
    for group in np.unique(folds.group):
        assert len(np.unique(folds.fold[folds.group == group])) == 1
    sizes = np.bincount(folds.fold)
    assert len(sizes) == 4 and sizes.min() > len(corpus) / 5
    for fold in range(4):
        assert 0.3 < corpus.is_spoof[folds.fold == fold].mean() < 0.7
    speakers = speaker_folds(corpus)
    shared = set(corpus.column("source")[speakers.fold == 0].tolist())
    assert shared & set(corpus.column("source")[speakers.fold != 0].tolist())


@pytest.mark.parametrize(("model", "again"), [("gru", True), ("xgboost", False)])
def test_a_fit_counts_only_with_the_settings_it_was_made_with(
    tmp_path: Path, model: str, again: bool
) -> None:
    config = read_config(CONFIG)
    recordings, store = cast(Recordings, None), FeatureStore(tmp_path / "features")
    bench = Bench(config, recordings, store, {}, tmp_path)
    run = Run("seed 1")
    bench.folder(run, model).mkdir(parents=True)
    kept = bench.folder(run, model) / "0.json"
    kept.write_text(json.dumps(bench._settings(run, model, 0)))
    assert bench._is_fitted(run, model, 0)
    assert not bench._is_fitted(run, model, 1)
    assert not bench._is_fitted(replace(run, without=("lfcc",)), model, 0)
    longer = config.fit.model_copy(update={"epochs": 2 * config.fit.epochs})
    other = replace(bench, config=config.model_copy(update={"fit": longer}))
    assert other._is_fitted(run, model, 0) is not again  # trees know nothing of epochs


def test_the_protocol_names_nobody() -> None:
    assert all(len(line.split(",")[0]) == 10 for line in PROTOCOL.read_text().splitlines()[1:])


def test_new_sources_get_folds_and_known_ones_keep_theirs(tmp_path: Path) -> None:
    path = protocol_of(tmp_path / "folds.csv", a=0, b=1, gone=1)
    new = [(name, name.upper()) for name in "cdef" for _ in range(4)]
    corpus = corpus_of(("a", "x"), ("b", "y"), ("joined", "x"), *new)
    with pytest.raises(CorpusError, match=r"no fold for .*--extend-protocol"):
        read_protocol(corpus, path)
    extend_protocol(corpus, path)
    once = path.read_text()
    folds = read_protocol(corpus, path)
    assert folds.fold[:3].tolist() == [0, 1, 0]  # who shares a speaker shares the fold
    assert np.bincount(folds.fold[3:]).tolist() == [8, 8]
    assert f"{source_id('gone')},1" in once
    extend_protocol(corpus, path)
    assert path.read_text() == once


def test_what_the_protocol_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = protocol_of(tmp_path / "folds.csv", a=0, b=1)
    folds = read_protocol(corpus_of(("a", "x"), ("b", "y"), ("a", "z")), path)
    assert folds.fold.tolist() == [0, 1, 0]
    with pytest.raises(CorpusError, match="no fold for " + source_id("c")) as error:
        read_protocol(corpus_of(("a", "x"), ("c", "y")), path)
    assert error.value.code == "no_fold"
    with pytest.raises(CorpusError, match="speakers in two folds") as error:
        read_protocol(corpus_of(("a", "x"), ("b", "x")), path)
    assert error.value.code == "split_speaker"


def test_runs_have_names_of_their_own_and_columns_that_exist() -> None:
    config = read_config(CONFIG)
    listed = list(runs(config))
    assert len({run.name for run in listed}) == len(listed)
    every = [_without(config, (name,)) for name in config.spec.statistics]
    assert np.array_equal(np.concatenate(every), np.arange(config.spec.n_statistics))
    kinds = [_without(config, (kind,)) for kind in FeatureWeights.model_fields]
    assert np.array_equal(np.sort(np.concatenate(kinds)), np.arange(config.spec.n_statistics))
    assert {model for run in listed for model in run.models} == set(BASE_MODELS)


def test_a_fold_s_stack_does_not_look_at_the_fold() -> None:
    rng = np.random.default_rng(0)
    is_spoof = np.arange(200) % 2 == 1
    models = (0.3 * is_spoof[:, None] + 0.7 * rng.random((200, 5))).astype(np.float32)
    folds = Folds(np.arange(200), np.arange(200) // 50)
    one = stacked(models, is_spoof, folds, 2, seed=1)
    models[folds.fold == 2] = rng.random((50, 5))
    other = stacked(models, is_spoof, folds, 2, seed=1)
    assert one == other
    assert stacked(models, is_spoof, folds, 1, seed=1) != one


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_changes_sound_as_it_says(name: str) -> None:
    sound = speech(3.0, seed=2)
    heard = np.asarray(CONDITIONS[name](sound, np.random.default_rng(0)))
    assert np.isfinite(heard).all() and np.std(heard) > 0
    if name not in OTHER_LENGTH:
        assert len(heard) == len(sound)
    if name not in {"clean", "4 s", "trimmed silence"}:
        assert len(heard) != len(sound) or not np.allclose(heard, sound, atol=1e-6)
    level_db = 20 * np.log10(np.std(heard) / np.std(sound))
    expected = {"level -20 dB": -20.0, "level +10 dB": 10.0}.get(name)
    if expected is not None:
        assert level_db == pytest.approx(expected, abs=0.01)
    if name.startswith("noise"):
        snr_db = -20 * np.log10(np.std(heard - sound) / np.std(sound))
        assert snr_db == pytest.approx(float(name.split()[1]), abs=0.1)
    if name in {"8 kHz band limit", "G.711 mu-law", "G.711 A-law", "AMR-NB 12.2 kb/s"}:
        power = np.abs(np.fft.rfft(heard)) ** 2
        assert power[len(power) // 2 + 500 :].sum() < 1e-3 * power.sum()
    if name in {"1 s", "2 s"}:
        assert len(heard) == 16_000 * int(name[0])
    if name == ZEROS:
        np.testing.assert_array_equal(heard[1600:-1600], sound)
        assert not heard[:1600].any() and not heard[-1600:].any()


def test_matching_leaves_no_level_length_or_silence() -> None:
    change = CONDITIONS["matched level, length, silence"]
    rng = np.random.default_rng(0)
    quiet = np.zeros(8000, np.float32)
    one = change(speech(3.0, seed=2), rng)
    other = change(np.concatenate([quiet, 0.1 * speech(4.5, seed=2), quiet]), rng)
    assert len(one) == len(other)
    assert np.std(one) == pytest.approx(np.std(other), rel=0.05)
    assert one[:160].any() and other[:160].any() and other[-160:].any()
