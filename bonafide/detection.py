"""The types of a result: plain dataclasses that need no library."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["bonafide", "spoof", "inconclusive"]
CautionCode = Literal["damaged", "silent_windows", "no_speech", "too_short"]
NO_VERDICT: tuple[CautionCode, ...] = ("no_speech", "too_short")  # too little sound for any

# Bounds of numbers, for the JSON schemas that are derived from these types.
_PROBABILITY = {"ge": 0, "le": 1}
_SECONDS = {"ge": 0}
_LLR = {"description": "natural log, higher for bona fide"}


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording with its own score.

    Parameters
    ----------
    start_s, end_s : float
        Seconds from the start of the recording.
    llr : float
        Natural-log likelihood ratio, higher for bona fide.
    p_spoof : float
        Probability of spoof at the bundle's prior, in [0, 1].
    """

    start_s: float = field(metadata=_SECONDS)
    end_s: float = field(metadata=_SECONDS)
    llr: float = field(metadata=_LLR)
    p_spoof: float = field(metadata=_PROBABILITY)


@dataclass(frozen=True)
class Caution:
    """A caution about a recording, for whoever reads its result.

    Parameters
    ----------
    code : {"damaged", "silent_windows", "no_speech", "too_short"}
        Stable, machine-readable name.
    message : str
        Explanation for people.
    """

    code: CautionCode
    message: str


@dataclass(frozen=True)
class BundleIdentity:
    """The bundle that a verdict is from.

    Parameters
    ----------
    name, version : str
        As in its manifest.
    sha256 : str
        Hash of its content.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Detection:
    """The result of one recording.

    Parameters
    ----------
    verdict : {"bonafide", "spoof", "inconclusive"}
        By the bundle's thresholds; inconclusive between them or with too little sound.
    llr : float
        Natural-log likelihood ratio, higher for bona fide; 0 where nothing could be scored.
    p_spoof : float
        Calibrated probability of spoof at the bundle's prior, in [0, 1].
    duration_s : float
        Length of the recording in seconds.
    segments : tuple of Segment
        The windows that hold speech-like sound.
    models, stack : dict of str to float or None
        p_spoof of each base model and of each meta-model, averaged over segments; None where
        nothing could be scored.
    warnings : tuple of Caution
        What to bear in mind about the result.
    bundle : BundleIdentity
        Name, version and hash of the bundle that the verdict is from.
    """

    verdict: Verdict
    llr: float = field(metadata=_LLR)
    p_spoof: float = field(metadata=_PROBABILITY)
    duration_s: float = field(metadata=_SECONDS)
    segments: tuple[Segment, ...]
    models: dict[str, float | None]
    stack: dict[str, float | None]
    warnings: tuple[Caution, ...]
    bundle: BundleIdentity

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; see `rounded`."""
        return rounded(asdict(self))


def rounded(value: Any) -> Any:
    """Return plain values with floats rounded to five decimal places and tuples as lists.

    Parameters
    ----------
    value : Any
        Numbers, strings, and dicts, lists and tuples of them.

    Returns
    -------
    Any
        The same, ready for JSON.

    Examples
    --------
    >>> rounded({"p_spoof": 0.123456789, "of": ("a", 2)})
    {'p_spoof': 0.12346, 'of': ['a', 2]}
    """
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
