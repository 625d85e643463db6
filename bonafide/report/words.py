"""What a report says in plain words: the answer, and what may and may not be concluded."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bonafide.detection import NO_VERDICT
from bonafide.words import channel_in_words, percent_shown

Json = Mapping[str, Any]

HEADLINES = {
    "bonafide": "Likely a real recording",
    "spoof": "Likely a deepfake",
    "partly_spoof": "Parts of it sound generated",
    "inconclusive": "Inconclusive",
}
FOLLOWS = {
    "bonafide": (
        "The sound is more like genuine speech than like generated speech, as far as this detector "
        "can tell.",
        "By itself the sound is no reason to call the speech generated.",
    ),
    "spoof": (
        "The sound is more like generated speech than like genuine speech, as far as this detector "
        "can tell.",
        "That is a reason to look further: at where the recording comes from, at other copies of "
        "it, at what those who should be heard in it say.",
    ),
    "partly_spoof": (
        "The parts named above are more like generated speech than like genuine speech, as far as "
        "this detector can tell. Of the rest this says little: most short parts are not told.",
        "That is a reason to look further, at these parts before all.",
    ),
    "inconclusive": (
        "Nothing. An inconclusive answer is no hint either way: neither that the recording is "
        "genuine, nor that it was generated.",
    ),
}
NEVER_FOLLOWS = (
    "That anything is proven. This is a statistical statement about the sound, no proof, and one "
    "check among several: such answers are wrong at times, as stated below.",
    "Who speaks. The voice was compared with nobody's.",
    "That what is said is true, or that nothing was cut, moved or left out: genuine speech can be "
    "edited and put into another setting.",
)
NOR = {
    "bonafide": "That no machine was used. Generators that this detector never heard can pass as "
    "genuine.",
    "spoof": "Who made it, by which program or to what end: telephones, noise and unusual voices "
    "can sound generated, and a voice may be generated with its owner's consent.",
    "partly_spoof": "Who made these parts, by which program or to what end: a cough, music or a "
    "bad connection can sound generated, too.",
    "inconclusive": "That another examination, or a better copy of the recording, would not tell.",
}
TOO_LITTLE = {
    "no_speech": "Nothing in the recording sounds like speech, and only speech can be judged.",
    "too_short": "The recording holds too little sound for an answer.",
}
UNKNOWN = (
    "The recording sounds unlike everything on which the detector was tested: what it went through "
    "changed the sound in a way that the detector does not know. So there is no answer."
)
NO_ANSWER = "There is no answer, so none that could be wrong."
NOT_HEARD = (
    "What the recording went through is not known to this detector, so neither is how often such "
    "answers are wrong."
)
MEASURED = (
    "Counted when the detector was made, on recordings of sources that it had never heard; on "
    "sources unlike these it can be wrong several times as often."
)
# Why a likelihood ratio is not put into words.
NO_WORDS = {
    "inconclusive": "None is given: the answer is inconclusive, and the ratio supports neither "
    "side.",
    "partly_spoof": "None is given: the ratio is of the whole recording, in which genuine speech "
    "hides parts that sound generated.",
}
SHOWN_OF_CARD = ("Intended use", "Limits")


def percent(share: float) -> str:
    """Return a probability as people read it: never 0 % or 100 %, as nothing is certain.

    Parameters
    ----------
    share : float
        In [0, 1].

    Returns
    -------
    str

    Examples
    --------
    >>> percent(0.926), percent(0.0), percent(0.999)
    ('93 %', 'under 1 %', 'over 99 %')
    """
    kind, number = percent_shown(share)
    return f"{number} %" if kind == "percent" else f"{kind} {number} %"


@dataclass(frozen=True)
class Conclusions:
    """What follows from an answer, and what does not.

    Parameters
    ----------
    headline : str
        The answer in a few words.
    why_none : str
        Why there is no answer, where that is not the score's doing; may be empty.
    may, may_not : tuple of str
        What may be concluded, and what may not, a sentence or two each.
    worth : str
        How often such answers are wrong.
    measured : str
        Where that comes from; empty where it is not known.
    too_little : bool
        Whether there is too little sound for any answer: then its numbers say nothing.
    """

    headline: str
    why_none: str
    may: tuple[str, ...]
    may_not: tuple[str, ...]
    worth: str
    measured: str
    too_little: bool


def conclusions(result: Json) -> Conclusions:
    """Return what follows from a result, and what does not.

    Parameters
    ----------
    result : mapping
        As `bonafide.detection.Detection` is written to JSON.

    Returns
    -------
    Conclusions
    """
    verdict, worth = result["verdict"], channel_in_words(result)
    codes = [caution["code"] for caution in result["warnings"]]
    why_none = next((TOO_LITTLE[code] for code in NO_VERDICT if code in codes), "")
    too_little = bool(why_none)
    if not why_none and "unknown_channel" in codes:
        why_none = UNKNOWN
    return Conclusions(
        HEADLINES[verdict],
        why_none,
        FOLLOWS[verdict],
        (*NEVER_FOLLOWS, NOR[verdict]),
        worth or (NO_ANSWER if too_little else NOT_HEARD),
        MEASURED if worth and result["channel"]["decided"] is not None else "",
        too_little,
    )


def thresholds_for(result: Json, model: Json) -> dict[str, Any]:
    """Return the thresholds that hold on the channel of a result; None: no such verdict there.

    Parameters
    ----------
    result : mapping
        As `bonafide.detection.Judged` is written to JSON.
    model : mapping
        What ``/v1/model`` answers.

    Returns
    -------
    dict of str to float or None
        ``bonafide_to`` and ``spoof_from`` among others.
    """
    channel = (result.get("channel") or {}).get("name")
    return {**model["thresholds"], **model["thresholds"].get("channels", {}).get(channel, {})}


def card_parts(card: str) -> Iterator[tuple[str, str]]:
    r"""Yield what a model card says of its use and its limits.

    Parameters
    ----------
    card : str
        Markdown, as ``/v1/model`` answers it; may be empty.

    Yields
    ------
    tuple of str and str
        Heading and text, of the paragraph that opens it and of the sections in `SHOWN_OF_CARD`.

    Examples
    --------
    >>> list(card_parts("# fast\n\nIt errs.\n\n## Data\n\n12\n\n## Limits\n\nMany.\n"))
    [('In short', 'It errs.'), ('Limits', 'Many.')]
    """
    card = card.replace("**", "").replace("`", "")
    parts = re.split(r"(?m)^#+ (.*)$", card)[1:]
    for number, (title, text) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        if not number or title in SHOWN_OF_CARD:
            yield (title if number else "In short"), text.strip()
