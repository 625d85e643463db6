"""Who is let in: keys that are followed while the service runs, each with its own rate."""

import fcntl
import hashlib
import hmac
import logging
import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from bonafide.errors import ConfigError
from serving.http.keys import MAX_FILE_BYTES, MAX_KEYS, Key, parse_keys, read_private

log = logging.getLogger("bonafide.serve")

WORK_S = 0.1  # of a processor, which one request covers: about a minute of sound

_Keys = dict[bytes, Key]
_ENTRY = struct.Struct("16sdd")  # whose, tokens left, and the clock when they were counted
_END = _ENTRY.size * MAX_KEYS
_NOBODY = bytes(16)


class Gate:
    """Checks keys, and counts the requests of each across all workers.

    Parameters
    ----------
    path : Path
        The key file.
    counters : Path
        A file that the workers share; created if it is missing.
    clock : callable
        Returns seconds, the same for every worker.

    Raises
    ------
    ConfigError
        ``bad_keys`` if the file cannot be used.
    """

    def __init__(
        self, path: Path, counters: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._clock = path, clock
        self._file = counters.open("a+b")
        self._seen, self._keys = self._read_first()
        self._fault = ""
        with _locked(self._file.fileno()):
            size = os.fstat(self._file.fileno()).st_size
            self._file.write(bytes(max(0, _END - size)))  # a hole might find no room later on
            self._file.flush()
        self._counters = mmap.mmap(self._file.fileno(), _END)
        self._keep(self._seen)

    def close(self) -> None:
        """Close the file of counters."""
        self._counters.close()
        self._file.close()

    def _read_first(self) -> tuple[bytes, _Keys]:
        """Return the keys to start with: the last good ones where a worker before had some."""
        try:
            content = read_private(self._path)
            return content, _by_hash(parse_keys(self._path, content))
        except ConfigError as error:
            kept = os.pread(self._file.fileno(), MAX_FILE_BYTES, _END)
            if not kept:
                self._file.close()
                raise
            log.error("the keys stay as they were: %s", error)
            return kept, _by_hash(parse_keys(self._path, kept))

    def _keep(self, content: bytes) -> None:
        """Keep what was read for workers that start later, behind the counters."""
        with _locked(self._file.fileno()):
            if os.pread(self._file.fileno(), MAX_FILE_BYTES, _END) != content:
                self._file.truncate(_END)
                self._file.write(content)  # at the end
                self._file.flush()

    def follow(self) -> None:
        """Take over what has changed in the key file; one that cannot be used changes nothing."""
        try:
            content = read_private(self._path)
            if content == self._seen:
                self._fault = ""
                return
            self._seen = content
            keys = _by_hash(parse_keys(self._path, content))
        except ConfigError as error:
            if error.message != self._fault:
                log.error("the keys stay as they were: %s", error)
            self._fault = error.message
            return
        self._keys, self._fault = keys, ""
        self._keep(content)
        log.info("the keys have changed; there are %d now", len(keys))

    def find(self, secret: str) -> Key | None:
        """Return a key, or None; compare all, so that timing reveals nothing."""
        seen = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        found = None
        for expected, key in self._keys.items():
            if hmac.compare_digest(seen, expected):
                found = key
        return found

    def named(self, name: str) -> Key | None:
        """Return the key of a name; None if it was revoked."""
        return next((key for key in self._keys.values() if key.name == name), None)

    def take(self, key: Key) -> float:
        """Count a request of a key (a token bucket); return the seconds to wait, 0 for none."""
        per_second = key.rate_per_minute / 60
        with _locked(self._file.fileno()):
            place, tokens = self._tokens(key)
            allowed = tokens >= 1
            left = tokens - 1 if allowed else tokens
            _ENTRY.pack_into(self._counters, place, _tag(key), left, self._clock())
        return 0.0 if allowed else (1 - tokens) / per_second

    def charge(self, key: Key, work_s: float) -> None:
        """Count the work of a request as so many requests more.

        Parameters
        ----------
        key : Key
            Whose request it was.
        work_s : float
            Seconds of a processor; `WORK_S` of them are paid with the request itself.
        """
        with _locked(self._file.fileno()):
            place, tokens = self._tokens(key)
            left = tokens - max(0.0, work_s / WORK_S - 1)
            _ENTRY.pack_into(self._counters, place, _tag(key), left, self._clock())

    def _tokens(self, key: Key) -> tuple[int, float]:
        """Return where a key's counter is, and the requests that it has left."""
        tag, most = _tag(key), key.most
        home = int.from_bytes(tag[:4], "little")
        for number in range(home, home + MAX_KEYS):
            place = _ENTRY.size * (number % MAX_KEYS)
            owner, tokens, last = _ENTRY.unpack_from(self._counters, place)
            if owner in (tag, _NOBODY):
                break
        else:  # of keys that were revoked: the first makes room
            place, owner = _ENTRY.size * (home % MAX_KEYS), _NOBODY
        now = self._clock()
        if owner == _NOBODY or now < last:  # after a reboot the clock has gone back
            return place, most
        return place, min(most, tokens + (now - last) * key.rate_per_minute / 60)


def _by_hash(keys: tuple[Key, ...]) -> _Keys:
    return {bytes.fromhex(key.sha256): key for key in keys}


def _tag(key: Key) -> bytes:
    return bytes.fromhex(key.sha256)[:16]


class _locked:  # noqa: N801  # reads as a statement
    """Lock a file for the length of a block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
