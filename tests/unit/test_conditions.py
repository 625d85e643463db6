"""The channel conditions: each does to sound what it is called, and is scored as it should be."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr

from benchmarks.sounds import speech
from bonafide.corpora.schema import Corpus, Row
from bonafide.errors import ConfigError
from bonafide.features.spec import FeatureSpec
from bonafide.training.augmentation import Sound
from bonafide.training.channels import CHANNELS
from bonafide.training.folds import Folds
from research import conditions, packets
from research.changes import BY_CHANNEL, CONDITIONS, DC
from research.packets import FRAME_SAMPLES, with_lost_packets
from research.workspace import Workspace

RATE = 16_000
ZEROS = "0.1 s of zeros at both ends"
SPEEDS = {f"speed {percent:+d} %": percent for percent in (-6, -3, 3, 6)}
OTHER_LENGTH = {"trimmed silence", ZEROS, "2 s", "1 s", "matched level, length, silence", *SPEEDS}


@pytest.fixture(scope="module")
def sound() -> Sound:
    return speech(3.0, seed=2)


def heard(name: str, sound: Sound, seed: int = 0) -> Sound:
    return np.asarray(CONDITIONS[name].change(sound, np.random.default_rng(seed)))


def above(waveform: Sound, hz: float) -> float:
    """Return the share of energy above a frequency."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    return float(power[np.fft.rfftfreq(len(waveform), 1 / RATE) > hz].sum() / power.sum())


def level_db(waveform: Sound, like: Sound) -> float:
    return float(20 * np.log10(np.std(waveform) / np.std(like)))


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_changes_sound_as_it_says(name: str, sound: Sound) -> None:
    changed = heard(name, sound)
    assert np.isfinite(changed).all() and np.std(changed) > 0
    if name not in OTHER_LENGTH:
        assert len(changed) == len(sound)
    if name not in {"clean", "4 s", "trimmed silence"}:
        assert len(changed) != len(sound) or not np.allclose(changed, sound, atol=1e-6)
    expected = {"level -20 dB": -20.0, "level +10 dB": 10.0, "DC of 5 %": 0.0}.get(name)
    if expected is not None:
        assert level_db(changed, sound) == pytest.approx(expected, abs=0.01)
    if "noise" in name:
        snr_db = -level_db(changed - sound, sound)
        assert snr_db == pytest.approx(float(name.split()[-2]), abs=0.1)
    if CONDITIONS[name].channel == "telephone":
        assert above(changed, 4_170) < 1e-3
    if name in {"1 s", "2 s"}:
        assert len(changed) == 16_000 * int(name[0])
    if name == ZEROS:
        np.testing.assert_array_equal(changed[1600:-1600], sound)
        assert not changed[:1600].any() and not changed[-1600:].any()


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_same_draw_gives_the_same_sound(name: str, sound: Sound) -> None:
    np.testing.assert_array_equal(heard(name, sound), heard(name, sound))


def test_conditions_are_of_the_channels_that_there_are() -> None:
    assert set(BY_CHANNEL) == set(CHANNELS.names())
    assert all(BY_CHANNEL[CONDITIONS[name].channel][name] for name in CONDITIONS)


def test_matching_leaves_no_level_length_or_silence(sound: Sound) -> None:
    quiet = np.zeros(8000, np.float32)
    one = heard("matched level, length, silence", sound)
    longer = np.concatenate([quiet, 0.1 * speech(4.5, seed=2), quiet])
    other = heard("matched level, length, silence", longer)
    assert len(one) == len(other)
    assert np.std(one) == pytest.approx(np.std(other), rel=0.05)
    assert one[:160].any() and other[:160].any() and other[-160:].any()


def test_an_offset_is_an_offset(sound: Sound) -> None:
    assert np.mean(heard("DC of 5 %", sound)) - np.mean(sound) == pytest.approx(DC)
    assert DC == 0.05


@pytest.mark.parametrize(("name", "percent"), SPEEDS.items())
def test_speed_moves_pitch_and_length_alike(name: str, percent: int) -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(2 * RATE) / RATE)
    changed = heard(name, tone)
    factor = 1 + percent / 100
    assert len(changed) == pytest.approx(len(tone) / factor, abs=1)
    loudest = np.argmax(np.abs(np.fft.rfft(changed))) * RATE / len(changed)
    assert loudest == pytest.approx(1_000 * factor, abs=1)
    assert level_db(changed, tone) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(("name", "slope"), [("white", 0.0), ("pink", 0.5)])
def test_noise_has_its_colour(name: str, slope: float, sound: Sound) -> None:
    added = heard(f"{name} noise 20 dB", sound) - sound
    hz, power = scipy.signal.welch(added, RATE, nperseg=512)
    kept = (hz > 200) & (hz < 7_800)
    falls = -np.polyfit(np.log(hz[kept]), np.log(power[kept]) / 2, 1)[0]
    assert falls == pytest.approx(slope, abs=0.06)


def test_gsm_is_what_ffmpeg_decodes(sound: Sound) -> None:
    """FFmpeg's own decoder, written apart from libsndfile's, hears the same samples."""
    at_8_khz, file = soxr.resample(sound.astype(np.float32), RATE, 8_000), io.BytesIO()
    soundfile.write(file, at_8_khz, 8_000, format="WAV", subtype="GSM610")
    file.seek(0)
    with av.open(file) as container:
        assert container.streams.audio[0].codec_context.name == "gsm_ms"
        frames = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
    decoded = np.concatenate(frames)[: len(at_8_khz)] / 32768
    again = soxr.resample(decoded, 8_000, RATE)
    before_the_end = slice(0, -200)  # there, the resampler hears what was padded
    ours = heard("GSM full rate", sound)
    np.testing.assert_allclose(ours[before_the_end], again[before_the_end], atol=1e-4)


