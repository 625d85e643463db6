"""Seconds: what each adds to the score of a window, by cutting others out."""

import numpy as np

from bonafide.audio import has_speech, tile
from bonafide.explanation.shapley import coalitions, shapley_values
from bonafide.explanation.types import Score, Second
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.types import Mask, Waveform

SECOND = SAMPLE_RATE_HZ
FADE = SAMPLE_RATE_HZ // 100  # samples over which what follows each other is blended


def second_edges(n_samples: int, size: int) -> list[int]:
    """Return where the seconds of a window begin and end.

    Parameters
    ----------
    n_samples : int
        Of the recording in the window.
    size : int
        Samples of a window.

    Returns
    -------
    list of int
        From 0 to the end of the sound; pieces of one length, near to a second.

    Examples
    --------
    >>> second_edges(64_000, 64_000), second_edges(40_000, 64_000)
    ([0, 16000, 32000, 48000, 64000], [0, 20000, 40000])
    """
    heard = min(n_samples, size)
    count = max(1, round(heard / SECOND))
    return [round(number * heard / count) for number in range(count + 1)]


def keep_seconds(window: Waveform, edges: list[int], kept: Mask) -> Waveform:
    """Return a window of some of its seconds alone, one after another, tiled.

    Parameters
    ----------
    window : ndarray of float32, shape (window_samples,)
        As it is scored.
    edges : list of int
        As `second_edges` returns them.
    kept : ndarray of bool, shape (n_seconds,)
        At least one of them.

    Returns
    -------
    ndarray of float32, shape (window_samples,)
    """
    if kept.all():
        return window
    pieces = [window[edges[i] : edges[i + 1]] for i in np.flatnonzero(kept)]
    rise = np.linspace(0, 1, FADE, dtype=np.float32)
    joined = pieces[0]
    for piece in pieces[1:]:
        blended = joined[-FADE:] * (1 - rise) + piece[:FADE] * rise
        joined = np.concatenate([joined[:-FADE], blended, piece[FADE:]])
    return tile(joined, len(window))


def second_shares(window: Waveform, start: int, n_samples: int, score: Score) -> tuple[Second, ...]:
    """Return what each second of a window adds to its score: their Shapley values.

    Parameters
    ----------
    window : ndarray of float32, shape (window_samples,)
        As it is scored.
    start : int
        Its first sample in the recording.
    n_samples : int
        Of the recording.
    score : callable
        Returns the llr of windows, (n,) of (n, window_samples).

    Returns
    -------
    tuple of Second
        Their llr sum to that of the window.
    """
    edges = second_edges(n_samples, len(window))
    kept = coalitions(len(edges) - 1)[1:]
    sound = np.stack([keep_seconds(window, edges, each) for each in kept])
    says = [has_speech(each) for each in sound]
    # Without sound like speech there is no score, as for whole recordings: it counts as 0.
    worth = np.concatenate([[0.0], np.where(says, score(sound), 0.0)])
    places = [(start + edge) / SAMPLE_RATE_HZ for edge in edges]
    return tuple(
        Second(first, end, float(llr))
        for first, end, llr in zip(places, places[1:], shapley_values(worth), strict=False)
    )
