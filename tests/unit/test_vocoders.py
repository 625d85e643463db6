"""Copy synthesis: one contract for every generator, and what each must keep of the voice."""

import copy
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonafide.errors import AudioError
from bonafide.simulation.vocoders import GENERATOR_NAMES, GENERATORS
from bonafide.simulation.voices import Voice, speak
from bonafide.types import Waveform

RATE = 16_000
every_generator = pytest.mark.parametrize("name", GENERATOR_NAMES)


def noise(n: int, seed: int = 0) -> Waveform:
    return 0.1 * np.random.default_rng(seed).standard_normal(n).astype(np.float32)


def speech(seed: int, n: int = 2 * RATE) -> Waveform:
    rng = np.random.default_rng(seed)
    sound = speak(rng, Voice.draw(np.random.default_rng(7)), n)
    return (0.05 * sound / np.std(sound)).astype(np.float32)


def tone(hz: float, n: int = RATE) -> Waveform:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(n) / RATE).astype(np.float32)


def buzz(hz: float, n: int = RATE) -> Waveform:
    return np.asarray(sum(tone(hz * k, n) / k for k in range(1, 30)), dtype=np.float32)


def remake(name: str, x: Waveform, seed: int = 0) -> Waveform:
    return GENERATORS[name](x, np.random.default_rng(seed))


