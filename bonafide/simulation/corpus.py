"""The simulated corpus: speech-like clips, plain and vocoded.

It proves that the machinery runs, never that it detects. Every clip is a fresh sentence of one of
the speakers; half of them pass through one of `bonafide.simulation.vocoders`. Only then do all get
their source's room, noise and level, so that neither duration, level, pauses nor noise floor tells
the classes apart.
"""

import contextlib
import errno
import glob
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
import soundfile as sf

from bonafide.corpora.schema import Corpus, Row
from bonafide.corpora.simulated import TAG
from bonafide.errors import CorpusError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.process.lock import try_lock
from bonafide.process.pool import map_parallel
from bonafide.simulation.vocoders import GENERATOR_NAMES, GENERATORS
from bonafide.simulation.voices import STEP_SAMPLES, Room, Voice, speak

VERSION = 3  # to be raised whenever the same parameters would yield other bytes
N_SOURCES = 6
GENERATORS_PER_SOURCE = 3
MIN_CLIPS, MAX_CLIPS, MIN_SPEAKERS, MAX_SPEAKERS = 48, 100_000, N_SOURCES, 100
SHORTEST_S, LONGEST_S = 1.5, 4.5
_README = """Simulated audio: nobody speaks here.

Every clip was computed by bonafide.simulation.corpus; those labelled spoof then passed through a
classic vocoder. The corpus proves that the machinery runs, never that it detects: a score measured
on it says nothing about real recordings or real generators. Licence: CC0-1.0.
"""


def generators_of(source: int) -> tuple[str, ...]:
    """Return the generators of one source, which shares each of them with other sources.

    Parameters
    ----------
    source : int
        Number of the source, from 0.

    Returns
    -------
    tuple of str
        Three names in `bonafide.simulation.vocoders.GENERATORS`.

    Examples
    --------
    >>> generators_of(0)
    ('griffin_lim', 'lpc_vocoder', 'channel_vocoder')
    """
    order = (source + np.arange(GENERATORS_PER_SOURCE)) % len(GENERATOR_NAMES)
    return tuple(GENERATOR_NAMES[i] for i in order)


def plan(clips: int, speakers: int) -> list[Row]:
    """Return the rows of the corpus, without their durations.

    Labels alternate; sources, and within each source its speakers and generators, take turns, so
    that every speaker has as many clips of either label as any other of that source.

    Parameters
    ----------
    clips : int
        Even, 48 to 100 000, two or more for each speaker.
    speakers : int
        6 to 100; speaker ``s`` lives in source ``s % 6``.

    Returns
    -------
    list of Row
        ``clips`` rows.

    Raises
    ------
    CorpusError
        ``bad_simulation`` if a number is out of range.

    Examples
    --------
    >>> [(row.label, row.speaker, row.system) for row in plan(48, 6)[:2]]
    [('bonafide', 'sim:s00', '-'), ('spoof', 'sim:s00', 'griffin_lim')]
    """
    if not MIN_SPEAKERS <= speakers <= MAX_SPEAKERS:
        allowed = f"{MIN_SPEAKERS} to {MAX_SPEAKERS}"
        raise CorpusError("bad_simulation", f"speakers={speakers}: must be {allowed}")
    fewest = max(MIN_CLIPS, 2 * speakers)  # both labels of each speaker, each generator of a source
    if not fewest <= clips <= MAX_CLIPS or clips % 2:
        allowed = f"an even number, {fewest} to {MAX_CLIPS} with {speakers} speakers"
        raise CorpusError("bad_simulation", f"clips={clips}: must be {allowed}")
    return [_row(i, speakers) for i in range(clips)]


