"""The types of an explanation: plain dataclasses that need no library."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from bonafide.detection import Detection, Share
from bonafide.types import Floats, Waveform

Score = Callable[[Waveform], Floats]  # the llr (n,) of windows (n, window_samples)

_NOT_NEGATIVE = {"ge": 0}
_PROBABILITY = {"ge": 0, "le": 1}
_NATS = {"description": "nats; above 0 speaks for genuine speech, below 0 for a deepfake"}


@dataclass(frozen=True)
class Second:
    """What about a second of a recording adds to the score.

    Parameters
    ----------
    start_s, end_s : float
        Seconds from the start of the recording.
    llr : float
        Its share of its window's llr: the shares of a window's seconds sum to it.
    """

    start_s: float = field(metadata=_NOT_NEGATIVE)
    end_s: float = field(metadata=_NOT_NEGATIVE)
    llr: float = field(metadata=_NATS)


@dataclass(frozen=True)
class Band:
    """What a band of frequencies adds to the score.

    Parameters
    ----------
    low_hz, high_hz : float
        Its ends.
    llr : float
        By how much the score is higher for what lies in it, and not neutral noise.
    typical : float or None
        What it adds on average, whatever is said; None where the bundle does not state it.
    unusual : float
        By how much more than on average the score is higher for what lies in it, and not noise or
        what its neighbours hold; than 0 where the average is not known.
    """

    low_hz: float = field(metadata=_NOT_NEGATIVE)
    high_hz: float = field(metadata=_NOT_NEGATIVE)
    llr: float = field(metadata=_NATS)
    typical: float | None = field(metadata=_NATS)
    unusual: float = field(metadata=_NATS)


@dataclass(frozen=True)
class ExplainedWindow:
    """A window of a recording, explained.

    Parameters
    ----------
    start_s, end_s : float
        Seconds from the start of the recording.
    llr : float
        Its score.
    bands : tuple of Band
        What each band of it adds.
    """

    start_s: float = field(metadata=_NOT_NEGATIVE)
    end_s: float = field(metadata=_NOT_NEGATIVE)
    llr: float = field(metadata=_NATS)
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class Focus:
    """Where what speaks most for the answer lies.

    Parameters
    ----------
    towards : {"bonafide", "spoof"}
        Where the score leans.
    start_s, end_s : float
        The shortest stretch that holds half of what speaks for it, of explained windows that touch
        each other; of several such, where they speak most for it.
    low_hz, high_hz : float
        The narrowest range of bands that does.
    """

    towards: Literal["bonafide", "spoof"]
    start_s: float = field(metadata=_NOT_NEGATIVE)
    end_s: float = field(metadata=_NOT_NEGATIVE)
    low_hz: float = field(metadata=_NOT_NEGATIVE)
    high_hz: float = field(metadata=_NOT_NEGATIVE)


@dataclass(frozen=True)
class Family:
    """A family of generators.

    Parameters
    ----------
    name, label : str
        For programs, and in words.
    p : float
        How probable it is, if it is one of those that the bundle knows, each taken for as probable.
    """

    name: str
    label: str
    p: float = field(metadata=_PROBABILITY)


@dataclass(frozen=True)
class NearestFamilies:
    """The families of generators that a deepfake sounds most like.

    Parameters
    ----------
    named : str or None
        The one that is probable enough for most of those named so to be right; None where there is
        none: the generator may be of a family that the bundle does not know.
    nearest : tuple of Family
        The most probable ones, whether one is named or not.
    right : Share or None
        How many of those that were named rightly so, on sources that were not heard in training;
        None where none was.
    unseen : Share
        How many recordings of families that were not heard in training were not named.
    """

    named: str | None
    nearest: tuple[Family, ...]
    right: Share | None
    unseen: Share


@dataclass(frozen=True)
class Explanation:
    """Why a recording has the score that it has.

    Parameters
    ----------
    summary : str
        In a sentence.
    focus : Focus or None
        The same in numbers; None where nothing could be scored.
    seconds : tuple of Second
        Of the windows that are explained, in order.
    bands : tuple of Band
        What each band adds, on average over these windows.
    models : dict of str to float or None
        What each base model adds to the llr, on average over all segments, or, where there are
        parts, over those in them that sound generated; None: it was not asked. Above 0 speaks for
        genuine speech.
    base : float
        What is left of the llr when no base model has an opinion: that of the channel alone. With
        what the base models add, it sums to the llr of the recording, or of these segments.
    windows : tuple of ExplainedWindow
        Those that speak most for the answer, in order, where there are parts of those in them; long
        recordings have others.
    families : NearestFamilies or None
        What a deepfake sounds most like; None for other verdicts, on channels other than clean, for
        which it was not measured, and from bundles that know no families.
    """

    summary: str
    focus: Focus | None
    seconds: tuple[Second, ...]
    bands: tuple[Band, ...]
    models: dict[str, float | None]
    base: float = field(metadata=_NATS)
    windows: tuple[ExplainedWindow, ...]
    families: NearestFamilies | None = None


@dataclass(frozen=True)
class Explained(Detection):
    """The result of one recording, with its explanation.

    Parameters
    ----------
    explanation : Explanation
        Of a file with several tracks, that of the most suspicious one, whose result the file has.
    """

    explanation: Explanation
