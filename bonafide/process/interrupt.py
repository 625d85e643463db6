"""Ctrl-C while a decoder works."""

import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_S = 0.01


def _in_callback(frame: FrameType | None) -> bool:
    """Return whether libsndfile is asking Python for bytes: it takes an exception for their end."""
    return any(
        f.f_globals.get("__name__") == "soundfile" and f.f_code.co_name.startswith("vio_")
        for f, _ in traceback.walk_stack(frame)
    )


def _stop(_signal: int, frame: FrameType | None) -> None:
    if _in_callback(frame):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a block, at once or as soon as a decoder has the bytes it asks for.

    Without it an interrupt may be lost, and the file of that moment taken for one that ends there.
    """
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
