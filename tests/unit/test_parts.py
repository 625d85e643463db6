"""Parts of a recording that sound generated: what is found, and how often by mistake."""

import csv
import io
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonafide.corpora.schema import Corpus, Row
from bonafide.detection import Detection, Judged, Track
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.judging import llr_at, p_spoof_of
from bonafide.parts import MIN_WINDOWS, evidence, runs, suspicious_runs
from bonafide.scoring import WRITERS
from bonafide.training.config import Config
from bonafide.training.folds import TEST, Folds
from bonafide.training.parts import (
    BARS,
    MAX_PER_HOUR,
    Alarms,
    by_source,
    parts_bar,
    put_together,
)
from bonafide.training.recordings import Recordings
from tests.helpers.coded import THRESHOLDS, CodedDetector, sound_of

HUMAN, FAKE = 2.5, -3.5
SPOOF_LLR = llr_at(0.85, 0.5)


@pytest.fixture(scope="module")
def detector() -> CodedDetector:
    return CodedDetector()


def spans(detection: Detection) -> list[tuple[float, float]]:
    return [(part.start_s, part.end_s) for part in detection.parts]


def test_a_fake_in_human_speech(detector: CodedDetector) -> None:
    """The case that read "inconclusive, 20 %" above two bars at 97 %."""
    seen = detector.score(sound_of(*[HUMAN] * 4, FAKE, FAKE, *[HUMAN] * 5))
    assert seen.verdict == "partly_spoof"
    assert seen.p_spoof < 0.25  # of the whole, as it was
    (part,) = seen.parts
    assert (part.start_s, part.end_s) == (16.0, 24.0)
    assert part.p_spoof == pytest.approx(0.97, abs=0.005)
    assert seen.to_json()["parts"] == [
        {"start_s": 16.0, "end_s": 24.0, "p_spoof": round(part.p_spoof, 5)}
    ]


@pytest.mark.parametrize(
    ("llrs", "wanted"),
    [
        ([FAKE] * 2 + [HUMAN] * 8, [(0.0, 8.0)]),
        ([HUMAN] * 8 + [FAKE] * 2, [(32.0, 40.0)]),
        ([HUMAN] * 3 + [FAKE] * 2 + [HUMAN] * 3 + [FAKE] * 3 + [HUMAN] * 3, [(12, 20), (32, 44)]),
        ([HUMAN] * 3 + [FAKE, -0.5, FAKE, FAKE] + [HUMAN] * 3, [(12.0, 28.0)]),  # one, not two
        ([HUMAN] * 60 + [FAKE] * 2 + [HUMAN] * 60, [(240.0, 248.0)]),
        ([HUMAN] * 4 + [FAKE] * 5, [(16.0, 36.0)]),  # the greater part of it
        ([HUMAN] * 10, []),
        ([HUMAN] * 5 + [FAKE] + [HUMAN] * 5, []),  # one window may be chance
        ([FAKE] * 10, []),  # a spoof as a whole
        ([-1.2, -0.2, -1.6, -1.9, -0.6, -1.1, -1.4, -0.9] * 3, []),  # a source-wide leaning
        ([FAKE, HUMAN, HUMAN], []),  # too short to compare
    ],
)
def test_parts(
    llrs: list[float], wanted: list[tuple[float, float]], detector: CodedDetector
) -> None:
    seen = detector.score(sound_of(*llrs))
    assert spans(seen) == wanted
    assert (seen.verdict == "partly_spoof") == bool(wanted)


def test_a_rest_of_a_window_ends_a_part(detector: CodedDetector) -> None:
    rest = sound_of(FAKE, n_samples=SAMPLE_RATE_HZ * 2)
    seen = detector.score(np.concatenate([sound_of(*[HUMAN] * 8, FAKE), rest]))
    assert spans(seen) == [(32.0, 38.0)]


def test_silence_between_windows_does_not_end_a_part(detector: CodedDetector) -> None:
    pieces = [sound_of(*[HUMAN] * 5), sound_of(FAKE), 0 * sound_of(0.0), sound_of(FAKE, HUMAN)]
    seen = detector.score(np.concatenate(pieces))
    assert spans(seen) == [(20.0, 32.0)]


