"""`bonafide watch`."""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

import click

from bonafide.cli import options
from bonafide.errors import BonafideError, ConfigError, printable

if TYPE_CHECKING:
    from bonafide.detector import Detector
    from bonafide.registry import Version
    from bonafide.watching import Mark, Row, Scored

LONGEST_S = 0.2  # that a signal waits to be heard of


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
    type=options.Number(0.1, 86_400),
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
    from bonafide.errors import storing
    from bonafide.process.interrupt import interruptible
    from bonafide.watching import scored_before

    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # a link stays one
    to = _results(folder, output)
    judge, stopping = _Judge(bundle), _Stopping()
    with storing(to), locked_file(to) as file, interruptible(stopping.stop):
        scored = scored_before(to)
        os.truncate(to, scored.end)
        file.write("\n" if scored.open else "")
        file.flush()
        known = len(scored.marks)
        _say(f"watching {folder}; results go to {to}, which has {known}")
        _Watch(folder, to, file, judge, scored, quiet=quiet).run(every, stopping)


def _results(folder: Path, output: Path | None) -> Path:
    """Return the file of results: it says what was scored, and so must be one to be read."""
    if output is None and not folder.name:
        raise click.UsageError(f"--output: must be named, for {folder} has no name")
    to = output or folder.with_name(f"{folder.name}.jsonl")
    if to.is_relative_to("/dev") or (to.exists() and not to.is_file()):
        raise click.UsageError(f"--output {to}: must be a file, not a device or a pipe")
    return to


class _Stopping:
    """Whether to stop: a signal says so; the recording in hand is scored first.

    A second Ctrl-C stops at once.
    """

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                signal.signal(number, self.stop)

    def stop(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

    def wait(self, seconds: float) -> None:
        """Wait, but not much longer than until a signal comes."""
        end = time.monotonic() + seconds
        while not self.asked and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, LONGEST_S))


class _Watch:
    """Look, score, write: what arrives in a folder, into a file of results."""

    def __init__(
        self,
        folder: Path,
        to: Path,
        file: TextIO,
        judge: "_Judge",
        scored: "Scored",
        *,
        quiet: bool,
    ) -> None:
        from bonafide.scoring import WRITERS
        from bonafide.watching import Arrivals

        self._to, self._file, self._judge, self._scored = to, file, judge, scored
        self._arrivals = Arrivals(folder, scored.marks, to)
        self._write = WRITERS["jsonl"](file)
        self._show = None if quiet else WRITERS["table"](sys.stdout)
        self._told = set[str]()

    def run(self, every: float, stopping: _Stopping) -> None:
        """Go on until stopped."""
        while not stopping.asked:
            for mark in self._look():
                if not stopping.asked:
                    self._score(mark)
            stopping.wait(every)

    def _look(self) -> "list[Mark]":
        """Return what has arrived; say once of each folder that cannot be listed."""
        try:
            arrived = self._arrivals.look()
        except ConfigError:
            arrived = []
        unreadable = {
            f"{path}: this folder cannot be listed; looking again until it can be"
            for path in self._arrivals.unreadable
        }
        for said in sorted(unreadable - self._told):
            _say(said)
        self._told = unreadable
        return arrived

    def _score(self, mark: "Mark") -> None:
        """Write the row of a recording, unless that is not what arrived any more."""
        from bonafide.errors import storing

        if not self._to.exists() or not os.path.samestat(
            os.fstat(self._file.fileno()), self._to.stat()
        ):
            message = f"{self._to}: was removed or replaced meanwhile; start again to write it anew"
            raise ConfigError("output_gone", message)
        row, done = self._judge.row_of(mark, self._scored)
        if row is not None:
            self._write(row)
            self._scored.add(row)
            if self._show:
                with storing(Path("standard output")):  # not the file of results
                    self._show(row)
        if done:
            self._arrivals.done(mark)


class _Judge:
    """The detector, which is that of the bundle in production unless one is named."""

    def __init__(self, bundle: str | None) -> None:
        self._bundle, self._told = bundle, ""
        self._unread = set["Mark"]()  # those that could not be read, as is told once
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

    def row_of(self, mark: "Mark", scored: "Scored") -> "tuple[Row | None, bool]":
        """Score what arrived.

        Parameters
        ----------
        mark : Mark
            What arrived.
        scored : Scored
            What was scored before.

        Returns
        -------
        dict or None
            The row; None where the file was scored before, or is another one by now.
        bool
            Whether it is done with. What cannot be read, was changed or taken away may come again.
        """
        from bonafide.artifact import file_sha256
        from bonafide.history import stamp
        from bonafide.scoring import score_files
        from bonafide.watching import mark_of

        self._follow()
        if mark_of(mark.path) != mark:
            return None, False
        try:
            sha256 = file_sha256(Path(mark.path))
        except OSError:
            sha256 = ""  # why it cannot be read, its result says
        if mark in self._unread and not sha256:
            return None, False
        if sha256 and scored.contents.get(mark.path) == sha256:
            return None, True
        (result,) = score_files(self._detector.score, [mark.path])
        now = mark_of(mark.path)
        if now != mark and (now or "error" in result):
            return None, False
        if not sha256:
            self._unread.add(mark)
        return {**result, "sha256": sha256, **mark.entries(), "scored": stamp()}, bool(sha256)

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
