"""Whether what is answered lately differs from what was: tests with a controlled rate of alarms.

Answers are cut into windows of one size. Each is compared with a reference, statistic by statistic:
scores and lengths by the test of Kolmogorov and Smirnov, channels and verdicts by the chi-squared
test, what the base models say by the energy distance (Szekely and Rizzo, 2004). The p-values are
corrected for their number (Holm, 1979), so that a window without drift alarms with a probability of
at most ``false_alarm``. Lengths are left out where the reference has none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.errors import BonafideError
from bonafide.monitoring.record import LAST, REFERENCE_ROWS, WINDOW_ROWS, Answered

FALSE_ALARM = 1 / 2000  # of a window without drift
PERMUTATIONS = 300
MOST_DISTANT = 1000  # rows of a side that distances are taken between
NEAREST = 1e-4  # to 0 and 1, that a p_spoof counts
SEED = 1


@dataclass(frozen=True)
class Moved:
    """One statistic of a window, compared with the reference.

    Parameters
    ----------
    name : str
        What it is of.
    size : float
        How far apart they are: the largest difference of the distribution functions, the population
        stability index (PSI), or the energy distance.
    measure : str
        Which of these.
    p : float
        Probability of such a distance or more without drift, in [0, 1].
    alarms : bool
        Whether it does, after Holm's correction.
    share : str
        Of channels and verdicts, the one whose share changed most; empty for other statistics.
    before, now : float or None
        That share in the reference and in the window, in [0, 1]; None for other statistics.
    """

    name: str
    size: float
    measure: str
    p: float
    alarms: bool = False
    share: str = ""
    before: float | None = None
    now: float | None = None

    def in_words(self) -> str:
        """Return its name, and from what to what it moved."""
        parts = f"{self.measure} {self.size:.2f}, p {self.p:.1g}"
        if self.before is not None and self.now is not None:
            share = self.share or "none"
            parts += f": {share} {100 * self.before:.0f} % before, {100 * self.now:.0f} % now"
        return f"{self.name} ({parts})"


@dataclass(frozen=True)
class Window:
    """What a window of answers looks like beside the reference.

    Parameters
    ----------
    start, end : float
        Seconds since 1970 of its first and last answer.
    rows : int
        Number of answers.
    statistics : tuple of Moved
        Each statistic.
    undecided : float
        Share of answers that are inconclusive, in [0, 1].
    """

    start: float
    end: float
    rows: int
    statistics: tuple[Moved, ...]
    undecided: float

    @property
    def alarms(self) -> tuple[str, ...]:
        """Names of the statistics that alarm."""
        return tuple(each.name for each in self.statistics if each.alarms)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"alarms": list(self.alarms)}


def compare(
    reference: Sequence[Answered], window: Sequence[Answered], false_alarm: float = FALSE_ALARM
) -> Window:
    """Compare a window of answers with a reference.

    Parameters
    ----------
    reference : sequence of Answered
        Answers of the same bundle, from before; all of them of known length, or none.
    window : sequence of Answered
        At least one answer.
    false_alarm : float
        Probability of an alarm without drift, in (0, 1).

    Returns
    -------
    Window
    """
    sides = (reference, window)
    lengths = [[each.duration_s for each in side] for side in sides]
    found = [
        _ks("scores", *([each.llr for each in side] for side in sides)),
        *([] if np.isnan(lengths[0]).any() else [_ks("lengths", *lengths)]),
        _mix("channels", *([each.channel for each in side] for side in sides)),
        _mix("verdicts", *([each.verdict for each in side] for side in sides)),
        _energy("base models", *_said(*sides)),
    ]
    return Window(
        *(window[0].time, window[-1].time, len(window), tuple(_holm(found, false_alarm))),
        sum(each.verdict == "inconclusive" for each in window) / len(window),
    )


def windows(
    answers: Sequence[Answered],
    *,
    window_rows: int = WINDOW_ROWS,
    last: int = LAST,
    false_alarm: float = FALSE_ALARM,
    reference: Sequence[Answered] = (),
) -> list[Window]:
    """Cut answers of one bundle into windows, and compare each with a reference.

    Parameters
    ----------
    answers : sequence of Answered
        Of one bundle, in the order of time.
    window_rows : int
        Answers in a window; each answer is in one for good, and what fills none is left out. A
        window has fewer where rows of the record are damaged.
    last : int
        How many windows, the newest ones.
    false_alarm : float
        As in `compare`.
    reference : sequence of Answered
        Of another time; where it is empty, the first `REFERENCE_ROWS` answers are the reference,
        and in no window.

    Returns
    -------
    list of Window
        In the order of time; empty while there are too few answers.

    Raises
    ------
    BonafideError
        ``two_bundles`` if the answers are not of one bundle.
    """
    if len(bundles := {each.bundle for each in answers}) > 1:
        raise BonafideError("two_bundles", f"answers of {len(bundles)} bundles: must be of one")
    first = 0 if reference else REFERENCE_ROWS
    before = reference or [each for each in answers if each.rank <= first]
    if not before:
        return []
    cut: dict[int, list[Answered]] = {}
    for each in answers:
        if each.rank > first:
            cut.setdefault((each.rank - first - 1) // window_rows, []).append(each)
    # Whole are those that begin and end: at their own edge or, if that is damaged, by a neighbour.
    whole = [
        window
        for number, window in cut.items()
        if (window[0].rank == first + number * window_rows + 1 or number - 1 in cut)
        and (window[-1].rank == first + (number + 1) * window_rows or number + 1 in cut)
    ]
    return [compare(before, window, false_alarm) for window in whole[-last:]]


def _said(*sides: Sequence[Answered]) -> Iterator[NDArray[np.float64]]:
    """Yield the log odds that base models gave, 0 where one was not asked, (n, n_models) a side."""
    names = sorted({name for side in sides for each in side for name in each.models})
    for side in sides:
        step = -(-len(side) // MOST_DISTANT)
        values = [[each.models.get(name) for name in names] for each in side[::step]]
        p = np.array(values, dtype=np.float64).clip(NEAREST, 1 - NEAREST)
        yield np.nan_to_num(np.log(p) - np.log1p(-p))


def _ks(name: str, reference: Sequence[float], window: Sequence[float]) -> Moved:
    from scipy.stats import ks_2samp

    found = ks_2samp(reference, window)
    return Moved(name, float(found.statistic), "KS", float(found.pvalue))


def _mix(name: str, reference: Sequence[str], window: Sequence[str]) -> Moved:
    """Compare shares of names; those too rare for the chi-squared test count together."""
    from scipy.stats import chi2_contingency

    names = sorted({*reference, *window})
    table = np.array([[side.count(each) for each in names] for side in (reference, window)])
    shares = (table + 0.5) / (table + 0.5).sum(axis=1, keepdims=True)
    psi = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    pooled = _without_rare(table)
    p = float(chi2_contingency(pooled).pvalue) if pooled.shape[1] > 1 else 1.0
    held = table / table.sum(axis=1, keepdims=True)
    most = int(np.argmax(np.abs(held[1] - held[0])))
    moved = Moved(name, psi, "PSI", p)
    return replace(moved, share=names[most], before=float(held[0, most]), now=float(held[1, most]))


def _without_rare(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Put the columns together of which the window would hold under five."""
    expected = table.sum(axis=0) * table[1].sum() / table.sum()
    rare = expected < 5
    together = table[:, rare].sum(axis=1, keepdims=True)
    return np.hstack([table[:, ~rare], together]) if rare.any() else table


