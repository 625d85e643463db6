"""Ingestion: decode and measure every recording once; set unusable ones aside with a reason."""

import contextlib
import hashlib
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import file_sha256
from bonafide.audio import (
    FRAME_SAMPLES,
    MIN_SOUND_S,
    MIN_SPEECH_S,
    AudioStream,
    Limits,
    Waveform,
    decode_stream,
    speech_frames,
    speech_seconds,
    too_short,
)
from bonafide.corpora.schema import UNKNOWN, Corpus, Row, require_both_labels
from bonafide.errors import AudioError, CorpusError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.process.pool import Progress, map_parallel, silent
from bonafide.training.examined import Examined, Memory
from bonafide.training.recordings import Quarantine, Recordings, Rejected
from bonafide.words import by_reason

LIMITS = Limits(max_duration_s=600.0)
KEPT_AT_A_TIME = 512  # files, so that a run that is killed has not examined all in vain


def measure(waveform: Waveform, stream: AudioStream, n_bytes: int) -> NDArray[np.float64]:
    """Take the trivial measures of one recording, in the order of `MEASURES`.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n_samples,)
        At 16 kHz; at least one frame.
    stream : AudioStream
        The stream that it came from, read to the end.
    n_bytes : int
        Size of the file.

    Returns
    -------
    ndarray of float64, shape (len(MEASURES),)
    """
    speech = np.flatnonzero(active := _active_frames(waveform))
    first, last = (speech[0], speech[-1]) if len(speech) else (len(active), 0)
    frame_s = FRAME_SAMPLES / SAMPLE_RATE_HZ
    spectrum = np.abs(np.fft.rfft(waveform)) ** 2
    energy = np.cumsum(spectrum) / max(float(spectrum.sum()), 1e-20)
    duration_s = len(waveform) / SAMPLE_RATE_HZ
    values = [
        duration_s,
        _db(np.mean(waveform**2)),
        _db(np.max(waveform**2)),
        _db(np.percentile(_frame_power(waveform), 5)),
        np.mean(waveform == 0.0),
        first * frame_s,
        (len(active) - 1 - last) * frame_s,
        1.0 - np.mean(active),
        np.searchsorted(energy, 0.999) / max(len(energy) - 1, 1) * SAMPLE_RATE_HZ / 2,
        n_bytes / duration_s,
        stream.original_rate_hz,
        stream.channels,
        int.from_bytes(stream.codec.encode()[:4], "big"),  # each codec a number, for the trees
    ]
    return np.array(values, dtype=np.float64)


def _db(power: Any) -> float:
    return float(10 * np.log10(max(float(power), 1e-12)))


def _frame_power(waveform: Waveform) -> NDArray[np.float32]:
    whole = len(waveform) // FRAME_SAMPLES * FRAME_SAMPLES
    frames = waveform[:whole].reshape(-1, FRAME_SAMPLES)
    return np.asarray(np.mean(frames**2, axis=1))


def _active_frames(waveform: Waveform) -> NDArray[np.bool_]:
    power = _frame_power(waveform)
    return np.asarray(power > power.max() * 1e-4)  # within 40 dB of the loudest frame


