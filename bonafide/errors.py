"""The one error tree: every error carries a stable code and a message for people."""

import contextlib
import errno
import re
from collections.abc import Iterator
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
# What reading JSON raises that is not what it should be.
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)
# What a terminal obeys: control characters, line ends, and marks that turn the direction of text.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Return text as one line that a terminal obeys no part of.

    Parameters
    ----------
    text : str
        Such as a message with a file's name in it.

    Returns
    -------
    str
        With what a terminal obeys as escapes.

    Examples
    --------
    >>> print(printable("two\nlines.wav"))
    two\nlines.wav
    """
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class BonafideError(Exception):
    """An error that the caller can act on.

    Parameters
    ----------
    code : str
        Stable, machine-readable name, such as ``not_audio``.
    message : str
        What was seen and what it must be, for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type["BonafideError"], tuple[str, str]]:
        """Rebuild from both arguments, so that the error passes between processes whole."""
        return type(self), (self.code, self.message)


class AudioError(BonafideError):
    """A recording that cannot be decoded or used."""


class CorpusError(BonafideError):
    """A corpus, manifest or folder that cannot be read or trained on."""


class BundleError(BonafideError):
    """A bundle that is missing, incomplete or altered."""


class RegistryError(BonafideError):
    """A change of what is in production that the registry refuses, or a registry out of reach."""


class ConfigError(BonafideError):
    """A configuration with an invalid value."""


class StorageError(BonafideError):
    """A disk that is full, or a folder that cannot be written to."""


def storage_error(error: OSError, place: Path, needed: str = "") -> StorageError | None:
    """Return the error for a file that could not be written.

    Parameters
    ----------
    error : OSError
        What writing raised.
    place : Path
        Where it was written, for an error that does not say so.
    needed : str
        What is needed there, such as ``2.1 GB``; empty if that is not known.

    Returns
    -------
    StorageError or None
        ``disk_full`` or ``unwritable``; None for an error of another kind.

    Examples
    --------
    >>> full = OSError(errno.ENOSPC, "No space left on device")
    >>> storage_error(full, Path("features"), "2.1 GB").message
    'features: No space left on device; 2.1 GB are needed: make room, or choose another disk'
    """
    reason = f"{error.filename or place}: {error.strerror or error}"
    if error.errno in FULL:
        room = f"{needed} are needed: make room" if needed else "make room"
        return StorageError("disk_full", f"{reason}; {room}, or choose another disk")
    if error.errno in CLOSED:
        return StorageError("unwritable", f"{reason}; it must be a place to write to")
    return None


@contextlib.contextmanager
def storing(place: Path) -> Iterator[None]:
    """Raise a `StorageError` in the block for a full disk or a folder that is closed.

    Parameters
    ----------
    place : Path
        Where the block writes, for errors that do not say so.

    Raises
    ------
    StorageError
        See `storage_error`.
    OSError
        Any other, unchanged.
    """
    try:
        yield
    except OSError as error:
        if known := storage_error(error, place):
            raise known from error
        raise


def missing_extra(module: str | None, extra: str) -> ConfigError:
    """Return the error for a library that an optional part of the package needs.

    Parameters
    ----------
    module : str or None
        The module that is missing, as ``ModuleNotFoundError.name`` has it.
    extra : str
        The extra that brings it: such as ``train``.

    Returns
    -------
    ConfigError
        With the code ``not_installed``, for the caller to raise.

    Examples
    --------
    >>> missing_extra("pyarrow", "train").message
    "pyarrow is missing: pip install 'bonafide[train]'"
    """
    return ConfigError("not_installed", f"{module} is missing: pip install 'bonafide[{extra}]'")
