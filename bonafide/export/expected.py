"""What a candidate is expected to answer, from what was fitted out of fold."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bonafide.channel import DISTANCE_TO, thresholds_on
from bonafide.detection import ChannelHeard
from bonafide.judging import p_spoof_of, verdict_of
from bonafide.monitoring.expected import EXPECTED_ROWS, Expected, said_of
from bonafide.training.fitting import FittedBase
from bonafide.training.routing import Router
from bonafide.training.rules import Rules
from bonafide.training.stacking import Stage
from bonafide.types import AnyFloats, Ints


def expected_answers(
    manifest: Mapping[str, Any],
    router: Router,
    fitted: Sequence[FittedBase],
    stages: Sequence[Stage],
    rules: Rules,
) -> Expected:
    """Return what each stage answers to recordings whose source it never heard.

    Parameters
    ----------
    manifest : mapping
        The candidate's: its prior, and thresholds by stage.
    router : Router
        With posteriors and distances out of fold.
    fitted : sequence of FittedBase
        The base models, likewise.
    stages : sequence of Stage
        Their meta-models.
    rules : Rules
        With cross-fitted scores.

    Returns
    -------
    Expected
        Of at most `EXPECTED_ROWS` recordings, evenly spaced; those held out for tests are answered
        by what was fitted on all others.
    """
    count = len(rules.llr)
    rows = np.unique(np.linspace(0, count - 1, min(EXPECTED_ROWS, count)).astype(np.intp))
    named = [router.channels[best] for best in router.posteriors[rows, 0].argmax(axis=1)]
    said, models = {}, dict[str, AnyFloats]()
    asked = np.ones(len(rows), bool)
    for number, stage in enumerate(stages):
        if number and rules.route:
            p_spared = rules.route.p_spared(router.posteriors[rows, 0], router.channels)
            asked = rules.route.asks(rules.llr[rows, 0, number - 1], p_spared)
        for base in fitted:
            if base.name in stage.models and base.name not in models:
                models[base.name] = np.where(asked, base.oof[rows, 0], np.nan)
        verdicts = _verdicts(manifest, number, rules, router, named, rows)
        said[stage.prefix] = said_of(rules.llr[rows, 0, number], verdicts, models)
    return Expected(named, said)


def _verdicts(
    manifest: Mapping[str, Any],
    number: int,
    rules: Rules,
    router: Router,
    named: Sequence[str],
    rows: Ints,
) -> list[str]:
    """Return the verdict on each recording by the thresholds of a stage."""
    thresholds = rules.answers[number].thresholds
    p_spoof = p_spoof_of(rules.llr[rows, 0, number], manifest["prior_spoof"])
    found: list[str] = []
    for p, distance, name in zip(p_spoof, router.distances[rows, 0], named, strict=True):
        known = distance <= thresholds[DISTANCE_TO]
        ends = thresholds_on(thresholds, ChannelHeard(name, 1.0, name, None, None))
        found.append(verdict_of(float(p), ends) if known else "inconclusive")
    return found
