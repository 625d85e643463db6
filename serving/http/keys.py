"""API keys: hashed at rest, compared in constant time, each with its own rate limit.

A key is a dataclass and not a pydantic model, whose errors would have to be reworded.
"""

import fcntl
import hashlib
import hmac
import json
import mmap
import os
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bonafide.errors import ConfigError

KEY_BYTES = 32
DEFAULT_RATE_PER_MINUTE = 600.0
BURST_S = 10.0  # a key may spend this much of its rate at once


@dataclass(frozen=True)
class Key:
    """A key as it is stored.

    Parameters
    ----------
    name : str
        Whose it is.
    sha256 : str
        Hash of the key. Keys are random and 256 bits long, so a plain hash cannot be inverted.
    rate_per_minute : float
        Requests allowed per minute, on average; above 0.
    """

    name: str
    sha256: str
    rate_per_minute: float = DEFAULT_RATE_PER_MINUTE


def read_keys(path: Path) -> tuple[Key, ...]:
    """Read a key file.

    Parameters
    ----------
    path : Path
        JSON: a list of objects with the fields of `Key`.

    Returns
    -------
    tuple of Key
        At least one.

    Raises
    ------
    ConfigError
        ``bad_keys`` if it cannot be read or holds no key.
    """
    try:
        keys = tuple(Key(**entry) for entry in json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        message = f"{path}: no such file; `bonafide keys add` makes one"
        raise ConfigError("bad_keys", message) from error
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError("bad_keys", f"{path}: not a file of API keys: {error}") from error
    for key in keys:
        if not _is_valid(key):
            raise ConfigError(
                "bad_keys", f"{path}: key {key.name!r}: needs a sha256 and a rate above 0"
            )
    if not keys:
        raise ConfigError("bad_keys", f"{path}: holds no key; add one with `bonafide keys add`")
    return keys


def _is_valid(key: Key) -> bool:
    try:
        return len(bytes.fromhex(key.sha256)) == 32 and key.rate_per_minute > 0
    except (TypeError, ValueError):
        return False


def add_key(path: Path, name: str, rate_per_minute: float = DEFAULT_RATE_PER_MINUTE) -> str:
    """Add a key to a key file, which is created if it is missing.

    Parameters
    ----------
    path : Path
        The key file.
    name : str
        Whose key it is; each name has one key.
    rate_per_minute : float
        Requests allowed per minute, on average; above 0.

    Returns
    -------
    str
        The key itself, which is stored nowhere.

    Raises
    ------
    ConfigError
        ``bad_keys`` if the name is taken, the rate is not above 0, or the file cannot be read.
    """
    keys = read_keys(path) if path.exists() else ()
    if any(key.name == name for key in keys):
        raise ConfigError("bad_keys", f"{path}: has a key for {name!r}; names must be unique")
    if not rate_per_minute > 0:
        raise ConfigError("bad_keys", f"rate {rate_per_minute}: must be above 0 per minute")
    secret = secrets.token_urlsafe(KEY_BYTES)
    entry = Key(name, hashlib.sha256(secret.encode()).hexdigest(), rate_per_minute)
    draft = path.with_name(f".{path.name}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps([asdict(key) for key in (*keys, entry)], indent=1) + "\n")
    draft.replace(path)  # whole or not at all
    return secret


class Gate:
    """Checks keys, and counts the requests of each across all workers.

    Parameters
    ----------
    keys : tuple of Key
        All that are let in; in every worker in the same order.
    counters : Path
        A file that the workers share; created if it is missing.
    clock : callable
        Returns seconds, the same for every worker.
    """

    def __init__(
        self, keys: tuple[Key, ...], counters: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys, self._clock = keys, clock
        self._hashes = [bytes.fromhex(key.sha256) for key in keys]
        self._file = counters.open("a+b")
        with _locked(self._file.fileno()):
            if os.fstat(self._file.fileno()).st_size < _ENTRY.size * len(keys):
                self._file.truncate(0)
                self._file.truncate(_ENTRY.size * len(keys))
        self._counters = mmap.mmap(self._file.fileno(), _ENTRY.size * len(keys))

    def close(self) -> None:
        """Close the file."""
        self._counters.close()
        self._file.close()

    def find(self, secret: str) -> int | None:
        """Return the number of a key, or None; compare all, so that timing reveals nothing."""
        seen = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        found = None
        for number, expected in enumerate(self._hashes):
            if hmac.compare_digest(seen, expected):
                found = number
        return found

    def name(self, number: int) -> str:
        """Return the name of a key."""
        return self._keys[number].name

    def take(self, number: int) -> float:
        """Count a request of a key (a token bucket); return the seconds to wait, 0 for none."""
        per_second = self._keys[number].rate_per_minute / 60
        most = max(1.0, per_second * BURST_S)
        now = self._clock()
        with _locked(self._file.fileno()):
            tokens, last = _ENTRY.unpack_from(self._counters, _ENTRY.size * number)
            # a new file holds zeros; after a reboot the clock has gone back
            full = last == 0 or now < last
            tokens = most if full else min(most, tokens + (now - last) * per_second)
            allowed = tokens >= 1
            left = tokens - 1 if allowed else tokens
            _ENTRY.pack_into(self._counters, _ENTRY.size * number, left, now)
        return 0.0 if allowed else (1 - tokens) / per_second


_ENTRY = struct.Struct("dd")  # tokens left, and the clock when they were counted


class _locked:  # noqa: N801  # reads as a statement
    """Lock a file for the length of a block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
