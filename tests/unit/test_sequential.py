"""The sequential test: decided once, by bars that hold however often one looks."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bonafide.bundle import Bundle, read_bundle, write_bundle
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus, Row
from bonafide.detection import Decision, Detection
from bonafide.detector import Detector
from bonafide.home import SHIPPED_NAMES, shipped_folder
from bonafide.live import Live, Moment, listen
from bonafide.manifest import SEQUENTIAL
from bonafide.sequential import WINDOWS, decision_of, evidence
from bonafide.training.sequential import (
    DRAWS,
    MIN_STREAMS,
    WRONG_AT_MOST,
    correlation_of,
    evidence_of,
    fit_sequential,
    streams_of,
    voices,
)
from bonafide.types import WindowScores
from research.sequential import page
from tests.helpers.channels import channel_bundle, through

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sequential.md"
CHANNELS = ("clean", "opus")
BARS = {"bonafide_from": 3.0, "spoof_to": -4.0}
Floats = NDArray[np.float64]


# --- bars -----------------------------------------------------------------------------------------


def spoken(
    n_voices: int, seed: int, alike: float = 0.5, said: int = 6, distance: float = 1.0
) -> tuple[Corpus, Floats]:
    """Return recordings of voices, half of them generated, that err as one voice does.

    Scores (n_rows, n_channels) of unit variance, of which `alike` is the voice's own.
    """
    rng = np.random.default_rng(seed)
    kinds = [("bonafide", ""), ("spoof", "vits")]
    rows = [
        Row(f"{v}_{n}.wav", kinds[v % 2][0], source=f"source {v // 2}", system=kinds[v % 2][1])
        for v in range(n_voices)
        for n in range(said)
    ]
    signs = np.where(np.arange(n_voices) % 2 == 1, -1.0, 1.0)[:, None, None]
    own = rng.normal(0, alike**0.5, (n_voices, 1, len(CHANNELS)))
    each = rng.normal(0, (1 - alike) ** 0.5, (n_voices, said, len(CHANNELS)))
    return Corpus(Path("nowhere"), rows), (distance * signs + own + each).reshape(-1, len(CHANNELS))


def fitted(corpus: Corpus, llr: Floats, side: Any = True) -> "dict[str, Any] | None":
    return fit_sequential(llr, corpus, np.broadcast_to(side, len(corpus)), CHANNELS, seed=1)


def wrong(test: dict[str, Any], corpus: Corpus, llr: Floats) -> list[float]:
    """Return which shares of people's and of generated voices are decided to be the other."""
    streams, bars = streams_of(voices(corpus), seed=9), test["channels"]["opus"]
    found = evidence_of(llr[:, 1], streams, test["correlation"])
    calls = np.where(found >= bars["bonafide_from"], 1, np.where(found <= bars["spoof_to"], -1, 0))
    first = np.take_along_axis(calls, (calls != 0).argmax(1)[:, None], 1)[:, 0]
    is_spoof = corpus.is_spoof[streams[:, 0]]
    return [float(np.mean(first[~is_spoof] == -1)), float(np.mean(first[is_spoof] == 1))]


@pytest.mark.parametrize("alike", [0.0, 0.3, 0.7])
def test_how_alike_windows_of_a_voice_are_is_found(alike: float) -> None:
    test = fitted(*spoken(1_600, 1, alike))
    assert test is not None
    assert test["correlation"] == pytest.approx(alike, abs=0.05)


@pytest.mark.parametrize("distance", [0.2, 1.0])
@pytest.mark.parametrize("alike", [0.0, 0.5, 0.9])
def test_the_stated_share_holds_of_voices_that_were_not_heard(
    alike: float, distance: float
) -> None:
    shares = []
    for seed in range(24):
        test = fitted(*spoken(400, seed, alike, distance=distance))
        assert test is not None and test["wrong_at_most"] == WRONG_AT_MOST
        shares.append(wrong(test, *spoken(400, 100 + seed, alike, distance=distance)))
    assert np.mean(shares, axis=0).max() <= WRONG_AT_MOST
    if distance == 1.0:  # what is heard again errs again, which holds back where there is little
        assert np.mean(shares) > 0.02  # no more is left undecided than must be


def test_bars_of_a_single_look_do_not_hold() -> None:
    """Why the test has bars of its own."""
    corpus, llr = spoken(2_000, 1, 0.0, distance=0.2)
    up = float(np.quantile(llr[corpus.is_spoof, 1], 0.96))
    down = float(np.quantile(llr[~corpus.is_spoof, 1], 0.04))
    once = {"correlation": 0.0, "channels": {"opus": {"bonafide_from": up, "spoof_to": down}}}
    assert np.mean(wrong(once, corpus, llr)) > 2 * WRONG_AT_MOST