def rms(x: Waveform) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def band_levels(x: Waveform) -> Waveform:
    """Levels in dB of 16 mel-like bands in frames of 64 ms, 50 dB deep: (n_frames * 16,)."""
    frames = x[: len(x) // 1024 * 1024].reshape(-1, 1024) * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.unique(np.geomspace(6, 513, 17).astype(int))
    db = 10 * np.log10(np.add.reduceat(power, edges[:-1], axis=1) + 1e-12)
    return np.asarray(np.maximum(db, db.max() - 50).ravel(), dtype=np.float32)


def similarity(x: Waveform, y: Waveform) -> float:
    return float(np.corrcoef(band_levels(x), band_levels(y))[0, 1])


def periodicity(x: Waveform) -> tuple[float, float]:
    """Height and frequency of the highest autocorrelation peak from 80 to 300 Hz."""
    middle = x[len(x) // 4 : len(x) // 4 + 4096].astype(np.float64)
    r = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    lags = np.arange(RATE // 300, RATE // 80)
    best = lags[np.argmax(r[lags])]
    return float(r[best] / r[0]), RATE / float(best)


INPUTS: dict[str, Callable[[], Waveform]] = {
    "speech": lambda: speech(1),
    "noise": lambda: noise(RATE),
    "tone": lambda: tone(440.0),
    "tenth": lambda: speech(2, RATE)[8000:9600],
    "clicks": lambda: np.eye(1, 9000, 4500, dtype=np.float32)[0],
    "loud": lambda: 1e6 * noise(5000),
    "quiet": lambda: 1e-6 * noise(5000),
}


class TestGenerators:
    @every_generator
    @pytest.mark.parametrize("kind", INPUTS)
    def test_keeps_length_type_and_level(self, name: str, kind: str) -> None:
        x = INPUTS[kind]()
        before = x.copy()
        y = remake(name, x)
        assert y.shape == x.shape
        assert y.dtype == np.float32
        assert np.isfinite(y).all()
        assert rms(y) == pytest.approx(rms(x), rel=0.1)
        assert np.array_equal(x, before), "the input was written to"

    @every_generator
    @pytest.mark.parametrize("kind", ["speech", "noise", "tenth"])
    def test_is_another_waveform(self, name: str, kind: str) -> None:
        x = INPUTS[kind]()
        assert abs(np.corrcoef(x, remake(name, x))[0, 1]) < 0.92

    @every_generator
    def test_keeps_the_spectral_envelope(self, name: str) -> None:
        x = speech(1)
        assert similarity(x, remake(name, x)) > 0.9
        assert similarity(x, remake(name, speech(3))) < 0.6, "any sentence would have passed"

    @pytest.mark.parametrize("name", sorted(set(GENERATOR_NAMES) - {"griffin_lim"}))
    @pytest.mark.parametrize("pitch_hz", [100.0, 150.0, 240.0])
    def test_keeps_pitch(self, name: str, pitch_hz: float) -> None:
        height, hz = periodicity(remake(name, buzz(pitch_hz)))
        assert hz == pytest.approx(pitch_hz, rel=0.03)
        assert height > 0.5

    @every_generator
    def test_noise_stays_unvoiced(self, name: str) -> None:
        assert periodicity(remake(name, noise(RATE)))[0] < 0.4

    @every_generator
    def test_seed_decides(self, name: str) -> None:
        x = speech(1, RATE)
        assert np.array_equal(remake(name, x, 1), remake(name, x, 1))
        assert not np.array_equal(remake(name, x, 1), remake(name, x, 2))

    @every_generator
    @pytest.mark.parametrize("x", [np.zeros(4000), np.full(4000, 1e-12)])
    def test_silence_stays_silent(self, name: str, x: Waveform) -> None:
        assert np.abs(remake(name, x.astype(np.float32))).max() < 1e-9

    @every_generator
    def test_pauses_stay_quiet_and_no_dc_appears(self, name: str) -> None:
        x = np.concatenate([np.zeros(8000, np.float32), speech(1)])
        y = remake(name, x)
        assert rms(y[:7000]) < 0.001 * rms(x)
        assert abs(y.mean()) < 0.01 * rms(x)

    @every_generator
    def test_level_scales_through(self, name: str) -> None:
        x = speech(1, RATE)
        assert np.allclose(remake(name, 8 * x), 8 * remake(name, x), atol=0.02 * rms(8 * x))

    @every_generator
    @settings(max_examples=25, deadline=None)
    @given(
        n=st.integers(1_600, 9_000),
        seed=st.integers(0, 99),
        gain_db=st.integers(-120, 40),
        offset=st.sampled_from([0.0, 0.5]),
        clicks=st.booleans(),
    )
    def test_any_recording(
        self, name: str, n: int, seed: int, gain_db: int, offset: float, clicks: bool
    ) -> None:
        x = noise(n, seed) + np.float32(offset)
        if clicks:
            x *= np.arange(n) % 1000 == 0
        x *= np.float32(10 ** (gain_db / 20))
        y = remake(name, x, seed)
        assert y.shape == (n,)
        assert np.isfinite(y).all()
        assert rms(y) == pytest.approx(rms(x), rel=0.1)

    @every_generator
    @pytest.mark.parametrize(
        ("x", "code", "message"),
        [
            (noise(1_599), "too_short", r"n_samples=1599: must be at least 1600"),
            (noise(0), "too_short", r"n_samples=0"),
            (np.r_[noise(2000), np.nan], "not_finite", r"1 samples are NaN or infinite"),
            (np.r_[noise(2000), np.inf, -np.inf], "not_finite", r"2 samples"),
            (noise(4000).reshape(2, 2000), "not_mono", r"shape=\(2, 2000\): must have one axis"),
        ],
    )
    def test_refuses(self, name: str, x: Waveform, code: str, message: str) -> None:
        with pytest.raises(AudioError, match=message) as caught:
            remake(name, x)
        assert caught.value.code == code


def test_voices_need_only_the_base_install() -> None:
    absent = ("scipy", "librosa", "sklearn", "tensorflow", "zenml", "pyarrow")
    code = f"import sys\nfor name in {absent}: sys.modules[name] = None\n"
    code += "import numpy as np, bonafide.simulation.corpus as s\n"
    code += "r = np.random.default_rng(0); x = s.speak(r, s.Voice.draw(r), 16000)\n"
    code += "assert np.isfinite(s.Room.draw(r).record(x, r)).all()"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


@every_generator
def test_without_librosa_its_name_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line, to which workers pass the error on, says what to install."""
    for module in [module for module in sys.modules if module.split(".")[0] == "librosa"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        remake(name, speech(1))
    assert copy.copy(caught.value).name.split(".")[0] == "librosa"
