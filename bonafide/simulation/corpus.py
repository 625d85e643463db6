"""The simulated corpus: speech-like clips, plain and vocoded.

It proves that the machinery runs, never that it detects. Every clip is a fresh sentence of one
of the speakers; half of them pass through one of `bonafide.simulation.vocoders`. Only then all
get their source's room, noise and level, so that neither duration, level, pauses nor noise floor
tells the classes apart.
"""

import json
import multiprocessing
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile as sf

from bonafide.corpora.schema import Corpus, Row
from bonafide.errors import CorpusError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.simulation.vocoders import GENERATOR_NAMES, GENERATORS
from bonafide.simulation.voices import STEP_SAMPLES, Room, Voice, speak

VERSION = 3  # to be raised whenever the same parameters would give other bytes
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
    """Return the generators of one source; each has three, and each generator several sources.

    Parameters
    ----------
    source : int
        Number of the source, from 0.

    Returns
    -------
    tuple of str
        Names in `bonafide.simulation.vocoders.GENERATORS`.
    """
    order = (source + np.arange(GENERATORS_PER_SOURCE)) % len(GENERATOR_NAMES)
    return tuple(GENERATOR_NAMES[i] for i in order)


def plan(clips: int, speakers: int) -> list[Row]:
    """Return the rows of the corpus, all but their durations.

    Labels alternate; sources, and in each source its speakers and generators, take turns, so that
    every speaker has as many clips of both labels as any other of that source.

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
        ``bad_simulation`` if a number is not allowed.
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
    """Return the generator of one clip (i,), speaker (s, 1) or source (r, 2)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _write_clip(folder: Path, seed: int, i: int, row: Row) -> Row:
    """Compute and write clip i; return its row with the duration."""
    rng = _rng(seed, i)
    n_steps = round(rng.uniform(SHORTEST_S, LONGEST_S) * SAMPLE_RATE_HZ / STEP_SAMPLES)
    speaker = int(row.speaker.removeprefix("sim:s"))
    source = int(row.source.removeprefix("simulated/room-"))
    sound = speak(rng, Voice.draw(_rng(seed, speaker, 1)), n_steps * STEP_SAMPLES)
    if row.system in GENERATORS:
        sound = GENERATORS[row.system](sound.astype(np.float32), rng)
    heard = Room.draw(_rng(seed, source, 2)).record(sound, rng)
    pcm = np.rint(np.clip(heard, -1.0, 1.0) * 32_767.0).astype(np.int16)
    sf.write(folder / row.path, pcm, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return replace(row, duration_s=f"{len(pcm) / SAMPLE_RATE_HZ:.3f}")


def _write_clips(
    folder: Path, seed: int, rows: list[Row], progress: Callable[[int, int], None] | None
) -> list[Row]:
    """Write all clips on all cores; return their rows, in order, with the durations."""
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(_write_clip, folder, seed, i, row) for i, row in enumerate(rows)]
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                job.result()  # raises what the clip raised
                if progress is not None:
                    progress(done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # an interrupt need not wait for the other clips
            raise
        return [job.result() for job in jobs]


def _already_there(folder: Path, parameters: dict[str, int]) -> bool:
    """Tell a folder that holds this corpus whole from a new one; refuse any other."""
    marker = folder / "simulated.json"
    if marker.is_file() and (folder / "manifest.csv").is_file():
        try:
            if json.loads(marker.read_text(encoding="utf-8")) == parameters:
                return True
        except ValueError:
            pass  # a damaged marker says nothing: refused below like any other content
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
        Gets ``audio/*.flac`` (16 kHz, 16 bits, 1.5 to 4.5 s), ``README.txt``, ``manifest.csv``
        and ``simulated.json``, all at once when all are written.
    clips : int
        Even, 48 to 100 000, two or more for each speaker. Half are spoof.
    speakers : int
        6 to 100, each in one of the 6 sources; both classes share them.
    seed : int
        0 or more.
    progress : callable, optional
        Called with the clips done and their total.

    Returns
    -------
    Path
        The manifest, with the columns of `bonafide.corpora.schema.COLUMNS`.

    Raises
    ------
    CorpusError
        ``bad_simulation`` if a number is not allowed, ``folder_not_empty`` if the folder holds
        something else.
    ModuleNotFoundError
        Without librosa (extra ``train``).
    """
    rows = plan(clips, speakers)
    if seed < 0:
        raise CorpusError("bad_simulation", f"seed={seed}: must be at least 0")
    parameters = {"version": VERSION, "clips": clips, "speakers": speakers, "seed": seed}
    manifest = folder / "manifest.csv"
    if _already_there(folder, parameters):
        return manifest
    draft = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)  # what an earlier call was stopped in
    (draft / "audio").mkdir(parents=True)
    (draft / "README.txt").write_text(_README, encoding="utf-8")
    whole = Corpus(draft, _write_clips(draft, seed, rows, progress))
    (draft / "manifest.csv").write_text(whole.to_csv(), encoding="utf-8", newline="\n")
    (draft / "simulated.json").write_text(json.dumps(parameters, indent=2), encoding="utf-8")
    draft.replace(folder)  # whole or not at all; an empty folder gives way
    return manifest
