"""The command `bonafide`: which commands there are, and how a run ends.

Exit codes: 0 done; 1 some inputs failed, each of them reported; 2 wrong usage; 130 interrupted.
"""

import io
import os
import pathlib
import sys
from collections.abc import Sequence

import click

import bonafide
from bonafide.cli.extras import not_installed
from bonafide.cli.lazy import LazyGroup
from bonafide.errors import BonafideError, printable

PROGRAM = "bonafide"
WRONG_USAGE, INTERRUPTED = 2, 130
RESUMED = ("train", "tune")  # by the same words again
COMMANDS = {
    "train": "bonafide.cli.train",
    "tune": "bonafide.cli.train",
    "score": "bonafide.cli.score",
    "evaluate": "bonafide.cli.score",
    "watch": "bonafide.cli.watch",
    "calls": "bonafide.cli.calls",
    "stream": "bonafide.cli.stream",
    "provenance": "bonafide.cli.provenance",
    "report": "bonafide.cli.report",
    "adapt": "bonafide.cli.adapt",
    "serve": "bonafide.cli.serve",
    "app": "bonafide.cli.serve",
    "mcp": "bonafide.cli.tools",
    "keys": "bonafide.cli.keys",
    "bench": "bonafide.cli.bench",
    "corpus": "bonafide.cli.corpus",
    "models": "bonafide.cli.models",
    "schedule": "bonafide.cli.schedule",
    "monitor": "bonafide.cli.monitor",
    "feedback": "bonafide.cli.monitor",
    "prune": "bonafide.cli.prune",
    "dashboard": "bonafide.cli.dashboard",
}
EPILOG = (
    "Shell completion: add this line to ~/.bashrc (for zsh: zsh_source, to ~/.zshrc): "
    'eval "$(_BONAFIDE_COMPLETE=bash_source bonafide)"'
)


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(bonafide.__version__, message="%(version)s")
def cli() -> None:
    """Detect machine-generated speech."""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    words : sequence of str, optional
        The command line without the program's name; that of this process by default.

    Returns
    -------
    int
        0 done; 1 some inputs failed; 2 wrong usage; 130 interrupted.

    Raises
    ------
    ModuleNotFoundError
        For a module that no extra brings, which is a mistake of ours.
    """
    arguments = list(sys.argv[1:] if words is None else words)
    _prepare_streams()
    try:
        status = cli.main(arguments, PROGRAM, standalone_mode=False) or 0
        sys.stdout.flush()
        return status
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
    except click.UsageError as error:
        _report("usage", error.format_message())
        command = error.ctx.command_path if error.ctx else PROGRAM
        click.echo(f"See '{command} --help'.", err=True)
    except BonafideError as error:
        _report(error.code, error.message)
    except ModuleNotFoundError as error:
        missing = not_installed(error.name)
        if missing is None:
            raise
        _report(missing.code, missing.message)
    except OSError as error:  # a full disk, say
        try:
            sys.stdout.flush()
        except OSError:
            sys.stdout = _nowhere()  # Python flushes once more at the end
        where = f"{error.filename}: " if error.filename else ""
        _report("os_error", f"{where}{error.strerror or error}")
    except click.Abort:
        return _stopped(arguments)
    except Exception as error:
        if _is_interrupt(error):
            return _stopped(arguments)
        raise
    return WRONG_USAGE


def _stopped(arguments: Sequence[str]) -> int:
    resumed = arguments[:1] and arguments[0] in RESUMED
    how = "; what is finished is kept, run again to resume" if resumed else ""
    click.echo(f"bonafide: stopped{how}", err=True)
    return INTERRUPTED


def _is_interrupt(error: BaseException | None) -> bool:
    """Return whether an error goes back to Ctrl-C, as of a library that was being imported."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _nowhere() -> io.TextIOBase:
    return pathlib.Path(os.devnull).open("w", encoding="utf-8")


def _prepare_streams() -> None:
    """Have a stream that is closed take what is printed, and no file name stop the printing."""
    sys.stdout, sys.stderr = (stream or _nowhere() for stream in (sys.stdout, sys.stderr))
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _report(code: str, message: str) -> None:
    lines = f"{PROGRAM}: {code}: {message}".split("\n")  # of what a process printed, say
    click.echo("\n".join(map(printable, lines)), err=True)
