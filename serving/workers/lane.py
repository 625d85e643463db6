"""A lane: a queue of requests, and the scorer of this worker that takes them."""

import asyncio
import contextlib
import logging
import os
from pathlib import Path

from serving.http.uploads import Upload
from serving.settings import Settings
from serving.workers.exchange import Exchange
from serving.workers.keeper import Keeper
from serving.workers.supervise import TEND_S

log = logging.getLogger("bonafide.serve")


class Lane:
    """Keeps a queue open and a scorer running.

    Parameters
    ----------
    folder : Path
        Where the queue is; the workers of a server share it.
    home : Path
        Where the bundle in production is, unless the settings name another.
    settings : Settings
        Of the service.
    niceness : int
        Of its scorer, from 0 to 19.
    role : str
        As in `Keeper`.
    """

    def __init__(
        self, folder: Path, home: Path, settings: Settings, niceness: int = 0, role: str = ""
    ) -> None:
        self.exchange = Exchange(folder)
        self.keeper = Keeper(folder, home, settings, niceness, role)
        self.trouble = "it is starting"  # why requests may not be answered; empty as a rule
        self.tried = asyncio.Event()  # set once a scorer runs, or could not be started
        self._has_opened = False

    @property
    def is_open(self) -> bool:
        """Whether requests can be put into the queue."""
        return self._has_opened and self.exchange.is_intact()

    def again(self, upload: Upload) -> Upload | None:
        """Give an upload another name, in this queue, which outlives its own; None if none can be.

        Parameters
        ----------
        upload : Upload
            Whole; of any queue of this server.
        """
        named = self.exchange.new_upload()
        with contextlib.suppress(OSError):
            os.link(upload.path, named.path)
            return named
        return None

    async def keep(self) -> None:
        """Have the queue open and a scorer running, again and again."""
        while True:
            try:
                if not self.is_open:
                    await self._reopen()
                await self.keeper.tend()
            except Exception as error:
                self.trouble = str(error)
                raise
            else:
                self.trouble = ""
            finally:
                self.tried.set()
            await self.keeper.wait(TEND_S)

    async def close(self) -> None:
        """End the scorer and close the queue."""
        await self.keeper.drop()
        self.exchange.close()

    async def _reopen(self) -> None:
        """Open the queue anew; the scorer, which reads the one that is gone, goes with it."""
        if self._has_opened:
            log.error("the run folder was damaged, it is made anew: %s", self.exchange.folder)
            self._has_opened = False
            self.exchange.close()
            await self.keeper.drop()
        await self.exchange.open()
        self._has_opened = True
