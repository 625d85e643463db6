"""The files and folders that a command is given."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from bonafide.errors import printable

NAMED = 10  # files that are left out of a folder, before the rest are counted alone


class FilesFirst(click.Command):
    """A command that never takes the name of an existing file for an option.

    In `score *`, a file called ``--help.wav`` becomes ``./--help.wav``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``./`` before such names, then parse."""
        known = {name for option in self.get_params(ctx) for name in option.opts}

        def is_file(word: str) -> bool:
            option = word.partition("=")[0]
            is_name = word.startswith("-") and word != "-" and option not in known
            return is_name and os.path.exists(word)  # noqa: PTH110

        if "--" not in args:
            args = [f"./{word}" if is_file(word) else word for word in args]
        return super().parse_args(ctx, args)


# What cannot be read is that file's error, and none of the command line.
paths_argument = click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(readable=False)
)


def recordings(folder: str) -> list[str]:
    """List the recordings in a folder, and say on standard error what is left out.

    Parameters
    ----------
    folder : str
        Searched to any depth.

    Returns
    -------
    list of str
        Paths, in order; those that cannot be read, too.
    """
    from bonafide.corpora.files import list_folder

    listing = list_folder(Path(folder))
    _say_skipped(folder, listing.skipped, "that {} not audio")
    _say_skipped(folder, listing.hidden, "that {} hidden")
    return [str(path) for path in sorted([*listing.audio, *listing.unreadable])]


def _say_skipped(folder: str, paths: Sequence[Path], why: str) -> None:
    if paths:
        names = ", ".join(str(path.relative_to(folder)) for path in paths[:NAMED])
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        count = "1 file" if len(paths) == 1 else f"{len(paths)} files"
        why = why.format("is" if len(paths) == 1 else "are")
        click.echo(printable(f"{folder}: skipped {count} {why}: {names}{more}"), err=True)


def no_recordings(folder: str) -> dict[str, object]:
    """Return the result that stands for a folder without a recording."""
    message = f"{folder}: no file in this folder is a recording"
    return {"path": folder, "error": {"code": "no_recordings", "message": message}}
