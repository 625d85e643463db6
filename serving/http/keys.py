"""The file of API keys: hashed at rest, written whole, private to its owner.

A key is a dataclass and not a pydantic model, whose errors would have to be reworded.
"""

import contextlib
import fcntl
import hashlib
import json
import math
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bonafide.errors import ConfigError

KEY_BYTES = 32
DEFAULT_RATE_PER_MINUTE = 600.0
BURST_S = 10.0  # without a burst of its own, a key may spend this much of its rate at once
MAX_NAME = 64
MAX_KEYS = 4_096
MAX_FILE_BYTES = 4_000_000


@dataclass(frozen=True)
class Key:
    """A key as it is stored.

    Parameters
    ----------
    name : str
        Whose it is; each name has one key.
    sha256 : str
        Hash of the key. Keys are random and 256 bits long, so a plain hash cannot be inverted.
    rate_per_minute : float
        Requests allowed per minute, on average; above 0.
    burst : float or None
        Requests allowed at once, at least 1; None for what `BURST_S` seconds of the rate allow.
    expires : str or None
        Until when it is valid: a time of ISO 8601 with its offset from UTC; None for ever.
    """

    name: str
    sha256: str
    rate_per_minute: float = DEFAULT_RATE_PER_MINUTE
    burst: float | None = None
    expires: str | None = None

    @property
    def most(self) -> float:
        """Requests allowed at once."""
        return self.burst or max(1.0, self.rate_per_minute / 60 * BURST_S)

    def expired(self) -> bool:
        """Return whether the key was valid once."""
        return self.expires is not None and datetime.fromisoformat(self.expires) <= now()

    def fault(self) -> str | None:
        """Return what is wrong with the key; None for nothing."""
        name, rate, burst = self.name, self.rate_per_minute, self.burst
        if not (isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()):
            return f"its name must be 1 to {MAX_NAME} printable characters"
        if not (isinstance(self.sha256, str) and _is_hash(self.sha256)):
            return "needs a sha256 of 64 hexadecimal digits"
        if not (_is_number(rate) and rate > 0):
            return f"needs a rate above 0 per minute, not {rate!r}"
        if burst is not None and not (_is_number(burst) and burst >= 1):
            return f"needs a burst of at least 1 request, not {burst!r}"
        if self.expires is not None and not _is_time(self.expires):
            return f"expires {self.expires!r}: must be a time such as 2027-01-31T00:00:00+00:00"
        return None


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def _is_hash(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdefABCDEF")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_time(text: object) -> bool:
    try:
        return isinstance(text, str) and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def read_keys(path: Path) -> tuple[Key, ...]:
    """Read a key file that a service is to start with.

    Parameters
    ----------
    path : Path
        JSON: a list of objects with the fields of `Key`; nobody else may read it.

    Returns
    -------
    tuple of Key
        At least one.

    Raises
    ------
    ConfigError
        ``bad_keys`` if it cannot be read, is open to others or holds no key.
    """
    keys = parse_keys(path, read_private(path))
    if not keys:
        raise ConfigError("bad_keys", f"{path}: holds no key; add one with `bonafide keys add`")
    return keys


def read_private(path: Path) -> bytes:
    """Return what a key file holds.

    Parameters
    ----------
    path : Path
        Its owner alone may have access, unless it lies on a file system that is mounted read-only,
        as a container's secrets do.

    Returns
    -------
    bytes

    Raises
    ------
    ConfigError
        ``bad_keys`` if it cannot be read, is open to others, or is no file, which could be read
        again.
    """
    try:
        with open(path, "rb", opener=_opened_at_once) as file:
            seen = os.fstat(file.fileno()).st_mode
            mode, is_file = stat.S_IMODE(seen), stat.S_ISREG(seen)
            fixed = os.fstatvfs(file.fileno()).f_flag & os.ST_RDONLY
            content = file.read(MAX_FILE_BYTES) if is_file else b""
    except FileNotFoundError as error:
        message = f"{path}: no such file; `bonafide keys add` makes one"
        raise ConfigError("bad_keys", message) from error
    except OSError as error:
        raise ConfigError("bad_keys", f"{path}: cannot be read: {error.strerror}") from error
    if not is_file:  # each worker reads it anew
        raise ConfigError("bad_keys", f"{path}: must be a file, not a pipe or a device")
    if mode & 0o077 and not fixed:
        message = f"{path}: mode {mode:04o} lets others read it; must be 0600: chmod 600 {path}"
        raise ConfigError("bad_keys", message)
    return content


def _opened_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would wait for a writer


def parse_keys(path: Path, content: bytes) -> tuple[Key, ...]:
    """Return the keys that a key file holds.

    Parameters
    ----------
    path : Path
        The file, for messages.
    content : bytes
        What it holds.

    Returns
    -------
    tuple of Key
        None at all once the last one is revoked.

    Raises
    ------
    ConfigError
        ``bad_keys`` if it is no list of keys, or has a name twice.
    """
    try:
        keys = tuple(Key(**entry) for entry in json.loads(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError("bad_keys", f"{path}: not a file of API keys: {error}") from error
    for key in keys:
        if fault := key.fault():
            raise ConfigError("bad_keys", f"{path}: key {key.name!r}: {fault}")
    names, hashes = {key.name for key in keys}, {key.sha256.lower() for key in keys}
    if min(len(names), len(hashes)) < len(keys):
        raise ConfigError("bad_keys", f"{path}: holds a key or a name twice; must be unique")
    if len(keys) > MAX_KEYS:
        message = f"{path}: holds {len(keys)} keys, more than the {MAX_KEYS} allowed"
        raise ConfigError("bad_keys", message)
    return keys


def add_key(
    path: Path,
    name: str,
    rate_per_minute: float = DEFAULT_RATE_PER_MINUTE,
    burst: float | None = None,
    expires: datetime | None = None,
) -> str:
    """Add a key to a key file, which is created if it is missing.

    Parameters
    ----------
    path : Path
        The key file.
    name : str
        Whose key it is; each name has one key.
    rate_per_minute : float
        Requests allowed per minute, on average; above 0.
    burst : float or None
        Requests allowed at once, at least 1; None for what `BURST_S` seconds of the rate allow.
    expires : datetime or None
        Until when it is valid, with a time zone; None for ever.

    Returns
    -------
    str
        The key itself, which is stored nowhere.

    Raises
    ------
    ConfigError
        ``bad_keys`` if the name is taken, a value is out of range, or the file cannot be read or
        written.
    """
    secret = secrets.token_urlsafe(KEY_BYTES)
    until = expires.isoformat() if expires else None
    digest = hashlib.sha256(secret.encode()).hexdigest()
    entry = Key(name, digest, rate_per_minute, burst, until)
    if fault := entry.fault():
        raise ConfigError("bad_keys", f"key {name!r}: {fault}")
    if entry.expired():
        raise ConfigError("bad_keys", f"key {name!r}: expires {until}: must be in the future")
    with _changing(path):
        keys = parse_keys(path, read_private(path)) if path.exists() else ()
        if any(key.name == name for key in keys):
            raise ConfigError("bad_keys", f"{path}: has a key for {name!r}; names must be unique")
        _write(path, (*keys, entry))
    return secret


def revoke_key(path: Path, name: str) -> None:
    """Remove a key from a key file; services that use the file stop to accept it.

    Parameters
    ----------
    path : Path
        The key file.
    name : str
        Whose key it is.

    Raises
    ------
    ConfigError
        ``bad_keys`` if there is no such key, or the file cannot be read or written.
    """
    with _changing(path):
        keys = parse_keys(path, read_private(path))
        left = tuple(key for key in keys if key.name != name)
        if len(left) == len(keys):
            known = ", ".join(key.name for key in keys) or "none"
            raise ConfigError(
                "bad_keys", f"{path}: has no key for {name!r}; must be one of {known}"
            )
        _write(path, left)


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Keep others from changing the file meanwhile: its folder is locked, since it is replaced."""
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror}"
        raise ConfigError("bad_keys", message) from error


def _write(path: Path, keys: Sequence[Key]) -> None:
    """Replace the file, so that it is read whole or as it was; its owner stays."""
    path = path.resolve()
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)  # of a command that was killed
    content = json.dumps([asdict(key) for key in keys], indent=1).encode() + b"\n"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            if path.exists() and os.geteuid() == 0:
                os.fchown(file.fileno(), path.stat().st_uid, path.stat().st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
