"""Thresholds by channel: how strict verdicts are, and how often they are wrong when held out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bonafide.channel import CLEAN
from bonafide.evaluation.evaluate import cluster_column
from bonafide.evaluation.metrics import bootstrap, eer
from bonafide.judging import p_spoof_of, verdict_of
from bonafide.manifest import SIDES
from bonafide.training.config import Config
from bonafide.training.folds import Folds
from bonafide.training.recordings import Recordings
from bonafide.training.routing import Router
from bonafide.types import AnyFloats, Floats, Ints, Mask

N_THRESHOLDS = 400  # tried on either side
STRICTER = (1.0, 0.75, 0.5, 0.25)  # of the share that may be wrong, tried in turn
MIN_ROWS = 20  # of each label for a channel to have thresholds, and of right verdicts for a side
Ends = dict[str, float | None]  # thresholds of p_spoof by side; None: never


@dataclass(frozen=True)
class Heard:
    """Recordings and copies of the training side as the router names them, a row each.

    Parameters
    ----------
    named : ndarray of int, shape (n,)
        Number of the most probable channel.
    llr : ndarray of float64, shape (n,)
        Cross-fitted scores.
    is_spoof : ndarray of bool, shape (n,)
        Labels.
    cluster : ndarray of str, shape (n,)
        What intervals resample whole.
    fold : ndarray of int64, shape (n,)
        Folds.
    """

    named: NDArray[np.intp]
    llr: Floats
    is_spoof: Mask
    cluster: NDArray[np.str_]
    fold: Ints

    @classmethod
    def of(
        cls,
        llr: Floats,
        router: Router,
        recordings: Recordings,
        folds: Folds,
        stretches: Sequence[str],
    ) -> Self:
        """Take all copies but those of clean sound, which are crops of what is there already.

        Parameters
        ----------
        llr : ndarray of float64, shape (n_rows, n_stretches)
            Cross-fitted scores of recordings and copies.
        router : Router
            Names their channels.
        recordings : Recordings
            Labels and sources.
        folds : Folds
            Rows of the test side are left out.
        stretches : sequence of str
            Channel of the recordings and of each copy.

        Returns
        -------
        Heard
        """
        side, corpus = ~folds.is_test, recordings.corpus
        heard = [n for n, name in enumerate(stretches) if n == 0 or name != CLEAN]
        return cls(
            router.posteriors[side][:, heard].argmax(axis=-1).ravel(),
            llr[side][:, heard].ravel(),
            np.repeat(corpus.is_spoof[side], len(heard)),
            np.repeat(cluster_column(corpus)[1][side], len(heard)),
            np.repeat(folds.fold[side], len(heard)),
        )

    def of_rows(self, rows: Mask) -> Self | None:
        """Return some of them; None if these are too few of either label."""
        spoofs = int(self.is_spoof[rows].sum())
        if min(spoofs, rows.sum() - spoofs) < MIN_ROWS:
            return None
        return type(self)(*(values[rows] for values in vars(self).values()))


def _thresholds(heard: Heard, limit: float | None, config: Config) -> Ends:
    """Return the thresholds of one channel by which a share of the decided is wrong."""
    decision = config.decision
    if limit is None:
        return dict(zip(SIDES, decision.undecided, strict=True))
    ends = best_ends(heard.llr, heard.is_spoof, limit, MIN_ROWS)
    return {
        side: None if end is None else float(p_spoof_of(end, decision.prior_spoof))
        for side, end in zip(SIDES, ends, strict=True)
    }


def chosen_thresholds(heard: Heard, name: str, config: Config) -> tuple[Ends, Floats]:
    """Return a channel's thresholds, and the verdicts by those of the other folds.

    They are stricter than asked where what is held out would err too often otherwise.

    Parameters
    ----------
    heard : Heard
        Of this channel.
    name : str
        Of the channel.
    config : Config
        ``decision``.

    Returns
    -------
    dict of str to float or None
        Thresholds of p_spoof by side; None: never.
    ndarray of float64, shape (n,)
        As `wrong` takes them.
    """
    decision = config.decision
    limit = decision.max_wrong_clean if name == CLEAN else decision.max_wrong
    if limit is None:
        return _thresholds(heard, None, config), _calls(heard, None, config)
    ones = np.ones(len(heard.llr))
    for share in STRICTER:
        ends = _thresholds(heard, share * limit, config)
        call = _calls(heard, share * limit, config)
        shares = [wrong(call, heard.is_spoof, ones, of_spoofs=label) for label in (False, True)]
        if max(shares) <= decision.max_held_out:
            break
    else:
        ends = dict.fromkeys(SIDES)
    given = any(end is not None for end in ends.values())
    return ends, call if given else np.zeros(len(call))


def best_ends(
    llr: AnyFloats, is_spoof: Mask, max_wrong: float, least: int = 1
) -> tuple[float | None, float | None]:
    """Choose the two thresholds that decide most rightly while few of the decided are wrong.

    Parameters
    ----------
    llr : ndarray of float, shape (n,)
        Scores, higher for bona fide.
    is_spoof : ndarray of bool, shape (n,)
        Labels, both present.
    max_wrong : float
        Of the decided of either label, the share that may be wrong.
    least : int
        Right verdicts of a side, below which it is never given: too few to tell how many are wrong.

    Returns
    -------
    bonafide_from, spoof_to : float or None
        From which llr on a recording is bona fide, and up to which it is a spoof; None: never.

    Examples
    --------
    >>> is_spoof = np.array([True, True, False, False])
    >>> bonafide_from, spoof_to = best_ends(np.array([-2.0, -1.0, 1.0, 2.0]), is_spoof, 0.1)
    >>> -1.0 <= spoof_to < bonafide_from <= 1.0
    True
    >>> best_ends(np.array([2.0, 1.0, -1.0, -2.0]), is_spoof, 0.1)
    (None, None)
    """
    real, fake = np.sort(llr[~is_spoof]), np.sort(llr[is_spoof])
    tried = np.unique(np.quantile(llr, np.linspace(0.0, 1.0, N_THRESHOLDS)))
    upper = np.concatenate([tried, [np.inf]])  # infinity: never
    lower = np.concatenate([[-np.inf], tried])
    accepted = [1 - np.searchsorted(rows, upper, side="left") / len(rows) for rows in (real, fake)]
    rejected = [np.searchsorted(rows, lower, side="right") / len(rows) for rows in (real, fake)]
    # rows: the lower threshold; columns: the upper one
    kept, missed = accepted[0][None, :], accepted[1][None, :]
    lost, caught = rejected[0][:, None], rejected[1][:, None]
    with np.errstate(invalid="ignore"):
        fine = (lost <= max_wrong * (lost + kept)) & (missed <= max_wrong * (missed + caught))
    fine &= lower[:, None] < upper[None, :]
    fine &= (kept * len(real) >= least) | np.isinf(upper[None, :])
    fine &= (caught * len(fake) >= least) | np.isinf(lower[:, None])
    right = np.where(fine, kept + caught, -1.0)
    row, column = np.unravel_index(int(np.argmax(right)), right.shape)
    ends = (float(upper[column]), float(lower[row]))
    return tuple(end if np.isfinite(end) else None for end in ends)  # type: ignore[return-value]


def wrong(call: AnyFloats, is_spoof: Mask, weights: AnyFloats, *, of_spoofs: bool) -> float:
    """Return the share of wrong verdicts among the decided of one label.

    Parameters
    ----------
    call : ndarray of float, shape (n,)
        1 for bona fide, -1 for spoof, 0 for none.
    is_spoof : ndarray of bool, shape (n,)
        Labels.
    weights : ndarray of float, shape (n,)
        Of the rows.
    of_spoofs : bool
        Which label.

    Returns
    -------
    float
        In [0, 1]; 0 where none is decided.
    """
    mass = weights * (is_spoof == of_spoofs) * (call != 0)
    bad = mass * (call == (1.0 if of_spoofs else -1.0))
    return float(bad.sum() / mass.sum()) if mass.sum() else 0.0


def _wrong(call: AnyFloats, is_spoof: Mask, weights: AnyFloats) -> float:
    """Return the share of wrong verdicts among the decided, both labels counting alike."""
    return sum(wrong(call, is_spoof, weights, of_spoofs=label) for label in (False, True)) / 2


def _undecided(call: AnyFloats, is_spoof: Mask, weights: AnyFloats) -> float:
    """Return the share without a verdict, both labels counting alike."""
    sides = (is_spoof, ~is_spoof)
    return float(np.mean([np.average(call[s] == 0, weights=weights[s]) for s in sides]))


RATES: dict[str, Callable[..., float]] = {
    "undecided": _undecided,
    "wrong": _wrong,
    "bonafide_called_spoof": partial(wrong, of_spoofs=False),
    "spoof_called_bonafide": partial(wrong, of_spoofs=True),
}


def _calls(heard: Heard, limit: float | None, config: Config) -> Floats:
    """Return the verdict on each row by thresholds of the other folds, as `wrong` takes them."""
    p = p_spoof_of(heard.llr, config.decision.prior_spoof)
    number = {"bonafide": 1.0, "spoof": -1.0, "inconclusive": 0.0}
    call = np.zeros(len(p))
    for fold in np.unique(heard.fold).tolist():
        own = heard.fold == fold
        if (others := heard.of_rows(~own)) is not None:
            ends = _thresholds(others, limit, config)
            call[own] = [number[verdict_of(each, ends)] for each in p[own].tolist()]
    return call


def channel_errors(heard: Heard, call: Floats, config: Config) -> dict[str, Any]:
    """Judge verdicts on one channel, as the manifest's ``channel_errors`` have it.

    Parameters
    ----------
    heard : Heard
        Of this channel.
    call : ndarray of float, shape (n,)
        As `wrong` takes them.
    config : Config
        Seed and number of bootstrap resamples.

    Returns
    -------
    dict of str to Any
        Rows, EER and `RATES`, each with its interval but for the undecided share.
    """
    how: dict[str, Any] = {"n_resamples": config.resamples, "seed": config.seed}
    rates = bootstrap(call, heard.is_spoof, heard.cluster, metrics=RATES, **how)
    found = bootstrap(heard.llr, heard.is_spoof, heard.cluster, metrics={"eer": eer}, **how)
    return {
        "rows": len(call),
        "eer": found["eer"].to_json(),
        **{name: rate.to_json() for name, rate in rates.items()},
        "undecided": rates["undecided"].value,
    }
