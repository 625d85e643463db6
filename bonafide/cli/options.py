"""Options that several commands share."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bonafide
from bonafide.errors import BonafideError, ConfigError, CorpusError

if TYPE_CHECKING:
    from bonafide.training.config import Config

SOME_FAILED = 1
PRODUCTION = (
    "a bundle's name, name:version, sha256 or folder; default: the one in production, else the "
    "one that ships with bonafide"
)


class NamedPath(click.Path):
    """A path that is not empty, as that of an unset variable is: it would be this folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not os.fspath(value):
            self.fail("it is empty; must name a file or a folder", param, ctx)
        return super().convert(value, param, ctx)


class OutputFile(NamedPath):
    """A file to write; one that cannot be written is an error before the work starts."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, or fail if its folder is missing or write-protected."""
        if value == "-":
            return Path("/dev/stdout")
        super().convert(value, param, ctx)
        path = Path(value)
        if path.exists():
            return path  # a device, say, whatever its folder allows
        if not path.parent.is_dir():
            self.fail(f"{path}: there is no folder {path.parent}", param, ctx)
        if not os.access(path.parent, os.W_OK):
            self.fail(f"{path}: the folder {path.parent} cannot be written to", param, ctx)
        return path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; to a device or a pipe, as it is."""
    if path.is_relative_to("/dev") or (path.exists() and not path.is_file()):
        path.write_bytes(content)
        return
    path = path.resolve()
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


PATH = NamedPath(path_type=Path)


def configs_folder() -> Path:
    """Return the folder of the run configurations, in a checkout or in an installed wheel."""
    package = Path(bonafide.__file__).resolve().parent
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


def configuration(path: Path | None) -> "Config":
    """Return the configuration in a file; that of the demo without one."""
    from bonafide.training.config import read_config

    return read_config(path or configs_folder() / "demo.yaml")


def record_path(path: Path | None) -> Path:
    """Return the file of the record that is named; that of the home without one."""
    from bonafide.home import home
    from bonafide.monitoring.record import RECORD

    return path or home() / RECORD


def require_record(path: Path | None) -> Path:
    """Return the file of the record that is named or the home's; raise ``no_record`` without it."""
    if not (found := record_path(path)).exists():
        raise BonafideError(
            "no_record",
            f"{found}: no record of answers is here; a service writes one where it is started with "
            "BONAFIDE_RECORD=FILE, and --record or the same variable names it",
        )
    return found


class ConfigFile(click.Path):
    """A run configuration: a file, or the name of one that comes with bonafide."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path of the file that is named."""
        if value and Path(value).exists():
            return Path(value)
        known = {file.stem: file for file in sorted(configs_folder().glob("*.yaml"))}
        if value not in known:
            names = ", ".join(known)
            message = f"{value}: no such file; must be one, or one of the names {names}"
            raise ConfigError("no_config", message)
        return known[value]


def require_corpora(command: str, corpora: Sequence[str]) -> None:
    """Check that a command that learns from recordings was given some.

    Parameters
    ----------
    command : str
        Its words, for the message.
    corpora : sequence of str
        What follows ``--corpus``.

    Raises
    ------
    CorpusError
        ``no_corpus`` where none is named, with what to type, or one is not there.
    """
    if not corpora:
        raise CorpusError(
            "no_corpus",
            f"{command} needs recordings: --corpus PATH, a manifest or a folder; to try it on "
            "simulated ones: bonafide corpus simulate simulated && bonafide train --corpus "
            "simulated/manifest.csv, or make demo in a checkout",
        )
    for path in corpora:
        if not Path(path).exists():
            raise CorpusError("no_corpus", f"{path}: no such file or folder")


def require_own(bundle: str | None, service: str | None) -> None:
    """Refuse the words that name a bundle for a service that is running.

    Parameters
    ----------
    bundle, service : str or None
        What the command was given.

    Raises
    ------
    UsageError
        Where both are named.
    """
    if bundle is not None and service is not None:
        raise click.UsageError("--bundle: must be about a service of its own, not --service")


class Whole(click.IntRange):
    """A whole number within limits, called a number where a word is given."""

    name = "integer"


class Number(click.FloatRange):
    """A number within limits; ``nan``, which is within any, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        if math.isnan(number := super().convert(value, param, ctx)):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


PORT = Whole(1, 65535)

bundle = click.option("--bundle", metavar="REF", help=PRODUCTION)
service = click.option(
    "--service",
    metavar="URL",
    help="a service that is running (its API key: BONAFIDE_API_KEY); default: one of its own",
)
quiet = click.option("--quiet", is_flag=True, help="show no progress")
as_json = click.option("--json", "as_json", is_flag=True, help="print JSON")
config = click.option(
    "--config",
    type=ConfigFile(),
    metavar="NAME|FILE",
    help="one that comes with bonafide, such as full or demo, or a YAML file; default: demo",
)
corpora = click.option(
    "--corpus",
    "corpora",
    type=NamedPath(),
    multiple=True,
    metavar="PATH",
    help="manifest or folder; may be repeated",
)
corpus_format = click.option(
    "--corpus-format", metavar="NAME", help="such as manifest or folder; default: recognised"
)
verify = click.option(
    "--verify", is_flag=True, help="read every file again, though its size and times are the same"
)
record = click.option(
    "--record",
    "record_file",
    type=PATH,
    envvar="BONAFIDE_RECORD",
    metavar="FILE",
    help="what the service writes (BONAFIDE_RECORD); default: record.sqlite in the home folder",
)
