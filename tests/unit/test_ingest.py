"""Ingestion: what is set aside and why, what remains, and what is measured."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray

from bonafide.corpora.schema import Corpus, Row
from bonafide.errors import CorpusError
from bonafide.training.ingest import ingest, measure
from bonafide.training.recordings import MEASURES, Quarantine, Recordings, Rejected

RATE = 16_000
Floats = NDArray[np.float64]
Ingested = tuple[Recordings, Quarantine]


def noise(seed: int, seconds: float = 2.0, level: float = 0.1) -> Floats:
    """Return coloured noise with speech-like energy below 4 kHz."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=round(seconds * RATE) + 3)
    return level * np.convolve(white, np.ones(4) / 2, mode="valid")[: len(white) - 3]


def pcm(sound: Floats) -> NDArray[np.int16]:
    """Round to 16 bits here: each format of libsndfile's rounds floats in its own way."""
    return np.clip(np.round(sound * 32768), -32768, 32767).astype(np.int16)


def write(path: Path, sound: Floats) -> None:
    sf.write(path, pcm(sound), RATE)


def damaged(path: Path) -> None:
    write(path, noise(101))
    path.write_bytes(path.read_bytes()[:20_000])


def not_finite(path: Path) -> None:
    sound = noise(102)
    sound[9_000] = np.nan
    sf.write(path, sound, RATE, subtype="FLOAT")


# name -> (how it is written, label, the code it is set aside under, words of the message)
FILES: dict[str, tuple[Callable[[Path], object], str, str | None, str]] = {
    "good_1.wav": (lambda p: write(p, noise(1)), "bonafide", None, ""),
    "text.wav": (lambda p: p.write_text("no sound\n" * 99), "spoof", "not_audio", "not an audio"),
    "good_2.wav": (lambda p: write(p, noise(2)), "spoof", None, ""),
    "empty.wav": (lambda p: p.write_bytes(b""), "bonafide", "empty", "0 bytes"),
    "no_samples.wav": (lambda p: write(p, noise(3)[:0]), "spoof", "empty", "no sample"),
    "cut.wav": (damaged, "bonafide", "damaged", "are stated and 19956 are there"),
    "nan.wav": (not_finite, "spoof", "not_finite", "not numbers"),
    "short.wav": (lambda p: write(p, noise(4, 0.2)), "bonafide", "too_short", r"0\.20 s of sound"),
    "silence.wav": (lambda p: write(p, np.zeros(32_000)), "spoof", "silent", r"0\.00 s with"),
    "missing.wav": (lambda p: None, "bonafide", "unreadable", "No such file"),
    "good_3.flac": (lambda p: write(p, noise(5)), "bonafide", None, ""),
    "same.wav": (lambda p: write(p, noise(1)), "bonafide", "duplicate", r"row 2 \(good_1\.wav"),
    "same.flac": (lambda p: write(p, noise(2)), "spoof", "duplicate", r"row 4 \(good_2\.wav"),
    "twice.wav": (
        lambda p: write(p, np.stack([noise(1)] * 2, axis=1)),
        "bonafide",
        "duplicate",
        r"row 2 \(good_1\.wav",
    ),
    "both_ways_1.wav": (lambda p: write(p, noise(6)), "spoof", "label_conflict", "both labels"),
    "good_4.wav": (lambda p: write(p, noise(7)), "spoof", None, ""),
    "both_ways_2.flac": (lambda p: write(p, noise(6)), "bonafide", "label_conflict", "both labels"),
    "both_ways_3.wav": (lambda p: write(p, noise(6)), "spoof", "label_conflict", "both labels"),
    "float.wav": (
        lambda p: sf.write(p, pcm(noise(7)) / 32768, RATE, subtype="FLOAT"),
        "spoof",
        "duplicate",
        r"row 17 \(good_4\.wav",
    ),
}
GOOD = [name for name, entry in FILES.items() if entry[2] is None]
BAD = [name for name, entry in FILES.items() if entry[2] is not None]


