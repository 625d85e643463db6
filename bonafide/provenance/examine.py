"""All that is looked at in one file, in one pass over its sound."""

from pathlib import Path
from typing import get_args

from bonafide.audio import AudioStream
from bonafide.errors import AudioError
from bonafide.provenance.band import Band
from bonafide.provenance.codecs import is_lossless
from bonafide.provenance.crowded import is_crowded
from bonafide.provenance.finding import (
    Facts,
    Finding,
    FindingCode,
    NotLookedFor,
    Origin,
    not_found,
)
from bonafide.provenance.floor import Floor
from bonafide.provenance.recompression import recompression
from bonafide.provenance.signed import manifests
from bonafide.provenance.silence import Silence
from bonafide.provenance.tags import Tags, read_tags, tag_findings
from bonafide.provenance.watermark import Watermark

ORDER: tuple[FindingCode, ...] = get_args(FindingCode)
MP3 = "mp3"
NO_TAGS = Tags("", (), "")
CROWDED = "its tags hold too many fields to be read in a time that others would wait"


def examine(source: Path | bytes | AudioStream) -> Origin:
    """Look at what a file itself says of its origin.

    Nothing is fetched, and memory does not grow with the length of the recording.

    Parameters
    ----------
    source : Path, bytes or AudioStream
        A file, its content, or a stream with limits of its own.

    Returns
    -------
    Origin
        Findings, each with what it proves; never a verdict.

    Raises
    ------
    AudioError
        As in `AudioStream`; ``empty`` for a file without a sample.
    """
    stream = source if isinstance(source, AudioStream) else AudioStream(source)
    crowded = CROWDED if _is_crowded(stream) else ""
    band, silence, floor, watermark = Band(), Silence(), Floor(), Watermark()
    for rate_hz, mono in stream.at_own_rate():
        for each in (band, silence, floor, watermark):
            each.hear(rate_hz, mono)
    if not stream.duration_s:
        raise AudioError("empty", f"{stream.name}: holds no sample of sound")
    with stream.opened() as file:
        tags = NO_TAGS if crowded else read_tags(file)
        signed, missing = manifests(file, crowded)
        missing += [NotLookedFor("tags", crowded)] if crowded else []
        found = [*signed, *tag_findings(tags, file)]
        earlier = recompression(file) if _is_whole_mp3(stream) else None
    found += earlier or []
    found += [*band.findings(stream.codec), *silence.findings(stream.codec), *floor.findings()]
    found += watermark.findings()
    missing += watermark.missing()
    looked: dict[FindingCode, bool] = {
        "mp3_recompressed": earlier is not None,
        "band_cut": is_lossless(stream.codec) and band.band_hz is not None,
        "digital_silence": silence.looked(stream.codec),
        "splice": silence.looked(stream.codec),
        "noise_floor_change": floor.looked,
    }
    return Origin(
        tuple(sorted(found, key=lambda each: ORDER.index(each.code))),
        tuple(map(not_found, _without(found, missing, {code for code in looked if looked[code]}))),
        tuple(missing),
        _facts(stream, tags, band.band_hz),
    )


def _is_crowded(stream: AudioStream) -> bool:
    try:
        with stream.opened() as file:
            return is_crowded(file)
    except AudioError as error:
        raise AudioError(error.code, f"{stream.name}: {error.message}") from error
    except OSError:  # decoding tells why it cannot be read
        return False


def _without(
    found: list[Finding], missing: list[NotLookedFor], traces: set[FindingCode]
) -> list[FindingCode]:
    """Return what was looked for and not found; `traces` are those that the sound was fit for."""
    seen = {each.code for each in found}
    left_out = {each.code for each in missing}
    codes = set(traces)
    if "tags" not in left_out:
        codes |= {"generator_tag", "encoder_tag", "text_tag"}
    if "c2pa" not in left_out and not any(code.startswith("c2pa") for code in seen):
        codes.add("c2pa_manifest")
    if "perth_watermark" not in left_out:
        codes.add("perth_watermark")
    return [code for code in ORDER if code in codes - seen]


def _is_whole_mp3(stream: AudioStream) -> bool:
    """Return whether to look for an earlier MP3; frames that are lost leave traces like one."""
    return stream.codec == MP3 and not stream.damage


def _facts(stream: AudioStream, tags: Tags, band_hz: float | None) -> Facts:
    others = stream.n_tracks - 1  # the first that decodes is looked at
    unseen = f"tracks not looked at: {others} of {stream.n_tracks}" if others > 0 else ""
    mean = f"the mean of {stream.channels} channels, which differ, was looked at"
    mixed = f"{mean}, and where it cancels the loudest" if stream.channels_differ else ""
    told = (unseen, mixed if stream.channel is None else "", stream.omitted)
    return Facts(
        container=tags.container,
        codec=stream.codec,
        rate_hz=stream.original_rate_hz,
        channels=stream.channels,
        duration_s=stream.duration_s,
        tracks=stream.n_tracks,
        band_hz=band_hz,
        library=tags.library,
        damage=stream.damage,
        omitted="; ".join(filter(None, told)),
    )
