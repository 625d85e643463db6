"""Streams whose connection broke, kept for a while so that they can go on."""

import asyncio
import io
import json
import logging
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bonafide.bundle import Bundle
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.live import Hop, Live
from serving.http.stream.messages import Start, StreamError

log = logging.getLogger("bonafide.serve")
KEEP_S = 60.0
MOST_KEPT = 200  # some 50 MB; the oldest make room
RAW_S, BEFORE_S = 4.0, 0.2  # of sound as it came: what may not be judged yet, and what is kept
MOST_EVENTS = 64  # half a minute of them: what a broken connection may have lost
NAME = re.compile(r"[A-Za-z0-9_-]{22}")
PREFIX, SUFFIX = "stream-", ".kept"  # of a file's name


@dataclass
class Stream:
    """A stream, whichever connection it has.

    Parameters
    ----------
    live : Live
        What was heard.
    start : Start
        How it started.
    owner : str
        Whose it is: a key's name, or an address.
    name : str
        What it is resumed by; cannot be guessed.
    events : list of dict
        The newest that it was told.
    end : dict
        The last one, once there is one.
    before : bytes
        The sound before what comes next, where it goes on.
    """

    live: Live
    start: Start
    owner: str
    name: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    events: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)
    before: bytes = b""

    def __post_init__(self) -> None:
        """Make ready to decode what comes."""
        self.sound = self.start.sound()
        self.sound.follow(self.before)
        self._raw, self._n_bytes = self.before, self.received * self.sound.width

    def feed(self, piece: bytes) -> list[Hop]:
        """Take the next bytes; return the windows that became due."""
        most = round(RAW_S * self.start.rate) * self.sound.width
        self._raw, self._n_bytes = (self._raw + piece)[-most:], self._n_bytes + len(piece)
        return self.live.feed(self.sound.feed(piece))

    def sound_before(self, sample: int) -> bytes:
        """Return the newest sound before a sample, as it came."""
        later = self._n_bytes - sample * self.sound.width
        some = round(BEFORE_S * self.start.rate) * self.sound.width
        return self._raw[: len(self._raw) - later][-some:] if some else b""

    @property
    def received(self) -> int:
        """Samples, at its own rate, that were heard: what comes next starts there."""
        return _at_own_rate(self.live.heard_s, self.start)

    def remember(self, event: dict[str, Any]) -> None:
        """Keep an event in case its connection breaks."""
        self.events = [*self.events[1 - MOST_EVENTS :], event]


def _at_own_rate(seconds: float, start: Start) -> int:
    return round(seconds * SAMPLE_RATE_HZ) * start.rate // SAMPLE_RATE_HZ


class Kept:
    """Streams without a connection, as files that any worker of the server takes up again.

    Parameters
    ----------
    folder : Path
        The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, stream: Stream) -> None:
        """Keep a stream for `KEEP_S`; where there is no room it is lost, and the log says so."""
        self.sweep()
        about = {
            "start": asdict(stream.start),
            "owner": stream.owner,
            "events": stream.events,
            "end": stream.end,
            "bundle": stream.live.bundle.identity["sha256"],
        }
        file, state = io.BytesIO(), stream.live.state()
        before = stream.sound_before(_at_own_rate(stream.live.judged_s, stream.start))
        if stream.end:  # nothing of its sound is asked for any more
            state["held"], before = state["held"][:0], b""
        known = np.frombuffer(json.dumps(about).encode(), np.uint8)
        np.savez(file, about=known, before=np.frombuffer(before, np.uint8), **state)
        path = self._path(stream.name)
        draft = path.with_suffix(".draft")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as to:
                to.write(file.getbuffer())
            draft.replace(path)
        except OSError as error:
            log.error("a stream whose connection broke is not kept: %s", error.strerror)
            draft.unlink(missing_ok=True)
            return
        asyncio.get_running_loop().call_later(KEEP_S, self.sweep)

    def take(self, start: Start, owner: str, bundle: Bundle) -> Stream:
        """Return a stream that is resumed; no other can resume it then.

        Parameters
        ----------
        start : Start
            Names it.
        owner : str
            Whose it must be.
        bundle : Bundle
            What its windows would be scored with.

        Returns
        -------
        Stream

        Raises
        ------
        StreamError
            ``unknown_stream`` if there is none; ``other_bundle`` if another answers by now.
        """
        self.sweep()
        message = f"no stream {start.resume!r:.40} of yours is kept; it may be for {KEEP_S:g} s"
        if not NAME.fullmatch(start.resume):
            raise StreamError("unknown_stream", message)
        path = self._path(start.resume)
        taken = path.with_suffix(".taken")
        try:
            path.rename(taken)  # so that no other has it
            with np.load(taken, allow_pickle=False) as file:
                state = dict(file)
            about = json.loads(state.pop("about").tobytes())
            if about["owner"] != owner:
                taken.rename(path)
                raise StreamError("unknown_stream", message)
            taken.unlink()
        except OSError as error:
            raise StreamError("unknown_stream", message) from error
        if about["bundle"] != bundle.identity["sha256"]:
            raise StreamError("other_bundle", "another bundle answers by now: start a new stream")
        began = replace(Start(**about["start"]), resume=start.resume, after_s=start.after_s)
        before = state.pop("before").tobytes()
        live = Live.resumed(bundle, state)
        kept = about["events"], about["end"], before
        return Stream(live, began, owner, start.resume, *kept)

    def sweep(self) -> None:
        """Remove what is no longer kept."""
        made = list[tuple[float, Path]]()
        for path in self._folder.glob(f"{PREFIX}*"):
            with suppress(OSError):  # taken, or another worker was faster
                made.append((path.stat().st_mtime, path))
        made.sort(reverse=True)
        for number, (since, path) in enumerate(made):
            if number >= MOST_KEPT or time.time() - since >= KEEP_S:
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{PREFIX}{name}{SUFFIX}"