def _energy(name: str, reference: NDArray[np.float64], window: NDArray[np.float64]) -> Moved:
    """Compare clouds; p by permutations, its tail by a gamma law (Gretton et al., 2009)."""
    from scipy.spatial.distance import cdist
    from scipy.stats import gamma

    both = np.vstack([reference, window])
    distances = cdist(both, both)
    m, n = len(reference), len(window)
    rng = np.random.default_rng(SEED)
    own = np.zeros((m + n, 1 + PERMUTATIONS))
    own[m:, 0] = 1.0
    for column in own[:, 1:].T:
        column[rng.permutation(m + n)[:n]] = 1.0
    of_window = distances @ own
    within, total = np.sum(own * of_window, axis=0), of_window.sum(axis=0)
    across = total - within
    rest = distances.sum() - within - 2 * across
    seen, *null = 2 * across / (m * n) - within / n**2 - rest / m**2
    mean, variance = float(np.mean(null)), float(np.var(null))
    p = float(gamma.sf(float(seen), mean**2 / variance, scale=variance / mean)) if variance else 1.0
    return Moved(name, float(seen), "energy distance", p)


def _holm(found: Sequence[Moved], level: float) -> list[Moved]:
    """Have those alarm that Holm's step-down procedure rejects at a level."""
    order = np.argsort([each.p for each in found], kind="stable")
    rejected = set()
    for rank, place in enumerate(order):
        if found[place].p > level / (len(found) - rank):
            break
        rejected.add(int(place))
    return [replace(each, alarms=place in rejected) for place, each in enumerate(found)]
