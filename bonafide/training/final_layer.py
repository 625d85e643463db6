"""A final layer over a detector's scores: fitted to few labelled clips, and judged on them.

It moves the llr by a line and by the log odds of the base models, from where it stands: without
evidence it changes nothing. How far it may move is chosen by cross-validation inside of each fold
of the cross-validation that judges it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bonafide.artifact import Plain
from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.errors import CorpusError
from bonafide.evaluation.evaluate import MIN_CLUSTERS, ROWS
from bonafide.evaluation.metrics import Interval, bootstrap, cllr, difference, eer, even_weights
from bonafide.judging import log_odds
from bonafide.training.folds import connected_groups
from bonafide.types import AnyFloats, Floats, Ints, Mask

FOLDS, INNER_FOLDS = 10, 5
SHUFFLES = 3  # of the inner folds: by one alone, the choice is a matter of luck
TOLERANCE = 0.01  # bits of Cllr, within which the strongest penalty is taken
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01)
MAX_STEPS, PRECISION = 100, 1e-9
DECIMALS = 6  # of the fitted numbers, so that every machine gets the same
GROUPINGS = {"source and speaker": ("source", "speaker"), "speaker": ("speaker",), ROWS: ()}
METRICS = {"eer": eer, "cllr": cllr}


@dataclass(frozen=True)
class ClipScores:
    """A detector's scores of clips, each the mean over the windows of one.

    Parameters
    ----------
    llr : ndarray of float64, shape (n_clips,)
        Natural-log likelihood ratios, higher for bona fide.
    log_odds : ndarray of float64, shape (n_clips, n_models)
        Log odds of each base model's p_spoof; a window for which it was not asked counts as 0.
    asked : ndarray of float64, shape (n_clips, n_models)
        Share of the windows for which each base model was asked, in [0, 1].
    """

    llr: Floats
    log_odds: Floats
    asked: Floats

    @classmethod
    def of_windows(cls, llr: AnyFloats, p_spoof: AnyFloats) -> "ClipScores":
        """Return the scores of clips of one window each.

        Parameters
        ----------
        llr : ndarray of float, shape (n_clips,)
            As above.
        p_spoof : ndarray of float, shape (n_clips, n_models)
            Of the base models; NaN where one was not asked.

        Returns
        -------
        ClipScores
        """
        asked = ~np.isnan(p_spoof)
        odds = log_odds(np.where(asked, p_spoof, 0.5))  # 0 where it was not asked
        return cls(np.asarray(llr, np.float64), odds, asked.astype(np.float64))

    @classmethod
    def join(cls, parts: Sequence["ClipScores"]) -> "ClipScores":
        """Return the scores of the clips of all parts, of which there is at least one."""
        columns = zip(*((part.llr, part.log_odds, part.asked) for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))

    def mean(self) -> "ClipScores":
        """Return the scores of one clip, of which these are the windows."""
        each = (self.llr, self.log_odds, self.asked)
        return ClipScores(*(values.mean(axis=0, keepdims=True) for values in each))

    def take(self, rows: Mask | Ints) -> "ClipScores":
        """Return the scores of some clips."""
        return ClipScores(self.llr[rows], self.log_odds[rows], self.asked[rows])

    def centred(self, centre: AnyFloats) -> Floats:
        """Return log odds less a centre, (n_clips, n_models); 0 for a model that was not asked."""
        return self.log_odds - self.asked * centre


@dataclass(frozen=True)
class Strength(Plain):
    """How strongly a layer is held where it stands; None: it is not moved at all.

    Parameters
    ----------
    line : float or None
        Of slope and offset.
    models : float or None
        Of the base models' weights.
    """

    line: float | None
    models: float | None


NOTHING_MOVES = Strength(None, None)
# From the strongest: nothing moves; the line alone; line and base models.
STRENGTHS = (
    NOTHING_MOVES,
    *(Strength(penalty, None) for penalty in PENALTIES),
    *(Strength(penalty, penalty) for penalty in PENALTIES),
)


@dataclass(frozen=True)
class FinalLayer:
    """llr' = slope * llr + sum of weight * (log odds - centre) over the models asked + offset.

    Parameters
    ----------
    slope, offset : float
        1 and 0 where nothing is moved; the slope is at least 0, so that no score is turned around.
    weights, centre : tuple of float
        For each base model, in the bundle's order.
    """

    slope: float
    offset: float
    weights: tuple[float, ...]
    centre: tuple[float, ...]

    def llr(self, scores: ClipScores) -> Floats:
        """Return the llr of each clip, (n_clips,), in nats."""
        moved = scores.centred(np.array(self.centre)) @ np.array(self.weights)
        return self.slope * scores.llr + moved + self.offset


def fit_layer(scores: ClipScores, is_spoof: Mask, strength: Strength) -> FinalLayer:
    """Fit a final layer by logistic regression, penalised for what it moves; classes count alike.

    Targets are a little short of certain [1]_, so that clips which are all told apart do not make
    the layer as steep as it likes.

    Parameters
    ----------
    scores : ClipScores
        Of the clips.
    is_spoof : ndarray of bool, shape (n_clips,)
        Labels, both of them present.
    strength : Strength
        Of the penalty on the squares of what is added to slope, offset and weights.

    Returns
    -------
    FinalLayer

    References
    ----------
    .. [1] J. C. Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to
       Regularized Likelihood Methods", Advances in Large Margin Classifiers, 1999.
    """
    weight = even_weights(is_spoof) / len(is_spoof)
    asked = weight @ scores.asked
    centre = (weight @ scores.log_odds / np.where(asked > 0, asked, 1.0)).round(DECIMALS)
    slope, offset, weights = 1.0, 0.0, np.zeros(len(centre))
    if strength.line is not None:
        heard = scores.centred(centre)[:, : None if strength.models is not None else 0]
        moves = _moves(scores.llr, heard, is_spoof, strength.line, strength.models or 0.0)
        slope, offset = float(1.0 + moves[0]), float(moves[1])
        weights[: heard.shape[1]] = moves[2:]
    return FinalLayer(slope, offset, tuple(weights.tolist()), tuple(centre.tolist()))


def _moves(llr: Floats, heard: Floats, is_spoof: Mask, line: float, models: float) -> Floats:
    """Return what to add to slope, offset and the weights of what is heard."""
    x = np.column_stack([llr, np.ones(len(llr)), heard])
    penalty = np.array([line, line, *[models] * heard.shape[1]])
    moves = _least(x, llr, is_spoof, penalty)
    if moves[0] < -1.0:  # the loss is convex: its least with a slope of at least 0 has one of 0
        moves = np.array([-1.0, *_least(x[:, 1:], 0 * llr, is_spoof, penalty[1:])])
    return moves.round(DECIMALS)


def _least(x: Floats, start: Floats, is_spoof: Mask, penalty: Floats) -> Floats:
    """Minimise the log loss of start + x @ moves, and penalty @ moves^2 / 2, by Newton's method."""
    # For so few columns, a hundredth of the time that scipy's minimisers take, whose BLAS wakes all
    # cores for each step.
    sign, weight = np.where(is_spoof, -1.0, 1.0), even_weights(is_spoof) / len(is_spoof)
    # Platt's targets: of n clips of a label that all score right, the next may be the first wrong.
    doubt = 1 / (np.where(is_spoof, is_spoof.sum(), (~is_spoof).sum()) + 2)

    def loss(moves: Floats) -> float:
        margin = sign * (start + x @ moves)
        return float(
            weight @ (np.logaddexp(0.0, -margin) + doubt * margin) + penalty @ moves**2 / 2
        )

    moves = np.zeros(x.shape[1])
    for _ in range(MAX_STEPS):
        wrong = np.exp(-np.logaddexp(0.0, sign * (start + x @ moves)))  # probability of the other
        slope = penalty * moves - (weight * sign * (wrong - doubt)) @ x
        curve = (x.T * (weight * wrong * (1 - wrong))) @ x + np.diag(penalty)
        step, now = np.linalg.solve(curve, -slope), loss(moves)
        while loss(moves + step) > now + slope @ step / 4 and np.abs(step).max() > PRECISION:
            step = step / 2
        moves = moves + step
        if np.abs(step).max() <= PRECISION:
            break
    return moves


