"""Rules: from stacked scores to verdicts, by calibration, a route and thresholds by channel."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, Plain, sha256_of
from bonafide.channel import CLEAN
from bonafide.detector import PARTS_FROM, llr_at, p_spoof_of, verdict_of
from bonafide.evaluation.evaluate import cluster_column
from bonafide.evaluation.metrics import bootstrap, eer
from bonafide.manifest import SIDES
from bonafide.training.config import CascadeConfig, Config
from bonafide.training.folds import Folds
from bonafide.training.parts import parts_bar
from bonafide.training.recordings import Recordings
from bonafide.training.routing import Router
from bonafide.training.stacking import Calibration, Stage, fit_calibration, row_weights
from bonafide.types import AnyFloats, Floats, Ints, Mask

N_THRESHOLDS = 400  # tried on either side
STRICTER = (1.0, 0.75, 0.5, 0.25)  # of the share that may be wrong, tried in turn
MIN_ROWS = 20  # of each label for a channel to have thresholds, and of right verdicts for a side


Ends = dict[str, float | None]  # thresholds of p_spoof by side; None: never


@dataclass(frozen=True)
class Route(Plain):
    """Which windows go on to the second stage.

    Parameters
    ----------
    doubt_llr : float
        Those whose llr lies within this of 0,
    clean_from : float
        and those whose spared channels together have a smaller posterior.
    spared : tuple of str
        Names of the channels that leave the first stage's models what they need.
    """

    doubt_llr: float
    clean_from: float
    spared: tuple[str, ...] = (CLEAN,)

    def p_spared(self, posteriors: AnyFloats, channels: Sequence[str]) -> Floats:
        """Return how probable it is that windows went through a spared channel.

        Parameters
        ----------
        posteriors : ndarray of float, shape (..., n_channels)
            Of all channels.
        channels : sequence of str
            Their names, in this order.

        Returns
        -------
        ndarray of float, shape (...)
            In [0, 1].
        """
        return np.asarray(posteriors[..., np.isin(channels, self.spared)].sum(axis=-1))

    def asks(self, llr: AnyFloats, p_clean: AnyFloats) -> NDArray[np.bool_]:
        """Return which windows go on.

        Parameters
        ----------
        llr : ndarray of float
            Calibrated scores of the first stage, of any shape.
        p_clean : ndarray of float
            As `p_spared` returns it, of the same shape.

        Returns
        -------
        ndarray of bool
            Of the same shape.

        Examples
        --------
        >>> route = Route(doubt_llr=1.0, clean_from=0.5, spared=("clean",))
        >>> route.asks(np.array([3.0, -0.5, 3.0]), np.array([0.9, 0.9, 0.1])).tolist()
        [False, True, True]
        """
        return np.asarray((np.abs(llr) < self.doubt_llr) | (p_clean < self.clean_from))


@dataclass(frozen=True)
class Answers(Plain):
    """What a bundle needs to give verdicts, and how they did out of fold.

    Parameters
    ----------
    thresholds : dict
        As the manifest has them.
    channel_errors : dict
        By channel that the router names: rows, EER, the share undecided, and of the decided those
        that are wrong, with 95 % intervals over sources. Each row counts by the thresholds that are
        fitted on the other folds.
    asked : float
        Share of the recordings that went on to the second stage.
    """

    thresholds: dict[str, Any]
    channel_errors: dict[str, Any]
    asked: float = 0.0


@dataclass(frozen=True)
class Rules(Artifact):
    """The rules of a detector: of its first stage alone, and of all stages.

    Parameters
    ----------
    calibrations : tuple of Calibration
        Of each stage.
    route : Route or None
        None for a single stage.
    answers : tuple of Answers
        Of each stage with those before it.
    llr : ndarray of float64, shape (n_rows, n_stretches, n_stages)
        Cross-fitted: of each stage with those before it, as its detector would answer.
    """

    calibrations: tuple[Calibration, ...]
    route: Route | None
    answers: tuple[Answers, ...]
    llr: Floats = field(repr=False)

    @property
    def decision(self) -> Floats:
        """Cross-fitted llr of the recordings, by all stages, (n_rows,)."""
        return np.asarray(self.llr[:, 0, -1])

    def save(self, folder: Path) -> None:
        """Write ``rules.json`` and ``llr.npy``."""
        (folder / "rules.json").write_text(self._text())
        np.save(folder / "llr.npy", self.llr, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        values = json.loads((folder / "rules.json").read_text())
        return cls(
            tuple(Calibration(**each) for each in values["calibrations"]),
            Route.from_json(values["route"]) if values["route"] else None,
            tuple(Answers(**each) for each in values["answers"]),
            np.load(folder / "llr.npy", allow_pickle=False),
        )

    def _text(self) -> str:
        return json.dumps(
            {
                "calibrations": [asdict(each) for each in self.calibrations],
                "route": asdict(self.route) if self.route else None,
                "answers": [asdict(each) for each in self.answers],
            }
        )

    def digest(self) -> str:
        """Return a hash of the numbers."""
        return sha256_of(self._text(), self.llr.tobytes())

    def facts(self) -> dict[str, JSON]:
        """Return thresholds and route."""
        last = self.answers[-1]
        route = asdict(self.route) if self.route else {}  # ZenML keeps no None
        return {"thresholds": json.dumps(last.thresholds), "route": route, "asked": last.asked}


def fit_rules(
    stages: Sequence[Stage],
    router: Router,
    recordings: Recordings,
    folds: Folds,
    stretches: Sequence[str],
    config: Config,
    *,
    window_s: float,
) -> Rules:
    """Calibrate each stage, set the route, and set thresholds by channel, all on the training side.

    Parameters
    ----------
    stages : sequence of Stage
        With cross-fitted scores.
    router : Router
        With posteriors and distances out of fold.
    recordings : Recordings
        Labels and sources.
    folds : Folds
        Rows of the test side are left out.
    stretches : sequence of str
        Channel of the recordings and of each copy.
    config : Config
        Prior, costs, allowed errors and the cascade.
    window_s : float
        Seconds of a window.

    Returns
    -------
    Rules
    """
    corpus, side = recordings.corpus, ~folds.is_test
    weights = row_weights(corpus, side, stretches)[side].ravel()
    labels = np.repeat(corpus.is_spoof[side], len(stretches))
    p_clean = Route(0.0, 0.0, config.cascade.spared).p_spared(router.posteriors, router.channels)
    calibrations: list[Calibration] = []
    llr: list[Floats] = []
    route: Route | None = None
    asked = np.ones(p_clean.shape, bool)
    for number, stage in enumerate(stages):
        counts = asked[side].ravel()
        line = fit_calibration(stage.chosen[side].ravel()[counts], labels[counts], weights[counts])
        own = line.llr(stage.chosen)
        calibrations.append(line)
        llr.append(np.where(asked, own, llr[-1]) if llr else own)
        if number + 1 < len(stages):
            route = _fit_route(own[side, 0], p_clean[side, 0], config.cascade)
            asked = route.asks(own, p_clean)
    answers = [
        _answers(each, router, recordings, folds, stretches, config, window_s=window_s)
        for each in llr
    ]
    if route:
        answers[-1] = replace(answers[-1], asked=float(asked[side, 0].mean()))
    return Rules(tuple(calibrations), route, tuple(answers), np.stack(llr, axis=-1))


def _fit_route(llr: AnyFloats, p_clean: AnyFloats, cascade: CascadeConfig) -> Route:
    """Choose how doubtful a score must be, so that a share of the recordings goes on."""
    clean = p_clean >= cascade.clean_from
    others = float((~clean).mean())
    share = (cascade.share - others) / max(1 - others, 1e-9)
    doubts = np.abs(llr[clean])
    doubt = float(np.quantile(doubts, np.clip(share, 0, 1))) if share > 0 and clean.any() else 0.0
    return Route(doubt, cascade.clean_from, cascade.spared)


@dataclass(frozen=True)
class _Heard:
    """Recordings and copies of the training side as the router names them, a row each."""

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
        """Take all copies but those of clean sound, which are crops of what is there already."""
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


def _answers(
    llr: Floats,
    router: Router,
    recordings: Recordings,
    folds: Folds,
    stretches: Sequence[str],
    config: Config,
    *,
    window_s: float,
) -> Answers:
    heard = _Heard.of(llr, router, recordings, folds, stretches)
    of_costs = dict(zip(SIDES, config.decision.undecided, strict=True))
    by_channel, errors = {}, {}
    for number, name in enumerate(router.channels):
        if (mine := heard.of_rows(heard.named == number)) is not None:
            by_channel[name], call = _chosen(mine, name, config)
            errors[name] = _errors(mine, call, config)
    distance_to = router.distance_to(~folds.is_test)
    thresholds: dict[str, Any] = {**of_costs, "distance_to": distance_to, "channels": by_channel}
    spoof_from = {**of_costs, **by_channel.get(CLEAN, {})}["spoof_from"]
    if spoof_from is not None:
        spoof_llr = llr_at(spoof_from, config.decision.prior_spoof)
        bar = parts_bar(
            llr[:, 0], spoof_llr, recordings, folds, window_s=window_s, seed=config.seed
        )
        thresholds |= {} if bar is None else {PARTS_FROM: bar}
    return Answers(thresholds, errors)


def _thresholds(heard: _Heard, allowed: float | None, config: Config) -> Ends:
    """Return the thresholds of one channel by which a share of the decided is wrong."""
    decision = config.decision
    if allowed is None:
        return dict(zip(SIDES, decision.undecided, strict=True))
    ends = best_ends(heard.llr, heard.is_spoof, allowed, MIN_ROWS)
    return {
        side: None if end is None else float(p_spoof_of(end, decision.prior_spoof))
        for side, end in zip(SIDES, ends, strict=True)
    }


def _chosen(heard: _Heard, name: str, config: Config) -> tuple[Ends, Floats]:
    """Return a channel's thresholds, and the verdicts by those of the other folds (`_calls`).

    They are stricter than asked where what is held out would err too often otherwise.
    """
    decision = config.decision
    allowed = decision.max_wrong_clean if name == CLEAN else decision.max_wrong
    if allowed is None:
        return _thresholds(heard, None, config), _calls(heard, None, config)
    ones = np.ones(len(heard.llr))
    for share in STRICTER:
        ends = _thresholds(heard, share * allowed, config)
        call = _calls(heard, share * allowed, config)
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


def _calls(heard: _Heard, allowed: float | None, config: Config) -> Floats:
    """Return the verdict on each row by thresholds of the other folds, as `wrong` takes them."""
    p = p_spoof_of(heard.llr, config.decision.prior_spoof)
    number = {"bonafide": 1.0, "spoof": -1.0, "inconclusive": 0.0}
    call = np.zeros(len(p))
    for fold in np.unique(heard.fold).tolist():
        own = heard.fold == fold
        if (others := heard.of_rows(~own)) is not None:
            ends = _thresholds(others, allowed, config)
            call[own] = [number[verdict_of(each, ends)] for each in p[own].tolist()]
    return call


def _errors(heard: _Heard, call: Floats, config: Config) -> dict[str, Any]:
    """Judge verdicts on one channel, as the manifest's ``channel_errors`` have it."""
    how: dict[str, Any] = {"n_resamples": config.resamples, "seed": config.seed}
    rates = bootstrap(call, heard.is_spoof, heard.cluster, metrics=RATES, **how)
    found = bootstrap(heard.llr, heard.is_spoof, heard.cluster, metrics={"eer": eer}, **how)
    return {
        "rows": len(call),
        "eer": found["eer"].to_json(),
        **{name: rate.to_json() for name, rate in rates.items()},
        "undecided": rates["undecided"].value,
    }
