"""The one error tree: every error carries a stable code and a message for people."""

import re

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


class ConfigError(BonafideError):
    """A configuration with an invalid value."""


def missing_extra(module: str | None, extra: str) -> ConfigError:
    """Return the error for a library that an optional part of the package needs.

    Parameters
    ----------
    module : str or None
        The module that is missing, as ``ModuleNotFoundError.name`` has it.
    extra : str
        The extra that brings it: ``train`` or ``app``.

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
