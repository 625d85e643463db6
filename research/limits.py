"""The limits that a detector for all channels is held to, and whether each is met."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bonafide.evaluation.metrics import Interval, difference
from bonafide.evaluation.report import markdown_table
from research.answers import CALLED
from research.changes import CONDITIONS
from research.channel_sections import LEVELS, SPEEDS, Section, telephone_rates
from research.heard import CLEAN, Heard
from research.judging import BUNDLES, REFERENCE, SHIPPED, Results
from research.source_errors import ENDS, mean_interval, relative_gain

GAIN = {"fast": 0.008, SHIPPED: 0.015}  # over the reference, in pooled EER
SOURCE_GAIN = {SHIPPED: 0.2}  # relative, in the mean of the sources' own EERs
COSTLY = 0.08  # EER above that of clean sound, for a channel to be among those to gain on
CHANNEL_GAIN = {"fast": 0.04, SHIPPED: 0.06}
SPEED_COST = 0.03
WRONG = 0.1  # of the decided, in either class
CLEAN_UNDECIDED = 0.2
APART = 0.05  # misses and false alarms under a telephone condition
MOVED = 0.003  # EER, by level and offset
ROUNDING = 1e-9  # of differences of floats


@dataclass(frozen=True)
class Limit:
    """A limit, and the value that is held to it.

    Parameters
    ----------
    bundle : str
        Of which bundle.
    what : str
        What was measured.
    value : Interval
        Decides by its value; the interval shows how sure that is.
    limit : float
        Inclusive.
    least : bool
        Whether the value must be at least the limit; else at most.
    difference : bool
        Whether the value is a difference, told in points.
    """

    bundle: str
    what: str
    value: Interval
    limit: float
    least: bool = False
    difference: bool = False

    @property
    def met(self) -> bool:
        """Whether the value is within the limit."""
        over = self.value.value - self.limit
        return over > -ROUNDING if self.least else over < ROUNDING

    @property
    def line(self) -> list[str]:
        """The cells of its row."""
        value, low, high = (100 * getattr(self.value, end) for end in ENDS)
        unit = "points" if self.difference else "%"
        measured = f"{value:.2f} [{low:.1f}, {high:.1f}] {unit}"
        limit = f"at {'least' if self.least else 'most'} {100 * self.limit:g} {unit}"
        return [self.bundle, self.what, measured, limit, "met" if self.met else "missed"]


def _size(interval: Interval) -> Interval:
    """Return the interval of the absolute value."""
    low, high = sorted((abs(interval.low), abs(interval.high)))
    crosses = interval.low < 0 < interval.high
    return Interval(abs(interval.value), 0.0 if crosses else low, high)


def _gains(results: Results) -> Iterator[Limit]:
    """Yield what is gained over the reference on sources never heard; nothing without one."""
    if REFERENCE not in results.present:
        return
    rows, reference = results.both, results.bundles[REFERENCE]
    judged: tuple[Any, Any] = (results.is_spoof[rows], results.source[rows])
    for bundle, least in GAIN.items():
        found = [
            difference(
                reference[seed]["llr"][rows],
                results.bundles[bundle][seed]["llr"][rows],
                *judged,
                n_resamples=results.resamples,
            )
            for seed in reference
        ]
        what = "EER below the reference's, pooled"
        yield Limit(bundle, what, mean_interval(found), least, least=True, difference=True)
    for bundle, least in SOURCE_GAIN.items():
        ours, theirs = (
            results.source_eers([results.bundles[name][seed]["llr"] for seed in reference], rows)
            for name in (bundle, REFERENCE)
        )
        gain = relative_gain(ours, theirs, resamples=results.resamples)
        what = "mean of the sources' own EERs, below the reference's by"
        yield Limit(bundle, what, gain, least, least=True)


def _channel_gains(results: Results) -> Iterator[Limit]:
    """Yield what is gained on the channels that cost the reference most, and what speed costs."""
    reference = results.heard.get(REFERENCE)
    for bundle, least in CHANNEL_GAIN.items():
        heard = results.heard[bundle]
        if reference:
            for name in _costly(reference):
                gain, what = heard.gain_over(reference, name), f"{name}: EER below the reference's"
                yield Limit(bundle, what, gain, least, least=True, difference=True)
        for name in SPEEDS:
            cost = heard.over_clean(name)
            yield Limit(bundle, f"{name}: EER over clean", cost, SPEED_COST, difference=True)


def _costly(reference: Heard) -> list[str]:
    """Return the conditions other than clean sound that cost the reference most."""
    most = reference.eers[CLEAN].value + COSTLY
    return [
        name
        for name, value in reference.eers.items()
        if CONDITIONS[name].channel != CLEAN and value.value > most
    ]


def _verdicts(results: Results) -> Iterator[Limit]:
    """Yield the larger share of wrong verdicts under each condition in which enough are given."""
    for bundle in BUNDLES[1:]:
        heard = results.heard[bundle]
        for name in heard.answers:
            undecided, wrong = heard.errors[name]
            if name == CLEAN:
                yield Limit(bundle, "clean: inconclusive", undecided, CLEAN_UNDECIDED)
            shares = {
                called: found.share
                for called, found in zip(CALLED, wrong, strict=True)
                if found.counts
            }
            if shares:
                worse = max(shares, key=lambda called: shares[called].value)
                yield Limit(bundle, f"{name}: {worse}", shares[worse], WRONG)


def _alike(results: Results) -> Iterator[Limit]:
    """Yield how far the labels lie apart on the telephone, and what level and offset move."""
    for bundle in BUNDLES[1:]:
        heard = results.heard[bundle]
        for name, rates in telephone_rates(heard).items():
            what = f"{name}: misses and false alarms apart"
            yield Limit(bundle, what, _size(rates["apart"]), APART, difference=True)
        for name in LEVELS:
            moved = _size(heard.over_clean(name))
            yield Limit(bundle, f"{name}: EER moved by", moved, MOVED, difference=True)


def limits(results: Results) -> Section:
    """Compare the bundles with their limits."""
    parts = {
        "Sources never heard": _gains,
        "Channels": _channel_gains,
        "Wrong verdicts": _verdicts,
        "Both classes alike, at any level": _alike,
    }
    listed = {title: list(part(results)) for title, part in parts.items()}
    found = {title: part for title, part in listed.items() if part}
    headings = ("bundle", "what", "measured", "limit", "status")
    return {
        "costly": f"{100 * COSTLY:.0f}",
        "reference_seeds": ", ".join(map(str, results.reference_seeds)),
        "met": sum(limit.met for part in found.values() for limit in part),
        "count": sum(map(len, found.values())),
        "parts": [
            {
                "title": title,
                "met": sum(limit.met for limit in part),
                "count": len(part),
                "table": markdown_table(headings, [limit.line for limit in part]),
            }
            for title, part in found.items()
        ],
    }
