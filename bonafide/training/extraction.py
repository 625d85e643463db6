"""Extraction: every view of every recording and of its augmented copies, into a feature store."""

import errno
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from bonafide.audio import Waveform, decode
from bonafide.errors import CorpusError, storage_error
from bonafide.features.encoder import EncoderSpec, encoder_path
from bonafide.features.frontend import build_frontend
from bonafide.features.pooling import build_encoder
from bonafide.features.spec import STATISTICS, FeatureSpec
from bonafide.home import home
from bonafide.process.pool import Progress, map_parallel, silent
from bonafide.runtime import Graph
from bonafide.training.arrays import STAMPS, write_stamps
from bonafide.training.channels import channel_of, heard_through
from bonafide.training.config import AugmentationConfig
from bonafide.training.fingerprint import CHANGED
from bonafide.training.ingest import LIMITS, require_file, sound_sha256
from bonafide.training.recordings import Recordings
from bonafide.training.store import (
    AUGMENTATION,
    DONE,
    SPEC,
    FeatureStore,
)
from bonafide.training.windows import training_window

SHARD_ROWS = 64
PART = "encoder_part.onnx"  # of a store: waveform to pooled frames


def augmented(window: Waveform, sha256: str, number: int, channel: str) -> Waveform:
    """Make one augmented copy of a training window.

    Parameters
    ----------
    window : ndarray of float32, shape (window_samples,)
        See `training_window`.
    sha256 : str
        Hash of the sound; with `number` the seed of every draw.
    number : int
        Which copy, from 1.
    channel : str
        What it goes through, one of `bonafide.training.channels.CHANNELS`.

    Returns
    -------
    ndarray of float32, shape (window_samples,)

    Raises
    ------
    ConfigError
        ``unknown_channel`` if no installed package has it.
    """
    return heard_through(
        window, channel_of(channel), np.random.default_rng([number, *sha256.encode()])
    )


def _window(path: Path, sha256: str, spec: FeatureSpec) -> Waveform:
    """Return the training window of a recording that still holds the sound of this hash."""
    require_file(path)
    waveform = decode(path, limits=LIMITS)
    if sound_sha256(waveform) != sha256:
        raise CorpusError(
            CHANGED, f"{path}: its sound is not what it was when it was ingested; run again"
        )
    return training_window(waveform, spec)


@dataclass(frozen=True)
class _Shard:
    folder: Path
    graph: bytes
    rows: tuple[int, ...]
    paths: tuple[Path, ...]
    sha256: tuple[str, ...]


@cache
def _graph(model: bytes | Path) -> Graph:
    return Graph(model)


def _extract_shard(shard: _Shard) -> str | None:
    """Write the features of one shard's rows; return no problem, unlike `_crashed`."""
    graph = _graph(shard.graph)
    store = FeatureStore(shard.folder)
    spec, augmentation = store.spec, store.augmentation
    stretches = augmentation.stretches
    views = {name: open_memmap(shard.folder / f"{name}.npy", mode="r+") for name in store.names}
    n_rows = len(views[STATISTICS]) // len(stretches)
    for row, path, sound in zip(shard.rows, shard.paths, shard.sha256, strict=True):
        window = _window(path, sound, spec)
        for number, channel in enumerate(stretches):
            heard = augmented(window, sound, number, channel) if number else window
            # One at a time: the last bits of a sum differ with what else is in a batch, and a
            # recording's numbers follow from its sound alone, whichever run extracts it.
            features = graph({"waveform": heard[None]})
            if spec.encoder:
                features |= _graph(shard.folder / PART)({"waveform": heard[None]})
            for name, view in views.items():
                view[row + number * n_rows] = features[name][0]
    return None


def _crashed(shard: _Shard) -> str:
    return (
        f"a process crashed on one of rows {shard.rows[0]} to {shard.rows[-1]}: by a codec, or for "
        "want of memory"
    )


