"""Channel conditions: held-out recordings after codecs, noise, rooms, cuts and level changes.

    python -m research.conditions --corpus MANIFEST --work DIR

Each recording of a fold is changed, then scored by the fold's own `detector.onnx`, built as a
training run builds it from what `research.protocol` fitted.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.audio import decode, speech_frames
from bonafide.features.spec import SAMPLE_RATE_HZ, FeatureSpec
from bonafide.process.pool import map_parallel
from bonafide.runtime import Graph
from bonafide.training.augmentation import (
    PINK,
    TELEPHONE_HZ,
    Change,
    Sound,
    clipped,
    narrow_band,
    noise,
    reverberant,
    through,
    with_noise,
)
from bonafide.training.extraction import training_window
from bonafide.training.ingest import LIMITS
from research.ablations import MODELS, SEEDS, Run, seed_run
from research.detectors import build_detector
from research.folds import both_labels, source_id
from research.protocol import options
from research.workspace import Workspace

ROWS = 900
CHUNK_ROWS = 64
PINKNESS = (0.0, PINK / 2, PINK)


def coded(**how: Any) -> Change:
    """Return a change that encodes and decodes, as `through` does."""
    return lambda waveform, _rng: through(waveform, **how)


def noisy(waveform: Sound, rng: np.random.Generator, *, snr_db: float) -> Sound:
    """Add noise that is white, pink or in between."""
    added = noise(len(waveform), rng, slope=float(rng.choice(PINKNESS)))
    return with_noise(waveform, added, snr_db=snr_db)


def louder(waveform: Sound, _rng: np.random.Generator, *, db: float) -> Sound:
    """Change the level; what goes over full scale is clipped later."""
    return waveform * 10 ** (db / 20)


def trimmed(waveform: Sound, _rng: np.random.Generator) -> Sound:
    """Cut off what comes before and after the speech."""
    active = np.flatnonzero(speech_frames(waveform))
    if not len(active):
        return waveform
    frame = len(waveform) // len(speech_frames(waveform))
    return waveform[active[0] * frame : (active[-1] + 1) * frame]


def shortened(waveform: Sound, _rng: np.random.Generator, *, seconds: float) -> Sound:
    """Keep `seconds` of the middle."""
    n = round(seconds * SAMPLE_RATE_HZ)
    start = max(0, (len(waveform) - n) // 2)
    return waveform[start : start + n]


def matched(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Bring every recording to one level and one length, with no silence at the ends."""
    spoken = shortened(trimmed(waveform, rng), rng, seconds=2.0)
    spoken = np.resize(spoken, 2 * SAMPLE_RATE_HZ)
    return 0.05 / max(float(np.std(spoken)), 1e-4) * spoken


def silenced(waveform: Sound, _rng: np.random.Generator) -> Sound:
    """Add digital silence, which no microphone records, to both ends."""
    return np.pad(waveform, round(0.1 * SAMPLE_RATE_HZ))


CONDITIONS: dict[str, Change] = {
    "clean": lambda waveform, rng: waveform,
    "G.711 mu-law": coded(codec="pcm_mulaw", container="wav", rate_hz=TELEPHONE_HZ),
    "G.711 A-law": coded(codec="pcm_alaw", container="wav", rate_hz=TELEPHONE_HZ),
    "AMR-NB 12.2 kb/s": coded(
        codec="libopencore_amrnb", container="amr", rate_hz=TELEPHONE_HZ, bit_rate=12_200
    ),
    "G.722 64 kb/s": coded(codec="g722", container="wav"),
    "MP3 64 kb/s": coded(codec="libmp3lame", container="mp3", bit_rate=64_000),
    "Opus 16 kb/s": coded(codec="libopus", container="ogg", bit_rate=16_000),
    "AAC 32 kb/s": coded(codec="aac", container="adts", bit_rate=32_000),
    "8 kHz band limit": lambda waveform, _rng: narrow_band(waveform),
    "noise 20 dB": partial(noisy, snr_db=20.0),
    "noise 10 dB": partial(noisy, snr_db=10.0),
    "noise 5 dB": partial(noisy, snr_db=5.0),
    "reverberation 0.4 s": partial(reverberant, decay_s=0.4, tail_db=-3.0),
    "clipping 5 %": lambda waveform, _rng: clipped(waveform, share=0.05),
    "level -20 dB": partial(louder, db=-20.0),
    "level +10 dB": partial(louder, db=10.0),
    "trimmed silence": trimmed,
    "0.1 s of zeros at both ends": silenced,
    "4 s": partial(shortened, seconds=4.0),
    "2 s": partial(shortened, seconds=2.0),
    "1 s": partial(shortened, seconds=1.0),
    "matched level, length, silence": matched,
}


