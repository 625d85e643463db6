"""Score many files: one result for each, in order, even where some fail."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from bonafide.audio import AudioStream
from bonafide.corpora.schema import LABELS, Corpus
from bonafide.detection import NO_VERDICT, Detection
from bonafide.detector import Detector
from bonafide.errors import AudioError, CorpusError, printable
from bonafide.evaluation.evaluate import DECISION, Evaluation, evaluate, simulated_note
from bonafide.lineage.trained_on import heard_note
from bonafide.piped import opened
from bonafide.words import (
    by_reason,
    channel_in_words,
    channels_in_words,
    explanation_in_words,
    parts_in_words,
    track_in_words,
)

Result = dict[str, Any]
Write = Callable[[Result], None]
Score = Callable[[Path | AudioStream], Detection]
CSV_COLUMNS = (
    *("path", "verdict", "llr", "p_spoof", "duration_s", "channel", "channel_p"),
    *("parts", "tracks", "bundle", "warnings", "error"),
)


def score_files(score: Score, paths: Iterable[str]) -> Iterator[Result]:
    """Score files one by one, each when its result is asked for.

    Parameters
    ----------
    score : callable
        Scores a path or a stream: `Detector.score`, or `Explainer.explain`.
    paths : iterable of str
        Audio or video files, pipes, or ``-`` for standard input.

    Yields
    ------
    dict
        ``path`` and the entries of `Detection.to_json`; for a file that fails, ``path`` and
        ``error``, with ``code`` and ``message``.
    """
    for path in paths:
        try:
            with opened(path) as source:
                result = score(source).to_json()
        except AudioError as error:
            result = {"error": {"code": error.code, "message": error.message}}
        yield {"path": path, **result}


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
        ``no_speech`` or ``too_short``; the message ends with the other warnings.
    """
    for caution in detection.warnings:
        if caution.code in NO_VERDICT:
            others = [each.message for each in detection.warnings if each.code not in NO_VERDICT]
            raise AudioError(caution.code, "; ".join([caution.message, *others]))
    return detection


def _warnings(result: Result) -> list[str]:
    return [f"{each['code']}: {each['message']}" for each in result.get("warnings", ())]


def _tracks(result: Result) -> list[str]:
    """Return for each track what is judged of it, and where its parts lie."""
    said = []
    for track in result.get("tracks", ()):
        parts = parts_in_words(track)
        where = f" ({parts})" if parts else ""
        said.append(f"{track_in_words(track)}: {track['verdict']} {track['p_spoof']:.3f}{where}")
    return said


def _remarks(result: Result) -> list[str]:
    """Return what the table says below a result."""
    parts = parts_in_words(result)
    said = [f"parts sound generated: {parts}"] if parts else []
    return [*said, *explanation_in_words(result), *_tracks(result), *_warnings(result)]


def _jsonl(file: TextIO, *, fresh: bool = True) -> Write:
    def write(result: Result) -> None:
        file.write(json.dumps(result) + "\n")
        file.flush()

    return write


def _json(file: TextIO, *, fresh: bool = True) -> Write:
    before = "\n"
    file.write("[")

    def write(result: Result) -> None:
        nonlocal before
        file.write(before + json.dumps(result))
        file.flush()
        before = ",\n"

    return write


def _csv(file: TextIO, *, fresh: bool = True) -> Write:
    line = io.StringIO()
    # RFC 4180's line ends, so that a lone CR in a name is quoted.
    writer = csv.DictWriter(line, CSV_COLUMNS, extrasaction="ignore", lineterminator="\r\n")

    def write(values: Result) -> None:
        line.seek(0)
        line.truncate()
        writer.writerow(values)
        file.write(line.getvalue().removesuffix("\r\n") + "\n")
        file.flush()

    def write_result(result: Result) -> None:
        error = result.get("error")
        channel = result.get("channel") or {}
        said = {
            "channel": channel.get("name", ""),
            "channel_p": channel.get("p", ""),
            "parts": parts_in_words(result),
            "tracks": "; ".join(_tracks(result)),
            "warnings": "; ".join(_warnings(result)),
            "error": f"{error['code']}: {error['message']}" if error else "",
            "bundle": result["bundle"]["sha256"] if "bundle" in result else "",
        }
        write({**result, **said})

    if fresh:
        write({name: name for name in CSV_COLUMNS})
    return write_result


