"""Recordings below a folder: known by their suffixes, the others by what they hold."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bonafide.audio import HEADERLESS_SUFFIXES, AudioStream
from bonafide.errors import AudioError, CorpusError

# A file with one of these that cannot be decoded is an error, and not something else.
AUDIO_SUFFIXES = HEADERLESS_SUFFIXES | frozenset(
    f".{name}"
    for group in (
        ("wav", "wave", "flac", "mp3", "mp2", "mpga", "ogg", "oga", "opus", "spx", "aiff", "aif"),
        ("aifc", "au", "snd", "caf", "w64", "sph", "m4a", "m4b", "m4r", "aac", "ac3", "eac3"),
        ("mp4", "m4v", "mov", "mkv", "mka", "webm", "weba", "wma", "wmv", "amr", "awb", "3gp"),
        ("3g2", "3ga", "avi", "flv", "ape", "wv", "tta"),
    )
    for name in group
)
# These need not be opened: none of them is a recording.
OTHER_SUFFIXES = frozenset(
    f".{name}"
    for group in (
        ("txt", "md", "rst", "csv", "tsv", "json", "jsonl", "xml", "html", "yaml", "yml", "toml"),
        ("log", "py", "sh", "lab", "textgrid", "srt", "vtt", "stm", "ctm", "trn", "scp", "lst"),
        ("pdf", "docx", "xlsx", "png", "jpg", "jpeg", "gif", "svg", "npy", "npz", "parquet"),
        ("onnx", "pt", "zip", "gz", "bz2", "xz", "tar", "7z"),
    )
    for name in group
)


@dataclass
class Listing:
    """Everything below a folder.

    Parameters
    ----------
    audio : list of Path
        Recordings, and files that are called one.
    skipped : list of Path
        Files that are none, and pipes, sockets and devices.
    hidden : list of Path
        Files and folders whose name begins with a dot, such as ``._a.wav``; these folders are not
        looked into.
    unreadable : list of Path
        Folders that cannot be listed.
    """

    audio: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)


def list_folder(folder: Path) -> Listing:
    """List a folder and what is below it, to any depth.

    Links to folders are followed; a folder that can be reached in several ways is listed once.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    Listing
        Each of its lists sorted.
    """
    listing = Listing()
    for entry in entries_below(folder, listing):
        (listing.audio if is_audio(entry) else listing.skipped).append(entry)
    for found in (listing.audio, listing.skipped, listing.hidden, listing.unreadable):
        found.sort()
    return listing


def entries_below(folder: Path, listing: Listing) -> Iterator[Path]:
    """Yield what lies below a folder and is neither hidden nor a folder; note what else is there.

    Parameters
    ----------
    folder : Path
        The folder.
    listing : Listing
        Gets what is hidden, and the folders that cannot be listed.

    Yields
    ------
    Path
    """
    pending, seen = [folder], set()
    while pending:
        here = pending.pop()
        try:
            status = here.stat()
            entries = sorted(here.iterdir())
        except OSError:
            listing.unreadable.append(here)
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if entry.name.startswith("."):
                listing.hidden.append(entry)
            elif os.path.isdir(entry):  # noqa: PTH112  # Path.is_dir raises where it may not look
                # what is no link comes first, so that paths do not depend on a link beside them
                pending.insert(0 if entry.is_symlink() else len(pending), entry)
            else:
                yield entry


def audio_files(folder: Path) -> list[Path]:
    """Return the recordings in a folder and below it, sorted.

    Parameters
    ----------
    folder : Path
        Searched to any depth, as `list_folder` does.

    Returns
    -------
    list of Path
        Files with one of `AUDIO_SUFFIXES`, in any case, and others that decode; none that is
        hidden.

    Raises
    ------
    CorpusError
        ``unreadable`` if a folder cannot be listed.
    """
    listing = list_folder(folder)
    for hidden_away in listing.unreadable:
        raise CorpusError("unreadable", f"{hidden_away}: this folder cannot be listed")
    return listing.audio


def is_audio(path: Path) -> bool:
    """Return whether a file is a recording, by its suffix or else by what it holds."""
    suffix, is_file = path.suffix.lower(), os.path.isfile(path)  # noqa: PTH113
    if suffix in AUDIO_SUFFIXES:
        return is_file or not os.path.exists(path)  # noqa: PTH110  # a broken link is to be told
    return is_file and suffix not in OTHER_SUFFIXES and _decodes(path)


def _decodes(path: Path) -> bool:
    """Return whether a decoder finds sound in a file, or anything but no sound at all."""
    try:
        return any(True for _ in AudioStream(path))  # the first block is enough
    except AudioError as error:
        return error.code not in ("not_audio", "empty")
