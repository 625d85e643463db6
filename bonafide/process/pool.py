"""Spread work over processes that may crash without ending the run."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import TypeVar

from bonafide.errors import BonafideError

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]


def silent(_done: int, _total: int) -> None:
    """Ignore progress."""


def worker_count() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0))


class PoolError(BonafideError):
    """Worker processes that cannot be used."""


def _begin(started: "Connection[bytes, bytes]") -> None:
    # Ctrl-C reaches the whole group; the parent alone decides what stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError):  # all the work may be done by now, and the pool gone
        started.send_bytes(b"1")


def _end_with_parent() -> None:
    """Leave at once when the parent is gone: a pool that waits for work would wait for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


class _Pool(ProcessPoolExecutor):
    """Fresh interpreters, and whether one of them ever got as far as work."""

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        # A pipe, which is inherited: what has a name may be gone before the last worker starts.
        self._started, begun = context.Pipe(duplex=False)
        super().__init__(workers, context, _begin, (begun,))

    def require_started(self) -> None:
        """Raise a `PoolError` if it broke before any work, which no item is to blame for."""
        if not self._started.poll():
            raise PoolError(
                "no_workers",
                "worker processes end while they start; in a script, what starts them must stand "
                "under `if __name__ == '__main__':`, for each of them runs the script's top again",
            )


def _alone(
    function: Callable[[Item], Result], item: Item, crashed: Callable[[Item], Result]
) -> Result:
    pool = _Pool(1)
    try:
        return pool.submit(function, item).result()
    except BrokenProcessPool:
        pool.require_started()
        return crashed(item)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def map_parallel(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    crashed: Callable[[Item], Result],
    workers: int | None = None,
) -> Iterator[tuple[int, Result]]:
    """Run `function` on every item, a few at a time, in processes of their own.

    Parameters
    ----------
    function : callable
        Importable by a fresh interpreter, to which each item is sent.
    items : iterable
        Taken as they are needed, so that memory does not grow with their number.
    crashed : callable
        Maps an item whose process crashed (by a fault in a codec, say) to its result.
    workers : int or None
        Number of processes, at least 1; None for one per core.

    Yields
    ------
    tuple of int and result
        The item's position and its result, as they finish.

    Raises
    ------
    PoolError
        ``no_workers`` if the processes end before they could do any work.
    """
    workers = workers or worker_count()
    pending = enumerate(items)
    running: dict[Future[Result], tuple[int, Item]] = {}
    pool = _Pool(workers)
    try:
        while True:
            broken: list[tuple[int, Item]] = []
            while len(running) < 2 * workers and (entry := next(pending, None)) is not None:
                try:
                    running[pool.submit(function, entry[1])] = entry
                except BrokenProcessPool:  # it broke while the caller was busy
                    broken.append(entry)
                    break
            if not running and not broken:
                return
            finished = wait(running, return_when=FIRST_COMPLETED).done if running else set()
            for future in finished:
                entry = running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    broken.append(entry)
                else:
                    yield entry[0], future.result()
            if broken:
                pool.require_started()
                suspects, running = [*broken, *running.values()], {}
                pool.shutdown(wait=False, cancel_futures=True)
                pool = _Pool(workers)
                for position, item in suspects:  # one at a time, to tell the culprit from the rest
                    yield position, _alone(function, item, crashed)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
