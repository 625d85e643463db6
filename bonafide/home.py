"""The home folder: kept bundles, which of them is in production, and scratch folders."""

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bonafide.bundle import MANIFEST, Bundle, read_bundle, write_bundle
from bonafide.errors import BundleError, ConfigError
from bonafide.process.lifetime import process_is_gone
from bonafide.process.lock import locked

PRODUCTION = "production.json"
DEMO = "demo-home"  # a file of this name makes a home the demo's own
# The bundles that come with the package: the one that answers by default, and a faster one.
SHIPPED_NAMES = ("default", "fast")
SHIPPED_ROOT = Path(__file__).resolve().parent / "shipped"
SHIPPED = SHIPPED_ROOT / SHIPPED_NAMES[0]
_HASH = re.compile("[0-9a-f]{8,64}")


def home() -> Path:
    """Return the home folder: ``$BONAFIDE_HOME``, else ``bonafide`` in the user's data folder.

    Returns
    -------
    Path
        Absolute, so that it stays the same wherever a process goes on.

    Raises
    ------
    ConfigError
        ``no_home`` if the user has no home folder and none is named; ``bad_home`` if it is a file.
    """
    root = _named_home()
    if os.path.exists(root) and not os.path.isdir(root):  # noqa: PTH110, PTH112  # never raise
        raise ConfigError("bad_home", f"{root}: the home (BONAFIDE_HOME) must be a folder")
    return root


def _named_home() -> Path:
    if chosen := os.environ.get("BONAFIDE_HOME"):
        return Path(chosen).resolve()
    if data := os.environ.get("XDG_DATA_HOME"):
        return Path(data).resolve() / "bonafide"
    try:
        return Path.home().resolve() / ".local" / "share" / "bonafide"
    except RuntimeError as error:
        message = "this user has no home folder: name one with BONAFIDE_HOME"
        raise ConfigError("no_home", message) from error


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
    try:
        if not path.exists():
            return None
        entry = json.loads(path.read_text())
        return root / "bundles" / entry["name"] / entry["version"]
    except (ValueError, TypeError, KeyError, RecursionError, OSError) as error:
        raise BundleError(
            "bad_production", f"{path}: does not name a bundle: {error!r}; train or promote again"
        ) from error


def production_stamp(root: Path) -> str:
    """Return text that changes when a bundle is promoted; empty where none is in production."""
    try:
        with (root / PRODUCTION).open(errors="replace") as file:
            seen = os.fstat(file.fileno())  # two promotions may have one time
            return f"{seen.st_mtime_ns} {seen.st_ino} {file.read()}"
    except (FileNotFoundError, NotADirectoryError):
        return ""


def is_demo(root: Path) -> bool:
    """Return whether a home is the demo's own, where simulated sound may lead to a promotion."""
    return (root / DEMO).is_file()


def shipped_folder(name: str) -> Path:
    """Return the folder of a bundle that comes with the package.

    Parameters
    ----------
    name : str
        One of `SHIPPED_NAMES`.

    Returns
    -------
    Path

    Raises
    ------
    BundleError
        ``no_bundle`` for another name.
    """
    if name not in SHIPPED_NAMES:
        names = ", ".join(SHIPPED_NAMES)
        raise BundleError("no_bundle", f"{name}: no shipped bundle; must be one of {names}")
    return SHIPPED_ROOT / name


def shipped_bundles() -> list[dict[str, str]]:
    """Return what the manifests of the shipped bundles say, as `kept_bundles` does."""
    return [facts for name in SHIPPED_NAMES if (facts := _read_facts(SHIPPED_ROOT / name))]


def find_bundle(root: Path, chosen: Path | str | None = None) -> Bundle:
    """Read the chosen bundle, else the one in production, else the shipped ``default``.

    Parameters
    ----------
    root : Path
        The home folder.
    chosen : Path, str or None
        As `bundle_folder` takes it; None for the one in production or shipped.

    Returns
    -------
    Bundle
        Its hashes verified.

    Raises
    ------
    BundleError
        As in `read_bundle`, `bundle_folder` and `production_folder`.
    """
    if chosen is None:
        return read_bundle(production_folder(root) or SHIPPED)
    return read_bundle(bundle_folder(root, str(chosen)))


def bundle_folder(root: Path, ref: str) -> Path:
    """Return the folder of the bundle that a user names.

    Parameters
    ----------
    root : Path
        The home folder.
    ref : str
        A bundle's folder; ``name:version``; ``name``: the version of that name that is in
        production, else the newest; or the hash of its content, of which 8 digits are enough. The
        shipped bundles answer to ``default`` and ``fast`` where no kept bundle has that name.

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    BundleError
        ``no_bundle`` if nothing answers to `ref`; ``ambiguous_bundle`` if several hashes begin
        with it.
    """
    if "/" in ref or (Path(ref) / MANIFEST).is_file():
        return Path(ref).resolve()
    known = [*kept_bundles(root), *shipped_bundles()]
    if named := [each for each in known if ref in (each["name"], _full_name(each))]:
        folders = [Path(each["folder"]) for each in named]
        served = production_folder(root) if len(folders) > 1 else None
        return served if served in folders else folders[0]
    if ref in SHIPPED_NAMES:  # damaged, as its reader will say
        return shipped_folder(ref)
    hashed = [each for each in known if _HASH.fullmatch(ref) and each["sha256"].startswith(ref)]
    if len({each["sha256"] for each in hashed}) > 1:
        several = ", ".join(map(_full_name, hashed))
        raise BundleError("ambiguous_bundle", f"{ref}: the hashes of {several} begin with it")
    if hashed:
        return Path(hashed[0]["folder"])
    names = ", ".join([*map(_full_name, kept_bundles(root)), *SHIPPED_NAMES])
    raise BundleError(
        "no_bundle", f"{ref}: no bundle's folder and no bundle {ref!r}; known are {names}"
    )


def kept_bundles(root: Path) -> list[dict[str, str]]:
    """Return what the manifests of the kept bundles say of them, the newest first.

    Parameters
    ----------
    root : Path
        The home folder.

    Returns
    -------
    list of dict of str to str
        ``name``, ``version``, ``created``, ``sha256`` and ``folder``. No hash is verified; a
        version whose manifest cannot be read is left out.
    """
    folders = [folder for folder in (root / "bundles").glob("*/*") if folder.name.isdecimal()]
    folders.sort(key=lambda folder: int(folder.name))
    found = [facts for folder in folders if (facts := _read_facts(folder))]
    return sorted(found, key=lambda each: each["created"])[::-1]


def _read_facts(folder: Path) -> dict[str, str]:
    """Return the descriptive entries of a manifest; none of one that cannot be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        facts = {key: str(manifest[key]) for key in ("name", "version", "sha256")}
        created = str(manifest.get("created", "-"))
    except (OSError, ValueError, KeyError, TypeError):  # `keep` passes over such a version too
        return {}
    return {**facts, "created": created, "folder": str(folder)}


def _full_name(facts: Mapping[str, str]) -> str:
    return f"{facts['name']}:{facts['version']}"


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
