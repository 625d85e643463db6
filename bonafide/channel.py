"""What a recording seems to have gone through, and what that means for its verdict."""

from collections.abc import Mapping
from typing import Any

from bonafide.bundle import Bundle
from bonafide.detection import ChannelHeard, Share
from bonafide.types import WindowScores

CLEAN = "clean"  # the channel of recordings as they are
DISTANCE_TO = "distance_to"  # of a bundle's thresholds: farther from all channels, no verdict


def channel_heard(bundle: Bundle, scores: WindowScores) -> ChannelHeard | None:
    """Return the most probable channel of a recording.

    Parameters
    ----------
    bundle : Bundle
        Names the channels and tells the error rates on each.
    scores : WindowScores
        Of the recording's windows.

    Returns
    -------
    ChannelHeard or None
        None without windows, and with bundles that know no channels.
    """
    if scores.channel is None or not len(scores.channel):
        return None
    posterior = scores.channel.mean(axis=0)
    best = int(posterior.argmax())
    known = bundle.manifest["channels"][best]
    decided, wrong = measured_on(bundle, known["name"])
    return ChannelHeard(known["name"], float(posterior[best]), known["label"], decided, wrong)


def measured_on(bundle: Bundle, name: str) -> tuple[float | None, Share | None]:
    """Return how many recordings on a channel get a verdict, and how many verdicts are wrong.

    Parameters
    ----------
    bundle : Bundle
        Tells the error rates on each channel.
    name : str
        Of the channel.

    Returns
    -------
    float or None
        A share; None where it was not measured.
    Share or None
        None where there are no verdicts.
    """
    measured = bundle.channel_errors.get(name)
    decided = 1.0 - measured["undecided"] if measured else None
    return decided, Share(**measured["wrong"]) if measured and decided else None


def thresholds_on(
    thresholds: Mapping[str, Any], channel: ChannelHeard | None
) -> dict[str, float | None]:
    """Return the thresholds that hold on a channel.

    Parameters
    ----------
    thresholds : mapping of str to Any
        A bundle's; those under ``channels`` go before the others.
    channel : ChannelHeard or None
        What the recording went through.

    Returns
    -------
    dict of str to float or None
        None: on this channel no such verdict is given.

    Examples
    --------
    >>> known = {"bonafide_to": 0.1, "spoof_from": 0.9, "channels": {"opus": {"spoof_from": None}}}
    >>> thresholds_on(known, ChannelHeard("opus", 0.8, "Opus", None, None))
    {'bonafide_to': 0.1, 'spoof_from': None}
    """
    own = thresholds.get("channels", {}).get(channel.name, {}) if channel else {}
    common = {key: bar for key, bar in thresholds.items() if not isinstance(bar, Mapping)}
    return {**common, **own}


def unlike_all(thresholds: Mapping[str, Any], scores: WindowScores) -> bool:
    """Return whether a recording's channel is unlike all that a bundle knows.

    Parameters
    ----------
    thresholds : mapping of str to Any
        A bundle's.
    scores : WindowScores
        Of the recording's windows.

    Returns
    -------
    bool
        Whether their mean distance exceeds the bundle's bar; False where it has none.
    """
    if scores.distance is None or not len(scores.distance) or DISTANCE_TO not in thresholds:
        return False
    return bool(scores.distance.mean() > thresholds[DISTANCE_TO])