def test_rows_of_the_other_side_set_no_bars() -> None:
    corpus, llr = spoken(400, 1)
    side = np.arange(len(llr)) < len(llr) // 2
    other = np.where(side[:, None], llr, 99.0)
    assert fitted(corpus, llr, side) == fitted(corpus, other, side)
    assert fitted(corpus, llr, side) != fitted(corpus, llr)


@pytest.mark.parametrize(("n_voices", "said"), [(0, 0), (400, 1), (2 * MIN_STREAMS - 2, 6)])
def test_of_few_voices_no_bars_are_set(n_voices: int, said: int) -> None:
    assert fitted(*spoken(n_voices, 1, said=said)) is None
    assert fitted(*spoken(2 * MIN_STREAMS, 1)) is not None


def test_whose_recordings_are_laid_end_to_end() -> None:
    """A source's or else a speaker's, of one system and label; nobody's where nothing is known."""
    rows = [
        Row("a.wav", "bonafide", source="s", speaker="x"),
        Row("b.wav", "bonafide", source="s", speaker="y"),
        Row("c.wav", "spoof", source="s", system="vits"),
        Row("d.wav", "spoof", source="s", system="xtts"),
        Row("e.wav", "bonafide", speaker="x"),
        Row("f.wav", "bonafide", speaker="x"),
        Row("g.wav", "bonafide"),
        Row("h.wav", "bonafide"),
    ]
    voice = voices(Corpus(Path("nowhere"), rows))
    assert voice[0] == voice[1] and voice[4] == voice[5]
    assert len(set(voice[[0, 2, 3, 4]].tolist())) == 4 and voice[6] == voice[7] == ""
    streams = streams_of(voice, seed=1)
    assert len(streams) == 2 * DRAWS
    for stream in streams.tolist():
        assert set(stream[:2]) in ({0, 1}, {4, 5}) and set(stream[2:]) == {-1}
    many = streams_of(np.array(["a"] * 40), seed=1)
    assert many.shape == (DRAWS, WINDOWS) and all(
        len(set(each)) == WINDOWS for each in many.tolist()
    )


def test_a_voice_is_heard_again_until_a_minute_is_full() -> None:
    streams = streams_of(np.array(["a"] * 4 + ["b"]), seed=1, again=True)
    assert streams.shape == (DRAWS, WINDOWS)
    for stream in streams.tolist():
        assert [set(stream[at : at + 4]) for at in (0, 4, 8)] == [{0, 1, 2, 3}] * 3


@pytest.mark.parametrize("score", [0.0, -1.0, 1.0])
def test_scores_that_say_nothing_decide_nothing(score: float) -> None:
    corpus, llr = spoken(400, 1)
    test = fitted(corpus, np.full_like(llr, score))
    assert test is not None
    for bars in test["channels"].values():
        assert bars["spoof_to"] < 0 < bars["bonafide_from"]
    assert wrong(test, corpus, np.full_like(llr, score)) == [0.0, 0.0]


def test_ties_do_not_break_the_promise() -> None:
    corpus, llr = spoken(400, 1)
    coarse = np.clip(np.round(llr), -1.0, 1.0)
    test = fitted(corpus, coarse)
    assert test is not None and max(wrong(test, corpus, coarse)) <= WRONG_AT_MOST


def test_scores_that_are_no_numbers_set_no_bars() -> None:
    corpus, llr = spoken(400, 1)
    llr[7, 1] = np.nan
    test = fitted(corpus, llr)
    assert test is not None and list(test["channels"]) == ["clean"]
    assert fitted(corpus, np.full_like(llr, np.nan)) is None


def test_what_is_alike_by_chance_is_not_alike() -> None:
    same, other = np.array([1.0, 3.0, 1.0, 3.0]), np.array(["a", "a", "b", "b"])
    assert correlation_of(same, other) == 0.0
    assert correlation_of(np.ones(4), other) == 0.0
    lonely = correlation_of(np.array([1.0, 1.0, 3.0, 3.0, 99.0]), np.array([*other, "c"]))
    assert lonely == 1.0


def test_evidence_grows_with_windows_that_are_not_alike() -> None:
    ones = np.ones((2, 5))
    assert evidence(ones, 0.0)[1, -1] == 5.0 and evidence(ones, 1.0)[1, -1] == 1.0
    assert 1.0 < evidence(ones, 0.5)[0, -1] < 2.0