def test_a_bundle_without_a_bar_gives_no_parts() -> None:
    old = {name: value for name, value in THRESHOLDS.items() if name != "parts_from"}
    seen = CodedDetector(old).score(sound_of(*[HUMAN] * 4, FAKE, FAKE, *[HUMAN] * 5))
    assert (seen.verdict, seen.parts) == ("inconclusive", ())


@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_thresholds_that_nothing_reaches(extreme: float) -> None:
    thresholds = {**THRESHOLDS, "bonafide_to": 0.0, "spoof_from": extreme}
    CodedDetector(thresholds).score(sound_of(*[HUMAN] * 4, FAKE, FAKE))


def test_the_llr_of_a_probability_is_the_inverse() -> None:
    for p_spoof in (0.01, 0.5, 0.85):
        assert p_spoof_of(llr_at(p_spoof, 0.2), 0.2) == pytest.approx(p_spoof)


values = st.lists(st.floats(-5, 5), min_size=1, max_size=12).map(np.array)


@settings(max_examples=200, deadline=None)
@given(values=values, at_least=st.floats(0.5, 6))
def test_runs_are_the_highest_sums(values: np.ndarray, at_least: float) -> None:
    found = runs(values, at_least)
    n = len(values)
    sums = {(i, j): values[i:j].sum() for i in range(n) for j in range(i + 1, n + 1)}
    best = max(sums.values())
    assert bool(found) == (best >= at_least) or best == pytest.approx(at_least)
    if found:
        assert max(run[2] for run in found) == pytest.approx(best)
    assert all(one[1] <= other[0] for one, other in pairwise(found))
    for first, end, total in found:
        assert total == pytest.approx(sums[first, end]) and total >= at_least
    higher = [run for run in found if run[2] >= at_least + 1]
    assert runs(values, at_least + 1) == higher  # a higher bar takes some away, and moves none


@pytest.mark.parametrize("n", [0, 1, MIN_WINDOWS - 1])
def test_short_recordings_have_no_runs(n: int) -> None:
    assert suspicious_runs(np.full(n, 0.0), SPOOF_LLR, 0.5) == []


# --- the bar --------------------------------------------------------------------------------------


def speech(n_sources: int, n_clips: int, seed: int = 0) -> list[tuple[str, np.ndarray]]:
    """Scores of genuine clips as they lie in the corpus: sources differ, and some clips far off."""
    rng = np.random.default_rng(seed)
    level = rng.normal(1.8, 1.2, (n_sources, 1))
    llr = level + rng.normal(0, 1.0, (n_sources, n_clips))
    odd = rng.random(llr.shape) < 0.005
    return [(f"s{number}", row) for number, row in enumerate(np.where(odd, -3.8, llr))]


def counted(recordings: list[tuple[str, np.ndarray]]) -> Alarms:
    return Alarms.count(recordings, window_s=4.0, spoof_llr=SPOOF_LLR)


def test_the_bar_holds_the_rate_on_speech_it_was_not_set_on() -> None:
    bar = counted(speech(300, 15)).bar()
    assert bar is not None
    fresh = counted(speech(2_000, 15, seed=1))
    rate = fresh.per_hour()[int(np.flatnonzero(bar == BARS)[0])]
    assert rate.value <= MAX_PER_HOUR and fresh.hours.sum() > 30


def test_rates_fall_with_the_bar() -> None:
    rates = [rate.value for rate in counted(speech(300, 15)).per_hour()]
    assert rates == sorted(rates, reverse=True) and rates[0] > MAX_PER_HOUR


def test_too_little_speech_sets_no_bar() -> None:
    assert counted(speech(20, 15)).bar() is None
    assert counted([]).bar() is None


