"""Golden sets: frozen, kept by hash, never trained on."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.sounds import speech
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus, Row
from bonafide.errors import CorpusError
from bonafide.lineage.trained_on import TrainedOn
from bonafide.training.folds import GoldenRows, make_folds
from bonafide.training.golden import (
    FOLDER,
    GoldenSet,
    freeze_held_out,
    golden_set,
    held_rows,
)
from bonafide.training.recordings import MEASURES, Recordings


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    """Eight sources of four recordings, two of either label; what they hold does not matter."""
    folder = tmp_path / "corpus"
    (folder / "audio").mkdir(parents=True)
    rows = []
    for number in range(32):
        path = f"audio/{number}.wav"
        (folder / path).write_bytes(b"sound %d" % number)
        label = ("bonafide", "spoof")[number % 2]
        rows.append(Row(path, label, source=f"s{number // 4}", speaker=f"v{number // 4}"))
    sounds = np.array([f"{number:064x}" for number in range(32)])
    return Recordings(Corpus(folder, rows), sounds, np.zeros((32, len(MEASURES))))


def frozen(root: Path, recordings: Recordings, rows: int = 32, most: int = 100) -> GoldenSet:
    found = freeze_held_out(root, recordings, np.arange(rows), "held out", most=most, seed=1)
    assert found
    return found


def test_it_is_kept_by_hash_and_outlives_the_corpus(tmp_path: Path, recordings: Recordings) -> None:
    assert golden_set(tmp_path, None) is None
    made = frozen(tmp_path, recordings, 12)
    shutil.rmtree(recordings.corpus.root)
    found = golden_set(tmp_path, None)
    assert found is not None
    assert (found.version, found.sha256, found.origin) == (1, made.sha256, "held out")
    assert found.name == f"golden set 1 ({made.sha256[:8]})"
    assert found.sounds.tolist() == recordings.sha256[:12].tolist()
    assert found.corpus.column("source").tolist() == ["s0"] * 4 + ["s1"] * 4 + ["s2"] * 4
    assert found.corpus.audio_path(found.corpus.rows[5]).read_bytes() == b"sound 5"
    manifest = tmp_path / FOLDER / "1" / "rows.csv"
    assert len(read_corpus(manifest)) == 12  # any command takes it as a corpus


def test_the_same_rows_have_the_same_hash(tmp_path: Path, recordings: Recordings) -> None:
    one, same = (frozen(tmp_path / name, recordings) for name in ("one", "same"))
    other = frozen(tmp_path / "other", recordings, 31)
    assert one.sha256 == same.sha256 != other.sha256


def test_it_is_frozen_once(tmp_path: Path, recordings: Recordings) -> None:
    made = frozen(tmp_path, recordings, 12)
    again = freeze_held_out(tmp_path, recordings, np.arange(32), "later", most=99, seed=1)
    found = golden_set(tmp_path, None)
    assert again is None and found is not None and found.sha256 == made.sha256


def test_whole_groups_are_taken_up_to_so_many(tmp_path: Path, recordings: Recordings) -> None:
    found = frozen(tmp_path, recordings, most=14)
    assert len(found.corpus) == 12
    counts = np.unique(found.corpus.column("source"), return_counts=True)[1]
    assert counts.tolist() == [4, 4, 4]


@pytest.mark.parametrize("harm", ["sound", "gone", "rows", "sounds", "facts"])
def test_one_that_was_changed_is_an_error(
    tmp_path: Path, recordings: Recordings, harm: str
) -> None:
    made = frozen(tmp_path, recordings)
    path = made.corpus.audio_path(made.corpus.rows[3])
    folder = tmp_path / FOLDER / "1"
    if harm == "sound":
        path.write_bytes(b"another")
    elif harm == "gone":
        path.unlink()
    elif harm == "rows":
        rows = (folder / "rows.csv").read_text()
        (folder / "rows.csv").write_text(rows.replace(",spoof,", ",bonafide,", 1))
    elif harm == "sounds":
        (folder / "sounds.txt").unlink()
    else:
        (folder / "golden.json").write_text("{")
    with pytest.raises(CorpusError) as seen:
        golden_set(tmp_path, None)
    assert seen.value.code == "altered"


def test_a_draft_of_a_run_that_was_killed_is_no_golden_set(
    tmp_path: Path, recordings: Recordings
) -> None:
    draft = tmp_path / FOLDER / ".1" / "audio"
    draft.mkdir(parents=True)
    (draft / "left").touch()
    assert golden_set(tmp_path, None) is None
    assert frozen(tmp_path, recordings).version == 1
    assert not draft.exists()


class TestHeldOut:
    def test_its_groups_are_never_trained_on(self, tmp_path: Path, recordings: Recordings) -> None:
        """Also where the corpus has grown, and another share would be held out."""
        golden = frozen(tmp_path, recordings, 6)  # of s0, and half of s1
        rows = held_rows(tmp_path, golden.sha256, recordings)
        assert rows == GoldenRows(golden.sha256, list(range(6)))
        held = np.arange(len(recordings.corpus)) < 6
        for share in (0.0, 0.2):
            folds = make_folds(recordings.corpus, count=3, test_share=share, seed=1, golden=held)
            assert folds.is_test[:8].all()  # the rest of s1, too
            assert folds.is_test.all() is not np.True_
        alike = make_folds(recordings.corpus, count=3, test_share=0.2, seed=1)
        test = alike.is_test
        again = make_folds(recordings.corpus, count=3, test_share=0.2, seed=1, golden=test)
        assert again.digest() == alike.digest()  # an unchanged run stays the same

    def test_none_is_held_out_for_none(self, tmp_path: Path, recordings: Recordings) -> None:
        assert held_rows(tmp_path, "", recordings) is None
        with pytest.raises(CorpusError, match="holds no golden set abc"):
            held_rows(tmp_path, "abc", recordings)

    def test_what_was_heard_does_not_count(self, tmp_path: Path, recordings: Recordings) -> None:
        golden = frozen(tmp_path, recordings)
        corpus = recordings.corpus
        rows = [
            replace(corpus.rows[0], source="other", speaker="-"),  # known by its sound alone
            Row("x.wav", "spoof", source="s2"),
            Row("y.wav", "spoof", speaker="v5"),
            Row("z.wav", "spoof"),
        ]
        sounds = np.array([recordings.sha256[0], *("f" * 64, "e" * 64, "d" * 64)])
        trained = Recordings(Corpus(corpus.root, rows), sounds, np.zeros((4, len(MEASURES))))
        heard = {0, *range(8, 12), *range(20, 24)}
        found = TrainedOn.of_corpus(trained.corpus, trained.sha256).among(
            golden.corpus, golden.sounds
        )
        assert set(np.flatnonzero(found)) == heard


def test_a_corpus_of_one_s_own_is_frozen_when_it_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, folder = tmp_path / "home", tmp_path / "mine"
    monkeypatch.setenv("BONAFIDE_HOME", str(home))
    folder.mkdir()
    voice = speech(4.0)
    for number, name in enumerate(("a", "b")):
        soundfile.write(folder / f"{name}.wav", voice * (0.5 + 0.2 * number), 16_000)
    manifest = folder / "manifest.csv"
    manifest.write_text("path,label,source\na.wav,real,one\nb.wav,fake,two\n")
    first = golden_set(home, str(manifest))
    assert first is not None and (first.version, len(first.corpus)) == (1, 2)
    assert first.origin == "corpus manifest.csv"
    monkeypatch.setattr("bonafide.training.golden.ingest", None)  # is not read again
    again = golden_set(home, str(manifest))
    assert again is not None and again.sha256 == first.sha256
    monkeypatch.undo()
    monkeypatch.setenv("BONAFIDE_HOME", str(home))
    manifest.write_text("path,label,source\na.wav,real,one\nb.wav,fake,three\n")
    other = golden_set(home, str(manifest))
    assert other is not None and other.version == 2 and other.sha256 != first.sha256
    newest = golden_set(home, None)
    assert newest is not None and newest.version == 2
    with pytest.raises(CorpusError):
        golden_set(home, str(tmp_path / "none.csv"))
