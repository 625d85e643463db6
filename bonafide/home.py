"""The home folder: kept bundles, which of them is in production, and scratch folders."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bonafide.bundle import Bundle, read_bundle, write_bundle
from bonafide.errors import BundleError
from bonafide.process.lifetime import process_is_gone
from bonafide.process.lock import locked

PRODUCTION = "production.json"
SHIPPED = Path(__file__).resolve().parent / "shipped"  # the bundle that comes with the package


def home() -> Path:
    """Return the home folder: ``$BONAFIDE_HOME``, else ``bonafide`` in the user's data folder."""
    if chosen := os.environ.get("BONAFIDE_HOME"):
        return Path(chosen).resolve()
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "bonafide"


def production_folder(root: Path) -> Path | None:
    """Return the folder of the bundle in production.

    Parameters
    ----------
    root : Path
        The home folder.

    Returns
    -------
    Path or None
        None if no bundle has been promoted.

    Raises
    ------
    BundleError
        ``bad_production`` if ``production.json`` is damaged.
    """
    path = root / PRODUCTION
    if not path.exists():
        return None
    try:
        entry = json.loads(path.read_text())
        return root / "bundles" / entry["name"] / entry["version"]
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(
            "bad_production", f"{path}: does not name a bundle: {error!r}; train or promote again"
        ) from error


def production_stamp(root: Path) -> int:
    """Return a number that changes when a bundle is promoted; 0 where none is in production."""
    try:
        return (root / PRODUCTION).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def find_bundle(root: Path, chosen: Path | None = None) -> Bundle:
    """Read the chosen bundle, else the one in production, else the one that is shipped.

    Parameters
    ----------
    root : Path
        The home folder.
    chosen : Path or None
        A bundle's folder; None for the one in production or shipped.

    Returns
    -------
    Bundle
        Its hashes verified.

    Raises
    ------
    BundleError
        As in `read_bundle` and `production_folder`.
    """
    return read_bundle(chosen or production_folder(root) or SHIPPED)


def keep(root: Path, candidate: Bundle, manifest: Mapping[str, Any], card: str) -> Bundle:
    """Copy a candidate into the home folder under the next version.

    A detector that is already kept, hash for hash, is not kept twice: the earlier bundle is
    returned. Versions that cannot be read (damaged or of another format) are ignored. Others that
    keep or promote at the same time wait for each other.

    Parameters
    ----------
    root : Path
        The home folder.
    candidate : Bundle
        Its files are copied.
    manifest : mapping
        Entries that replace or join the candidate's.
    card : str
        The model card, Markdown.

    Returns
    -------
    Bundle
        As it is kept, with its version.
    """
    folder = root / "bundles" / str(candidate.manifest["name"])
    with _changing(root):
        for left in (path for path in folder.glob(".*") if path.is_dir()):
            shutil.rmtree(left)  # by a run that was killed: no other holds the lock
        versions = sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())
        version = str(max(versions, default=0) + 1)
        draft = folder / f".{version}"
        try:
            shutil.copytree(candidate.folder, draft)
            (draft / "card.md").write_text(card, encoding="utf-8")
            kept = write_bundle(draft, {**candidate.manifest, **manifest, "version": version})
            for number in versions:
                with contextlib.suppress(BundleError):
                    earlier = read_bundle(folder / str(number))
                    if earlier.manifest["sha256"] == kept.manifest["sha256"]:
                        return earlier
            _write_out(*draft.iterdir(), draft)
            draft.rename(folder / version)  # whole or not at all
            _write_out(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return Bundle(folder / version, kept.manifest)


def _changing(root: Path) -> contextlib.AbstractContextManager[None]:
    """Let one process at a time change which bundles there are, and which is in production."""
    return locked(root / "bundles.lock")


def _write_out(*paths: Path) -> None:
    """Have the disk hold files and folders before anything points to them."""
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def promote(root: Path, bundle: Bundle) -> None:
    """Put a kept bundle into production.

    Parameters
    ----------
    root : Path
        The home folder.
    bundle : Bundle
        As `keep` returned it.
    """
    with _changing(root):
        draft = root / f".{PRODUCTION}"
        draft.write_text(json.dumps(bundle.identity))
        _write_out(draft)
        draft.replace(root / PRODUCTION)  # whole or not at all
        _write_out(root)


def work_folder(root: Path) -> Path:
    """Make and return this process's scratch folder, which `clean_work` removes."""
    folder = root / "work" / str(os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """Make a folder in this process's scratch folder, and remove it when the block ends.

    Parameters
    ----------
    root : Path
        The home folder.

    Yields
    ------
    Path
        No other thread has it.
    """
    try:
        with tempfile.TemporaryDirectory(dir=work_folder(root)) as folder:
            yield Path(folder)
    finally:
        with contextlib.suppress(OSError):  # other threads have theirs in it
            (root / "work" / str(os.getpid())).rmdir()
        _clean_left(root)


def clean_work(root: Path) -> None:
    """Remove the scratch folders of this process and of processes that are gone."""
    shutil.rmtree(root / "work" / str(os.getpid()), ignore_errors=True)
    _clean_left(root)


def _clean_left(root: Path) -> None:
    for folder in (root / "work").glob("*"):
        if process_is_gone(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
