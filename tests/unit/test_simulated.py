"""The simulated corpus: what it holds, its bytes, its reasons, and no shortcuts."""

import csv
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bonafide.corpora.schema import COLUMNS
from bonafide.errors import CorpusError
from bonafide.process.pool import map_parallel
from bonafide.simulation import corpus as simulated
from bonafide.simulation.corpus import plan, simulate
from bonafide.simulation.vocoders import GENERATOR_NAMES
from bonafide.simulation.voices import Voice, speak

RATE = 16_000
Floats = NDArray[np.float64]


def rms(x: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def read(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="") as file:
        return list(csv.DictReader(file))


def hashes(manifest: Path) -> list[str]:
    files = [manifest, *sorted((manifest.parent / "audio").iterdir())]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def auc(values: Floats, is_spoof: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, ties counted half."""
    above = values[is_spoof][:, None] - values[~is_spoof][None, :]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("simulated"))


class TestSimulate:
    def test_manifest_describes_the_audio(self, corpus: Path) -> None:
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

    def test_says_what_it_is(self, corpus: Path) -> None:
        text = (corpus.parent / "README.txt").read_text()
        assert "proves that the machinery runs, never that it detects" in " ".join(text.split())

    def test_classes_differ_in_no_shortcut(self, corpus: Path) -> None:
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

    def test_second_call_finds_it(self, corpus: Path) -> None:
        before = {file: file.stat().st_mtime_ns for file in corpus.parent.rglob("*")}
        assert simulate(corpus.parent) == corpus
        assert {file: file.stat().st_mtime_ns for file in corpus.parent.rglob("*")} == before

    def test_seed_decides_every_byte(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []
        first = simulate(
            tmp_path / "a", clips=48, speakers=6, progress=lambda *at: calls.append(at)
        )
        assert calls == [(done, 48) for done in range(1, 49)]
        alone = functools.partial(map_parallel, workers=1)
        monkeypatch.setattr(simulated, "map_parallel", alone)
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
            ({"clips": 22}, r"clips=22: must be an even number, 48 to 100000"),
            ({"clips": 78, "speakers": 40}, r"clips=78: must be .* 80 to 100000 with 40 speakers"),
            ({"clips": 241}, r"clips=241: must be an even number"),
            ({"clips": 100_002}, r"clips=100002: must"),
            ({"speakers": 5}, r"speakers=5: must be 6 to 100"),
            ({"speakers": 101}, r"speakers=101: must be 6 to 100"),
            ({"seed": -1}, r"seed=-1: must be at least 0"),
        ],
    )
    def test_refuses_numbers(self, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
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
    def test_refuses_folders(self, tmp_path: Path, content: dict[str, str]) -> None:
        for name, text in content.items():
            (tmp_path / name).write_text(text)
        with pytest.raises(CorpusError, match=r"must be .* an empty folder or a new") as caught:
            simulate(tmp_path)
        assert caught.value.code == "folder_not_empty"
        assert {file.name: file.read_text() for file in tmp_path.iterdir()} == content

    def test_refuses_other_corpus_and_file(self, corpus: Path) -> None:
        with pytest.raises(CorpusError, match="holds something other"):
            simulate(corpus.parent, seed=1)
        with pytest.raises(CorpusError, match="holds something other"):
            simulate(corpus)


class TestPlan:
    @settings(max_examples=60, deadline=None)
    @given(speakers=st.integers(6, 100), more=st.integers(0, 150))
    def test_folds_are_possible(self, speakers: int, more: int) -> None:
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

    def test_no_speaker_keeps_to_one_generator(self) -> None:
        for speakers in (6, 12, 18, 36):
            rows = plan(speakers * 12, speakers)
            for speaker in {row.speaker for row in rows}:
                systems = {row.system for row in rows if row.speaker == speaker} - {"-"}
                assert len(systems) == 3, (speakers, speaker)


def test_speech_is_speech_like() -> None:
    voice = Voice.draw(np.random.default_rng(7))
    sound = speak(np.random.default_rng(1), voice, 3 * RATE)
    power = np.abs(np.fft.rfft(sound)) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / RATE)
    assert power[(hz > 100) & (hz < 1000)].sum() > 5 * power[hz > 4000].sum()
    level = np.sqrt(np.mean(sound.reshape(-1, 400) ** 2, axis=1))
    assert np.percentile(level, 95) > 30 * np.percentile(level, 5), "no pauses"
    start = 400 * int(np.argmax(level[:-4]))
    loudest = sound[start : start + 1600]
    r = np.correlate(loudest, loudest, "full")[1599:]
    lags = np.arange(int(RATE / voice.pitch_hz / 1.5), int(RATE / voice.pitch_hz * 1.5))
    assert r[lags].max() / r[0] > 0.6, "not voiced at the speaker's pitch"
