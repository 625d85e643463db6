"""The bar for parts: how much evidence genuine speech seldom shows, from cross-fitted scores."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonafide.corpora.schema import UNKNOWN
from bonafide.evaluation.metrics import Interval
from bonafide.parts import MIN_WINDOWS, evidence, runs
from bonafide.training.folds import Folds
from bonafide.training.recordings import Recordings
from bonafide.types import AnyFloats, Floats

MAX_PER_HOUR = 1.0  # false parts in genuine speech: the upper end of the interval
MIN_HOURS = 1.0  # of genuine speech, below which no bar can be told
BARS = np.arange(1.0, 10.0, 0.1).round(1)
ORDERS = 20  # in which the clips of a source are put together
MAX_SOURCES = 2_000  # drawn of those there are
RESAMPLES = 1000


@dataclass(frozen=True)
class Alarms:
    """How often genuine speech has runs of each sum.

    Parameters
    ----------
    counts : ndarray of float64, shape (n_sources, n_bars)
        False parts of each source at each of `BARS`.
    hours : ndarray of float64, shape (n_sources,)
        Of genuine speech.
    """

    counts: Floats
    hours: Floats

    @classmethod
    def count(
        cls, recordings: Iterable[tuple[str, AnyFloats]], *, window_s: float, spoof_llr: float
    ) -> "Alarms":
        """Count the runs in genuine recordings.

        Parameters
        ----------
        recordings : iterable of str and ndarray of float, shape (n_windows,)
            Source, and the llr of windows that no fitted model has seen; several of a source stand
            for one another. Those that are judged a spoof as a whole have no parts.
        window_s : float
            Seconds of a window.
        spoof_llr : float
            The llr up to which a whole recording is judged a spoof.

        Returns
        -------
        Alarms
            A row for each source.
        """
        found: dict[str, list[tuple[float, Floats]]] = {}
        for source, llr in recordings:
            sums = np.zeros(0)
            if len(llr) >= MIN_WINDOWS and llr.mean() > spoof_llr:
                sums = np.array([run[2] for run in runs(evidence(llr, spoof_llr), BARS[0])])
            counts = (sums[:, None] >= BARS).sum(axis=0).astype(np.float64)
            found.setdefault(source, []).append((len(llr) * window_s / 3600, counts))
        return cls(
            np.array([np.mean([counts for _, counts in each], axis=0) for each in found.values()]),
            np.array([np.mean([hours for hours, _ in each]) for each in found.values()]),
        )

    def per_hour(self, seed: int = 0) -> list[Interval]:
        """Return false parts per hour at each of `BARS`; intervals (95 %) resample sources."""
        n = len(self.hours)
        times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), RESAMPLES)
        drawn = times @ self.counts / (times @ self.hours)[:, None]
        rates = self.counts.sum(axis=0) / self.hours.sum()
        ends = np.quantile(drawn, [0.025, 0.975], axis=0)
        return [Interval(*map(float, row)) for row in zip(rates, *ends, strict=True)]

    def said(self, bar: float) -> str:
        """Return the rate at one of `BARS` in words."""
        rate = self.per_hour()[int(np.flatnonzero(bar == BARS)[0])]
        hours, n_sources = float(self.hours.sum()), len(self.hours)
        heard = f"{hours:.2f} h of genuine speech from {n_sources} sources"
        if not rate.value:  # three events are expected where one comes with a chance of 95 %
            return f"no false part in {heard}; that alone rules out over {3 / hours:.1f} an hour"
        interval = f"[{rate.low:.2f}, {rate.high:.2f}]"
        return f"{rate.value:.2f} {interval} false parts an hour, in {heard}"

    def bar(self) -> float | None:
        """Return the lowest bar that holds `MAX_PER_HOUR`; None where there is too little speech.

        Returns
        -------
        float or None
            In nats, for `bonafide.parts.runs`.
        """
        if self.hours.sum() < MIN_HOURS:
            return None
        rates = self.per_hour()
        held = [bar for bar, rate in zip(BARS, rates, strict=True) if rate.high <= MAX_PER_HOUR]
        return float(held[0]) if held else None


def by_source(llr: AnyFloats, source: NDArray[np.str_]) -> dict[str, AnyFloats]:
    """Return the scores of each source, of rows with a score and a source each, shape (n,)."""
    order = np.argsort(source, kind="stable")
    names, firsts = np.unique(source[order], return_index=True)
    return dict(zip(names.tolist(), np.split(llr[order], firsts)[1:], strict=True))  # or none


def put_together(clips: Mapping[str, AnyFloats], seed: int) -> Iterator[tuple[str, AnyFloats]]:
    """Put the clips of each source together to recordings, in several random orders.

    Parameters
    ----------
    clips : mapping of str to ndarray of float, shape (n,)
        The llr of the genuine clips of each source.
    seed : int
        Of the orders.

    Yields
    ------
    tuple of str and ndarray of float, shape (n,)
        Source, and llr in a random order. Sources of under `MIN_WINDOWS` clips are left out, and
        all but `MAX_SOURCES`.
    """
    rng = np.random.default_rng(seed)
    long = [source for source, llr in clips.items() if len(llr) >= MIN_WINDOWS]
    for source in rng.permutation(long)[:MAX_SOURCES].tolist():
        for _ in range(ORDERS):
            yield source, rng.permutation(clips[source])


def parts_bar(
    llr: AnyFloats,
    spoof_llr: float,
    recordings: Recordings,
    folds: Folds,
    *,
    window_s: float,
    seed: int,
) -> float | None:
    """Set the bar from which a run of windows is a part.

    Genuine clips of one source, put together, stand for a long genuine recording. Each is scored by
    models that never saw its source.

    Parameters
    ----------
    llr : ndarray of float, shape (n_rows,)
        Cross-fitted scores of the recordings.
    spoof_llr : float
        The llr up to which a whole recording is judged a spoof.
    recordings : Recordings
        Their sources tell which clips belong together.
    folds : Folds
        Rows of the test side are left out.
    window_s : float
        Seconds that a clip's score stands for.
    seed : int
        Of the orders in which clips are put together.

    Returns
    -------
    float or None
        As `Alarms.bar`.
    """
    corpus = recordings.corpus
    source = corpus.column("source").astype(np.str_)
    genuine = np.flatnonzero(~folds.is_test & ~corpus.is_spoof & (source != UNKNOWN))
    together = put_together(by_source(llr[genuine], source[genuine]), seed)
    return Alarms.count(together, window_s=window_s, spoof_llr=spoof_llr).bar()
