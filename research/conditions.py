"""Channel conditions: held-out recordings after codecs, noise, rooms, cuts and level changes.

    python -m research.conditions --corpus MANIFEST --work DIR [--bundle NAME ...]

Each recording of a fold is changed as `research.changes` says, then scored by the fold's own
`detector.onnx`, built as a training run builds it from what `research.protocol` fitted. The answers
of several bundles are kept in one file, by ``bundle|condition``.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.audio import decode
from bonafide.features.spec import FeatureSpec
from bonafide.process.pool import map_parallel
from bonafide.runtime import Graph
from bonafide.training.ingest import LIMITS
from bonafide.training.windows import training_window
from research.ablations import SEEDS, seed_run
from research.answers import ANSWER, Answers, answers_of, keep_answers
from research.changes import CONDITIONS
from research.detectors import build_detectors
from research.folds import both_labels, source_id
from research.judging import BUNDLES
from research.protocol import options
from research.workspace import Workspace

ROWS = 900
CHUNK_ROWS = 64


@dataclass(frozen=True)
class FoldDetector:
    """What scores the recordings of a fold.

    Parameters
    ----------
    graph : Path
        A `detector.onnx` that never heard their sources.
    manifest : mapping
        Its ``thresholds``, ``prior_spoof`` and, where it names channels, ``channels``.
    """

    graph: Path
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class _Chunk:
    condition: str
    detector: FoldDetector
    spec: FeatureSpec
    rows: tuple[int, ...]
    paths: tuple[Path, ...]


_graph = cache(Graph)


def _score(chunk: _Chunk) -> Answers:
    """Return the answers to the rows of a chunk, each changed by a draw of its own."""
    change, found = CONDITIONS[chunk.condition].change, []
    for row, path in zip(chunk.rows, chunk.paths, strict=True):
        rng = np.random.default_rng([row, zlib.crc32(chunk.condition.encode())])
        heard = np.asarray(change(decode(path, limits=LIMITS), rng), np.float32).clip(-1, 1)
        heard = np.round(heard * 32767) / np.float32(32767)
        window = training_window(heard.astype(np.float32), chunk.spec)
        outputs = _graph(chunk.detector.graph)({"waveform": window[None]})
        found.append(answers_of(outputs, chunk.detector.manifest))
    return np.concatenate(found)


def _crashed(chunk: _Chunk) -> Answers:
    raise RuntimeError(f"a codec crashed: {chunk.condition}, rows {chunk.rows}")


def score_conditions(
    workspace: Workspace,
    detectors: Sequence[FoldDetector],
    rows: NDArray[np.intp],
    conditions: Iterable[str],
) -> dict[str, Answers]:
    """Score rows under each condition, by detectors that never heard their sources.

    Parameters
    ----------
    workspace : Workspace
        Holds the recordings and their folds.
    detectors : sequence of FoldDetector
        One for each fold by source.
    rows : ndarray of int, shape (n,)
        Rows of the corpus.
    conditions : iterable of str
        Names in `CONDITIONS`.

    Returns
    -------
    dict of str to ndarray of ANSWER, shape (len(rows),)
        By condition.
    """
    names = list(conditions)
    chunks = list(_chunks(workspace, detectors, rows, names))
    place = {int(row): number for number, row in enumerate(rows)}
    found = {name: np.zeros(len(rows), dtype=ANSWER) for name in names}
    for number, answers in map_parallel(_score, chunks, crashed=_crashed):
        chunk = chunks[number]
        found[chunk.condition][[place[row] for row in chunk.rows]] = answers
    return found


def _chunks(
    workspace: Workspace,
    detectors: Sequence[FoldDetector],
    rows: NDArray[np.intp],
    conditions: Iterable[str],
) -> Iterator[_Chunk]:
    corpus, fold_of = workspace.recordings.corpus, workspace.folds["sources"].fold
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


def fold_detectors(workspace: Workspace) -> dict[str, list[FoldDetector]]:
    """Build the detectors of each fold, of the first seed; return them by bundle."""
    run, found = seed_run(SEEDS[0]), dict[str, list[FoldDetector]]()
    for fold in range(workspace.folds[run.split].count):
        for name, bundle in build_detectors(workspace, run, fold).items():
            made = FoldDetector(bundle.graph_path("detector"), bundle.manifest)
            found.setdefault(name, []).append(made)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Score every condition with the detectors of the first seed, and keep the answers."""
    parser, made_here = options(__doc__), BUNDLES[1:]
    parser.add_argument("--bundle", nargs="+", choices=made_here, default=made_here)
    chosen = parser.parse_args(arguments)
    workspace = Workspace.open(chosen.corpus, chosen.config, chosen.work)
    rows, detectors = choose_rows(workspace), fold_detectors(workspace)
    for bundle in chosen.bundle:
        found = score_conditions(workspace, detectors[bundle], rows, CONDITIONS)
        keep_answers(
            chosen.scores / "conditions.npz",
            rows=rows,
            **{f"{bundle}|channels": np.array(workspace.channels, dtype=np.str_)},
            **{f"{bundle}|{name}": answers for name, answers in found.items()},
        )


if __name__ == "__main__":
    main()
