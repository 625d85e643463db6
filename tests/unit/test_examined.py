"""What ingestion remembers of files: a night with one new file decodes one file."""

import errno
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonafide.artifact import file_sha256
from bonafide.audio import AudioStream
from bonafide.corpora.schema import Corpus, Row
from bonafide.dependencies import files_behind
from bonafide.errors import AudioError, StorageError
from bonafide.training import ingest as ingestion
from bonafide.training.examined import Examined, Memory
from bonafide.training.ingest import examine, ingest
from tests.unit.test_ingest import FILES, Ingested, corpus_in, noise, write


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpus_in(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "examined.sqlite", files_behind(examine))


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded."""
    names: list[str] = []
    everyone = ingestion.map_parallel

    def counted(function: Any, items: Any, **options: Any) -> Any:
        names.extend(path.name for path in items)
        return everyone(function, items, **options)

    monkeypatch.setattr(ingestion, "map_parallel", counted)
    return names


def hashes_of(corpus: Corpus) -> dict[str, str]:
    paths = [corpus.audio_path(row) for row in corpus]
    return {str(path): file_sha256(path) for path in paths if path.is_file()}


def assert_same(found: Ingested, wanted: Ingested) -> None:
    assert found[1] == wanted[1]
    assert list(found[0].corpus) == list(wanted[0].corpus)
    for name in ("sha256", "file_sha256", "measures"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(wanted[0], name))


def test_a_second_night_decodes_nothing_and_finds_the_same(
    corpus: Corpus, memory: Memory, examined: list[str]
) -> None:
    hashes = hashes_of(corpus)
    first = ingest(corpus, memory=memory, hashes=hashes, workers=1)
    assert sorted(examined) == sorted(FILES)
    examined.clear()
    steps: list[tuple[int, int]] = []
    again = ingest(
        corpus, memory=memory, hashes=hashes, workers=1, progress=lambda *s: steps.append(s)
    )
    assert examined == ["missing.wav"]  # what cannot be read may come back
    assert_same(again, first)
    assert steps == [(len(FILES) - 1, len(FILES)), (len(FILES), len(FILES))]


def test_new_files_alone_are_decoded(
    corpus: Corpus, memory: Memory, examined: list[str], tmp_path: Path
) -> None:
    ingest(corpus, memory=memory, hashes=hashes_of(corpus), workers=1)
    write(tmp_path / "new.wav", noise(31))
    (tmp_path / "moved.wav").write_bytes((corpus.root / "good_1.wav").read_bytes())
    rows = [Row(str(tmp_path / name), "spoof") for name in ("new.wav", "moved.wav")]
    more = Corpus(corpus.root, [*(row for row in corpus if row.path == "good_3.flac"), *rows])
    examined.clear()
    recordings, _ = ingest(more, memory=memory, hashes=hashes_of(more), workers=1)
    assert examined == ["new.wav"]
    assert [row.path for row in recordings.corpus] == ["good_3.flac", *(row.path for row in rows)]


def test_a_reason_names_the_file_that_is_there_now(
    corpus: Corpus, memory: Memory, examined: list[str], tmp_path: Path
) -> None:
    ingest(corpus, memory=memory, hashes=hashes_of(corpus), workers=1)
    (tmp_path / "other.wav").write_bytes((corpus.root / "short.wav").read_bytes())
    more = Corpus(corpus.root, [*corpus, Row(str(tmp_path / "other.wav"), "spoof")])
    examined.clear()
    _, quarantine = ingest(more, memory=memory, hashes=hashes_of(more), workers=1)
    assert examined == ["missing.wav"]
    assert quarantine.rejected[-1].message == (
        f"{tmp_path / 'other.wav'}: 0.20 s of sound; at least 1 s are needed"
    )


def test_other_code_or_another_decoder_forgets(
    corpus: Corpus, memory: Memory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hashes = hashes_of(corpus)
    ingest(corpus, memory=memory, hashes=hashes, workers=1)
    path, code = tmp_path / "examined.sqlite", tmp_path / "code.py"
    code.write_text("one")
    other = Memory(path, [code])
    assert memory.recall(hashes)
    assert not other.recall(hashes)
    monkeypatch.setattr("bonafide.training.examined.version", lambda name: "0.0.1")
    assert not Memory(path, files_behind(examine)).recall(hashes)
    monkeypatch.undo()
    other.keep([("a.wav", Examined("1" * 64, "2" * 64, np.zeros(3)))])
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM examined").fetchone() == (1,)


def test_a_suffix_that_tells_the_format_counts(memory: Memory, tmp_path: Path) -> None:
    """Raw mu-law and A-law are told apart by their names alone."""
    mu, a = tmp_path / "k.ul", tmp_path / "k.al"
    for path in (mu, a):
        path.write_bytes(noise(9).astype(np.float32).tobytes())
    corpus = Corpus(tmp_path, [Row("k.ul", "bonafide"), Row("k.al", "spoof")])
    wanted = ingest(corpus, workers=1)
    for _ in range(2):
        assert_same(ingest(corpus, memory=memory, hashes=hashes_of(corpus), workers=1), wanted)
    assert len(set(wanted[0].sha256.tolist())) == 2


def test_a_file_that_changes_meanwhile_is_not_remembered(
    corpus: Corpus, memory: Memory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, before = tmp_path / "new.wav", tmp_path / "before"
    write(path, noise(41))
    before.write_bytes(path.read_bytes())
    rows = [*(row for row in corpus if row.path == "good_2.wav"), Row(str(path), "bonafide")]
    more = Corpus(corpus.root, rows)
    hashes = hashes_of(more)
    write(path, noise(42))  # after its hash was taken
    ingest(more, memory=memory, hashes=hashes, workers=1)
    path.write_bytes(before.read_bytes())
    assert list(memory.recall(hashes)) == [str(corpus.root / "good_2.wav")]
    assert_same(ingest(more, memory=memory, hashes=hashes, workers=1), ingest(more, workers=1))


def test_what_is_found_is_kept_as_it_comes(
    corpus: Corpus, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion, "KEPT_AT_A_TIME", 2)
    hashes, seen = hashes_of(corpus), list[int]()
    ingest(
        corpus,
        memory=memory,
        hashes=hashes,
        workers=1,
        progress=lambda *_: seen.append(len(memory.recall(hashes))),
    )
    assert 0 < seen[len(seen) // 2] < len(memory.recall(hashes))


def test_a_memory_that_cannot_be_written_is_one_error(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "examined.sqlite").mkdir()
    with pytest.raises(StorageError, match=r"examined\.sqlite: cannot be used") as error:
        memory.recall({"a.wav": "1" * 64})
    assert error.value.code == "unwritable"


@pytest.mark.parametrize("code", ["unreadable", "decoder_crashed"])
def test_what_may_pass_is_not_remembered(code: str, memory: Memory) -> None:
    error = AudioError(code, "a.wav: not now")
    memory.keep([("a.wav", Examined("1" * 64, error=error))])
    assert not memory.recall({"a.wav": "1" * 64})
    memory.keep([("a.wav", Examined("1" * 64, error=AudioError("silent", "a.wav: silent")))])
    found = memory.recall({"b.wav": "1" * 64})["b.wav"].error
    assert found is not None and (found.code, found.message) == ("silent", "b.wav: silent")


@pytest.mark.parametrize(("failures", "code"), [(0, None), (1, None), (2, "unreadable")])
def test_a_disk_that_fails_for_a_moment_is_asked_again(
    failures: int, code: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path := tmp_path / "a.wav", noise(1))
    opened, left = AudioStream.opened, [OSError(errno.EIO, "Input/output error")] * failures

    def failing(stream: AudioStream) -> Any:
        if left:
            raise left.pop()
        return opened(stream)

    monkeypatch.setattr(AudioStream, "opened", failing)
    found = examine(path)
    assert (found.error and found.error.code) == code and not left
    assert found.file_sha256 == file_sha256(path)


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + 99 * b"x"])
def test_a_damaged_memory_is_begun_anew(content: bytes, memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "examined.sqlite").write_bytes(content)
    assert memory.recall({"a.wav": "1" * 64}) == {}
    memory.keep([("a.wav", Examined("1" * 64, "2" * 64, np.arange(3.0)))])
    assert memory.recall({"a.wav": "1" * 64})["a.wav"].sound_sha256 == "2" * 64


def test_numbers_come_back_bit_for_bit(memory: Memory) -> None:
    measures = np.random.default_rng(0).normal(size=13) * 10.0 ** np.arange(-6, 7)
    memory.keep([("a.wav", Examined("1" * 64, "2" * 64, measures))])
    found = memory.recall({"a.wav": "1" * 64})["a.wav"]
    assert replace(found, measures=None) == Examined("1" * 64, "2" * 64)
    np.testing.assert_array_equal(found.measures, measures)


def test_many_runs_at_once(memory: Memory) -> None:
    def keep(number: int) -> None:
        memory.keep((f"{n}.wav", Examined(f"{number}-{n}", f"{n}", np.zeros(2))) for n in range(50))

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    files = {f"{number}/{n}.wav": f"{number}-{n}" for number in range(8) for n in range(50)}
    assert len(memory.recall(files)) == 400
