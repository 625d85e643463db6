"""Folders: what is scored, what is left out, and that it is said."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.sounds import encode, speech
from bonafide.cli import main
from bonafide.corpora.files import audio_files, list_folder
from bonafide.corpora.registry import read_corpus
from bonafide.errors import CorpusError

WAV = encode(speech(2.0), "wav")
AUDIO = (
    *("a.wav", "b.M4B", "c.mka", "d.mp2", "e.gsm", "f.3ga", "g.aifc", "h.weba", "i.amr", "j.ulaw"),
    *("k", "l.raw", "m.recording", "n.wav.bak", "o o/p.wav"),
)
OTHER = ("README", "README.txt", "empty", "list.csv", "result.json", "x.bin")
HIDDEN = ("._a.wav", ".DS_Store", ".git/objects/ab", "o o/._p.wav")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    for name in (*AUDIO, *HIDDEN):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(WAV)
    for name in OTHER:
        (folder / name).write_bytes(b"" if name == "empty" else bytes(range(256)) * 9)
    return folder


def names(paths: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_files_are_judged_by_suffix_and_by_what_they_hold(folder: Path) -> None:
    listing = list_folder(folder)
    assert names(listing.audio, folder) == sorted(AUDIO)
    assert names(listing.skipped, folder) == sorted(OTHER)
    assert names(listing.hidden, folder) == [".DS_Store", "._a.wav", ".git", "o o/._p.wav"]
    assert listing.unreadable == []
    assert audio_files(folder) == listing.audio


def test_what_is_no_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe.wav")
    os.mkfifo(folder / "pipe")
    (folder / "broken.wav").symlink_to("gone.wav")
    (folder / "broken").symlink_to("gone")
    (folder / "turn.wav").symlink_to("turn.wav")
    (folder / "named.wav").mkdir()
    listing = list_folder(folder)
    assert set(names(listing.audio, folder)) - set(AUDIO) == {"broken.wav", "turn.wav"}
    assert set(names(listing.skipped, folder)) - set(OTHER) == {"pipe.wav", "pipe", "broken"}


def test_links_to_folders_are_followed_once(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.wav").write_bytes(WAV)
    (folder / "0 link").symlink_to(elsewhere)
    (folder / "0 loop").symlink_to(folder)
    (folder / "o o" / "up").symlink_to("..")
    (folder / "0 again").symlink_to(folder / "o o")
    assert names(audio_files(folder), folder) == sorted((*AUDIO, "0 link/far.wav"))


def test_a_very_deep_folder(tmp_path: Path) -> None:
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1_050):
            Path("d").mkdir()
            os.chdir("d")
        Path("a.wav").write_bytes(WAV)
        assert len(audio_files(tmp_path)) == 1
    finally:
        os.chdir(before)
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # too deep for shutil


def test_a_folder_that_cannot_be_listed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = Path.iterdir

    def iterdir(self: Path) -> object:
        if self.name == "o o":
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert list_folder(folder).unreadable == [folder / "o o"]
    with pytest.raises(CorpusError, match="o o: this folder cannot be listed"):
        audio_files(folder)
    assert main(["score", "--format", "jsonl", str(folder)]) == 1
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    failed = {Path(result["path"]).name for result in results if "error" in result}
    assert "o o" in failed and len(results) == len(AUDIO)


def test_what_is_skipped_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "new\nline\x1b[2J.txt").touch()
    for number in range(20):
        (folder / f"z{number:02}.txt").touch()
    main(["score", str(folder)])
    out, error = capsys.readouterr()
    other, hidden = error.splitlines()
    assert other.startswith(f"{folder}: skipped 27 files that are not audio: README, README.txt, ")
    assert r"new\nline\x1b[2J.txt" in other and other.endswith("and 17 more")
    assert hidden.endswith("skipped 4 files that are hidden: .DS_Store, ._a.wav, .git, o o/._p.wav")
    assert sum("/" in line for line in out.splitlines()) == len(AUDIO)


@pytest.mark.parametrize("content", [[], ["README.txt"], ["._a.wav"]])
def test_a_folder_without_recordings_is_an_error(
    content: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in content:
        (tmp_path / name).write_bytes(WAV)
    assert main(["score", "--format", "jsonl", str(tmp_path)]) == 1
    (result,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (result["path"], result["error"]["code"]) == (str(tmp_path), "no_recordings")


def test_a_corpus_of_folders_has_the_same_files(tmp_path: Path) -> None:
    for label in ("real", "fake"):
        (tmp_path / label).mkdir()
        for name in ("a.m4b", "b", "._a.m4b", "notes.txt"):
            (tmp_path / label / name).write_bytes(WAV)
    paths = [row.path for row in read_corpus(tmp_path)]
    assert paths == ["fake/a.m4b", "fake/b", "real/a.m4b", "real/b"]
