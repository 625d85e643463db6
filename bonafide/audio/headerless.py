"""Telephone recordings without a header, as PBXs keep them: the suffix alone says what they are."""

from bonafide.audio.libsndfile import Forward
from bonafide.audio.view import View

# Suffix -> rate in Hz and libsndfile's name of the coding, by the conventions of Asterisk.
RAW = {
    **dict.fromkeys((".ulaw", ".ul", ".mulaw", ".mu"), (8_000, "ULAW")),
    **dict.fromkeys((".alaw", ".al"), (8_000, "ALAW")),
    **dict.fromkeys((".sln", ".sln8"), (8_000, "PCM_16")),
    **{f".sln{khz}": (khz * 1_000, "PCM_16") for khz in (12, 16, 24, 32, 48, 96, 192)},
    ".sln44": (44_100, "PCM_16"),
    ".gsm": (8_000, "GSM610"),
}
HEADERLESS_SUFFIXES = frozenset({*RAW, ".g722"})


def open_raw(file: View, suffix: str) -> Forward:
    """Open a recording of one of the suffixes in `RAW`."""
    rate_hz, subtype = RAW[suffix]
    return Forward(
        file, "r", rate_hz, 1, subtype, "LITTLE" if subtype == "PCM_16" else "FILE", "RAW"
    )