def corpus_in(folder: Path) -> Corpus:
    """Write all of `FILES`."""
    for name, (make, *_) in FILES.items():
        make(folder / name)
    return Corpus(folder, [Row(name, entry[1], split="train") for name, entry in FILES.items()])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpus_in(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def steps() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def ingested(corpus: Corpus, steps: list[tuple[int, int]]) -> Ingested:
    return ingest(corpus, workers=2, progress=lambda *step: steps.append(step))


class TestIngest:
    def test_good_rows_remain_in_order(self, corpus: Corpus, ingested: Ingested) -> None:
        recordings, _ = ingested
        assert [row.path for row in recordings.corpus] == GOOD
        assert [row for row in corpus if row.path in GOOD] == list(recordings.corpus)
        assert recordings.corpus.root == corpus.root
        assert recordings.sha256.shape == (len(GOOD),)
        assert len(set(recordings.sha256.tolist())) == len(GOOD)
        assert recordings.measures.shape == (len(GOOD), len(MEASURES))
        assert np.isfinite(recordings.measures).all()

    @pytest.mark.parametrize("name", BAD)
    def test_others_are_set_aside_with_a_reason(
        self, corpus: Corpus, ingested: Ingested, name: str
    ) -> None:
        _, quarantine = ingested
        (item,) = [item for item in quarantine.rejected if item.path == name]
        _, _, code, words = FILES[name]
        assert item.code == code
        assert item.row == list(FILES).index(name)
        with pytest.raises(AssertionError, match=words):
            raise AssertionError(item.message)
        assert item.message.startswith((name, f"{corpus.root / name}: "))

    def test_every_row_is_accounted_for(self, ingested: Ingested) -> None:
        _, quarantine = ingested
        assert [item.path for item in quarantine.rejected] == BAD
        assert quarantine.n_rows == len(FILES)
        counts = quarantine.counts()
        assert sum(counts.values()) == len(BAD)
        assert list(counts) == sorted(counts)
        assert (counts["duplicate"], counts["label_conflict"], counts["empty"]) == (4, 3, 2)

    def test_progress_reaches_the_total(
        self, ingested: Ingested, steps: list[tuple[int, int]]
    ) -> None:
        assert steps == [(done + 1, len(FILES)) for done in range(len(FILES))]

    def test_one_worker_finds_what_two_find(self, corpus: Corpus, ingested: Ingested) -> None:
        recordings, quarantine = ingest(corpus, workers=1)
        assert quarantine == ingested[1]
        assert list(recordings.corpus) == list(ingested[0].corpus)
        np.testing.assert_array_equal(recordings.sha256, ingested[0].sha256)
        np.testing.assert_array_equal(recordings.measures, ingested[0].measures)
        assert recordings.rows_sha256 == ingested[0].rows_sha256

    def test_rows_hash_depends_on_rows_and_sound_only(self, ingested: Ingested) -> None:
        recordings, _ = ingested
        moved = replace(recordings, corpus=Corpus(Path("elsewhere"), recordings.corpus.rows))
        assert moved.rows_sha256 == recordings.rows_sha256
        measured = replace(recordings, measures=recordings.measures + 1)
        assert measured.rows_sha256 == recordings.rows_sha256
        relabelled = [replace(recordings.corpus.rows[0], label="spoof")]
        rows = Corpus(recordings.corpus.root, [*relabelled, *recordings.corpus.rows[1:]])
        assert replace(recordings, corpus=rows).rows_sha256 != recordings.rows_sha256
        other = replace(recordings, sha256=recordings.sha256[::-1])
        assert other.rows_sha256 != recordings.rows_sha256

    @pytest.mark.parametrize(
        ("names", "label", "code", "match"),
        [
            (["good_1.wav", "good_3.flac"], None, "one_class", "all bonafide; at least one spoof"),
            (["good_2.wav"], None, "one_class", "all spoof; at least one bonafide is needed"),
            (
                ["good_1.wav", "text.wav", "nan.wav"],
                None,
                "nothing_usable",
                "no usable spoof is left of 3 rows; set aside: not_audio 1, not_finite 1",
            ),
            (
                ["both_ways_1.wav", "both_ways_2.flac"],
                None,
                "nothing_usable",
                "no usable bonafide is left of 2 rows; set aside: label_conflict 2",
            ),
        ],
    )
    def test_errors(
        self, corpus: Corpus, names: list[str], label: str | None, code: str, match: str
    ) -> None:
        part = corpus.take([list(FILES).index(name) for name in names])
        with pytest.raises(CorpusError, match=match) as caught:
            ingest(part, workers=1)
        assert caught.value.code == code

    @pytest.mark.parametrize(
        ("name", "shown", "reason"),
        [
            ("no\0.wav", r"no\0.wav", "its path holds a NUL character"),
            ("caf\udce9.wav", r"caf\udce9.wav", "its name is not in UTF-8"),
            ("pipe.wav", "pipe.wav", "not a file"),
            (".", "", "not a file"),
            ("x" * 5000, "x" * 5000, "File name too long"),
            ("C:/mine/a.wav", "C:/mine/a.wav", "No such file or directory; paths must be relative"),
            ("~/a.wav", "~/a.wav", "No such file or directory"),
            ("https://host/a.wav", "https:/host/a.wav", "No such file or directory"),
        ],
    )
    def test_what_is_no_file(
        self, corpus: Corpus, tmp_path: Path, name: str, shown: str, reason: str
    ) -> None:
        folder = corpus.root
        if name == "pipe.wav" and not (folder / name).exists():
            os.mkfifo(folder / name)
        good = [Row(each, FILES[each][1]) for each in GOOD]
        kept, quarantine = ingest(Corpus(folder, [*good, Row(name, "spoof")]), workers=1)
        (item,) = quarantine.rejected
        assert (item.row, item.code) == (len(good), "unreadable")
        assert item.message.startswith(f"{folder / shown}: cannot be read: {reason}")
        quarantine.save(tmp_path)
        assert Quarantine.load(tmp_path) == quarantine
        assert item.message.encode().decode() == item.message
        assert all(page.encode() for page in quarantine.pages().values())
        assert kept.rows_sha256

    def test_nothing_usable_names_the_first_file(self, tmp_path: Path) -> None:
        rows = [Row(r"a\1.wav", "spoof"), Row("a/2.wav", "bonafide")]
        message = r"set aside: unreadable 2; the first: .*a.1\.wav: cannot be read: No such file"
        with pytest.raises(CorpusError, match=message):
            ingest(Corpus(tmp_path, rows), workers=1)

    def test_the_same_path_twice(self, corpus: Corpus) -> None:
        good = [Row(each, FILES[each][1]) for each in GOOD]
        twice = [good[0], replace(good[1], label="bonafide")]
        _, quarantine = ingest(Corpus(corpus.root, [*good, *twice]), workers=1)
        assert [(item.row, item.code) for item in quarantine.rejected] == [
            (1, "label_conflict"),
            (len(good), "duplicate"),
            (len(good) + 1, "label_conflict"),
        ]

    def test_no_rejected(self) -> None:
        assert Quarantine().counts() == {}
        one = Quarantine([Rejected(0, "a", "empty", "a: empty")], 3)
        assert one.counts() == {"empty": 1}


class FakeStream:
    original_rate_hz, channels, codec = 44_100, 2, "flac"


def measured(sound: Floats, n_bytes: int = 1000) -> dict[str, float]:
    stream: Any = FakeStream()
    values = measure(sound.astype(np.float32), stream, n_bytes)
    assert values.dtype == np.float64
    return dict(zip(MEASURES, values.tolist(), strict=True))


class TestMeasures:
    def test_of_files(self, ingested: Ingested, corpus: Corpus) -> None:
        recordings, _ = ingested
        for row, values in zip(recordings.corpus, recordings.measures, strict=True):
            found = dict(zip(MEASURES, values.tolist(), strict=True))
            size = (corpus.root / row.path).stat().st_size
            assert found["duration_s"] == pytest.approx(2.0)
            assert found["bytes_per_s"] == pytest.approx(size / 2.0)
            assert (found["file_rate_hz"], found["channels"]) == (RATE, 1)
            assert found["level_db"] == pytest.approx(-20.0, abs=0.5)
        codecs = recordings.measures[:, MEASURES.index("codec")]
        assert codecs[0] == codecs[1] != codecs[2]

    @pytest.mark.parametrize("level", [1.0, 0.1, 0.01])
    def test_level_and_peak(self, level: float) -> None:
        tone = level * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
        found = measured(tone)
        assert found["level_db"] == pytest.approx(20 * np.log10(level) - 3.01, abs=0.02)
        assert found["peak_db"] == pytest.approx(20 * np.log10(level), abs=0.02)

    @pytest.mark.parametrize(("before", "after"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.3), (0.4, 0.7)])
    def test_silence(self, before: float, after: float) -> None:
        sound = noise(1, 2.0)
        quiet = [1e-5 * noise(seed, seconds) for seed, seconds in ((8, before), (9, after))]
        found = measured(np.concatenate([quiet[0], sound, quiet[1]]))
        assert found["leading_silence_s"] == pytest.approx(before, abs=0.021)
        assert found["trailing_silence_s"] == pytest.approx(after, abs=0.021)
        share = (before + after) / (before + after + 2.0)
        assert found["silence_share"] == pytest.approx(share, abs=0.02)
        assert found["duration_s"] == pytest.approx(before + after + 2.0)

    @pytest.mark.parametrize("cutoff_hz", [1_000, 3_400, 6_000])
    def test_bandwidth_of_low_passed_noise(self, cutoff_hz: int) -> None:
        spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=4 * RATE))
        spectrum[4 * cutoff_hz :] = 0.0
        found = measured(0.1 * np.fft.irfft(spectrum))
        assert found["bandwidth_hz"] == pytest.approx(cutoff_hz, rel=0.01)

    def test_bandwidth_of_white_noise_is_all(self) -> None:
        found = measured(0.1 * np.random.default_rng(0).normal(size=4 * RATE))
        assert found["bandwidth_hz"] == pytest.approx(8_000, rel=0.01)

    def test_noise_floor_and_zeros(self) -> None:
        sound = noise(1, 2.0)
        sound[:4_000] = 1e-4 * np.random.default_rng(1).normal(size=4_000)
        assert measured(sound)["noise_floor_db"] == pytest.approx(-80, abs=1.5)
        assert measured(sound)["digital_zeros"] < 0.001
        sound[:16_000] = 0.0
        assert measured(sound)["digital_zeros"] == pytest.approx(0.5, abs=0.001)

    def test_of_the_file(self) -> None:
        found = measured(noise(1, 2.0), n_bytes=6_400)
        assert found["bytes_per_s"] == pytest.approx(3_200)
        assert (found["file_rate_hz"], found["channels"]) == (44_100, 2)


def test_it_is_counted_which_source_repeats_which(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.wav", noise(number))
        write(tmp_path / f"copy_{number}.flac", noise(number))  # the same sound in another file
    labels = ("bonafide", "spoof", "bonafide", "spoof")
    rows = [Row(f"{n}.wav", label, source="one") for n, label in enumerate(labels)]
    copies = [
        Row("copy_0.flac", "bonafide", source="two"),
        Row("copy_1.flac", "bonafide", source="two"),  # under the other label
        Row("copy_2.flac", "bonafide", source="one"),
        Row("copy_3.flac", "spoof"),  # of nobody
    ]
    _, quarantine = ingest(Corpus(tmp_path, rows + copies))
    assert quarantine.repeated == {"two": {"one": 2}, "one": {"one": 1}}
    assert quarantine.counts() == {"duplicate": 3, "label_conflict": 2}
