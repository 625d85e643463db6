"""Progress of long-running work: bars in a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Report = Callable[[int, int], None]
LINE_EVERY_S = 10.0


class Display:
    """The progress of several tasks, on standard error.

    Used as a context manager, it becomes the display that `reporter` reports to.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    """

    _current: "Display | None" = None

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._last: dict[str, tuple[float, int]] = {}
        console = Console(file=sys.__stderr__)  # orchestrators capture sys.stderr
        self._bars: Progress | None = None
        if console.is_terminal and not quiet:
            self._bars = Progress(
                TextColumn("{task.description:<22}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("remaining"),
                TimeRemainingColumn(),
                console=console,
            )

    def __enter__(self) -> "Display":
        """Become the display that `reporter` reports to."""
        if self._bars:
            self._bars.start()
        Display._current = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the bars."""
        Display._current = None
        if self._bars:
            self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        if self._bars:
            self._bars.console.print(text)
        elif not self._quiet:
            self._write(text)

    def update(self, name: str, done: int, total: int) -> None:
        """Show how far a task has come; may be called from any thread.

        Parameters
        ----------
        name : str
            The task; a new name adds one.
        done, total : int
            Units of work, 0 or more.
        """
        with self._lock:
            if self._bars:
                if name not in self._tasks:
                    self._tasks[name] = self._bars.add_task(name, total=total)
                self._bars.update(self._tasks[name], completed=done, total=total)
            elif not self._quiet:
                self._line(name, done, total)

    def _line(self, name: str, done: int, total: int) -> None:
        now = time.monotonic()
        last, seen = self._last.get(name, (-LINE_EVERY_S, -1))
        if done == seen or (done < total and now - last < LINE_EVERY_S):
            return
        self._last[name] = (now, done)
        self._write(f"{name}: {100 * done // max(total, 1)} %")

    @staticmethod
    def _write(text: str) -> None:
        stream = sys.__stderr__ or sys.stderr
        stream.write(text + "\n")
        stream.flush()


def reporter(name: str) -> Report:
    """Return the function to which a long task reports ``(done, total)``.

    Parameters
    ----------
    name : str
        The task, as people read it.

    Returns
    -------
    callable
        Called with ``done`` and ``total``; does nothing while no `Display` is open.
    """

    def report(done: int, total: int) -> None:
        if Display._current is not None:
            Display._current.update(name, done, total)

    return report
