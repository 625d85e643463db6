"""Make a bundle again from its own lineage, and compare.

    python -m bonafide.training.reproduce BUNDLE CORPUS_ROOT HOME [PARENT]

is what runs in a process of its own, by the code that made the bundle: it trains what BUNDLE says
into HOME, or adapts PARENT.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bonafide
from bonafide.artifact import Plain, file_sha256
from bonafide.bundle import ROWS, Bundle, content_of, read_bundle
from bonafide.corpora.schema import COLUMNS, Corpus, Row
from bonafide.errors import BonafideError, BundleError, CorpusError, printable, storing
from bonafide.home import DEMO, home
from bonafide.lineage.code import CHANGES, TOP, code_hashes, environment, whole_sha256
from bonafide.lineage.record import Lineage, read_lineage
from bonafide.lineage.rows import GOLDEN, plain_rows, read_rows
from bonafide.process.lifetime import end_with_parent
from bonafide.registry import find_bundle, kept_bundles
from bonafide.training.config import parse_config
from bonafide.training.fingerprint import CHANGED

if TYPE_CHECKING:
    import pyarrow as pa

    from bonafide.training.golden import GoldenSet


@dataclass(frozen=True)
class Reproduction(Plain):
    """What came of making a bundle again.

    Parameters
    ----------
    expected, made : str
        Content hash of the bundle, and of what was made.
    differing : list of str
        Which artifacts differ, the first one first, such as ``train_cnn: fitted``; then files.
    notes : list of str
        What else is not as it was: versions of packages.
    """

    expected: str
    made: str
    differing: list[str]
    notes: list[str]

    @property
    def is_identical(self) -> bool:
        """Whether both have the same content hash."""
        return self.expected == self.made


def reproduce(
    bundle: Bundle,
    *,
    corpus_root: Path | None = None,
    repository: Path = TOP,
    say: Callable[[str], None] = lambda _: None,
) -> Reproduction:
    """Make a bundle again: its commit, its configuration, its corpus.

    Parameters
    ----------
    bundle : Bundle
        With lineage.
    corpus_root : Path or None
        Where the corpus lies now; None for where it lay.
    repository : Path
        A checkout that has the commit. It is not asked where the code that runs is the same.
    say : callable
        Told what is done.

    Returns
    -------
    Reproduction

    Raises
    ------
    BundleError
        ``no_record`` for a bundle without lineage, or whose rows are hidden; ``no_code`` if its
        code cannot be had.
    CorpusError
        ``changed`` for the first file that is not what it was.
    BonafideError
        ``not_reproduced`` if the run fails.
    """
    lineage = _require_record(bundle)
    root = corpus_root or Path(lineage.corpus["root"])
    say(f"checking the files of the corpus in {root}")
    _require_files(bundle, root)
    with tempfile.TemporaryDirectory(prefix="bonafide-reproduce-") as name:
        own, work = _prepared_home(Path(name) / "home"), Path(name) / "code"
        with _code_of(lineage, repository, work) as code:
            say(f"running the code in {code}")
            _run(bundle, root, own, code)
        (made,) = [Path(facts["folder"]) for facts in kept_bundles(own)]
        return _compare(bundle, lineage, read_bundle(made))


def _require_record(bundle: Bundle) -> Lineage:
    lineage = read_lineage(bundle)
    if lineage is None or lineage.is_hidden or not (bundle.folder / ROWS).is_file():
        lacks = "its rows have no paths, as it was published" if lineage else "it holds no lineage"
        raise BundleError("no_record", f"{bundle.folder}: cannot be made again: {lacks}")
    return lineage


def _require_files(bundle: Bundle, root: Path) -> None:
    """Require that each file holds what it held; one that could not be read may be anything."""
    rows = plain_rows(read_rows(bundle, ["row", "path", "file_sha256"]))
    for row in rows:
        path, expected = root / row["path"], row["file_sha256"]
        where = f"{path} (row {row['row'] + 2})"
        if expected and not path.is_file():
            raise CorpusError(CHANGED, f"{where}: is not there; --corpus-root names its new place")
        if expected and (seen := file_sha256(path)) != expected:
            raise CorpusError(CHANGED, f"{where}: its sha256 is {seen}; it was {expected}")


def _prepared_home(folder: Path) -> Path:
    """Make a home with the encoders of this one, where what is simulated may be promoted too."""
    folder.mkdir()
    (folder / DEMO).touch()
    if (encoders := home() / "encoders").is_dir():
        (folder / "encoders").symlink_to(encoders)
    return folder


@contextmanager
def _code_of(lineage: Lineage, repository: Path, work: Path) -> Iterator[Path]:
    """Lend the folder of the code that made a bundle: this one, or a worktree of its commit."""
    expected = lineage.code["sha256"]
    if whole_sha256(code_hashes()) == expected:
        yield TOP
        return
    commit = lineage.code.get("commit", "").removesuffix(CHANGES)
    if not commit:
        raise BundleError("no_code", "other code made it, of which no commit is known")
    git = ["git", "-C", str(repository), "worktree"]
    added = _git(*git, "add", "--detach", str(work), commit)
    if added.returncode:
        raise BundleError(
            "no_code", f"{repository}: has no commit {commit}: {added.stderr.strip()}"
        )
    try:
        if (seen := whole_sha256(code_hashes(work))) != expected:
            changed = " with changes" if lineage.code["commit"].endswith(CHANGES) else ""
            raise BundleError(
                "no_code",
                f"commit {commit}{changed} made it: the hash of that code is {expected}, that of "
                f"the commit alone {seen}",
            )
        yield work
    finally:
        _git(*git, "remove", "--force", str(work))


def _git(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True)


def _run(bundle: Bundle, root: Path, own: Path, code: Path) -> None:
    words = ["-m", "bonafide.training.reproduce", *map(str, (bundle.folder.resolve(), root, own))]
    tree = os.pathsep.join(filter(None, (str(code), os.environ.get("PYTHONPATH"))))
    parent = _parent_of(bundle)
    environment = {**os.environ, "PYTHONPATH": tree, "BONAFIDE_HOME": str(own)}
    extra = [str(parent.folder)] if parent else []
    done = subprocess.run([sys.executable, *words, *extra], env=environment, cwd=code)
    if done.returncode:
        raise BonafideError(
            "not_reproduced", f"the run failed with exit code {done.returncode}; it said why above"
        )


def _parent_of(bundle: Bundle) -> Bundle | None:
    """Return the bundle that an adapted one was made from, None of one that was trained."""
    return find_bundle(home(), bundle.manifest["parent"]["sha256"]) if bundle.is_adapted else None


def _compare(bundle: Bundle, lineage: Lineage, made: Bundle) -> Reproduction:
    again = read_lineage(made)
    steps = again.steps if again else []
    found = {(step.name, name): h for step in steps for name, h in step.outputs.items()}
    artifacts = [
        f"{step.name}: {name}"
        for step in lineage.steps
        for name, expected in step.outputs.items()
        if found.get((step.name, name)) != expected
    ]
    theirs, ours = content_of(bundle.manifest), content_of(made.manifest)
    entries = [
        f"file {name}"
        for name, expected in theirs.pop("files").items()
        if ours["files"].get(name) != expected
    ]
    entries += [f"manifest: {key}" for key, value in theirs.items() if ours.get(key) != value]
    notes = _changed_packages(lineage)
    return Reproduction(bundle.digest(), made.digest(), [*artifacts, *entries], notes)


def _changed_packages(lineage: Lineage) -> list[str]:
    """Return which packages are installed in another version than they were."""
    before, now = lineage.environment["packages"], environment()["packages"]
    return [
        f"{name} was {version}, is {now.get(name, 'missing')}"
        for name, version in before.items()
        if now.get(name) != version
    ]


def main(arguments: Sequence[str]) -> int:
    """Train what a bundle's lineage says, and return the exit code."""
    end_with_parent(signal.SIGTERM)
    try:
        _train(*map(Path, arguments))
    except BonafideError as error:
        print(printable(f"{error.code}: {error.message}"), file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _train(folder: Path, corpus_root: Path, own: Path, parent: Path | None = None) -> None:
    bundle = read_bundle(folder)
    table = read_rows(bundle)
    corpus = Corpus(corpus_root, [Row(**row) for row in table.select(list(COLUMNS)).to_pylist()])
    if parent:
        bonafide.adapt(corpus, parent, name=bundle.identity["name"], root=own)
    else:
        lineage = _require_record(bundle)
        from bonafide.training.run import train_on

        config = parse_config(lineage.config, str(folder))
        with storing(own):
            train_on(config, corpus, own, golden=_golden_of(lineage, table))


def _golden_of(lineage: Lineage, rows: "pa.Table") -> "GoldenSet | None":
    """Return what there was of a golden set in the corpus: enough to hold out the same rows."""
    if not lineage.golden:
        return None
    import numpy as np

    from bonafide.training.golden import GoldenSet

    held = [row for row in plain_rows(rows.select(["use", "sound_sha256"])) if row["use"] == GOLDEN]
    sounds = np.array([row["sound_sha256"] for row in held], dtype=np.str_)
    return GoldenSet(0, lineage.golden["sha256"], "lineage", Corpus(Path(), []), sounds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
