"""Score many files: one result for each, in order, even where some fail."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from bonafide.corpora.schema import Corpus
from bonafide.detection import NO_VERDICT, Detection
from bonafide.detector import Detector
from bonafide.errors import AudioError, CorpusError
from bonafide.evaluation.evaluate import DECISION, Evaluation, evaluate, simulated_note

Result = dict[str, Any]
Write = Callable[[Result], None]
CSV_COLUMNS = ("path", "verdict", "llr", "p_spoof", "duration_s", "warnings", "error")


def score_files(detector: Detector, paths: Iterable[str]) -> Iterator[Result]:
    """Score files one by one, each when its result is asked for.

    Parameters
    ----------
    detector : Detector
        Scores the files.
    paths : iterable of str
        Audio or video files.

    Yields
    ------
    dict
        ``path`` and the entries of `Detection.to_json`; for a file that fails, ``path`` and
        ``error``, with ``code`` and ``message``.
    """
    for path in paths:
        try:
            yield {"path": path, **detector.score(Path(path)).to_json()}
        except AudioError as error:
            yield {"path": path, "error": {"code": error.code, "message": error.message}}


def unusable(result: Result) -> bool:
    """Return whether a file failed: with an error, or too little sound for any verdict.

    Parameters
    ----------
    result : dict
        As `score_files` yields it.

    Returns
    -------
    bool

    Examples
    --------
    >>> unusable({"path": "a.wav", "error": {"code": "not_audio", "message": "..."}})
    True
    >>> unusable({"path": "b.wav", "verdict": "spoof", "warnings": []})
    False
    """
    return "error" in result or any(
        warning["code"] in NO_VERDICT for warning in result.get("warnings", ())
    )


def usable(detection: Detection) -> Detection:
    """Return a detection unchanged, unless there was too little sound for any verdict.

    Parameters
    ----------
    detection : Detection
        What `Detector.score` returned.

    Returns
    -------
    Detection
        `detection` itself.

    Raises
    ------
    AudioError
        ``no_speech`` or ``too_short``.
    """
    for caution in detection.warnings:
        if caution.code in NO_VERDICT:
            raise AudioError(caution.code, caution.message)
    return detection


def _warnings(result: Result) -> list[str]:
    return [f"{each['code']}: {each['message']}" for each in result.get("warnings", ())]


def _jsonl(file: TextIO) -> Write:
    def write(result: Result) -> None:
        file.write(json.dumps(result) + "\n")
        file.flush()

    return write


def _csv(file: TextIO) -> Write:
    writer = csv.DictWriter(file, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()

    def write(result: Result) -> None:
        error = result.get("error")
        said = {
            "warnings": "; ".join(_warnings(result)),
            "error": f"{error['code']}: {error['message']}" if error else "",
        }
        writer.writerow({**result, **said})
        file.flush()

    return write


def _table(file: TextIO) -> Write:
    file.write(f"{'verdict':<13} {'p_spoof':>8} {'llr':>8} {'seconds':>9}  file\n")

    def write(result: Result) -> None:
        if error := result.get("error"):
            line = f"{'error':<13} {'':>8} {'':>8} {'':>9}  {error['message']} [{error['code']}]"
        else:
            line = (
                f"{result['verdict']:<13} {result['p_spoof']:>8.3f} {result['llr']:>+8.2f} "
                f"{result['duration_s']:>9.1f}  {result['path']}"
            )
            line += "".join(f"\n{'':<42}{warning}" for warning in _warnings(result))
        file.write(line + "\n")
        file.flush()

    return write


WRITERS: dict[str, Callable[[TextIO], Write]] = {"table": _table, "jsonl": _jsonl, "csv": _csv}


@dataclass(frozen=True)
class JudgedCorpus:
    """A bundle's scores on a labelled corpus.

    Parameters
    ----------
    evaluation : Evaluation
        Metrics of the decision, on the rows that could be scored.
    scores : dict of str to ndarray of float64, shape (n_scored,)
        System -> llr.
    is_spoof : ndarray of bool, shape (n_scored,)
        Labels of the same rows.
    failed : list of dict
        Results of the files that could not be scored.
    """

    evaluation: Evaluation
    scores: dict[str, NDArray[np.float64]]
    is_spoof: NDArray[np.bool_]
    failed: list[Result]


def evaluate_corpus(
    detector: Detector, corpus: Corpus, *, progress: Callable[[int, int], None]
) -> JudgedCorpus:
    """Score every row as `score_files` does, and evaluate the decision.

    Parameters
    ----------
    detector : Detector
        Scores the files.
    corpus : Corpus
        Rows of both labels.
    progress : callable
        Called with the number of rows done and of all rows.

    Returns
    -------
    JudgedCorpus
        Metrics, scores and failed files.

    Raises
    ------
    CorpusError
        ``nothing_usable`` if no row of a label could be scored.
    """
    paths = [str(corpus.audio_path(row)) for row in corpus]
    results = []
    for number, result in enumerate(score_files(detector, paths), start=1):
        results.append(result)
        progress(number, len(paths))
    kept = [row for row, result in enumerate(results) if "error" not in result]
    scored = corpus.take(kept)
    if len(set(scored.is_spoof.tolist())) < 2:
        raise CorpusError(
            "nothing_usable",
            f"{corpus.root}: {len(kept)} rows could be scored; both labels are needed; "
            f"{_first_failure(results)}",
        )
    scores = {DECISION: np.array([results[row]["llr"] for row in kept])}
    inconclusive = sum(results[row]["verdict"] == "inconclusive" for row in kept)
    evaluation = evaluate(
        scores,
        scored,
        title=f"Bundle {detector.bundle.identity['name']} on {corpus.root.name}",
        prior_spoof=float(detector.bundle.manifest["prior_spoof"]),
        notes=(
            f"Inconclusive verdicts: {inconclusive} of {len(kept)}.",
            *simulated_note(corpus),
        ),
    )
    failed = [result for result in results if "error" in result]
    return JudgedCorpus(evaluation, scores, scored.is_spoof, failed)


def _first_failure(results: list[Result]) -> str:
    """Return why the first file failed, and how many did by reason; for a message."""
    errors = [result["error"] for result in results if "error" in result]
    if not errors:
        return f"none of {len(results)} failed"
    codes = [str(error["code"]) for error in errors]
    counts = ", ".join(f"{code} {codes.count(code)}" for code in sorted(set(codes)))
    return f"of {len(results)}, failed: {counts}; the first: {errors[0]['message']}"
