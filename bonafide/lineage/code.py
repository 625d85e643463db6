"""Which code runs: its version, commit and hash, and the installed packages."""

import platform
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import bonafide
from bonafide.artifact import sha256_of

PACKAGES = ("bonafide", "pipelines", "steps", "materializers", "serving")
SUFFIXES = (".py", ".j2", ".css")
CHANGES = "+changes"  # after a commit: the files were not what it holds
TOP = Path(bonafide.__file__).resolve().parent.parent


def code_hashes(top: Path = TOP) -> dict[str, str]:
    """Return the SHA-256 of each of our packages, by name.

    Parameters
    ----------
    top : Path
        A checkout, or the folder that the packages are installed in.

    Returns
    -------
    dict of str to str
        Names and contents of the files with code and templates count; packages that are not there
        are left out.
    """
    return {name: _hash(top / name) for name in PACKAGES if (top / name).is_dir()}


def _hash(package: Path) -> str:
    files = sorted(path for path in package.rglob("*") if path.suffix in SUFFIXES)
    parts = [(path.relative_to(package).as_posix(), path.read_bytes()) for path in files]
    return sha256_of(*(part for pair in parts for part in pair))


def whole_sha256(hashes: dict[str, str]) -> str:
    """Return one hash of the hashes of packages, which `code_hashes` returns."""
    return sha256_of(*(text for pair in sorted(hashes.items()) for text in pair))


def code_version() -> dict[str, Any]:
    """Return which code runs.

    Returns
    -------
    dict
        ``version`` of the package; ``sha256`` of all code, and in ``packages`` that of each
        package; in a checkout ``commit``, which ends in ``+changes`` if files differ from it.
    """
    packages = code_hashes()
    found = {
        "version": bonafide.__version__,
        "sha256": whole_sha256(packages),
        "packages": packages,
    }
    if (TOP / ".git").exists() and shutil.which("git"):
        commit, changed = (
            subprocess.run(["git", "-C", str(TOP), *words], capture_output=True, text=True)
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", *PACKAGES))
        )
        if commit.returncode == 0:
            found["commit"] = commit.stdout.strip() + (CHANGES if changed.stdout else "")
    return found


def environment() -> dict[str, Any]:
    """Return what the code runs on.

    Returns
    -------
    dict
        ``python``, ``platform``, and in ``packages`` the version of each installed distribution.
    """
    # Setuptools, once it is imported, adds copies of its own that nothing else imports.
    path = [folder for folder in sys.path if not folder.endswith("_vendor")]
    found = [each for each in distributions(path=path) if each.name]
    versions = {each.name.lower(): each.version for each in reversed(found)}  # the first counts
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": dict(sorted(versions.items())),
    }
