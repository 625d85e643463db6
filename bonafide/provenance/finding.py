"""What may be found, what each finding proves, and what its absence does not."""

from dataclasses import dataclass, field
from typing import Literal

FindingCode = Literal[
    "c2pa_manifest",
    "c2pa_generated",
    "c2pa_mismatch",
    "c2pa_damaged",
    "c2pa_elsewhere",
    "c2pa_unread",
    "generator_tag",
    "encoder_tag",
    "text_tag",
    "mp3_recompressed",
    "band_cut",
    "digital_silence",
    "splice",
    "noise_floor_change",
    "perth_watermark",
]
Unavailable = Literal["c2pa", "tags", "perth_watermark"]

_ANYBODY = "Anybody can write such a tag, change it or take it out."
_NO_MANIFEST = (
    "Most recordings, genuine and generated, carry no manifest, and anybody can strip one: that "
    "there is none says nothing."
)
# Code -> what it proves, and what its absence does not prove.
MEANING: dict[FindingCode, tuple[str, str]] = {
    "c2pa_manifest": (
        "Whoever holds the key of this certificate signed these statements. Whether the "
        "certificate belongs to the name in it was checked against no list of trusted issuers: "
        "anybody can make one with any name.",
        _NO_MANIFEST,
    ),
    "c2pa_generated": (
        "The signer states that the sound, or a part of it, was made by a machine. It is a "
        "statement of theirs, worth as much as they are.",
        "Makers of generated sound need not state it, and anybody can strip the statement.",
    ),
    "c2pa_mismatch": (
        "The file or its manifest was changed after it was signed, or the manifest was taken from "
        "another file. What was changed, and why, it does not say.",
        "Where the hashes match, the file is as it was signed; whether it was true then is "
        "another matter.",
    ),
    "c2pa_damaged": (
        "There was a manifest, and the file was cut or changed since. It does not say by whom, or "
        "whether on purpose: programs that do not know manifests damage them.",
        _NO_MANIFEST,
    ),
    "c2pa_elsewhere": (
        "The file names an address where its manifest is said to be. It was not fetched, so "
        "nothing it states was read or verified.",
        _NO_MANIFEST,
    ),
    "c2pa_unread": (
        "The bytes of a manifest are there; they were not read, so who signed what is not known, "
        "nor whether it still fits the file.",
        _NO_MANIFEST,
    ),
    "generator_tag": (
        f"The file says of itself that it was generated. {_ANYBODY}",
        "Most generated recordings carry no such tag, and saving a file anew loses it.",
    ),
    "encoder_tag": (
        "The file says that this program wrote it last. The same programs write genuine "
        f"recordings and generated ones. {_ANYBODY}",
        "Many recorders and programs leave no tag: that there is none says nothing.",
    ),
    "text_tag": (
        f"The file says this of itself. {_ANYBODY}",
        "Most recordings have no such tags, and many services strip them.",
    ),
    "mp3_recompressed": (
        "The sound was an MP3 before it became this one, so this file is no first recording: it "
        "was decoded and saved again, as editing does, and so do many services on upload.",
        "A second compression that is coarser than the first, or whose frames begin at the same "
        "samples, leaves no such trace.",
    ),
    "band_cut": (
        "The sound went through something of a lower sampling rate, or through a filter, before "
        "it was saved at this one: a telephone, a codec, a generator, a conversion. It does not "
        "say which.",
        "Sound that was resampled by other means, or had noise added after, shows no such edge.",
    ),
    "digital_silence": (
        "No microphone gives exact zeros: a program put them there. Editors do, and so do noise "
        "gates, mute buttons, codecs that leave pauses out, lost packets and generators.",
        "Silence can be cut in with noise as well: that there are no zeros says nothing.",
    ),
    "splice": (
        "The sound was cut off and set in again by a program: an edit, a mute button or lost "
        "packets. It does not say what was there, or whether anything was.",
        "A cut with a short fade, or between two sounds that fit, leaves no such edge.",
    ),
    "noise_floor_change": (
        "What is heard in the background changed at once. Two recordings that were joined sound "
        "so, and so do noise suppression that sets in, a switch of microphones or a machine that "
        "starts.",
        "Recordings of like background, or joined while somebody speaks, show no such step.",
    ),
    "perth_watermark": (
        "The sound carries the watermark that Resemble AI's generators put in. It is open: anybody "
        "can put it into any sound, genuine or not.",
        "Most generators do not use it, it can be switched off, and strong changes remove it.",
    ),
}
# What people call each finding, and each of what could not be looked for.
NAMES: dict[str, str] = {
    "c2pa_manifest": "C2PA manifest",
    "c2pa_generated": "C2PA: stated to be generated",
    "c2pa_mismatch": "C2PA: changed since it was signed",
    "c2pa_damaged": "C2PA: a damaged manifest",
    "c2pa_elsewhere": "C2PA: a manifest that lies elsewhere",
    "c2pa_unread": "C2PA: a manifest that was not read",
    "generator_tag": "A tag that says that it was generated",
    "encoder_tag": "The program that wrote it",
    "text_tag": "Titles, comments and dates",
    "mp3_recompressed": "It was an MP3 before",
    "band_cut": "A band cut below what the file could hold",
    "digital_silence": "Digital silence",
    "splice": "A splice",
    "noise_floor_change": "The background changes at once",
    "perth_watermark": "The watermark Perth",
    "tags": "Tags",
    "c2pa": "C2PA manifests",
}


