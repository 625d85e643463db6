"""Ctrl-C in a place where it would be lost, or do harm: it waits until that is left."""

import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Stop = Callable[[int, FrameType | None], None]

AGAIN_S = 0.01
# By module, how functions begin in which an exception is lost: libsndfile, FFmpeg and c2pa-python
# call those of the first three for bytes, and take it for their end; PyAV runs the last while it
# raises another.
LOSING = {
    "soundfile": ("vio_",),
    "bonafide.audio.view": ("readinto", "seek", "tell"),
    "c2pa.c2pa": ("read_callback", "seek_callback"),
    "": ("av.",),  # they have no module
}


def _would_be_lost(frame: FrameType | None) -> bool:
    """Return whether an exception that is raised here would not be heard of."""
    return any(
        f.f_code.co_name.startswith(("__del__", *LOSING.get(f.f_globals.get("__name__", ""), ())))
        for f, _ in traceback.walk_stack(frame)
    )


class _PutOff:
    """Whether an interrupt waits."""

    asked = False


def _stop(_signal: int, frame: FrameType | None) -> None:
    _PutOff.asked = _would_be_lost(frame)
    if not _PutOff.asked:
        raise KeyboardInterrupt
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)


def heed() -> None:
    """Take an interrupt that waits, where a decoder has returned.

    The timer alone might find one call for bytes after another for seconds, where file after file
    is opened in vain.

    Raises
    ------
    KeyboardInterrupt
        In the main thread, if one waits.
    """
    if _PutOff.asked:
        signal.raise_signal(signal.SIGALRM)


@contextmanager
def interruptible(stop: Stop = _stop) -> Iterator[None]:
    """Let Ctrl-C end a block, at once or a little later.

    Parameters
    ----------
    stop : callable
        Handles the signal: raises KeyboardInterrupt, or sets the timer that sends SIGALRM, to be
        called again. By default it waits while a decoder asks for bytes: an interrupt would be
        lost, and the file of that moment taken for one that ends there.
    """
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _PutOff.asked = False
        for number, handler in before.items():
            signal.signal(number, handler)
