"""Recordings on disk, recognised by their suffixes."""

from pathlib import Path

AUDIO_SUFFIXES = frozenset(
    f".{name}"
    for group in (
        ("wav", "flac", "mp3", "ogg", "oga", "opus", "aiff", "aif", "au", "caf", "w64", "sph"),
        ("m4a", "aac", "mp4", "m4v", "mov", "mkv", "webm", "wma", "amr", "3gp", "avi", "ac3"),
    )
    for name in group
)


def audio_files(folder: Path) -> list[Path]:
    """Return the audio files in a folder and below it, sorted.

    Parameters
    ----------
    folder : Path
        Searched to any depth.

    Returns
    -------
    list of Path
        Files whose suffix, in any case, is one of `AUDIO_SUFFIXES`.
    """
    found = (file for file in folder.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
    return sorted(file for file in found if not file.is_dir())
