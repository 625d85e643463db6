"""Copy synthesis and the simulated corpus: contracts, properties, and no shortcuts."""

import csv
import functools
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from bonafide.corpora import simulated
from bonafide.corpora.rows import COLUMNS
from bonafide.corpora.simulated import plan, simulate
from bonafide.corpora.speechlike import Voice, speak
from bonafide.errors import AudioError, CorpusError
from bonafide.resynthesis import GENERATOR_NAMES, GENERATORS

RATE = 16_000
every_generator = pytest.mark.parametrize("name", GENERATOR_NAMES)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(n).astype(np.float32)


def speech(seed: int, n: int = 2 * RATE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    sound = speak(rng, Voice.draw(np.random.default_rng(7)), n)
    return (0.05 * sound / np.std(sound)).astype(np.float32)


def tone(hz: float, n: int = RATE) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(n) / RATE).astype(np.float32)


def buzz(hz: float, n: int = RATE) -> np.ndarray:
    return sum(tone(hz * k, n) / k for k in range(1, 30))


def remake(name: str, x: np.ndarray, seed: int = 0) -> np.ndarray:
    return GENERATORS[name](x, np.random.default_rng(seed))


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def band_levels(x: np.ndarray) -> np.ndarray:
    """Levels in dB of 16 mel-like bands in frames of 64 ms, 50 dB deep: (n_frames * 16,)."""
    frames = x[: len(x) // 1024 * 1024].reshape(-1, 1024) * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.unique(np.geomspace(6, 513, 17).astype(int))
    db = 10 * np.log10(np.add.reduceat(power, edges[:-1], axis=1) + 1e-12)
    return np.maximum(db, db.max() - 50).ravel()


def similarity(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(band_levels(x), band_levels(y))[0, 1])


def periodicity(x: np.ndarray) -> tuple[float, float]:
    """Height and frequency of the highest autocorrelation peak from 80 to 300 Hz."""
    middle = x[len(x) // 4 : len(x) // 4 + 4096].astype(np.float64)
    r = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    lags = np.arange(RATE // 300, RATE // 80)
    best = lags[np.argmax(r[lags])]
    return float(r[best] / r[0]), RATE / float(best)


INPUTS = {
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
    def test_keeps_length_type_and_level(self, name, kind):
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
    def test_is_another_waveform(self, name, kind):
        x = INPUTS[kind]()
        assert abs(np.corrcoef(x, remake(name, x))[0, 1]) < 0.97

    @every_generator
    def test_keeps_the_spectral_envelope(self, name):
        x = speech(1)
        assert similarity(x, remake(name, x)) > 0.85
        assert similarity(x, remake(name, speech(3))) < 0.6, "any sentence would have passed"

    @pytest.mark.parametrize("name", sorted(set(GENERATOR_NAMES) - {"griffin_lim"}))
    def test_keeps_pitch(self, name):
        height, hz = periodicity(remake(name, buzz(150.0)))
        assert hz == pytest.approx(150.0, rel=0.03)
        assert height > 0.5

    @every_generator
    def test_noise_stays_unvoiced(self, name):
        assert periodicity(remake(name, noise(RATE)))[0] < 0.4

    @every_generator
    def test_seed_decides(self, name):
        x = speech(1, RATE)
        assert np.array_equal(remake(name, x, 1), remake(name, x, 1))
        assert not np.array_equal(remake(name, x, 1), remake(name, x, 2))

    @every_generator
    @pytest.mark.parametrize("x", [np.zeros(4000), np.full(4000, 1e-12)])
    def test_silence_stays_silent(self, name, x):
        assert np.abs(remake(name, x.astype(np.float32))).max() < 1e-9

    @every_generator
    def test_pauses_stay_quiet_and_no_dc_appears(self, name):
        x = np.concatenate([np.zeros(8000, np.float32), speech(1)])
        y = remake(name, x)
        assert rms(y[:7000]) < 0.01 * rms(x)
        assert abs(y.mean()) < 0.01 * rms(x)

    @every_generator
    def test_level_scales_through(self, name):
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
    def test_any_recording(self, name, n, seed, gain_db, offset, clicks):
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
            (noise(1_599), "too_short", r"n_samples=1599: allowed is 1600 or more"),
            (noise(0), "too_short", r"n_samples=0"),
            (np.r_[noise(2000), np.nan], "not_finite", r"1 samples are NaN or infinite"),
            (np.r_[noise(2000), np.inf, -np.inf], "not_finite", r"2 samples"),
            (noise(4000).reshape(2, 2000), "not_mono", r"shape=\(2, 2000\): allowed is one axis"),
        ],
    )
    def test_refuses(self, name, x, code, message):
        with pytest.raises(AudioError, match=message) as caught:
            remake(name, x)
        assert caught.value.code == code


def read(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="") as file:
        return list(csv.DictReader(file))


def hashes(manifest: Path) -> list[str]:
    files = [manifest, *sorted((manifest.parent / "audio").iterdir())]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def auc(values: np.ndarray, is_spoof: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half."""
    above = values[is_spoof][:, None] - values[~is_spoof][None, :]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return simulate(tmp_path_factory.mktemp("simulated"))


class TestSimulate:
    def test_manifest_describes_the_audio(self, corpus):
        rows = read(corpus)
        assert corpus.read_text().splitlines()[0] == ",".join(COLUMNS)
        assert len(rows) == len(list((corpus.parent / "audio").iterdir())) == 240
        for row in rows:
            info = sf.info(corpus.parent / row["path"])
            assert (info.samplerate, info.channels) == (RATE, 1)
            assert (info.format, info.subtype) == ("FLAC", "PCM_16")
            assert row["duration_s"] == f"{info.frames / RATE:.3f}"
            assert 1.5 <= info.duration <= 4.5
            spoof = row["label"] == "spoof"
            assert row["attack_type"] == ("vocoder" if spoof else "-")
            assert (row["system"] in GENERATOR_NAMES) == spoof
        fixed = {"language": "und", "corpus": "simulated", "split": "-", "text_id": "-"}
        fixed |= {"original_rate": "16000", "original_codec": "flac", "licence": "CC0-1.0"}
        assert all(row.items() >= fixed.items() for row in rows)

    def test_says_what_it_is(self, corpus):
        text = (corpus.parent / "README.txt").read_text()
        assert "proves that the machinery runs, never that it detects" in " ".join(text.split())

    def test_classes_differ_in_no_shortcut(self, corpus):
        rows = read(corpus)
        sounds = [sf.read(corpus.parent / row["path"])[0] for row in rows]
        is_spoof = np.array([row["label"] == "spoof" for row in rows])
        assert max(np.abs(x).max() for x in sounds) < 0.999, "a clip is clipped"
        shortcuts = {
            "duration": [float(row["duration_s"]) for row in rows],
            "level": [rms(x) for x in sounds],
            "offset": [x.mean() for x in sounds],
            "noise floor": [np.percentile(np.abs(x), 5) for x in sounds],
            "lead": [np.argmax(np.abs(x) > 0.3 * np.abs(x).max()) for x in sounds],
            "pauses": [np.mean(np.abs(x) < 0.1 * rms(x)) for x in sounds],
        }
        found = {name: auc(np.array(values), is_spoof) for name, values in shortcuts.items()}
        assert all(0.35 < value < 0.65 for value in found.values()), found

    def test_second_call_finds_it(self, corpus):
        before = {file: file.stat().st_mtime_ns for file in corpus.parent.rglob("*")}
        assert simulate(corpus.parent) == corpus
        assert {file: file.stat().st_mtime_ns for file in corpus.parent.rglob("*")} == before

    def test_seed_decides_every_byte(self, tmp_path, monkeypatch):
        calls = []
        first = simulate(
            tmp_path / "a", clips=48, speakers=6, progress=lambda *at: calls.append(at)
        )
        assert calls == [(done, 48) for done in range(1, 49)]
        alone = functools.partial(simulated.ProcessPoolExecutor, max_workers=1)
        monkeypatch.setattr(simulated, "ProcessPoolExecutor", alone)
        assert hashes(simulate(tmp_path / "b", clips=48, speakers=6)) == hashes(first)
        rng_of = simulated._rng  # a clip in this process, of another seed, shares nothing
        assert rng_of(0, 1).uniform() != rng_of(1, 1).uniform() != rng_of(1, 1, 1).uniform()
        (tmp_path / "audio").mkdir()
        row = simulated._write_clip(tmp_path, 0, 9, plan(48, 6)[9])
        same = (tmp_path / row.path).read_bytes()
        assert same == (first.parent / row.path).read_bytes()
        simulated._write_clip(tmp_path, 1, 9, plan(48, 6)[9])
        assert same != (tmp_path / row.path).read_bytes()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"clips": 22}, r"clips=22: allowed is an even number, 48 to 100000"),
            ({"clips": 78, "speakers": 40}, r"clips=78: allowed .* 80 to 100000 with 40 speakers"),
            ({"clips": 241}, r"clips=241: allowed is an even number"),
            ({"clips": 100_002}, r"clips=100002: allowed"),
            ({"speakers": 5}, r"speakers=5: allowed is 6 to 100"),
            ({"speakers": 101}, r"speakers=101: allowed is 6 to 100"),
            ({"seed": -1}, r"seed=-1: allowed is 0 or more"),
        ],
    )
    def test_refuses_numbers(self, tmp_path, arguments, message):
        with pytest.raises(CorpusError, match=message) as caught:
            simulate(tmp_path / "new", **arguments)
        assert caught.value.code == "bad_simulation"
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize(
        "content",
        [
            {"notes.txt": "mine"},
            {"simulated.json": "{", "manifest.csv": ""},
            {"simulated.json": json.dumps({"version": 1, "clips": 240}), "manifest.csv": ""},
            {"README.txt": "interrupted before the manifest"},
        ],
    )
    def test_refuses_folders(self, tmp_path, content):
        for name, text in content.items():
            (tmp_path / name).write_text(text)
        with pytest.raises(CorpusError, match=r"allowed is .* an empty folder or a new") as caught:
            simulate(tmp_path)
        assert caught.value.code == "folder_not_empty"
        assert {file.name: file.read_text() for file in tmp_path.iterdir()} == content

    def test_refuses_other_corpus_and_file(self, corpus):
        with pytest.raises(CorpusError, match="folder_not_empty|holds something other"):
            simulate(corpus.parent, seed=1)
        with pytest.raises(CorpusError, match="holds something other"):
            simulate(corpus)


class TestPlan:
    @settings(max_examples=60, deadline=None)
    @given(speakers=st.integers(6, 100), more=st.integers(0, 150))
    def test_folds_are_possible(self, speakers, more):
        rows = plan(max(48, 2 * speakers) + 2 * more, speakers)
        spoof = [row for row in rows if row.label == "spoof"]
        assert len(spoof) * 2 == len(rows)
        assert len({row.path for row in rows}) == len(rows)
        sources = {row.source for row in rows}
        assert len(sources) == 6
        assert len({(row.speaker, row.source) for row in rows}) == speakers, "not nested"
        pairs = {(row.speaker, row.label) for row in rows}
        assert len(pairs) == 2 * speakers, "a speaker lacks a label"
        for name in GENERATOR_NAMES:
            assert 3 <= len({row.source for row in spoof if row.system == name}) < 6, name

    def test_no_speaker_keeps_to_one_generator(self):
        for speakers in (6, 12, 18, 36):
            rows = plan(speakers * 12, speakers)
            for speaker in {row.speaker for row in rows}:
                systems = {row.system for row in rows if row.speaker == speaker} - {"-"}
                assert len(systems) == 3, (speakers, speaker)


def test_speech_is_speech_like():
    voice = Voice.draw(np.random.default_rng(7))
    sound = speak(np.random.default_rng(1), voice, 3 * RATE)
    power = np.abs(np.fft.rfft(sound)) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / RATE)
    assert power[(hz > 100) & (hz < 1000)].sum() > 5 * power[hz > 4000].sum()
    level = np.sqrt(np.mean(sound.reshape(-1, 400) ** 2, axis=1))
    assert np.percentile(level, 95) > 30 * np.percentile(level, 5), "no pauses"
    start = 400 * int(np.argmax(level[:-4]))
    loudest = np.tile(sound[start : start + 1600], 1)
    r = np.correlate(loudest, loudest, "full")[1599:]
    lags = np.arange(int(RATE / voice.pitch_hz / 1.5), int(RATE / voice.pitch_hz * 1.5))
    assert r[lags].max() / r[0] > 0.6, "not voiced at the speaker's pitch"


def test_needs_only_the_base_install():
    absent = ("scipy", "librosa", "sklearn", "tensorflow", "zenml", "pyarrow")
    code = f"import sys\nfor name in {absent}: sys.modules[name] = None\n"
    code += "import numpy as np, bonafide.corpora.simulated as s\n"
    code += "r = np.random.default_rng(0); x = r.standard_normal(1600).astype(np.float32)\n"
    code += "assert all(np.isfinite(g(x, r)).all() for g in s.GENERATORS.values())"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
