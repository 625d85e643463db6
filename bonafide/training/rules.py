"""Rules: from stacked scores to verdicts, by calibration, a route and thresholds by channel."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, Plain, sha256_of
from bonafide.channel import CLEAN
from bonafide.judging import PARTS_FROM, llr_at
from bonafide.manifest import SEQUENTIAL, SIDES
from bonafide.training.config import CascadeConfig, Config
from bonafide.training.folds import Folds
from bonafide.training.parts import parts_bar
from bonafide.training.recordings import Recordings
from bonafide.training.routing import Router
from bonafide.training.sequential import fit_sequential
from bonafide.training.stacking import Calibration, Stage, fit_calibration, row_weights
from bonafide.training.thresholds import Heard, channel_errors, chosen_thresholds
from bonafide.types import AnyFloats, Floats


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

    def is_open(self, llr: AnyFloats, p_clean: AnyFloats, *, within: float) -> NDArray[np.bool_]:
        """Return which windows lie so near to a bar that rounding may decide.

        Parameters
        ----------
        llr, p_clean : ndarray of float
            As `asks` takes them.
        within : float
            How near, in either.

        Returns
        -------
        ndarray of bool
            Of the same shape.

        Examples
        --------
        >>> route = Route(doubt_llr=1.0, clean_from=0.5)
        >>> route.is_open(np.array([1.0, 3.0]), np.array([0.9, 0.9]), within=1e-4).tolist()
        [True, False]
        """
        near_bar = np.abs(np.abs(llr) - self.doubt_llr) <= within
        return np.asarray(near_bar | (np.abs(p_clean - self.clean_from) <= within))


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
    heard = Heard.of(llr, router, recordings, folds, stretches)
    of_costs = dict(zip(SIDES, config.decision.undecided, strict=True))
    by_channel, errors = {}, {}
    for number, name in enumerate(router.channels):
        if (mine := heard.of_rows(heard.named == number)) is not None:
            by_channel[name], call = chosen_thresholds(mine, name, config)
            errors[name] = channel_errors(mine, call, config)
    distance_to = router.distance_to(~folds.is_test)
    thresholds: dict[str, Any] = {**of_costs, "distance_to": distance_to, "channels": by_channel}
    spoof_from = {**of_costs, **by_channel.get(CLEAN, {})}["spoof_from"]
    if spoof_from is not None:
        spoof_llr = llr_at(spoof_from, config.decision.prior_spoof)
        bar = parts_bar(
            llr[:, 0], spoof_llr, recordings, folds, window_s=window_s, seed=config.seed
        )
        thresholds |= {} if bar is None else {PARTS_FROM: bar}
    test = fit_sequential(llr, recordings.corpus, ~folds.is_test, stretches, config.seed)
    thresholds |= {SEQUENTIAL: test} if test else {}
    return Answers(thresholds, errors)