def _table(file: TextIO, *, fresh: bool = True) -> Write:
    told = set[str]()  # what a channel means is said once
    if fresh:
        heading = f"{'verdict':<13} {'p_spoof':>8} {'llr':>8} {'seconds':>9}  {'channel':<9}  file"
        file.write(heading + "\n")

    def remarks(result: Result) -> list[str]:
        said = channel_in_words(result)
        new = [said] if said and said not in told else []
        told.update(new)
        return [*new, *_remarks(result)]

    def write(result: Result) -> None:
        if error := result.get("error"):
            lines = [f"{'error':<13}{'':>40}{error['message']} [{error['code']}]"]
        else:
            heard = (result["channel"] or {}).get("name", "-")
            line = (
                f"{result['verdict']:<13} {result['p_spoof']:>8.3f} {result['llr']:>+8.2f} "
                f"{result['duration_s']:>9.1f}  {heard:<9}  {result['path']}"
            )
            lines = [line, *(f"{'':<53}{remark}" for remark in remarks(result))]
        file.write("".join(f"{printable(line)}\n" for line in lines))
        file.flush()

    return write


WRITERS: dict[str, Callable[..., Write]] = {
    "table": _table,
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
}
FOOTERS = {"json": "\n]\n"}  # what follows the last result


@dataclass(frozen=True)
class JudgedCorpus:
    """A bundle's scores on a labelled corpus.

    Parameters
    ----------
    evaluation : Evaluation
        Metrics of the decision, on the rows that have a verdict.
    scores : dict of str to ndarray of float64, shape (n_scored,)
        System -> llr.
    is_spoof : ndarray of bool, shape (n_scored,)
        Labels of the same rows.
    failed : list of dict
        ``path`` and ``error`` of the files that could not be scored, or hold too little sound for
        a verdict.
    left_out : dict of str to int
        How many of these there are of each label.
    """

    evaluation: Evaluation
    scores: dict[str, NDArray[np.float64]]
    is_spoof: NDArray[np.bool_]
    failed: list[Result]
    left_out: dict[str, int]


def left_out_note(left_out: Corpus, n_rows: int) -> tuple[str, ...]:
    """Return the note on rows without a verdict, by label; none where there are none."""
    if not len(left_out):
        return ()
    spoofs = int(left_out.is_spoof.sum())
    return (
        f"Left out: {len(left_out)} of {n_rows} recordings ({len(left_out) - spoofs} bona fide, "
        f"{spoofs} spoof) could not be scored or hold too little sound for a verdict.",
    )


def _failure(result: Result) -> Result:
    """Return an unusable result as a path and an error."""
    if "error" in result:
        return result
    cause = next(each for each in result["warnings"] if each["code"] in NO_VERDICT)
    message = f"{result['path']}: {cause['message']}"
    return {"path": result["path"], "error": {"code": cause["code"], "message": message}}


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
    for number, result in enumerate(score_files(detector.score, paths), start=1):
        results.append(result)
        progress(number, len(paths))
    bad = np.array([unusable(result) for result in results], dtype=np.bool_)
    kept, lost = np.flatnonzero(~bad), np.flatnonzero(bad)
    failed = [_failure(results[row]) for row in lost]
    scored = corpus.take(kept)
    if len(set(scored.is_spoof.tolist())) < 2:
        raise CorpusError(
            "nothing_usable",
            f"{corpus.root}: {len(kept)} rows could be scored; both labels are needed; "
            f"{_first_failure(failed, len(results))}",
        )
    scores = {DECISION: np.array([results[row]["llr"] for row in kept])}
    inconclusive = sum(results[row]["verdict"] == "inconclusive" for row in kept)
    left_out = corpus.take(lost)
    evaluation = evaluate(
        scores,
        scored,
        title=f"Bundle {detector.bundle.identity['name']} on {corpus.root.name}",
        prior_spoof=float(detector.bundle.manifest["prior_spoof"]),
        notes=(
            f"Inconclusive verdicts: {inconclusive} of {len(kept)}.",
            *(f"Channel, {said}" for said in channels_in_words(results[row] for row in kept)),
            *left_out_note(left_out, len(corpus)),
            *simulated_note(corpus),
            *heard_note(detector.bundle, scored),
        ),
    )
    labels = left_out.column("label").tolist()
    counts = {label: labels.count(label) for label in LABELS}
    return JudgedCorpus(evaluation, scores, scored.is_spoof, failed, counts)


def _first_failure(failed: list[Result], n_rows: int) -> str:
    """Return why the first file failed, and how many did by reason; for a message."""
    if not failed:
        return f"none of {n_rows} failed"
    counts = by_reason(result["error"]["code"] for result in failed)
    return f"of {n_rows}, failed: {counts}; the first: {failed[0]['error']['message']}"
