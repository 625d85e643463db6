"""The home folder, the demo's, what ships with the package, and scratch folders."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from bonafide.bundle import MANIFEST, bundle_facts
from bonafide.errors import BundleError, ConfigError
from bonafide.process.lifetime import process_is_gone

NAME = "home.id"  # a file that names a home, wherever it lies
DEMO = "demo-home"  # a file of this name makes a home the demo's own
# The bundles that come with the package: the one that answers by default, and a faster one.
SHIPPED_NAMES = ("default", "fast")
SHIPPED_ROOT = Path(__file__).resolve().parent / "shipped"
SHIPPED = SHIPPED_ROOT / SHIPPED_NAMES[0]


def home() -> Path:
    """Return the home folder: ``$BONAFIDE_HOME``, else ``bonafide`` in the user's data folder.

    Returns
    -------
    Path
        Absolute, so that it stays the same wherever a process goes on.

    Raises
    ------
    ConfigError
        ``no_home`` if the user has no home folder and none is named; ``bad_home`` if it is a file,
        or links that lead nowhere but to each other.
    """
    root = _named_home()
    if os.path.exists(root) and not os.path.isdir(root):  # noqa: PTH110, PTH112  # never raise
        raise ConfigError("bad_home", f"{root}: the home (BONAFIDE_HOME) must be a folder")
    return root


def _named_home() -> Path:
    for name, below in (("BONAFIDE_HOME", ""), ("XDG_DATA_HOME", "bonafide")):
        if chosen := os.environ.get(name):
            try:
                return Path(chosen).resolve() / below
            except (RuntimeError, OSError) as error:
                raise ConfigError("bad_home", f"{name}={chosen}: {error}") from error
    try:
        return Path.home().resolve() / ".local" / "share" / "bonafide"
    except RuntimeError as error:
        message = "this user has no home folder: name one with BONAFIDE_HOME"
        raise ConfigError("no_home", message) from error


def home_name(root: Path) -> str:
    """Return the name of a home, which is given when it is first asked for: by its first run."""
    path = root / NAME
    if not path.exists():
        root.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{NAME}-{uuid4().hex}")
        draft.write_text(uuid4().hex)
        with contextlib.suppress(FileExistsError):  # of two at once the first names it
            os.link(draft, path)
        draft.unlink()
    return path.read_text()


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
    """Return what the manifests of the shipped bundles say; see `bonafide.bundle.bundle_facts`."""
    paths = [SHIPPED_ROOT / name / MANIFEST for name in SHIPPED_NAMES]
    read = [(path, bundle_facts(path.read_bytes())) for path in paths if path.is_file()]
    return [{**facts, "folder": str(path.parent)} for path, facts in read if facts]


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
