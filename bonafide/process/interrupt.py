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


def _stop(_signal: int, frame: FrameType | None) -> None:
    if _would_be_lost(frame):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        raise KeyboardInterrupt


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
        for number, handler in before.items():
            signal.signal(number, handler)