def group_clips(corpus: Corpus) -> tuple[str, Ints]:
    """Choose what folds and intervals keep whole: sources and speakers, speakers, or clips.

    Parameters
    ----------
    corpus : Corpus
        The clips.

    Returns
    -------
    str
        The first of `GROUPINGS` of which at least `MIN_CLUSTERS` hold each label.
    ndarray of int64, shape (n_clips,)
        The group of each clip.
    """
    for name, columns in GROUPINGS.items():
        blank = {key: UNKNOWN for key in ("source", "speaker") if key not in columns}
        group = connected_groups(Corpus(corpus.root, [replace(row, **blank) for row in corpus]))
        if _fewest(corpus.is_spoof, group) >= MIN_CLUSTERS and len(set(group)) < len(group):
            return name, group
    return ROWS, np.arange(len(corpus))


def _fewest(is_spoof: Mask, group: Ints) -> int:
    """Count the groups of the label that fewer hold."""
    return min(len(np.unique(group[is_spoof])), len(np.unique(group[~is_spoof])))


def _folds(is_spoof: Mask, group: Ints, count: int, seed: int) -> list[Mask]:
    """Return the rows held out of each fold: groups whole, labels spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds: list[Mask] = []
    if (count := min(count, _fewest(is_spoof, group))) > 1:
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        parts = [rows for _, rows in splitter.split(group, is_spoof, group)]
        folds = [np.isin(np.arange(len(group)), rows) for rows in parts]
    if not folds or any(len(np.unique(is_spoof[~out])) < 2 for out in folds):
        raise CorpusError(
            "too_few_groups",
            "sources and speakers are too few or too uneven: without some of them, which are kept "
            "whole to judge by, no clip of one label is left; add clips of others",
        )
    return folds


def _cross_fitted(
    scores: ClipScores, is_spoof: Mask, folds: Sequence[Mask], strength: Strength
) -> Floats:
    """Return the llr of each clip, (n_clips,), by a layer fitted on the other folds."""
    llr = np.empty(len(is_spoof))
    for out in folds:
        llr[out] = fit_layer(scores.take(~out), is_spoof[~out], strength).llr(scores.take(out))
    return llr


def choose_strength(scores: ClipScores, is_spoof: Mask, group: Ints) -> Strength:
    """Return the strongest of `STRENGTHS` whose cross-validated Cllr is within `TOLERANCE` of best.

    Parameters
    ----------
    scores, is_spoof, group
        Of the clips, as above.

    Returns
    -------
    Strength

    Raises
    ------
    CorpusError
        ``too_few_groups`` where a fold would leave one label alone.
    """
    shuffles = [_folds(is_spoof, group, INNER_FOLDS, seed) for seed in range(SHUFFLES)]
    costs = np.array(
        [
            [cllr(_cross_fitted(scores, is_spoof, folds, each), is_spoof) for folds in shuffles]
            for each in STRENGTHS
        ]
    ).mean(axis=1)
    return STRENGTHS[int(np.flatnonzero(costs <= costs.min() + TOLERANCE)[0])]


def nested_llr(scores: ClipScores, is_spoof: Mask, group: Ints) -> Floats:
    """Return the llr of each clip by layers that never saw its group, nor did their strengths.

    Parameters
    ----------
    scores, is_spoof, group
        Of the clips, as above.

    Returns
    -------
    ndarray of float64, shape (n_clips,)

    Raises
    ------
    CorpusError
        ``too_few_groups`` where a fold would leave one label alone.
    """
    llr = np.empty(len(is_spoof))
    for out in _folds(is_spoof, group, FOLDS, seed=0):
        seen = scores.take(~out), is_spoof[~out]
        llr[out] = fit_layer(*seen, choose_strength(*seen, group[~out])).llr(scores.take(out))
    return llr


@dataclass(frozen=True)
class Gain(Plain):
    """What a final layer changes on clips that it never saw.

    Parameters
    ----------
    before, after, change : dict of str to Interval
        ``eer`` (a share) and ``cllr`` (bits), and by how much the latter differ from the former.
    """

    before: dict[str, Interval]
    after: dict[str, Interval]
    change: dict[str, Interval]

    @property
    def turned(self) -> bool:
        """Whether bona fide clips score below spoofs, as with labels that were exchanged."""
        return self.before["eer"].low > 0.5

    @property
    def shown(self) -> bool:
        """Whether the interval of the Cllr's change excludes a loss, and the scores say something.

        The EER may change by chance, but not surely for the worse.
        """
        better = self.change["cllr"].high < 0 and self.change["eer"].low <= 0
        return better and self.after["cllr"].value < 1


def measure_gain(before: Floats, after: Floats, is_spoof: Mask, group: Ints) -> Gain:
    """Compare the llr of clips before and after; intervals resample groups, paired for the change.

    Parameters
    ----------
    before, after : ndarray of float64, shape (n_clips,)
        As the detector scores them, and as `nested_llr` does.
    is_spoof, group
        Of the clips, as above.

    Returns
    -------
    Gain
    """
    return Gain(
        bootstrap(before, is_spoof, group, metrics=METRICS),
        bootstrap(after, is_spoof, group, metrics=METRICS),
        {name: difference(after, before, is_spoof, group, metric=f) for name, f in METRICS.items()},
    )
