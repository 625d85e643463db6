"""Work in the background that goes on whatever happens to it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from bonafide.errors import BonafideError

log = logging.getLogger("bonafide.serve")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0
TEND_S = 1.0  # seconds between two looks at what may change or vanish: keys, counters, folders


async def supervise(name: str, work: Callable[[], Awaitable[None]]) -> NoReturn:
    """Do work again and again, until this is cancelled; each failure is logged.

    Parameters
    ----------
    name : str
        What the log calls it.
    work : callable
        Ends only by failing, as a rule. After a failure it starts again, at once where it had gone
        on for long, and after pauses that grow where it fails every time.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        start = time.monotonic()
        try:
            await work()
        except Exception as error:  # whatever it is: the service goes on
            expected = isinstance(error, BonafideError | OSError)
            log.error("%s failed and starts again: %s", name, error, exc_info=not expected)
        if time.monotonic() - start > LONGEST_PAUSE_S:
            pause_s = FIRST_PAUSE_S
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
