"""The fingerprint of corpora: what changes it, what is read again, and what is taken on trust."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bonafide.errors import AudioError, BonafideError, CorpusError
from bonafide.training import fingerprint as module
from bonafide.training import run
from bonafide.training.config import Config
from bonafide.training.fingerprint import fingerprint, require_unchanged

PAST = 1_600_000_000


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus of two files that are old, to the tests' clock."""
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "corpus"
    for name in ("real/a.wav", "fake/b.wav"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(name.encode())
        os.utime(folder / name, (PAST, PAST))
    monkeypatch.setattr(module, "FINEST_NS", 0)
    time.sleep(0.02)  # a change time of this very moment could be another's
    return folder


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read."""
    names: list[str] = []
    real = module.file_sha256

    def note(path: Path) -> str:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(module, "file_sha256", note)
    return names


def taken(corpus: Path, *, verify: bool = False) -> str:
    return fingerprint([str(corpus)], None, verify)


def swapped(path: Path) -> None:
    """Put other content of the same size and time in a file's place, as rsync -t does."""
    draft = path.with_name("draft")
    draft.write_bytes(path.read_bytes()[::-1])
    shutil.copystat(path, draft)
    draft.replace(path)


def rewritten(path: Path) -> None:
    """Change the content where it lies, and set the time back."""
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, (PAST, PAST))


CHANGES: dict[str, Callable[[Path], object]] = {
    "swapped": swapped,
    "rewritten": rewritten,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"!"),
    "gone": Path.unlink,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_other_content_is_another(corpus: Path, change: Callable[[Path], object]) -> None:
    before = taken(corpus)
    change(corpus / "fake" / "b.wav")
    if (corpus / "fake" / "b.wav").is_file():
        assert taken(corpus) != before
    else:  # the folder's reader no longer lists it
        with pytest.raises(CorpusError, match="at least one spoof is needed"):
            taken(corpus)


@pytest.mark.parametrize("change", [CHANGES["gone"], CHANGES["a folder"]], ids=["gone", "folder"])
def test_a_file_that_a_manifest_names_and_is_none(
    corpus: Path, change: Callable[[Path], object]
) -> None:
    (corpus / "manifest.csv").write_text("path,label\nreal/a.wav,real\nfake/b.wav,fake\n")
    before = taken(corpus)
    change(corpus / "fake" / "b.wav")
    assert taken(corpus) != before


@pytest.mark.parametrize("path", ["x" * 5000, "nul\0.wav", "../nowhere/b.wav"])
def test_a_path_that_cannot_be(corpus: Path, path: str) -> None:
    (corpus / "manifest.csv").write_text(f"path,label\nreal/a.wav,real\n{path},fake\n")
    assert len(taken(corpus)) == 64


def test_an_unchanged_file_is_read_once(corpus: Path, hashed: list[str]) -> None:
    before = taken(corpus)
    assert sorted(hashed) == ["a.wav", "b.wav"]
    assert taken(corpus) == before and len(hashed) == 2
    assert taken(corpus, verify=True) == before and len(hashed) == 4


def test_only_what_changed_is_read_again(corpus: Path, hashed: list[str]) -> None:
    before = taken(corpus)
    os.utime(corpus / "real" / "a.wav")  # another time, the same content
    hashed.clear()
    time.sleep(0.02)
    assert taken(corpus) == before and hashed == ["a.wav"]


@pytest.mark.parametrize("ahead_s", [0, 3600], ids=["just now", "in the future"])
def test_a_time_that_tells_nothing(
    corpus: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch, ahead_s: int
) -> None:
    monkeypatch.setattr(module, "FINEST_NS", 2_000_000_000)
    for name in ("real/a.wav", "fake/b.wav"):
        os.utime(corpus / name, (time.time() + ahead_s,) * 2)
    taken(corpus)
    taken(corpus)
    assert len(hashed) == 4


def test_a_change_that_leaves_size_and_all_times_needs_verify(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a network share without change times may show it."""
    before = taken(corpus)
    (memory,) = (corpus.parent / "home" / "hashes").iterdir()
    path = corpus / "fake" / "b.wav"
    known = memory.read_text()
    swapped(path)
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, 1]
    entries = module._remembered(memory)
    memory.write_text(known.replace(str(entries[str(path)][0]), str(stamp)))
    time.sleep(0.02)
    assert taken(corpus) == before
    assert taken(corpus, verify=True) != before


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}', '{"x": [1]}'])
def test_a_memory_that_is_damaged(corpus: Path, content: str) -> None:
    before = taken(corpus)
    (memory,) = (corpus.parent / "home" / "hashes").iterdir()
    memory.write_text(content)
    assert taken(corpus) == before


def test_a_change_during_ingestion(corpus: Path) -> None:
    before = taken(corpus)
    require_unchanged(f"{before} once more", [str(corpus)], None)
    rewritten(corpus / "fake" / "b.wav")
    with pytest.raises(CorpusError, match="files changed while they were ingested") as caught:
        require_unchanged(before, [str(corpus)], None)
    assert caught.value.code == "changed"


def test_one_way_of_naming_a_corpus_is_as_good_as_another(
    corpus: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = taken(corpus)
    monkeypatch.chdir(corpus.parent)
    assert fingerprint(["corpus"], None) == before and len(hashed) == 2


class Ready(Exception):
    """Features are there, and base models would be trained."""


@pytest.mark.parametrize(
    ("errors", "attempts", "raised"),
    [
        ([], 1, Ready),
        ([CorpusError("changed", "a.wav: its sound is not what it was")], 2, Ready),
        ([AudioError("unreadable", "a.wav: cannot be read")], 2, Ready),
        ([CorpusError("changed", "once"), CorpusError("changed", "twice")], 2, CorpusError),
        ([CorpusError("too_few_groups", "1 of 2")], 1, CorpusError),
    ],
    ids=["as it was", "changed", "gone", "again and again", "another fault"],
)
def test_training_ingests_once_more_what_changed(
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    errors: list[BonafideError],
    attempts: int,
    raised: type[Exception],
) -> None:
    tried: list[int] = []

    def prepare(*_: object) -> tuple[None, None, None, None]:
        tried.append(1)
        if len(tried) <= len(errors):
            raise errors[len(tried) - 1]
        return None, None, None, None

    def ready(*_: object) -> None:
        raise Ready

    monkeypatch.setattr(run, "_prepare", prepare)
    monkeypatch.setattr(run, "_candidate", ready)
    with pytest.raises(raised):
        run.train(Config(), corpus, root=corpus.parent / "home")
    assert len(tried) == attempts
