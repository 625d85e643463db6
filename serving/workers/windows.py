"""Windows of a live stream, through the queue of the scorers: their sound there, scores back."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bonafide.detector import Detector
from bonafide.types import Waveform, WindowScores

if TYPE_CHECKING:
    from serving.workers.scoring import Scoring

WINDOWS = "*"  # in the place of an endpoint's name, and never one


def scores_of_windows(detector: Detector, content: bytes) -> bytes:
    """Score windows, in the scorer.

    Parameters
    ----------
    detector : Detector
        Scores.
    content : bytes
        Float32 samples of whole windows, one after another.

    Returns
    -------
    bytes
        `WindowScores` as JSON.
    """
    sound = np.frombuffer(content, np.float32).reshape(-1, detector.bundle.spec.window_samples)
    scores = detector.score_windows(sound)._asdict()
    known = {name: each.tolist() for name, each in scores.items() if each is not None}
    return json.dumps(known).encode()


async def score_windows(
    scoring: "Scoring", waveforms: Sequence[Waveform]
) -> tuple[list[WindowScores], dict[str, Any]]:
    """Have windows scored, in the worker; they take no other request's place in its queue.

    Parameters
    ----------
    scoring : Scoring
        The worker's.
    waveforms : sequence of ndarray of float32, shape (window_samples,)
        Not none.

    Returns
    -------
    list of WindowScores
        Of each window by itself.
    dict
        The scorer's notes: ``bundle``, ``timings`` and ``work_s``.

    Raises
    ------
    ApiError
        What `Scoring.score` raises; ``no_room`` where their sound cannot be written.
    """
    upload = scoring.new_upload()
    try:
        upload.keep(np.concatenate(waveforms).tobytes())
        reply = await scoring.score_aside(WINDOWS, upload)
    finally:
        upload.close()
    columns = {name: np.array(each, np.float32) for name, each in json.loads(reply.body).items()}
    windows = range(len(waveforms))
    each = [{name: all_[i : i + 1] for name, all_ in columns.items()} for i in windows]
    return [WindowScores(**one) for one in each], reply.notes