@dataclass(frozen=True)
class Finding:
    """Something that was seen in a file.

    Parameters
    ----------
    code : str
        Stable, machine-readable name: one of `FindingCode`.
    seen : str
        What was seen, with times, numbers and quoted tags.
    proves : str
        What it proves, and what not.
    absence : str
        What it would not prove if it were absent.
    """

    code: FindingCode
    seen: str
    proves: str
    absence: str


@dataclass(frozen=True)
class NotFound:
    """Something that was looked for and is not there.

    Parameters
    ----------
    code : str
        One of `FindingCode`.
    absence : str
        What that does not prove.
    """

    code: FindingCode
    absence: str


NO_PACKAGE = "the package {} is missing: {}"  # why something was not looked for, and a command


@dataclass(frozen=True)
class NotLookedFor:
    """Something that could not be looked for.

    Parameters
    ----------
    code : {"c2pa", "tags", "perth_watermark"}
    why : str
        What is missing, or stands in the way.
    """

    code: Unavailable
    why: str


@dataclass(frozen=True)
class Facts:
    """What a file is, without suspicion.

    Parameters
    ----------
    container : str
        FFmpeg's name of the format; empty where FFmpeg does not know it.
    codec : str
        Of the first track that decodes.
    rate_hz : int
        Its sampling rate.
    channels : int
        Its channels; all else is of their mean.
    duration_s : float
        Seconds of sound.
    tracks : int
        Audio tracks; the first that decodes was examined.
    band_hz : float or None
        Up to where there is sound, in Hz; None where there is too little of it.
    library : str
        The library that wrote it, where every file of the format must name one; may be empty.
    damage : str
        What is wrong with a file that breaks off; empty if nothing.
    omitted : str
        What of the file was not looked at: other tracks, channels that differ, what was not
        decoded; empty if nothing.
    """

    container: str
    codec: str
    rate_hz: int = field(metadata={"ge": 0})
    channels: int = field(metadata={"ge": 0})
    duration_s: float = field(metadata={"ge": 0})
    tracks: int = field(metadata={"ge": 0})
    band_hz: float | None
    library: str
    damage: str
    omitted: str


@dataclass(frozen=True)
class Origin:
    """What a file itself says of its origin; never a verdict.

    Parameters
    ----------
    findings : tuple of Finding
        What was seen, in the order of `FindingCode`.
    not_found : tuple of NotFound
        What was looked for and is not there.
    not_looked_for : tuple of NotLookedFor
        What could not be looked for.
    facts : Facts
        What the file is.
    """

    findings: tuple[Finding, ...]
    not_found: tuple[NotFound, ...]
    not_looked_for: tuple[NotLookedFor, ...]
    facts: Facts


def finding(code: FindingCode, seen: str) -> Finding:
    """Return a finding with the words that belong to its code."""
    return Finding(code, seen, *MEANING[code])


def not_found(code: FindingCode) -> NotFound:
    """Return what to say where a code was looked for and is not there."""
    return NotFound(code, MEANING[code][1])
