"""The bars of the sequential test: as low as recordings of sources that were not heard allow."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.channel import CLEAN
from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.sequential import WINDOWS, evidence
from bonafide.types import AnyFloats, Floats, Mask

WRONG_AT_MOST = 0.05
AIMED_AT = 0.8 * WRONG_AT_MOST  # of sources that bars never saw a few more are decided wrongly
MIN_STREAMS = 20  # of either label, each of other voices, to tell one in twenty by
NOTHING = 1e-6  # nats; less decides nothing
DRAWS = 4  # orders in which the windows of a voice are heard
Streams = NDArray[np.int64]


def voices(corpus: Corpus) -> NDArray[np.str_]:
    """Return whose each recording is: one source (or speaker, without), system and label.

    Parameters
    ----------
    corpus : Corpus
        Labelled rows.

    Returns
    -------
    ndarray of str, shape (n_rows,)
        Empty where neither source nor speaker is known.
    """
    source, speaker = corpus.column("source"), corpus.column("speaker")
    whose = np.where(source == UNKNOWN, speaker, source)
    system = np.where(corpus.is_spoof, corpus.column("system"), "")
    named = [f"{a}|{b}|{c}" for a, b, c in zip(whose, system, corpus.is_spoof, strict=True)]
    return np.where(whose == UNKNOWN, "", np.array(named, dtype=str))


def streams_of(voice: NDArray[np.str_], seed: int, *, again: bool = False) -> Streams:
    """Lay recordings of one voice behind each other, as if it spoke on.

    Parameters
    ----------
    voice : ndarray of str, shape (n_rows,)
        As `voices` returns it.
    seed : int
        Of their order.
    again : bool
        Whether they are heard again, in another order each time, until a stream is full: who looks
        for longer errs more often, and most voices of a corpus have few recordings.

    Returns
    -------
    ndarray of int64, shape (n_streams, WINDOWS)
        Rows, and -1 behind the last; `DRAWS` streams of each voice that has two recordings.
    """
    rng = np.random.default_rng(seed)
    found = []
    for name in np.unique(voice[voice != ""]).tolist():
        rows = np.flatnonzero(voice == name)
        for _ in range(DRAWS if len(rows) > 1 else 0):
            rounds = -(-WINDOWS // len(rows)) if again else 1
            drawn = np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:WINDOWS]
            found.append(np.pad(drawn, (0, WINDOWS - len(drawn)), constant_values=-1))
    return np.array(found, dtype=np.int64).reshape(-1, WINDOWS)


def correlation_of(llr: AnyFloats, voice: NDArray[np.str_]) -> float:
    """Return how alike recordings of one voice score, beside those of others of their label.

    Parameters
    ----------
    llr : ndarray of float, shape (n,)
        Of recordings of one label.
    voice : ndarray of str, shape (n,)
        As `voices` returns it; at least two have two recordings.

    Returns
    -------
    float
        Intraclass correlation by a one-way analysis of variance, in [0, 1].

    References
    ----------
    Shrout & Fleiss, "Intraclass correlations", 1979: ICC(1, 1), for groups of unequal size.

    Examples
    --------
    >>> round(correlation_of(np.array([1.0, 1.1, 3.0, 3.1]), np.array(["a", "a", "b", "b"])), 2)
    1.0
    """
    _, group, sizes = np.unique(voice, return_inverse=True, return_counts=True)
    llr, several = llr[sizes[group] > 1], group[sizes[group] > 1]
    _, group, sizes = np.unique(several, return_inverse=True, return_counts=True)
    n_rows, n_groups = len(llr), len(sizes)
    means = np.bincount(group, llr) / sizes
    between = float((sizes * (means - llr.mean()) ** 2).sum() / (n_groups - 1))
    within = float(((llr - means[group]) ** 2).sum() / (n_rows - n_groups))
    typical = (n_rows - (sizes**2).sum() / n_rows) / (n_groups - 1)
    whole = between + (typical - 1) * within
    return float(np.clip((between - within) / whole, 0.0, 1.0)) if whole > 0 else 0.0


def evidence_of(llr: AnyFloats, streams: Streams, correlation: float) -> Floats:
    """Return what streams say after each window: (n_streams, WINDOWS), NaN behind the last."""
    return evidence(np.where(streams >= 0, llr[streams], np.nan), correlation)


def bars_of(found: Floats, is_spoof: Mask) -> dict[str, float] | None:
    """Return the bars that at most `AIMED_AT` of either label ever reach wrongly.

    0, which speaks for nothing, is never decided.

    Parameters
    ----------
    found : ndarray of float64, shape (n_streams, WINDOWS)
        Evidence, as `evidence_of` returns it of full streams.
    is_spoof : ndarray of bool, shape (n_streams,)
        Labels.

    Returns
    -------
    dict of str to float, or None
        ``bonafide_from``, above 0, and ``spoof_to``, below it; None where there are too few
        streams, or scores are no numbers.
    """
    if min(is_spoof.sum(), (~is_spoof).sum()) < MIN_STREAMS * DRAWS:
        return None
    if not np.isfinite(found).all():
        return None
    highest, lowest = found[is_spoof].max(axis=1), found[~is_spoof].min(axis=1)
    upper, lower = _beyond(highest), -_beyond(-lowest)
    return {"bonafide_from": max(upper, NOTHING), "spoof_to": min(lower, -NOTHING)}


def _beyond(reached: Floats) -> float:
    """Return the lowest bar that at most `AIMED_AT` reach, past those that reach the same."""
    bar = float(np.quantile(reached, 1 - AIMED_AT, method="higher"))
    return bar if np.mean(reached >= bar) <= AIMED_AT else float(np.nextafter(bar, np.inf))


def fit_sequential(
    llr: AnyFloats, corpus: Corpus, side: Mask, stretches: Sequence[str], seed: int
) -> dict[str, Any] | None:
    """Set the bars of each channel by scores of recordings whose sources were not heard.

    Parameters
    ----------
    llr : ndarray of float, shape (n_rows, n_stretches)
        Cross-fitted scores of recordings and copies.
    corpus : Corpus
        Of these rows.
    side : ndarray of bool, shape (n_rows,)
        The rows to set them by.
    stretches : sequence of str
        Channel of the recordings and of each copy.
    seed : int
        Of the order of recordings in a stream.

    Returns
    -------
    dict or None
        ``wrong_at_most``, ``correlation``, and under ``channels`` the bars of each, as a manifest's
        thresholds have them; None where no channel has any.
    """
    voice, is_spoof = np.where(side, voices(corpus), ""), corpus.is_spoof
    streams = streams_of(voice, seed, again=True)
    spoofs = is_spoof[streams[:, 0]]
    if min(spoofs.sum(), (~spoofs).sum()) < MIN_STREAMS * DRAWS:
        return None
    labels = [(is_spoof == label) & (voice != "") for label in (False, True)]
    alike = float(np.mean([correlation_of(llr[rows, 0], voice[rows]) for rows in labels]))
    channels = dict[str, dict[str, float]]()
    for name in dict.fromkeys(stretches):
        columns = [n for n, each in enumerate(stretches) if each == name]
        if name == CLEAN:  # its copies are crops of what is there already
            columns = columns[:1]
        found = np.concatenate([evidence_of(llr[:, n], streams, alike) for n in columns])
        if bars := bars_of(found, np.tile(spoofs, len(columns))):
            channels[name] = bars
    test = {"wrong_at_most": WRONG_AT_MOST, "correlation": alike, "channels": channels}
    return test if channels else None
