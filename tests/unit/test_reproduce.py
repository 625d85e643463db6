"""Making a bundle again: code and corpus must be the very ones, and what differs is named."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bonafide.bundle import Bundle, write_bundle
from bonafide.cli.root import main
from bonafide.corpora.schema import Corpus
from bonafide.errors import BonafideError, BundleError, CorpusError
from bonafide.lineage.code import PACKAGES, TOP, code_hashes, whole_sha256
from bonafide.lineage.record import Step, publish, read_lineage, write_lineage
from bonafide.lineage.rows import read_rows
from bonafide.training import reproduce as module
from bonafide.training.reproduce import reproduce
from tests.helpers.lineages import STEPS, candidate_of, files_of, keep_with_lineage

Patch = pytest.MonkeyPatch


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return files_of(tmp_path / "corpus", 6)


@pytest.fixture
def bundle(tmp_path: Path, corpus: Corpus, monkeypatch: Patch) -> Bundle:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return keep_with_lineage(tmp_path / "home", tmp_path / "candidate", corpus)


def relate(bundle: Bundle, **entries: object) -> Bundle:
    """Return a bundle with other entries in its record."""
    lineage = read_lineage(bundle)
    assert lineage is not None
    changed = replace(lineage, **entries)
    return write_lineage(bundle.folder, bundle.manifest, changed, read_rows(bundle))


@pytest.fixture
def ran(monkeypatch: Patch) -> list[tuple[Path, Path]]:
    """Where a run would have found the corpus and the code; it makes the same again."""
    seen: list[tuple[Path, Path]] = []

    def run(bundle: Bundle, root: Path, own: Path, code: Path) -> None:
        seen.append((root, code))
        shutil.copytree(bundle.folder, own / "bundles" / "mine" / "1")

    monkeypatch.setattr(module, "_run", run)
    return seen


def test_identical(bundle: Bundle, corpus: Corpus, ran: list[tuple[Path, Path]]) -> None:
    made = reproduce(bundle)
    assert made.is_identical and made.differing == [] and made.notes == []
    assert ran == [(corpus.root, TOP)]  # the code here is the same


def test_a_corpus_that_moved(
    bundle: Bundle, corpus: Corpus, tmp_path: Path, ran: list[tuple[Path, Path]]
) -> None:
    corpus.root.rename(tmp_path / "moved")
    with pytest.raises(CorpusError, match=r"0\.wav \(row 2\): is not there; --corpus-root names"):
        reproduce(bundle)
    assert reproduce(bundle, corpus_root=tmp_path / "moved").is_identical
    assert ran == [(tmp_path / "moved", TOP)]


@pytest.mark.usefixtures("ran")
def test_a_file_that_changed_stops_it(bundle: Bundle, corpus: Corpus) -> None:
    for name in ("4.wav", "2.wav"):
        (corpus.root / name).write_text("another")
    with pytest.raises(CorpusError, match=r"2\.wav \(row 4\): its sha256 is .*; it was ") as error:
        reproduce(bundle)
    assert error.value.code == "changed"


def test_what_differs_first_is_named_first(
    bundle: Bundle, monkeypatch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(bundle: Bundle, root: Path, own: Path, code: Path) -> None:
        folder = shutil.copytree(bundle.folder, own / "bundles" / "mine" / "1")
        (folder / "cnn.onnx").write_text("another")
        steps = [*STEPS[:2], Step("train_cnn", (), {"fitted": "f" * 64}), STEPS[3]]
        made = relate(Bundle(folder, bundle.manifest), steps=steps)
        write_bundle(folder, {**made.manifest, "choice": "xgboost"})

    monkeypatch.setattr(module, "_run", run)
    made = reproduce(bundle)
    assert made.differing == ["train_cnn: fitted", "file cnn.onnx", "manifest: choice"]
    assert main(["models", "reproduce", "mine"]) == 1
    assert "\n  differs: train_cnn: fitted\n" in capsys.readouterr().out


@pytest.mark.usefixtures("ran")
def test_other_versions_of_packages_are_noted(bundle: Bundle) -> None:
    lineage = read_lineage(bundle)
    assert lineage is not None
    packages = lineage.environment["packages"] | {"numpy": "0.1", "gone": "2"}
    made = reproduce(relate(bundle, environment={"packages": packages}))
    assert any(note.startswith("numpy was 0.1, is ") for note in made.notes)
    assert "gone was 2, is missing" in made.notes


@pytest.mark.usefixtures("ran")
def test_what_holds_no_lineage_or_no_names_cannot_be_made_again(
    bundle: Bundle, tmp_path: Path
) -> None:
    for given, said in (
        (candidate_of(tmp_path / "bare"), "it holds no lineage"),
        (publish(bundle), "its rows have no paths, as it was published"),
    ):
        with pytest.raises(BundleError, match=said) as error:
            reproduce(given)
        assert error.value.code == "no_record"


def test_a_run_that_fails(bundle: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    """The files are no recordings: the code itself runs, and says so."""
    with pytest.raises(BonafideError, match="failed with exit code 2") as error:
        reproduce(bundle)
    assert error.value.code == "not_reproduced"
    said = capfd.readouterr().err
    assert said.splitlines()[-1].startswith("nothing_usable: ") and "Traceback" not in said


# --- the code -------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    named = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *named, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two commits; the second one changed the steps."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    for text in ("x = 1", "x = 2"):
        for name in PACKAGES:
            (folder / name).mkdir(exist_ok=True)
            (folder / name / "a.py").write_text(text if name == "steps" else "")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", text)
    return folder


@pytest.fixture
def of_first(bundle: Bundle, repository: Path, tmp_path: Path) -> Bundle:
    """The bundle, as if the first commit had made it."""
    git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "then"), "HEAD~1")
    code = {
        "sha256": whole_sha256(code_hashes(tmp_path / "then")),
        "commit": git(repository, "rev-parse", "HEAD~1"),
    }
    git(repository, "worktree", "remove", str(tmp_path / "then"))
    return relate(bundle, code=code)


def test_the_commit_is_checked_out_and_removed_again(
    of_first: Bundle, repository: Path, monkeypatch: Patch
) -> None:
    def run(bundle: Bundle, root: Path, own: Path, code: Path) -> None:
        assert (code / "steps" / "a.py").read_text() == "x = 1"
        shutil.copytree(bundle.folder, own / "bundles" / "mine" / "1")

    monkeypatch.setattr(module, "_run", run)
    assert reproduce(of_first, repository=repository).is_identical
    assert len(git(repository, "worktree", "list").splitlines()) == 1


Change = Callable[[dict[str, str]], dict[str, str]]


@pytest.mark.usefixtures("ran")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda code: {"sha256": code["sha256"]}, "other code made it, of which no commit"),
        (lambda code: code | {"commit": "0" * 40}, "has no commit 0000"),
        (
            lambda code: {"sha256": "e" * 64, "commit": code["commit"] + "+changes"},
            "with changes made it: the hash of that code is eeee",
        ),
    ],
)
def test_code_that_cannot_be_had(
    of_first: Bundle, repository: Path, change: Change, said: str
) -> None:
    lineage = read_lineage(of_first)
    assert lineage is not None
    with pytest.raises(BundleError, match=said) as error:
        reproduce(relate(of_first, code=change(lineage.code)), repository=repository)
    assert error.value.code == "no_code"
    assert len(git(repository, "worktree", "list").splitlines()) == 1