def sound_sha256(waveform: Waveform) -> str:
    """Return the SHA-256 of decoded sound, the identity of a recording.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n_samples,)
        At 16 kHz; rounded to 16 bits for the hash.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    pcm = np.clip(np.round(waveform * 32768), -32768, 32767).astype("<i2")
    return hashlib.sha256(pcm.tobytes()).hexdigest()


def require_file(path: Path) -> int:
    """Return a file's size in bytes.

    Parameters
    ----------
    path : Path
        Any path that a manifest holds.

    Returns
    -------
    int

    Raises
    ------
    AudioError
        ``unreadable`` for what is no regular file, as a pipe never ends.
    """
    try:
        str(path).encode()
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            return status.st_size
        problem = "not a file"
    except UnicodeEncodeError:
        problem = "its name is not in UTF-8"
    except ValueError:
        problem = "its path holds a NUL character"
    except OSError as error:
        problem = error.strerror or str(error)
        if any(re.fullmatch("[A-Za-z]+:|~", part) for part in path.parts):
            problem += "; paths must be relative to the manifest, or absolute on this machine"
    raise AudioError("unreadable", f"{_printable(str(path))}: cannot be read: {problem}")


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode().replace("\0", r"\0")


def examine(path: Path) -> Examined:
    """Decode and measure one file.

    Parameters
    ----------
    path : Path
        Any path that a manifest holds.

    Returns
    -------
    Examined
        With the reason not to use it, which is not raised.
    """
    found = _examined(path)
    failed_for_a_moment = found.error and found.error.code == "unreadable" and found.file_sha256
    return _examined(path) if failed_for_a_moment else found


def _examined(path: Path) -> Examined:
    try:
        size = require_file(path)
        stream = AudioStream(path, LIMITS)
        waveform = _sound(path, stream)
    except AudioError as error:
        return Examined(_hash(path), error=error)
    # The hash comes last: of what changed meanwhile, it is another than that of the fingerprint.
    return Examined(_hash(path), sound_sha256(waveform), measure(waveform, stream, size))


def _hash(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError):  # decoding says why it cannot be read
        return file_sha256(path)
    return ""


def _sound(path: Path, stream: AudioStream) -> Waveform:
    """Decode a file to its end; raise where it is too short or silent."""
    waveform = decode_stream(stream)
    if too_short(len(waveform)):
        seen = len(waveform) / SAMPLE_RATE_HZ
        raise AudioError(
            "too_short", f"{path}: {seen:.2f} s of sound; at least {MIN_SOUND_S:g} s are needed"
        )
    speech_s = speech_seconds(speech_frames(waveform))
    if speech_s < MIN_SPEECH_S:
        raise AudioError(
            "silent",
            f"{path}: {speech_s:.2f} s with energy where speech has it; at least "
            f"{MIN_SPEECH_S:g} s are needed",
        )
    return waveform


def _crashed(path: Path) -> Examined:
    error = AudioError("decoder_crashed", f"{path}: the decoder crashed on it")
    return Examined(error=error)


def _conflicts(rows: list[tuple[int, Row, str]]) -> dict[int, tuple[str, str]]:
    """Find rows whose sound occurs elsewhere: row number -> (code, reason)."""
    first: dict[str, tuple[int, Row]] = {}
    labels: dict[str, set[str]] = {}
    for _, row, digest in rows:
        labels.setdefault(digest, set()).add(row.label)
    found: dict[int, tuple[str, str]] = {}
    for number, row, digest in rows:
        earlier = first.setdefault(digest, (number, row))
        where = f"row {earlier[0] + 2} ({earlier[1].path}, split {earlier[1].split})"
        if len(labels[digest]) > 1:
            found[number] = ("label_conflict", "the same sound has both labels")
        elif earlier[0] != number:
            found[number] = ("duplicate", f"the same sound as {where}; split here {row.split}")
    return found


def _repeated(rows: list[tuple[int, Row, str]]) -> dict[str, dict[str, int]]:
    """Count the sounds of each known source that came before: source -> source of these -> rows."""
    first: dict[str, str] = {}
    found: dict[str, dict[str, int]] = {}
    for _, row, digest in rows:
        if digest not in first:
            first[digest] = row.source
        elif UNKNOWN not in (row.source, first[digest]):
            of = found.setdefault(row.source, {})
            of[first[digest]] = of.get(first[digest], 0) + 1
    return found


def _examine_all(
    paths: Sequence[Path],
    memory: Memory | None,
    hashes: Mapping[str, str],
    workers: int | None,
    progress: Progress,
) -> dict[int, Examined]:
    """Return what is found in files, by number; those that are known are not read."""
    known = memory.recall(hashes) if memory and hashes else {}
    found = {n: known[str(path)] for n, path in enumerate(paths) if str(path) in known}
    unknown = [number for number in range(len(paths)) if number not in found]
    if found:
        progress(len(found), len(paths))
    new, fresh = [paths[number] for number in unknown], list[tuple[str, Examined]]()
    for place, result in map_parallel(examine, new, crashed=_crashed, workers=workers):
        found[unknown[place]] = result
        progress(len(found), len(paths))
        path = str(new[place])
        if hashes.get(path) == result.file_sha256:  # it did not change meanwhile
            fresh.append((path, result))
        if memory and len(fresh) == KEPT_AT_A_TIME:
            memory.keep(fresh)
            fresh.clear()
    if memory and fresh:
        memory.keep(fresh)
    return found


def ingest(
    corpus: Corpus,
    *,
    memory: Memory | None = None,
    hashes: Mapping[str, str] | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> tuple[Recordings, Quarantine]:
    """Decode and measure every row; set aside what cannot be used.

    Parameters
    ----------
    corpus : Corpus
        Labelled rows, as a reader returns them.
    memory : Memory or None
        What earlier runs found in files; told what this one finds.
    hashes : mapping of str to str, or None
        Path -> SHA-256 of files; those of which `memory` knows are not read.
    workers : int or None
        Number of processes; None for one per core.
    progress : callable
        Called with (done, total), in files.

    Returns
    -------
    Recordings
        The rows that can be used.
    Quarantine
        The rows set aside: files that cannot be decoded to the end, are under a second, silent or
        over ten minutes; sounds that occur under both labels (all of them); and repetitions of a
        sound (all but the first).

    Raises
    ------
    CorpusError
        ``one_class``, before decoding, if a label has no row; ``nothing_usable``, after it, if a
        label has none left.
    """
    require_both_labels(corpus, str(corpus.root))
    found = _examine_all(
        [corpus.audio_path(row) for row in corpus], memory, hashes or {}, workers, progress
    )
    usable: list[tuple[int, Row, str]] = []
    reasons: dict[int, tuple[str, str]] = {}
    for number, row in enumerate(corpus):
        if error := found[number].error:
            reasons[number] = (error.code, error.message)
        else:
            usable.append((number, row, found[number].sound_sha256))
    conflicts = _conflicts(usable)
    for number, (code, reason) in conflicts.items():
        reasons[number] = (code, f"{corpus.rows[number].path}: {reason}")
    rejected = [
        Rejected(number, row.path, *reasons[number], row, found[number].file_sha256)
        for number in sorted(reasons)
        for row in [replace(corpus.rows[number], path=_printable(corpus.rows[number].path))]
    ]
    kept = [number for number, _, _ in usable if number not in conflicts]
    quarantine = Quarantine(rejected, len(corpus), _repeated(usable))
    remaining = corpus.take(kept)
    _require_usable(remaining, quarantine)
    examined = [found[number] for number in kept]
    sounds, files = (
        np.array([getattr(each, name) for each in examined])
        for name in ("sound_sha256", "file_sha256")
    )
    measures = np.stack([each.measures for each in examined if each.measures is not None])
    return Recordings(remaining, sounds, measures, files), quarantine


def _require_usable(corpus: Corpus, quarantine: Quarantine) -> None:
    missing = {"bonafide", "spoof"} - {row.label for row in corpus}
    if missing:
        reasons = by_reason(item.code for item in quarantine.rejected)
        raise CorpusError(
            "nothing_usable",
            f"{corpus.root}: no usable {sorted(missing)[0]} is left of {quarantine.n_rows} rows; "
            f"set aside: {reasons}; the first: {quarantine.rejected[0].message}",
        )
