"""Options that several commands share."""

import os
from pathlib import Path
from typing import Any

import click

SOME_FAILED = 1
PRODUCTION = "default: the bundle in production, else the one that ships with bonafide"


class OutputFile(click.Path):
    """A file to write; one that cannot be written is an error before the work starts."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, or fail if its folder is missing or write-protected."""
        super().convert(value, param, ctx)
        path = Path(value)
        if not path.parent.is_dir():
            self.fail(f"{path}: there is no folder {path.parent}", param, ctx)
        if not os.access(path.parent, os.W_OK):
            self.fail(f"{path}: the folder {path.parent} cannot be written to", param, ctx)
        return path


PATH = click.Path(path_type=Path)


class Whole(click.IntRange):
    """A whole number within limits, called a number where a word is given."""

    name = "integer"


PORT = Whole(1, 65535)

bundle = click.option("--bundle", type=PATH, metavar="DIR", help=PRODUCTION)
quiet = click.option("--quiet", is_flag=True, help="show no progress")
as_json = click.option("--json", "as_json", is_flag=True, help="print JSON")
config = click.option(
    "--config", type=PATH, metavar="FILE", help="YAML; default: the demo's configuration"
)
corpora = click.option(
    "--corpus",
    "corpora",
    type=click.Path(),
    multiple=True,
    metavar="PATH",
    help="manifest or folder; may be repeated; default: a simulated corpus",
)
corpus_format = click.option(
    "--corpus-format", metavar="NAME", help="such as manifest or folder; default: recognised"
)
verify = click.option(
    "--verify", is_flag=True, help="read every file again, though its size and times are the same"
)
