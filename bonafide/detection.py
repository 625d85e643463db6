"""The types of a result: plain dataclasses that need no library."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

Verdict = Literal["bonafide", "spoof", "partly_spoof", "inconclusive"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
CautionCode = Literal[
    "damaged", "not_all_judged", "silent_windows", "no_speech", "too_short", "unknown_channel"
]
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
class Part:
    """A part of a recording that sounds generated.

    Parameters
    ----------
    start_s, end_s : float
        Seconds from the start of the recording, to whole segments.
    p_spoof : float
        Probability of spoof of its mean llr at the bundle's prior, in [0, 1].
    """

    start_s: float = field(metadata=_SECONDS)
    end_s: float = field(metadata=_SECONDS)
    p_spoof: float = field(metadata=_PROBABILITY)


@dataclass(frozen=True)
class Caution:
    """A caution about a recording, for whoever reads its result.

    Parameters
    ----------
    code : str
        Stable, machine-readable name: one of `CautionCode`.
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
class Share:
    """A share that was measured, and its 95 % interval.

    Parameters
    ----------
    value : float
        In [0, 1].
    low, high : float
        Ends of the interval, in [0, 1].
    """

    value: float = field(metadata=_PROBABILITY)
    low: float = field(metadata=_PROBABILITY)
    high: float = field(metadata=_PROBABILITY)


@dataclass(frozen=True)
class ChannelHeard:
    """What the sound seems to have gone through.

    Parameters
    ----------
    name : str
        One of the bundle's channels.
    p : float
        Its posterior, averaged over segments, in [0, 1]: of all channels it has the highest.
    label : str
        The channel in words.
    decided : float or None
        Share of recordings on such sound that got a verdict when the bundle was made, in [0, 1];
        None where it was not measured.
    wrong : Share or None
        How many of these verdicts were wrong; None where there were none.
    """

    name: str
    p: float = field(metadata=_PROBABILITY)
    label: str
    decided: float | None = field(metadata=_PROBABILITY)
    wrong: Share | None


@dataclass(frozen=True)
class Decision:
    """What a recording that still goes on was decided to be; it stays so.

    Parameters
    ----------
    verdict : {"bonafide", "spoof"}
        Of all that was heard until then.
    at_s : float
        Seconds heard until then.
    wrong_at_most : float
        Which share of voices of either label its bars let be decided wrongly in a minute of speech,
        of voices that the detector never heard, in [0, 1].
    """

    verdict: Literal["bonafide", "spoof"]
    at_s: float = field(metadata=_SECONDS)
    wrong_at_most: float = field(metadata=_PROBABILITY)


@dataclass(frozen=True)
class Judged:
    """What is found of one sound: a recording, or a track or channel of one.

    Parameters
    ----------
    verdict : {"bonafide", "spoof", "partly_spoof", "inconclusive"}
        By the bundle's thresholds for the channel; inconclusive between them, with too little
        sound or on a channel unlike all known ones, partly_spoof where there are parts.
    llr : float
        Natural-log likelihood ratio, higher for bona fide; 0 where nothing could be scored.
    p_spoof : float
        Calibrated probability of spoof at the bundle's prior, in [0, 1].
    duration_s : float
        Length in seconds.
    segments : tuple of Segment
        The windows that hold speech-like sound.
    models, stack : dict of str to float or None
        p_spoof of each base model and of each meta-model, averaged over the segments for which it
        was asked; None where it never was.
    channel : ChannelHeard or None
        None where nothing could be scored, and with bundles that know no channels.
    parts : tuple of Part
        Stretches that sound generated, in a recording that does not as a whole.
    warnings : tuple of Caution
        What to bear in mind about the result.
    """

    verdict: Verdict
    llr: float = field(metadata=_LLR)
    p_spoof: float = field(metadata=_PROBABILITY)
    duration_s: float = field(metadata=_SECONDS)
    segments: tuple[Segment, ...]
    models: dict[str, float | None]
    stack: dict[str, float | None]
    channel: ChannelHeard | None
    parts: tuple[Part, ...]
    warnings: tuple[Caution, ...]

    @property
    def has_verdict(self) -> bool:
        """Whether there was enough sound for one."""
        return not any(caution.code in NO_VERDICT for caution in self.warnings)

    def entries(self) -> dict[str, Any]:
        """Return what is found by name, for a `Track` or a `Detection`."""
        return {each.name: getattr(self, each.name) for each in fields(Judged)}


@dataclass(frozen=True)
class Track(Judged):
    """The result of one audio track of a file, or of one of its channels (left, right).

    Parameters
    ----------
    track : int
        Number of the audio track, from 1.
    channel_number : int or None
        Which of the track's channels, from 1; None for all of them together.
    """

    track: int = field(metadata={"ge": 1})
    channel_number: int | None


@dataclass(frozen=True)
class Detection(Judged):
    """The result of one recording.

    Of a recording with several tracks, or with channels that differ, verdict and numbers are those
    of the most suspicious one: see `bonafide.tracks.most_suspicious`.

    Parameters
    ----------
    tracks : tuple of Track
        The result of each; empty if there is only one.
    bundle : BundleIdentity
        Name, version and hash of the bundle that the verdict is from.
    """

    tracks: tuple[Track, ...]
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