@pytest.mark.parametrize(
    ("coarse", "fine"),
    [
        ("GSM full rate", "G.711 mu-law"),
        ("MP3 16 kb/s, 8 kHz", "8 kHz band limit"),
        ("AAC 32 kb/s", "AAC 64 kb/s"),
        ("AMR-NB 4.75 kb/s", "AMR-NB 12.2 kb/s"),
    ],
)
def test_fewer_bits_keep_less(coarse: str, fine: str, sound: Sound) -> None:
    """Where they match best: codecs delay."""

    def likeness(name: str) -> float:
        changed = heard(name, sound)
        match = scipy.signal.correlate(changed, sound).max()
        return float(match / np.linalg.norm(changed) / np.linalg.norm(sound))

    assert 0.5 < likeness(coarse) < likeness(fine) - 0.0005


def test_a_voice_note_has_the_phone_s_high_pass(sound: Sound) -> None:
    hum = np.sin(2 * np.pi * 30 * np.arange(len(sound)) / RATE) * np.std(sound)
    note, plain = (
        1 - above(heard(name, sound + hum), 50) for name in ("voice note", "Opus 16 kb/s")
    )
    assert note < 0.1 * plain
    assert above(heard("voice note", sound), 4_000) > 0.2 * above(sound, 4_000)  # wide band


class TestLostPackets:
    def test_nothing_lost_is_the_sound_in_its_place(self, sound: Sound) -> None:
        whole = with_lost_packets(sound, np.random.default_rng(0), lost=0.0, bit_rate=24_000)
        lags = scipy.signal.correlate(whole, sound, mode="same")
        assert abs(int(np.argmax(lags)) - len(sound) // 2) <= 2
        assert np.corrcoef(whole, sound)[0, 1] > 0.9

    def test_what_is_lost_is_drawn_and_concealed(
        self, sound: Sound, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decoded, seen = packets._decoded, list[list[bytes | None]]()
        monkeypatch.setattr(packets, "_decoded", lambda some: (seen.append(some), decoded(some))[1])
        once, again, other = (heard("Opus 24 kb/s, 10 % lost", sound, seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(once, again)
        assert not np.array_equal(once, other)
        lost = np.array([packet is None for some in seen for packet in some])
        assert 0.05 < lost.mean() < 0.16
        gone = [n for n, packet in enumerate(seen[0]) if packet is None and n > 2]
        frames = [once[FRAME_SAMPLES * n - 104 :][:FRAME_SAMPLES] for n in gone]
        assert np.mean([frame.any() for frame in frames]) > 0.9  # concealed, not silent

    def test_the_bit_rate_is_what_it_is_told_at_most(self, sound: Sound) -> None:
        def bit_rate(told: int) -> float:
            coded, _ = packets._encoded(sound, told)
            return 8 * sum(map(len, coded)) / (len(coded) * packets.FRAME_MS / 1000)

        assert 8_000 < bit_rate(12_000) < 13_200
        assert 1.2 * bit_rate(12_000) < bit_rate(24_000) < 26_400

    def test_a_missing_library_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        packets._libopus.cache_clear()
        monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
        with pytest.raises(ConfigError, match="apt-get install libopus0") as error:
            with_lost_packets(np.zeros(800), np.random.default_rng(0), lost=0.1, bit_rate=24_000)
        assert error.value.code == "no_libopus"


def test_rows_are_answered_by_the_detector_of_their_fold(
    sound: Sound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(path=f"{n}.wav", label=("bonafide", "spoof")[n % 2]) for n in range(6)]
    for row in rows:
        soundfile.write(tmp_path / row.path, sound, RATE)

    def graph(path: Path) -> Any:
        fold = int(path.name)
        return lambda inputs: {
            "llr": np.array([3.0 * (fold + 1) + np.std(inputs["waveform"])]),
            "channel": np.eye(2)[[fold]],
            "distance": np.zeros(1),
        }

    def parallel(work: Any, jobs: Any, crashed: Any) -> Any:
        return ((number, work(job)) for number, job in reversed(list(enumerate(jobs))))

    monkeypatch.setattr(conditions, "_graph", graph)
    monkeypatch.setattr(conditions, "map_parallel", parallel)
    thresholds = {"bonafide_to": 0.2, "spoof_from": 0.8}
    manifest = {
        "prior_spoof": 0.5,
        "channels": [{"name": "clean"}, {"name": "opus"}],
        "thresholds": {**thresholds, "channels": {"opus": {**thresholds, "bonafide_to": None}}},
    }
    corpus = Corpus(tmp_path, rows)
    workspace = SimpleNamespace(
        recordings=SimpleNamespace(corpus=corpus),
        folds={"sources": Folds(np.arange(6), np.arange(6) % 2)},
        store=SimpleNamespace(spec=FeatureSpec()),
    )
    detectors = [conditions.FoldDetector(Path(str(fold)), manifest) for fold in range(2)]
    judged = np.array([1, 2, 4, 5])
    found = conditions.score_conditions(
        cast(Workspace, workspace), detectors, judged, ("clean", "level -20 dB")
    )
    for answers in found.values():
        assert (answers["llr"] // 3).tolist() == [2, 1, 1, 2]
        assert answers["channel"].tolist() == [1, 0, 0, 1]
    assert (found["clean"]["llr"] > found["level -20 dB"]["llr"]).all()
    assert found["clean"]["called"].tolist() == [0, 1, 1, 0]  # on Opus, never bona fide