# --- a decision -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """It has bars on two of its three channels; windows are as alike as not."""
    found = channel_bundle(tmp_path_factory.mktemp("sequential") / "bundle")
    test = {"wrong_at_most": 0.05, "correlation": 0.5, "channels": {"clean": BARS, "opus": BARS}}
    manifest = copy.deepcopy(dict(found.manifest))
    for entry in (manifest, manifest["stages"][-1]):
        entry["thresholds"] = {**manifest["thresholds"], SEQUENTIAL: test}
    return write_bundle(found.folder, manifest)


@pytest.fixture(scope="module")
def detector(bundle: Bundle) -> Detector:
    return Detector(bundle)


def decisions(detector: Detector, sound: "NDArray[np.float32]") -> list[Decision | None]:
    return [each.decision for each in listen(detector, [sound]) if isinstance(each, Moment)]


@pytest.mark.parametrize(
    ("channel", "llrs", "decided"),
    [
        ("clean", [3.5], Decision("bonafide", 4.0, 0.05)),
        ("clean", [2.5, 2.5], Decision("bonafide", 8.0, 0.05)),  # 5 / 1.5
        ("clean", [2.5, -2.5, 2.5], None),
        ("opus", [-3.5, -3.5], Decision("spoof", 8.0, 0.05)),
        ("clean", [3.5, -5, -5, -5, -5], Decision("bonafide", 4.0, 0.05)),  # it stays
        ("telephone", [5, 5, 5, 5], None),  # a channel without bars
    ],
)
def test_it_decides_once_the_windows_say_enough(
    detector: Detector, channel: str, llrs: list[float], decided: Decision | None
) -> None:
    found = decisions(detector, through(channel, *llrs))
    made = len(found) if decided is None else round(decided.at_s / 0.5) - 1
    assert found == [None] * made + [decided] * (len(found) - made)


def test_after_a_minute_nothing_is_decided(detector: Detector) -> None:
    for zeros, decided in (([], Decision("bonafide", 60.0, 0.05)), ([0.0], None)):
        sound = through("clean", *[2.5, -2.5] * 5, *zeros, *[5.0] * 6)  # 25 / 8 is 3.1
        assert decisions(detector, sound)[-1] == decided


def test_pauses_do_not_count(detector: Detector) -> None:
    quiet = np.zeros(64_000, np.float32)
    sound = np.concatenate([through("clean", 2.5), quiet, through("clean", 2.5)])
    assert decisions(detector, sound)[-1] == Decision("bonafide", 12.0, 0.05)


def test_unlike_all_channels_nothing_is_decided(bundle: Bundle) -> None:
    one = np.full((1, 3), 0.5, np.float32)
    heard = np.array([[1.0, 0.0, 0.0]], np.float32)
    known = bundle.manifest["thresholds"]["distance_to"]
    llr = np.array([9.0], np.float32)
    for distance, decided in ((known - 0.1, True), (known + 0.1, False)):
        scores = WindowScores(llr, one, one, heard, np.array([distance], np.float32))
        assert (decision_of(bundle, scores, 4.0) is not None) == decided


def test_a_connection_that_breaks_changes_no_decision(detector: Detector) -> None:
    sound = through("clean", 2.5, 2.5, -5)
    for at in (0, 8, 15, 17):  # hops; it decides at 16
        live = Live(detector.bundle)
        for hop in live.feed(sound[: 8_000 * at]):
            live.judged(hop, detector.score_windows(hop.waveform[None]))
        again = Live.resumed(detector.bundle, live.state())
        told = [
            again.judged(hop, detector.score_windows(hop.waveform[None])).decision
            for hop in again.feed(sound[8_000 * at :])
        ]
        assert told == decisions(detector, sound)[at:]


def test_a_file_that_ended_has_a_verdict_and_no_decision(detector: Detector) -> None:
    *_, end = listen(detector, [through("clean", 3.5)])
    assert isinstance(end, Detection) and "decision" not in end.to_json()


# --- what ships -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_what_ships_decides_on_each_channel(name: str) -> None:
    bundle = read_bundle(shipped_folder(name))
    for each in (bundle.manifest, bundle.manifest["stages"][-1]):
        assert list(each["thresholds"][SEQUENTIAL]["channels"]) == list(bundle.channels)


def test_the_page_is_what_the_command_prints(corpus_folder: Path) -> None:
    corpus = read_corpus(corpus_folder / "manifest.csv")
    assert page(corpus) == PAGE.read_text(encoding="utf-8")
