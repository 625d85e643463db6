"""Tags of containers and encoders: what a file says of itself, quoted."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bonafide.audio.ffmpeg import open_container
from bonafide.audio.magic import FLAC, OGG
from bonafide.audio.tags import skip_tags
from bonafide.audio.view import WINDOW_BYTES, View, read_at, size_of
from bonafide.errors import AudioError
from bonafide.provenance.finding import Finding, finding
from bonafide.provenance.quoted import name, quoted
from bonafide.provenance.signed import GENERATED

NAMED = 8  # tags that are quoted, before the rest are counted alone
HEAD_BYTES = 1 << 16
ENCODER_KEYS = (
    *("encoder", "encoded_by", "encoder_options", "encoding_tool", "software", "vendor"),
    *("originator", "originator_reference", "coding_history", "writing_library", "handler_name"),
)
# What containers need for themselves, or FFmpeg reads out of them.
TECHNICAL_KEYS = (
    *("major_brand", "minor_version", "compatible_brands", "language", "vendor_id", "duration"),
    *("time_reference", "umid", "timecode", "gapless_playback", "itunsmpb", "itunnorm"),
)
DEFAULT_HANDLERS = ("SoundHandler", "VideoHandler", "")
# What programs call themselves where people do not know them by it.
PROGRAMS = {"Lavf": "FFmpeg", "Lavc": "FFmpeg", "LAME": "the MP3 encoder LAME"}
COMMENTS = (b"OpusTags", b"\x03vorbis")  # the packets that begin with the name of a library
FLAC_COMMENT, MAX_BLOCKS = 4, 128
# Tags that say that sound was generated, as they are documented.
GENERATORS = (
    (re.compile(r"^aigc: ", re.I), "the label that GB 45438-2025 asks of services in China"),
    (re.compile(r"made with suno", re.I), "Suno writes this into what it generates"),
    (re.compile(r"bark by suno ai|bark gui", re.I), "programs around Bark write this"),
)
# A statement of the source: an attribute, or an element with the address in it or as a resource.
XMP_SOURCE = re.compile(
    rb"""\bIptc4xmpExt:DigitalSourceType(?:
        \s*=\s*(?:"(?P<double>[^"<]{0,256})"|'(?P<single>[^'<]{0,256})')
        |(?<=<Iptc4xmpExt:DigitalSourceType)
        (?:\s+rdf:resource\s*=\s*["'](?P<resource>[^"'<]{0,256})["'])?[^<>]{0,256}>
        (?:(?<!/>)(?P<element>.{0,512}?)(?:</Iptc4xmpExt|\Z))?
    )""",
    re.X | re.S,
)
XMP_BESIDE = 2048  # bytes of one statement, and of what is before an attribute in its tag


@dataclass(frozen=True)
class Tags:
    """The tags of a file.

    Parameters
    ----------
    container : str
        FFmpeg's name of the format; empty if FFmpeg does not know it.
    pairs : tuple of tuple of str
        Names, in lower case, and values; each once.
    library : str
        The library that FLAC makes every file name; empty for other formats.
    """

    container: str
    pairs: tuple[tuple[str, str], ...]
    library: str


def read_tags(file: BinaryIO) -> Tags:
    """Read the tags of a file and of its first audio track.

    Parameters
    ----------
    file : binary file
        Left open.

    Returns
    -------
    Tags
        Without any, where FFmpeg does not know the format.
    """
    file.seek(0)
    try:
        # Through a view, which can be sought to any place that a header states.
        with open_container(View(file, [(0, size_of(file))])) as container:
            format_name = container.format.name
            tracks = [track.metadata for track in container.streams.audio[:1]]
            pairs = [pair for tags in (container.metadata, *tracks) for pair in tags.items()]
    except AudioError:  # one that libsndfile alone knows
        format_name, pairs = "", []
    library = _flac_library(file)
    vendor = _ogg_vendor(file) or (library if library.startswith("Lav") else "")
    named = [(key.lower(), value.strip()) for key, value in [*pairs, ("vendor", vendor)]]
    kept = {value: key for key, value in reversed(named) if not _is_technical(key, value)}
    once = tuple((key, value) for value, key in reversed(kept.items()) if value)
    return Tags(format_name, once, "" if vendor else library)


def _is_technical(key: str, value: str) -> bool:
    if key == "handler_name":
        return value in DEFAULT_HANDLERS
    return key in TECHNICAL_KEYS or key.startswith(("_statistics", "id3v2_priv", "number_of_"))


def _ogg_vendor(file: BinaryIO) -> str:
    """Return the name of the library in the comments of Opus or Vorbis; empty if there is none."""
    head = read_at(file, 0, HEAD_BYTES)
    if head[:4] != OGG:
        return ""
    places = [at + len(mark) for mark in COMMENTS if (at := head.find(mark)) >= 0]
    return _counted(head[min(places) :]) if places else ""


def _flac_library(file: BinaryIO) -> str:
    place = skip_tags(file, 0, size_of(file)) if read_at(file, 0, 3) == b"ID3" else 0
    if read_at(file, place, 4) != FLAC:
        return ""
    place += 4
    for _ in range(MAX_BLOCKS):
        head = read_at(file, place, 4)
        if len(head) < 4:
            break
        if head[0] & 127 == FLAC_COMMENT:
            return _counted(read_at(file, place + 4, 4 + HEAD_BYTES))
        if head[0] >> 7:
            break
        place += 4 + int.from_bytes(head[1:], "big")
    return ""


def _counted(data: bytes) -> str:
    """Return the text behind its size in four bytes."""
    return data[4 : 4 + int.from_bytes(data[:4], "little")].decode("utf-8", "replace")


def tag_findings(tags: Tags, file: BinaryIO) -> list[Finding]:
    """Return what tags say: of a generator, of the program that wrote the file, and the rest.

    Parameters
    ----------
    tags : Tags
        Of the file.
    file : binary file
        In which a statement of the source in XMP is looked for; left open.

    Returns
    -------
    list of Finding
        One of each kind at most.
    """
    encoders = [pair for pair in tags.pairs if pair[0] in ENCODER_KEYS]
    others = [pair for pair in tags.pairs if pair[0] not in ENCODER_KEYS]
    found = []
    if generators := [*_generators(tags), *_xmp_sources(file)]:
        found.append(finding("generator_tag", f"{_listed(generators)}."))
    if encoders:
        said = [f"{key} {quoted(value)}{_known(value)}" for key, value in encoders]
        found.append(finding("encoder_tag", f"The program that wrote it: {_listed(said)}."))
    if others:
        said = [f"{name(key)} {quoted(value)}" for key, value in others]
        found.append(finding("text_tag", f"It carries text: {_listed(said)}."))
    return found


def _listed(said: list[str]) -> str:
    more = [f"and {len(said) - NAMED} more"] if len(said) > NAMED else []
    return ", ".join([*said[:NAMED], *more])


def _known(value: str) -> str:
    """Return in brackets whose name it is, where people may not know it."""
    return next((f" ({whose})" for short, whose in PROGRAMS.items() if value.startswith(short)), "")


def _generators(tags: Tags) -> Iterator[str]:
    for key, value in tags.pairs:
        for pattern, whose in GENERATORS:
            if pattern.search(f"{key}: {value}"):
                yield f"{quoted(f'{key}: {value}')}: {whose}"


def _xmp_sources(file: BinaryIO) -> Iterator[str]:
    """Yield what a file's XMP states of its source, each generator once."""
    size, kinds = size_of(file), set[str]()
    for place in range(0, size, WINDOW_BYTES):
        start = max(0, place - XMP_BESIDE)  # to see the tag that an attribute is in
        window = read_at(file, start, place - start + WINDOW_BYTES + XMP_BESIDE)
        kinds |= {kind for said in XMP_SOURCE.finditer(window) for kind in _stated(window, said)}
    for kind in sorted(kinds & set(GENERATED)):
        yield f'XMP states the source "{kind}" (IPTC digital source type)'


def _stated(window: bytes, said: re.Match[bytes]) -> list[str]:
    """Return the last parts of the addresses in a statement; none where it is text alone."""
    before = window[max(0, said.start() - XMP_BESIDE) : said.start()]
    attribute = said["double"] or said["single"]
    if attribute and before.rfind(b"<") <= before.rfind(b">"):
        return []
    values = [attribute] if attribute else re.split(rb"<[^>]*(?:>|\Z)", said["element"] or b"")
    values += [said["resource"]] if said["resource"] else []
    return [value.decode("utf-8", "replace").strip().rpartition("/")[2] for value in values]
