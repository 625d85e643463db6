"""What streams are decided to be, how often wrongly, and how soon."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.bundle import Bundle
from bonafide.evaluation.metrics import Interval, bootstrap
from bonafide.features.spec import FeatureSpec
from bonafide.judging import llr_at
from bonafide.training.sequential import WRONG_AT_MOST
from bonafide.types import AnyFloats, Floats, Mask

RESAMPLES = 1000


@dataclass(frozen=True)
class Worth:
    """What the test is worth on streams of one channel.

    Parameters
    ----------
    wrong : tuple of Interval
        Shares of people's streams and of generated ones that are decided to be the other.
    cells : tuple of str
        Everything else that a row of the table says.
    """

    wrong: tuple[Interval, Interval]
    cells: tuple[str, ...]

    @property
    def exceeds(self) -> bool:
        """Whether more than the stated share of either label is decided wrongly, beyond chance."""
        return any(share.low > WRONG_AT_MOST for share in self.wrong)


@dataclass(frozen=True)
class Said:
    """What streams were decided to be.

    Parameters
    ----------
    call : ndarray of float64, shape (n_streams,)
        1 for bona fide, -1 for spoof, 0 for none.
    windows : ndarray of float64, shape (n_streams,)
        Heard until then; infinite where nothing was decided.
    """

    call: Floats
    windows: Floats

    @classmethod
    def of(cls, found: AnyFloats, lower: AnyFloats, upper: AnyFloats) -> "Said":
        """Look after each window.

        Parameters
        ----------
        found : ndarray of float, shape (n_streams, n_windows)
            What the windows say so far; NaN behind the last.
        lower, upper : ndarray of float
            Up to which it is a spoof and from which it is bona fide, of a shape that fits.

        Returns
        -------
        Said
        """
        signs = np.where(found <= lower, -1.0, np.where(found >= upper, 1.0, 0.0))
        first, any_of = (signs != 0).argmax(axis=1), (signs != 0).any(axis=1)
        call = np.take_along_axis(signs, first[:, None], axis=1)[:, 0]
        return cls(call, np.where(any_of, first + 1.0, np.inf))


def _wrong(said: Said, is_spoof: Mask, source: NDArray[Any], *, of_spoofs: bool) -> Interval:
    """Return the share of one label that was decided wrongly, with its interval over sources."""

    def wrong(call: Floats, spoof: Mask, weights: Floats | None = None) -> float:
        mass = (spoof == of_spoofs) * (np.ones(len(call)) if weights is None else weights)
        return float((mass * (call == (1 if of_spoofs else -1))).sum() / max(mass.sum(), 1e-9))

    found = bootstrap(said.call, is_spoof, source, metrics={"wrong": wrong}, n_resamples=RESAMPLES)
    return found["wrong"]


def worth_of(said: Said, one: Said, again: Said, is_spoof: Mask, source: NDArray[Any]) -> Worth:
    """Judge the test, beside one window and the first verdict of any window.

    Parameters
    ----------
    said, one, again : Said
        What the test, a single window, and asking for a verdict after each window decide.
    is_spoof : ndarray of bool, shape (n_streams,)
        Labels.
    source : ndarray of str, shape (n_streams,)
        What intervals resample.

    Returns
    -------
    Worth
    """

    def decided(what: Said, spoof: bool) -> str:
        return f"{100 * np.mean(what.call[is_spoof == spoof] != 0):.0f} %"

    def median(spoof: bool) -> str:
        middle = np.quantile(said.windows[is_spoof == spoof], 0.5, method="higher")
        return f"{FeatureSpec.window_s * middle:.0f}" if np.isfinite(middle) else "-"

    def wrong(spoof: bool) -> str:
        return f"{100 * np.mean(again.call[is_spoof == spoof] == (1 if spoof else -1)):.1f} %"

    told = (decided(said, False), decided(said, True), median(False), median(True))
    beside = (decided(one, False), decided(one, True), wrong(False), wrong(True))
    shares = [_wrong(said, is_spoof, source, of_spoofs=spoof) for spoof in (False, True)]
    return Worth((shares[0], shares[1]), (*told, *beside))


def verdict_bars(bundle: Bundle, channel: str) -> tuple[float, float]:
    """Return up to which llr a verdict is spoof, and from which bona fide, on a channel.

    Parameters
    ----------
    bundle : Bundle
        Has the thresholds.
    channel : str
        One of its own.

    Returns
    -------
    tuple of float
        Infinite where no such verdict is given.
    """
    known = bundle.manifest["thresholds"]
    ends, prior = {**known, **known["channels"].get(channel, {})}, bundle.manifest["prior_spoof"]
    lower, upper = ends["spoof_from"], ends["bonafide_to"]
    return (
        -np.inf if lower is None else llr_at(lower, prior),
        np.inf if upper is None else llr_at(upper, prior),
    )
