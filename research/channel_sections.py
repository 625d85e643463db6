"""The values of the sections on channels and editions, for the results page and the model card."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bonafide.evaluation.evaluate import percent
from bonafide.evaluation.metrics import Interval
from bonafide.evaluation.report import markdown_table
from bonafide.types import AnyFloats
from research.answers import CALLED, MIN_DECIDED, Errors
from research.changes import BY_CHANNEL
from research.heard import CLEAN, Heard
from research.judging import Results
from research.source_errors import apart, eer_threshold, mean_of_sources

Section = Mapping[str, Any]
TELEPHONE = tuple(BY_CHANNEL["telephone"])
LEVELS = ("level -20 dB", "level +10 dB", "DC of 5 %")
SPEEDS = tuple(name for name in BY_CHANNEL["clean"] if name.startswith("speed"))


def points(interval: Interval) -> str:
    """Return a difference of shares and its interval, in points.

    Examples
    --------
    >>> points(Interval(0.123, -0.004, 0.2))
    '+12.3 [-0.4, +20.0]'
    """
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(
        *(100 * end for end in (interval.value, interval.low, interval.high))
    )


def share_wrong(found: Errors) -> str:
    """Return how many verdicts were wrong; as a share too, if there were enough of them."""
    counts = f"{found.wrong} of {found.decided}"
    return f"{counts}: {percent(found.share)}" if found.counts else counts


def _named(heard: Heard, condition: str) -> str:
    right, most = heard.named_right(condition), heard.named_most(condition)
    if right is None:
        return "-"
    return f"{right:.0%}" if right >= 0.5 else f"{right:.0%}, mostly {most}"


def _condition_lines(heard: Heard) -> list[list[str]]:
    lines = []
    for name, value in heard.eers.items():
        undecided, wrong = heard.errors[name]
        lines.append(
            [
                name,
                percent(value),
                points(heard.over_clean(name)),
                percent(undecided),
                *map(share_wrong, wrong),
                _named(heard, name),
            ]
        )
    return lines


def conditions(results: Results) -> Section:
    """Judge the same recordings under every channel condition, bundle by bundle."""
    wrong = (f"{called}, of the decided" for called in CALLED)
    headings = ("condition", "EER", "points over clean", "inconclusive", *wrong, "channel named")
    return {
        "rows": len(results.conditions["rows"]),
        "min_decided": MIN_DECIDED,
        "channels": [
            {"name": channel, "conditions": ", ".join(changes)}
            for channel, changes in BY_CHANNEL.items()
        ],
        "bundles": [
            {"name": name, "table": markdown_table(headings, _condition_lines(heard))}
            for name, heard in results.heard.items()
        ],
    }


def _together(heard: Heard, channel: str) -> Heard:
    """Return the answers to all conditions of a channel as those to one; to clean sound alone."""
    names = (CLEAN,) if channel == CLEAN else tuple(BY_CHANNEL[channel])
    return replace(
        heard,
        answers={channel: np.concatenate([heard.answers[name] for name in names])},
        is_spoof=np.tile(heard.is_spoof, len(names)),
        source=np.tile(heard.source, len(names)),
    )


def channels(results: Results) -> Section:
    """Judge each channel as a whole, with one threshold for all its conditions."""
    lines = []
    for channel in BY_CHANNEL:
        for bundle, heard in results.heard.items():
            found = _together(heard, channel)
            undecided, wrong = found.errors[channel]
            lines.append(
                [
                    channel,
                    bundle,
                    percent(found.eers[channel]),
                    percent(undecided),
                    *map(share_wrong, wrong),
                ]
            )
    wrong_of = (f"{called}, of the decided" for called in CALLED)
    headings = ("channel", "bundle", "EER", "inconclusive", *wrong_of)
    return {"table": markdown_table(headings, lines)}


def telephone_rates(heard: Heard) -> dict[str, dict[str, Interval]]:
    """Return, by telephone condition, the errors of each label at one threshold for them all.

    The threshold is where both rates are equal over all telephone conditions together, as one
    channel has one threshold.
    """
    found = [heard.answers[name]["llr"] for name in TELEPHONE]
    threshold = eer_threshold(np.concatenate(found), np.tile(heard.is_spoof, len(found)))
    return {
        name: apart(llr, heard.is_spoof, heard.source, threshold, resamples=heard.resamples)
        for name, llr in zip(TELEPHONE, found, strict=True)
    }


def telephone(results: Results) -> Section:
    """Set the errors of each label under telephone conditions beside each other."""
    lines = [
        [
            bundle,
            name,
            percent(rates["miss"]),
            percent(rates["false_alarm"]),
            points(rates["apart"]),
        ]
        for bundle, heard in results.heard.items()
        for name, rates in telephone_rates(heard).items()
    ]
    return {"table": markdown_table(("bundle", "condition", *CALLED, "points apart"), lines)}


def steadiness(results: Results) -> Section:
    """Show by how much level, offset and speed move the error."""
    lines = [
        [name, *(points(heard.over_clean(name)) for heard in results.heard.values())]
        for name in (*LEVELS, *SPEEDS)
    ]
    return {"table": markdown_table(("condition", *results.heard), lines)}


def editions(results: Results) -> Section:
    """Judge every bundle on the sources of each edition by themselves."""
    lines, both = [], results.both
    parts = {
        f"sources of edition {number}": both & (results.edition == number)
        for number in np.unique(results.edition)
    }
    for title, rows in {**parts, "all sources": both}.items():
        count = f"{rows.sum()} of {len(np.unique(results.source[rows]))}"
        for bundle in results.present:
            answers = results.bundles[bundle].values()
            scores: list[AnyFloats] = [found["llr"] for found in answers]
            own = mean_of_sources(results.source_eers(scores, rows), resamples=results.resamples)
            lines.append(
                [title, count, bundle, percent(results.pooled(bundle, rows)), percent(own)]
            )
    headings = ("which", "recordings of sources", "bundle", "EER, pooled", "mean of sources' EERs")
    return {"table": markdown_table(headings, lines)}
