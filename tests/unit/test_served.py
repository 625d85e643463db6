"""Scores and answers as served."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from benchmarks.sounds import speech
from bonafide.bundle import read_bundle
from bonafide.corpora.schema import Corpus, Row
from bonafide.detector import Detector
from bonafide.home import SHIPPED
from bonafide.training.gate.cost import cost, seconds
from bonafide.training.gate_config import GateConfig
from bonafide.training.served import (
    BONAFIDE,
    SPOOF,
    UNDECIDED,
    Answers,
    answer_recordings,
    score_recordings,
)
from bonafide.training.windows import training_windows

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Eleven seconds of a voice, three of it, silence, and what is no sound."""
    folder = tmp_path_factory.mktemp("spoken")
    voice = speech(11.0)
    sounds = {"long": voice, "short": voice[: 3 * RATE_HZ], "silent": np.zeros(5 * RATE_HZ)}
    for name, sound in sounds.items():
        soundfile.write(folder / f"{name}.wav", sound, RATE_HZ)
    (folder / "text.wav").write_text("no sound\n" * 100)
    names = ("long", "silent", "text", "short", "gone")
    return Corpus(folder, [Row(f"{name}.wav", "bonafide") for name in names])


def test_recordings_are_scored_as_they_are_served(spoken: Corpus) -> None:
    bundle, steps = read_bundle(SHIPPED), list[tuple[int, int]]()
    llr, models, stack = score_recordings(bundle, spoken, progress=lambda *s: steps.append(s))
    assert steps == [(5, 5)]
    assert np.isnan(llr).tolist() == [False, True, True, False, True]
    assert (models.shape, stack.shape) == ((5, len(bundle.models)), (5, 2))
    detector = Detector(bundle)
    for row in (0, 3):
        served = detector.score(spoken.audio_path(spoken.rows[row]))
        wanted = np.array(list(served.models.values()), dtype=np.float64)  # None: not asked
        assert llr[row] == served.llr
        np.testing.assert_array_equal(models[row], wanted)
        assert stack[row].tolist() == list(served.stack.values())
    assert len(detector.score(spoken.audio_path(spoken.rows[0])).segments) > 1
    assert score_recordings(bundle, spoken.take([]))[0].shape == (0,)


def test_or_by_the_window_that_is_trained_on(spoken: Corpus) -> None:
    bundle = read_bundle(SHIPPED)
    corpus = spoken.take([0, 3])
    llr, _, _ = score_recordings(bundle, corpus, middle=True)
    windows = training_windows([corpus.audio_path(row) for row in corpus], bundle.spec)
    np.testing.assert_allclose(llr, Detector(bundle).score_windows(windows)[0], atol=1e-5)
    whole, _, _ = score_recordings(bundle, corpus)
    assert abs(llr[0] - whole[0]) > 1e-3 and abs(llr[1] - whole[1]) < 1e-3


def test_answers_are_those_of_the_service(spoken: Corpus) -> None:
    bundle, steps = read_bundle(SHIPPED), list[tuple[int, int]]()
    found = answer_recordings(bundle, spoken, progress=lambda *s: steps.append(s))
    assert steps == [(5, 5)]
    assert np.isnan(found.llr).tolist() == [False, True, True, False, True]
    assert found.called is not None and found.called.dtype == np.int8
    detector = Detector(bundle)
    for row in (0, 3):
        served = detector.score(spoken.audio_path(spoken.rows[row]))
        called = {"bonafide": BONAFIDE, "inconclusive": UNDECIDED}.get(served.verdict, SPOOF)
        assert served.channel is not None
        assert (found.llr[row], found.called[row]) == (served.llr, called)
        assert found.channel[row] == served.channel.name
    assert found.channel[[1, 2, 4]].tolist() == ["-"] * 3
    some = found.take(np.array([3, 1]))
    assert some.llr[0] == found.llr[3] and some.channel[1] == "-"
    scores = Answers.of_scores(found.llr)
    assert scores.called is None and scores.take(np.array([3])).called is None


def test_both_bundles_are_timed_on_the_same_recordings(spoken: Corpus) -> None:
    bundle = read_bundle(SHIPPED)
    ours, theirs = seconds(bundle, bundle, spoken)
    assert 0.3 < ours / theirs < 3 and ours > 0.01  # of the same bundle
    nothing = spoken.take([2, 4])
    assert seconds(bundle, bundle, nothing) == (0.0, 0.0)
    unknown, _ = cost(bundle, bundle, nothing, "it", GateConfig())
    assert unknown.passed is None and "was not measured" in unknown.words


@pytest.mark.parametrize("module", ["bonafide.training.served", "bonafide.training.clips"])
def test_processes_that_score_load_nothing_of_training(module: str) -> None:
    """Each process of a pool imports the module anew; these made that three times as slow."""
    code = f"import sys, {module}; print(*sys.modules.keys() & {{'scipy', 'sklearn', 'xgboost'}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