def _create(
    folder: Path, spec: FeatureSpec, augmentation: AugmentationConfig, n_rows: int
) -> FeatureStore:
    """Create the files of a store, with none of its rows written yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (DONE, STAMPS):
        (folder / name).unlink(missing_ok=True)
    (folder / SPEC).write_text(json.dumps(spec.to_json()))
    (folder / AUGMENTATION).write_text(augmentation.model_dump_json())
    n_all = n_rows * (1 + augmentation.count)
    shapes: dict[str, tuple[int, ...]] = {
        name: (n_all, spec.n_frames(view), view.n_features) for name, view in spec.views.items()
    }
    shapes |= {name: (n_all, size) for name, size in spec.vectors.items()}
    try:
        for name, shape in shapes.items():
            path = folder / f"{name}.npy"
            open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
            _reserve(path)
    except OSError as error:
        shutil.rmtree(folder)  # others need what it took
        needed = f"{4e-6 * sum(map(math.prod, shapes.values())):.1f} MB"
        if known := storage_error(error, folder, needed):
            raise known from error
        raise
    if spec.encoder:
        _save_encoder(spec, spec.encoder, folder / PART)
    (folder / DONE).write_text("")  # last: a folder with this file is a store
    return FeatureStore(folder)


def _save_encoder(spec: FeatureSpec, encoder: EncoderSpec, path: Path) -> None:
    import onnx

    model = onnx.load(encoder_path(encoder, home()))
    onnx.save(build_encoder(model, encoder, spec.window_samples, spec.rms_floor), path)


def _reserve(path: Path) -> None:
    """Have the disk set room aside: a process that finds none where it maps a file is killed."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        if sys.platform == "linux":
            os.posix_fallocate(file.fileno(), 0, size)
        elif shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _mark(store: FeatureStore, rows: Sequence[int], sha256: NDArray[np.str_]) -> None:
    """Note rows as written, once they are on the disk: a machine may lose its power."""
    for name in store.names:
        with (store.folder / f"{name}.npy").open("rb") as array:
            os.fsync(array.fileno())
    with (store.folder / DONE).open("a") as file:
        file.write(json.dumps({row: str(sha256[row]) for row in rows}) + "\n")


def _reuse(store: FeatureStore, sha256: NDArray[np.str_], earlier: Sequence[FeatureStore]) -> None:
    """Copy the rows whose sound an earlier store of the same spec holds."""
    for old in earlier:
        done = store.sounds
        where = {sha: row for row, sha in old.sounds.items()}
        pairs = [
            (row, where[str(sha)])
            for row, sha in enumerate(sha256)
            if row not in done and str(sha) in where
        ]
        for name in store.names if pairs else ():
            target = open_memmap(store.folder / f"{name}.npy", mode="r+")
            origin, n_stretches = old.view(name), 1 + store.augmentation.count
            n_rows, n_old = len(target) // n_stretches, len(origin) // n_stretches
            for row, old_row in pairs:
                target[row::n_rows] = origin[old_row::n_old]
        if pairs:
            _mark(store, [row for row, _ in pairs], sha256)


def extract(
    recordings: Recordings,
    spec: FeatureSpec,
    augmentation: AugmentationConfig,
    folder: Path,
    *,
    earlier: Sequence[FeatureStore] = (),
    workers: int | None = None,
    progress: Progress = silent,
) -> FeatureStore:
    """Extract every view of every recording and copy with the graph that serving runs.

    Parameters
    ----------
    recordings : Recordings
        The rows; their order is the store's.
    spec : FeatureSpec
        The front end.
    augmentation : AugmentationConfig
        How many augmented copies to make of each recording, and how.
    folder : Path
        Receives the store; whatever is there is replaced.
    earlier : sequence of FeatureStore
        Stores to take unchanged recordings from; one that a killed run left behind will do.
    workers : int or None
        Number of processes; None for one per core.
    progress : callable
        Called with (done, total), in rows.

    Returns
    -------
    FeatureStore

    Raises
    ------
    AudioError
        If a file has become unreadable since it was ingested.
    CorpusError
        ``changed`` if a file holds another sound since, ``decoder_crashed`` if it has come to crash
        a codec.
    StorageError
        ``disk_full`` or ``unwritable``, before anything is decoded.
    """
    n_rows = len(recordings.corpus)
    store = _create(folder, spec, augmentation, n_rows)
    alike = [old for old in earlier if (old.spec, old.augmentation) == (spec, augmentation)]
    _reuse(store, recordings.sha256, alike)
    done = len(store.sounds)
    progress(done, n_rows)
    shards = list(_shards(store, recordings))
    for number, problem in map_parallel(_extract_shard, shards, crashed=_crashed, workers=workers):
        if problem is not None:
            raise CorpusError("decoder_crashed", problem)
        _mark(store, shards[number].rows, recordings.sha256)
        done += len(shards[number].rows)
        progress(done, n_rows)
    write_stamps(folder, store.names)
    return store


def _shards(store: FeatureStore, recordings: Recordings) -> Iterator[_Shard]:
    graph = build_frontend(store.spec).SerializeToString()
    done = store.sounds
    missing = [row for row in range(len(recordings.corpus)) if row not in done]
    for start in range(0, len(missing), SHARD_ROWS):
        rows = tuple(missing[start : start + SHARD_ROWS])
        paths = tuple(recordings.corpus.audio_path(recordings.corpus.rows[row]) for row in rows)
        sounds = tuple(str(recordings.sha256[row]) for row in rows)
        yield _Shard(store.folder, graph, rows, paths, sounds)
