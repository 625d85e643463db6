"""Answers of a bundle: score, verdict and channel of each recording, and what they come to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.evaluation.metrics import Interval, bootstrap
from bonafide.judging import p_spoof_of
from bonafide.types import AnyFloats, Floats, Mask

Answers = NDArray[Any]
Calls = NDArray[np.int8]
BONAFIDE, UNDECIDED, SPOOF = 1, 0, -1
UNNAMED = -1  # in place of a channel's number, where a bundle names none
# The llr, the verdict (one of the three above) and the number of the channel in the manifest.
ANSWER = np.dtype([("llr", np.float32), ("called", np.int8), ("channel", np.int8)])
MIN_DECIDED = 20  # of a class, for its share of errors to be held to anything
CALLED = ("bona fide called spoof", "spoofs called bona fide")


def calls(
    llr: AnyFloats, channel: NDArray[Any], manifest: Mapping[str, Any], distance: AnyFloats
) -> Calls:
    """Return the verdict on each recording, by the thresholds of its channel.

    Parameters
    ----------
    llr : ndarray of float, shape (n,)
        Scores.
    channel : ndarray of int, shape (n,)
        Number of the most probable channel in the manifest; `UNNAMED` in bundles that name none.
    manifest : mapping
        Of a bundle: ``thresholds``, ``prior_spoof`` and, where it names channels, ``channels``.
    distance : ndarray of float, shape (n,)
        How unlike all known channels each recording is; zeros in bundles that do not measure it.

    Returns
    -------
    ndarray of int8, shape (n,)
        `BONAFIDE`, `UNDECIDED` or `SPOOF`.

    Examples
    --------
    >>> manifest = {"prior_spoof": 0.5, "thresholds": {"bonafide_to": 0.2, "spoof_from": 0.8}}
    >>> rows = np.array([3.0, 0.0, -3.0])
    >>> calls(rows, np.full(3, UNNAMED), manifest, np.zeros(3)).tolist()
    [1, 0, -1]
    """
    thresholds = manifest["thresholds"]
    names = [*(entry["name"] for entry in manifest.get("channels", ())), "unnamed"]
    own = thresholds.get("channels", {})
    ends = [own.get(name, thresholds) for name in names]  # a None becomes NaN: nothing reaches it
    low, high = (
        np.array([end[which] for end in ends], dtype=np.float64)[channel]
        for which in ("bonafide_to", "spoof_from")
    )
    p_spoof = p_spoof_of(llr, manifest["prior_spoof"])
    called = np.where(p_spoof >= high, SPOOF, np.where(p_spoof <= low, BONAFIDE, UNDECIDED))
    known = distance <= thresholds.get("distance_to", np.inf)
    return np.where(known, called, UNDECIDED).astype(np.int8)


def answers_of(outputs: Mapping[str, AnyFloats], manifest: Mapping[str, Any]) -> Answers:
    """Return the answers to rows, from what `detector.onnx` returned for them.

    Parameters
    ----------
    outputs : mapping of str to ndarray
        ``llr`` (n,) and, of bundles that name channels, ``channel`` (n, n_channels) and
        ``distance`` (n,).
    manifest : mapping
        As in `calls`.

    Returns
    -------
    ndarray of ANSWER, shape (n,)
    """
    llr = outputs["llr"]
    found = np.empty(len(llr), dtype=ANSWER)
    channel = outputs["channel"].argmax(axis=1) if "channel" in outputs else UNNAMED
    found["llr"], found["channel"] = llr, channel
    distance = outputs.get("distance", np.zeros(len(llr)))
    found["called"] = calls(llr, found["channel"], manifest, distance)
    return found


def keep_answers(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays by name into an .npz, beside those of other names that it holds."""
    kept = dict[str, NDArray[Any]]()
    if path.exists():
        with np.load(path) as file:
            kept = dict(file)
    np.savez_compressed(path, allow_pickle=False, **{**kept, **arrays})


def outcomes(called: NDArray[Any], is_spoof: Mask, weights: Floats | None = None) -> Floats:
    """Return the share left undecided and, of the decided, each label's share of errors.

    Parameters
    ----------
    called : ndarray, shape (n,)
        `BONAFIDE`, `UNDECIDED` or `SPOOF`.
    is_spoof : ndarray of bool, shape (n,)
        Labels.
    weights : ndarray of float, shape (n,), or None
        2 counts as two equal rows; None takes ones.

    Returns
    -------
    ndarray of float64, shape (3,)
        Undecided, bona fide called spoof, spoofs called bona fide; 0 where nothing is decided.
    """
    mass = np.ones(len(called)) if weights is None else weights
    decided = called != UNDECIDED

    def share(part: Mask, whole: Mask) -> float:
        total = mass[whole].sum()
        return float(mass[part & whole].sum() / total) if total else 0.0

    return np.array(
        [
            share(~decided, np.ones(len(called), dtype=bool)),
            share(called == SPOOF, decided & ~is_spoof),
            share(called == BONAFIDE, decided & is_spoof),
        ]
    )


@dataclass(frozen=True)
class Errors:
    """The wrong verdicts on recordings of one label.

    Parameters
    ----------
    wrong, decided : int
        How many verdicts were wrong, and how many there were.
    share : Interval
        Wrong of decided, 0 to 1.
    """

    wrong: int
    decided: int
    share: Interval

    @property
    def counts(self) -> bool:
        """Whether enough was decided to hold the share to anything."""
        return self.decided > MIN_DECIDED


def errors(
    called: Calls, is_spoof: Mask, source: NDArray[Any], *, resamples: int
) -> tuple[Interval, tuple[Errors, Errors]]:
    """Return what is left undecided, and the errors of each label, with 95 % intervals.

    Parameters
    ----------
    called : ndarray of int8, shape (n,)
        As in `outcomes`.
    is_spoof : ndarray of bool, shape (n,)
        Labels.
    source : ndarray of str or int, shape (n,)
        Resampled whole; a resample in which nothing of a label is decided counts as free of errors.
    resamples : int
        At least 1.

    Returns
    -------
    Interval
        Share left undecided.
    tuple of two Errors
        Of bona fide recordings, and of spoofs.
    """
    metrics = {
        name: lambda values, spoof, weights, place=place: float(
            outcomes(values, spoof, weights)[place]
        )
        for place, name in enumerate(("undecided", *CALLED))
    }
    found = bootstrap(
        called.astype(np.float64), is_spoof, source, metrics=metrics, n_resamples=resamples
    )
    by_label = [
        Errors(
            int(np.sum((called == wrong) & (is_spoof == spoof))),
            int(np.sum((called != UNDECIDED) & (is_spoof == spoof))),
            found[name],
        )
        for name, spoof, wrong in zip(CALLED, (False, True), (SPOOF, BONAFIDE), strict=True)
    ]
    return found["undecided"], (by_label[0], by_label[1])
