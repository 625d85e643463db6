"""`bonafide watch`."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from bonafide.cli import options
from bonafide.errors import BonafideError, ConfigError, printable

if TYPE_CHECKING:
    from bonafide.detector import Detector
    from bonafide.registry import Version
    from bonafide.scoring import Result
    from bonafide.watching import Mark, Scored


@click.command()
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="FOLDER"
)
@options.bundle
@click.option(
    "--output",
    type=options.OutputFile(),
    metavar="FILE",
    help="results, one JSON object a line; default: FOLDER.jsonl, beside the folder",
)
@click.option(
    "--every",
    type=click.FloatRange(0.1, 86_400),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="how often to look; a file has arrived once two looks find it the same",
)
@options.quiet
def watch(folder: Path, bundle: str | None, output: Path | None, every: float, quiet: bool) -> None:
    """Score what arrives in a folder, each recording once.

    It goes on until it is stopped. What lies there already counts, too. Started again, it does not
    score again what the file of results holds. Without --bundle it follows the one in
    production.
    """
    from bonafide.cli.output import locked_file
    from bonafide.process.interrupt import interruptible
    from bonafide.scoring import WRITERS
    from bonafide.watching import Arrivals, scored_before

    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # a link stays one
    to = output or folder.with_name(f"{folder.name}.jsonl")
    judge, stopping = _Judge(bundle), threading.Event()
    show = None if quiet else WRITERS["table"](sys.stdout)
    with locked_file(to) as file, interruptible(_stop(stopping)):
        scored = scored_before(to)
        os.truncate(to, scored.end)
        known = len(scored.marks)
        click.echo(f"watching {folder}; results go to {to}, which has {known}", err=True)
        write, arrivals = WRITERS["jsonl"](file), Arrivals(folder, scored.marks)
        lost = False
        while not stopping.is_set():
            try:
                arrived = arrivals.look()
            except ConfigError as error:
                if not lost:
                    _say(f"{error.message}; looking again until it can be")
                arrived, lost = [], True
            else:
                lost = False
            for mark in arrived:
                if stopping.is_set():
                    break
                if result := judge.score(mark, scored):
                    write(result)
                    if show:
                        show(result)
            stopping.wait(every)


def _stop(stopping: threading.Event) -> Callable[[int, FrameType | None], None]:
    """Have signals stop the loop, once the recording in hand is scored; a second one at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if stopping.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, stop)
    return stop


class _Judge:
    """The detector, which is that of the bundle in production unless one is named."""

    def __init__(self, bundle: str | None) -> None:
        self._bundle, self._told = bundle, ""
        self._version = self._production()
        self._detector = self._load()

    def _production(self) -> "Version | None":
        from bonafide.home import home
        from bonafide.registry import registry_of

        return None if self._bundle else registry_of(home()).production()

    def _load(self) -> "Detector":
        from bonafide.detector import Detector
        from bonafide.home import home
        from bonafide.registry import find_bundle

        return Detector(find_bundle(home(), self._bundle))

    def score(self, mark: "Mark", scored: "Scored") -> "Result | None":
        """Score what arrived; return its row, or None where it was scored before or is gone."""
        from bonafide.artifact import file_sha256
        from bonafide.history import stamp
        from bonafide.scoring import score_files
        from bonafide.watching import is_there

        self._follow()
        try:
            sha256 = file_sha256(Path(mark.path))
        except OSError:
            sha256 = ""  # why it cannot be read, its result says
        if (mark.path, sha256) in scored.contents:
            return None
        (result,) = score_files(self._detector.score, [mark.path])
        if "error" in result and not is_there(mark):
            return None  # taken away meanwhile, or changed, and then it arrives anew
        row = {**result, "sha256": sha256, **mark.entries(), "scored": stamp()}
        scored.add(row)
        return row

    def _follow(self) -> None:
        """Take the bundle that was promoted; stay with the last one while that cannot be loaded."""
        try:
            if (version := self._production()) != self._version:
                self._detector = self._load()
                self._version = version
        except BonafideError as error:
            if self._told != (told := f"{error.code}: {error.message}; the bundle before goes on"):
                self._told = told
                _say(told)


def _say(line: str) -> None:
    click.echo(printable(line), err=True)