@dataclass(frozen=True)
class _Chunk:
    condition: str
    detector: Path
    spec: FeatureSpec
    rows: tuple[int, ...]
    paths: tuple[Path, ...]


_graph = cache(Graph)


def _score(chunk: _Chunk) -> NDArray[np.float32]:
    """Return the llr of each row and p_spoof of each base model, (n_rows, 1 + n_models)."""
    change, scores = CONDITIONS[chunk.condition], []
    for row, path in zip(chunk.rows, chunk.paths, strict=True):
        rng = np.random.default_rng([row, zlib.crc32(chunk.condition.encode())])
        heard = np.asarray(change(decode(path, limits=LIMITS), rng), np.float32).clip(-1, 1)
        heard = np.round(heard * 32767) / np.float32(32767)
        window = training_window(heard.astype(np.float32), chunk.spec)
        found = _graph(chunk.detector)({"waveform": window[None]})
        scores.append([*found["llr"], *found["models"][0]])
    return np.array(scores, dtype=np.float32)


def _crashed(chunk: _Chunk) -> NDArray[np.float32]:
    raise RuntimeError(f"a codec crashed: {chunk.condition}, rows {chunk.rows}")


def score_conditions(
    workspace: Workspace, run: Run, rows: NDArray[np.intp], conditions: Iterable[str]
) -> dict[str, NDArray[np.float32]]:
    """Score rows under each condition, by detectors that never heard their sources.

    Parameters
    ----------
    workspace : Workspace
        Holds the recordings and what was fitted on them.
    run : Run
        Whose fits the detectors are built of.
    rows : ndarray of int, shape (n,)
        Rows of the corpus.
    conditions : iterable of str
        Names in `CONDITIONS`.

    Returns
    -------
    dict of str to ndarray of float32, shape (len(rows), 1 + n_models)
        By condition: llr, then p_spoof of each base model.
    """
    count = workspace.folds[run.split].count
    detectors = [build_detector(workspace, run, fold) for fold in range(count)]
    chunks = list(_chunks(workspace, run, rows, conditions, detectors))
    place = {int(row): number for number, row in enumerate(rows)}
    empty = np.full((len(rows), 1 + len(MODELS)), np.nan, np.float32)
    found = {name: empty.copy() for name in conditions}
    for number, scores in map_parallel(_score, chunks, crashed=_crashed):
        chunk = chunks[number]
        found[chunk.condition][[place[row] for row in chunk.rows]] = scores
    return found


def _chunks(
    workspace: Workspace,
    run: Run,
    rows: NDArray[np.intp],
    conditions: Iterable[str],
    detectors: Sequence[Path],
) -> Iterator[_Chunk]:
    corpus, fold_of = workspace.recordings.corpus, workspace.folds[run.split].fold
    for name in conditions:
        for fold, detector in enumerate(detectors):
            mine = rows[fold_of[rows] == fold]
            for part in np.array_split(mine, -(-len(mine) // CHUNK_ROWS)):
                paths = tuple(corpus.audio_path(corpus.rows[row]) for row in part)
                yield _Chunk(name, detector, workspace.store.spec, tuple(part.tolist()), paths)


def choose_rows(workspace: Workspace) -> NDArray[np.intp]:
    """Choose the rows to judge, of sources with enough of both labels; shape (ROWS,)."""
    rows = np.flatnonzero(both_labels(workspace.recordings.corpus))
    order = sorted(rows, key=lambda row: source_id(str(workspace.recordings.sha256[row])))
    return np.sort(np.array(order[:ROWS], dtype=np.intp))


def main(arguments: Sequence[str] | None = None) -> None:
    """Score every condition with the detectors of the first seed, and write the scores."""
    chosen = options(__doc__).parse_args(arguments)
    workspace = Workspace.open(chosen.corpus, chosen.config, chosen.work)
    rows = choose_rows(workspace)
    found = score_conditions(workspace, seed_run(SEEDS[0]), rows, CONDITIONS)
    np.savez_compressed(chosen.scores / "conditions.npz", allow_pickle=False, rows=rows, **found)


if __name__ == "__main__":
    main()