def test_a_leaning_source_is_no_alarm() -> None:
    rng = np.random.default_rng(0)
    leaning = [(f"s{n}", rng.normal(-1.3, 0.5, 15)) for n in range(100)]
    assert evidence(leaning[0][1], SPOOF_LLR).mean() < 0
    assert counted(leaning).per_hour()[-1].value == 0.0


def test_clips_of_a_source_are_put_together() -> None:
    llr, source = np.arange(7.0), np.array(list("aabaaab"))
    clips = by_source(llr, source)
    assert {name: each.tolist() for name, each in clips.items()} == {
        "a": [0, 1, 3, 4, 5],
        "b": [2, 6],
    }
    found = list(put_together(clips, 0))
    assert {name for name, _ in found} == {"a"}  # two clips are no long recording
    assert all(sorted(each) == [0, 1, 3, 4, 5] for _, each in found)


def test_without_known_sources_there_is_no_bar() -> None:
    clips = by_source(np.zeros(0), np.zeros(0, dtype=np.str_))
    assert clips == {}
    assert counted(list(put_together(clips, 0))).bar() is None


# --- how it is written ----------------------------------------------------------------------------


def written(style: str, *results: dict[str, Any]) -> str:
    file = io.StringIO()
    write = WRITERS[style](file)
    for result in results:
        write(result)
    return file.getvalue()


def test_the_table_says_where(detector: CodedDetector) -> None:
    fakes = detector.score(sound_of(*[HUMAN] * 16, FAKE, FAKE, *[HUMAN] * 5, FAKE, FAKE))
    table = written("table", {"path": "a.wav", **fakes.to_json()})
    assert "partly_spoof" in table.splitlines()[1]
    assert table.splitlines()[2].strip() == "parts sound generated: 1:04-1:12, 1:32-1:40"


def test_the_csv_has_parts_and_tracks(detector: CodedDetector) -> None:
    one, plain = detector.score(sound_of(*[HUMAN] * 4, FAKE, FAKE, *[HUMAN] * 5)), sound_of(HUMAN)
    values = {field.name: getattr(one, field.name) for field in fields(Judged)}
    many = replace(one, tracks=(Track(**values, track=1, channel_number=2),))
    results = [{"path": "a", **each.to_json()} for each in (many, detector.score(plain))]
    first, second = csv.DictReader(io.StringIO(written("csv", *results)))
    assert (first["verdict"], first["parts"]) == ("partly_spoof", "0:16-0:24")
    assert first["tracks"].startswith("track 1, channel 2: partly_spoof 0.196")
    assert first["tracks"].endswith("(0:16-0:24)")
    assert (second["parts"], second["tracks"]) == ("", "")
    assert "track 1, channel 2: partly_spoof" in written("table", *results)


def test_training_sets_the_bar_on_sources_that_are_known(tmp_path: Path) -> None:
    """Rows of the test side, spoofs and rows without a source do not count."""
    recordings_llr = speech(100, 15)
    llr = np.concatenate([row for _, row in recordings_llr])
    genuine = [Row(f"{n}.wav", "bonafide", source=f"s{n // 15}") for n in range(len(llr))]
    others = [
        Row("spoof.wav", "spoof", source="s1"),
        *[Row(f"lone{n}.wav", "bonafide") for n in range(15)],
        *[Row(f"test{n}.wav", "bonafide", source="t") for n in range(15)],
    ]
    rows = [*genuine, *others]
    worst = np.full(len(others), -4.5)
    fold = np.zeros(len(rows), np.int64)
    fold[-15:] = TEST
    recordings = Recordings(Corpus(tmp_path, rows), np.array(["x"] * len(rows)), np.zeros((1, 1)))
    _, high = Config().decision.undecided
    found = parts_bar(
        np.concatenate([llr, worst]),
        llr_at(high, 0.5),
        recordings,
        Folds(fold, fold),
        window_s=4.0,
        seed=3,
    )
    wanted = Alarms.count(
        put_together(by_source(llr, np.array([row.source for row in genuine])), 3),
        window_s=4.0,
        spoof_llr=llr_at(high, 0.5),
    )
    assert found == wanted.bar() and found is not None