def _row(i: int, speakers: int) -> Row:
    """Return one row of the plan."""
    turn, source = divmod(i // 2, N_SOURCES)
    residents = range(source, speakers, N_SOURCES)
    lap, seat = divmod(turn, len(residents))
    generators = generators_of(source)
    # Without the seat, three residents would each keep to one generator.
    system = generators[(lap + seat) % len(generators)]
    is_spoof = i % 2 == 1
    return Row(
        path=f"audio/sim_{i:05d}.flac",
        label="spoof" if is_spoof else "bonafide",
        attack_type="vocoder" if is_spoof else "-",
        system=system if is_spoof else "-",
        speaker=f"sim:s{residents[seat]:02d}",
        language="und",
        source=f"simulated/room-{source}",
        corpus="simulated",
        original_rate=str(SAMPLE_RATE_HZ),
        original_codec="flac",
        licence="CC0-1.0",
    )


def _rng(seed: int, *key: int) -> np.random.Generator:
    """Return the random generator of one clip (i,), speaker (s, 1) or source (r, 2)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _write_clip(folder: Path, seed: int, i: int, row: Row) -> Row:
    """Compute and write clip i; return its row with its duration."""
    rng = _rng(seed, i)
    n_steps = round(rng.uniform(SHORTEST_S, LONGEST_S) * SAMPLE_RATE_HZ / STEP_SAMPLES)
    speaker = int(row.speaker.removeprefix("sim:s"))
    source = int(row.source.removeprefix("simulated/room-"))
    sound = speak(rng, Voice.draw(_rng(seed, speaker, 1)), n_steps * STEP_SAMPLES)
    if row.system in GENERATORS:
        sound = GENERATORS[row.system](sound.astype(np.float32), rng)
    recorded = Room.draw(_rng(seed, source, 2)).record(sound, rng)
    pcm = np.rint(np.clip(recorded, -1.0, 1.0) * 32_767.0).astype(np.int16)
    with sf.SoundFile(
        folder / row.path, "w", SAMPLE_RATE_HZ, 1, format="FLAC", subtype="PCM_16"
    ) as file:
        file.comment = TAG  # stays where file and manifest are renamed
        file.write(pcm)
    return replace(row, duration_s=f"{len(pcm) / SAMPLE_RATE_HZ:.3f}")


def _write_clips(
    folder: Path, seed: int, rows: list[Row], progress: Callable[[int, int], None] | None
) -> list[Row]:
    """Write all clips on all cores; return their rows, in order, with their durations."""
    write, written = partial(_write_numbered, folder, seed), dict(enumerate(rows))
    pairs = map_parallel(write, enumerate(rows), crashed=_crashed)
    for done, (i, row) in enumerate(pairs, start=1):
        written[i] = row
        if progress is not None:
            progress(done, len(rows))
    return list(written.values())


def _write_numbered(folder: Path, seed: int, numbered: tuple[int, Row]) -> Row:
    return _write_clip(folder, seed, *numbered)


def _crashed(numbered: tuple[int, Row]) -> Row:
    path = numbered[1].path
    raise CorpusError("not_simulated", f"{path}: the process that computed it was killed")


def _already_there(folder: Path, parameters: dict[str, int]) -> bool:
    """Return whether a folder holds this corpus whole; reject one that holds anything else."""
    marker = folder / "simulated.json"
    if marker.is_file() and (folder / "manifest.csv").is_file():
        try:
            if json.loads(marker.read_text(encoding="utf-8")) == parameters:
                return True
        except ValueError:
            pass  # a damaged marker is rejected below, like any other content
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CorpusError(
            "folder_not_empty",
            f"folder={str(folder)!r} holds something other than a whole simulated corpus of "
            f"{parameters}: must be that corpus, an empty folder or a new one",
        )
    return False


def simulate(
    folder: Path,
    *,
    clips: int = 240,
    speakers: int = 12,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the simulated corpus, on all cores, or find it already written.

    Processes are spawned: a script that calls this needs ``if __name__ == "__main__":``. The
    bytes depend on the arguments (and on the versions of NumPy, librosa and libsndfile), never on
    the number of processes.

    Parameters
    ----------
    folder : Path
        New, empty, or holding the corpus of the same arguments, which is left as it is.
        Receives ``audio/*.flac`` (16 kHz, 16 bits, 1.5 to 4.5 s), ``README.txt``, ``manifest.csv``
        and ``simulated.json``, all at once when all are written.
    clips : int
        Even, 48 to 100 000, two or more for each speaker. Half are spoof.
    speakers : int
        6 to 100, each in one of the 6 sources; both classes share them.
    seed : int
        0 or more.
    progress : callable, optional
        Called with the number of clips done and of all clips.

    Returns
    -------
    Path
        The manifest, with the columns of `bonafide.corpora.schema.COLUMNS`.

    Raises
    ------
    CorpusError
        ``bad_simulation`` if a number is out of range, ``folder_not_empty`` if the folder holds
        anything else, ``not_simulated`` if a process is killed.
    ModuleNotFoundError
        If librosa is missing (extra ``train``).
    OSError
        If the folder cannot be written to.
    """
    rows = plan(clips, speakers)
    if seed < 0:
        raise CorpusError("bad_simulation", f"seed={seed}: must be at least 0")
    parameters = {"version": VERSION, "clips": clips, "speakers": speakers, "seed": seed}
    manifest = folder / "manifest.csv"
    if _already_there(folder, parameters):
        return manifest
    _remove_left(folder)
    draft = folder.with_name(f"{folder.name}.part-{uuid4().hex[:8]}")
    (draft / "audio").mkdir(parents=True)
    try:
        with (draft / "simulated.json").open("w", encoding="utf-8") as marker:
            try_lock(marker)  # as long as it is being written
            (draft / "README.txt").write_text(_README, encoding="utf-8")
            whole = Corpus(draft, _write_clips(draft, seed, rows, progress))
            (draft / "manifest.csv").write_text(whole.to_csv(), encoding="utf-8", newline="\n")
            json.dump(parameters, marker, indent=2)
        draft.replace(folder)  # whole or not at all; an empty folder gives way
    except OSError as error:
        # Another call may have written it meanwhile: the same, or it is rejected.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not _already_there(
            folder, parameters
        ):
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def _remove_left(folder: Path) -> None:
    """Remove what earlier calls that were killed left beside a folder."""
    for draft in folder.parent.glob(f"{glob.escape(folder.name)}.part-*"):
        with contextlib.suppress(FileNotFoundError), (draft / "simulated.json").open("rb") as file:
            if try_lock(file):
                shutil.rmtree(draft, ignore_errors=True)
