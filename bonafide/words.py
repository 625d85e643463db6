"""Results in words, for people: the same in a table, a CSV file, a message and on the page."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bonafide.detection import NO_VERDICT

Result = Mapping[str, Any]
OF_PARTS = (
    "This is of answers about whole recordings: parts are told so that genuine speech has at most "
    "one false part an hour, and most short ones are not told."
)


def clock(seconds: float, digits: int = 0) -> str:
    """Return a time as minutes and seconds, or hours, minutes and seconds.

    Parameters
    ----------
    seconds : float
        At least 0; rounded.
    digits : int
        Of the seconds, after the point.

    Returns
    -------
    str

    Examples
    --------
    >>> clock(16.0), clock(75.4), clock(3725)
    ('0:16', '1:15', '1:02:05')
    >>> clock(3.2, 2), clock(75.456, 2), clock(3725, 2)
    ('0:03.20', '1:15.46', '1:02:05.00')
    """
    minutes, rest = divmod(round(seconds * 10**digits), 60 * 10**digits)
    hours, minute = divmod(minutes, 60)
    second = f"{rest / 10**digits:0{digits + 3 if digits else 2}.{digits}f}"
    return f"{hours}:{minute:02}:{second}" if hours else f"{minute}:{second}"


def of_100(share: Mapping[str, float]) -> list[int]:
    """Return how many of 100 a share is, and the ends of its interval are.

    Parameters
    ----------
    share : mapping of str to float
        ``value``, ``low`` and ``high``, in [0, 1].

    Returns
    -------
    list of int

    Examples
    --------
    >>> of_100({"value": 0.6, "low": 0.5, "high": 0.7})
    [60, 50, 70]
    """
    return [round(100 * share[end]) for end in ("value", "low", "high")]


def percent_shown(share: float) -> tuple[str, int]:
    """Return how a probability is told to people: never as 0 % or 100 %, as nothing is certain.

    Parameters
    ----------
    share : float
        In [0, 1].

    Returns
    -------
    str
        ``under``, ``percent`` or ``over``.
    int
        The percentage that it is, or is under or over.

    Examples
    --------
    >>> percent_shown(0.001), percent_shown(0.85), percent_shown(0.999)
    (('under', 1), ('percent', 85), ('over', 99))
    """
    if share < 0.01:
        return "under", 1
    return ("over", 99) if share > 0.99 else ("percent", round(100 * share))


def parts_in_words(result: Result) -> str:
    """Return where the parts of a recording lie that sound generated.

    Parameters
    ----------
    result : mapping
        As `bonafide.detection.Judged` is written to JSON.

    Returns
    -------
    str
        Empty if there are none.

    Examples
    --------
    >>> parts_in_words({"parts": [{"start_s": 16.0, "end_s": 24.0, "p_spoof": 0.97}]})
    '0:16-0:24'
    """
    parts = result.get("parts", ())
    return ", ".join(f"{clock(part['start_s'])}-{clock(part['end_s'])}" for part in parts)


def track_in_words(track: Result) -> str:
    """Return which track, or which channel of it, a result is of.

    Parameters
    ----------
    track : mapping
        As `bonafide.detection.Track` is written to JSON.

    Returns
    -------
    str

    Examples
    --------
    >>> track_in_words({"track": 2, "channel_number": None})
    'track 2'
    >>> track_in_words({"track": 1, "channel_number": 2})
    'track 1, channel 2'
    """
    number = track["channel_number"]
    return f"track {track['track']}" + (f", channel {number}" if number else "")


def channel_in_words(result: Result) -> str:
    r"""Return what a recording seems to have gone through, and how often verdicts there are wrong.

    Parameters
    ----------
    result : mapping
        As `bonafide.detection.Judged` is written to JSON.

    Returns
    -------
    str
        Empty where no channel was heard, where it is unlike all known ones, and where there is too
        little sound for any verdict.

    Examples
    --------
    >>> wrong = {"value": 0.088, "low": 0.06, "high": 0.121}
    >>> heard = {"name": "opus", "p": 0.9, "label": "Opus", "decided": 0.402, "wrong": wrong}
    >>> print(*channel_in_words({"channel": heard, "warnings": []}).split("; "), sep=";\n")
    Sounds like Opus. Of 100 such recordings 40 get a verdict;
    of 100 such verdicts 9 are wrong (95 %: 6 to 12).
    """
    channel = result.get("channel")
    codes = [caution["code"] for caution in result.get("warnings", ())]
    if not channel or "unknown_channel" in codes or _has_too_little(result):
        return ""
    said = f"Sounds like {channel['label']}. {errors_in_words(channel)}"
    return f"{said} {OF_PARTS}" if result.get("parts") else said


def _has_too_little(result: Result) -> bool:
    return any(caution["code"] in NO_VERDICT for caution in result.get("warnings", ()))


def errors_in_words(channel: Result) -> str:
    """Return how many recordings on a channel get a verdict, and how many verdicts are wrong.

    Parameters
    ----------
    channel : mapping
        As `bonafide.detection.ChannelHeard` is written to JSON.

    Returns
    -------
    str
        One sentence.

    Examples
    --------
    >>> share = {"value": 0.002, "low": 0.0, "high": 0.011}
    >>> print(errors_in_words({"decided": 0.4, "wrong": share}))
    Of 100 such recordings 40 get a verdict; of 100 such verdicts under 1 is wrong (95 %: 0 to 1).
    >>> errors_in_words({"decided": 0.0, "wrong": None})
    'On such sound it gives no verdict: it would err too often.'
    >>> errors_in_words({"decided": None, "wrong": None})
    'How many verdicts on such sound are wrong was not measured.'
    """
    if channel["decided"] is None:
        return "How many verdicts on such sound are wrong was not measured."
    if not channel["wrong"]:
        return "On such sound it gives no verdict: it would err too often."
    value, low, high = of_100(channel["wrong"])
    wrong = f"{value} {'is' if value == 1 else 'are'}" if value else "under 1 is"
    decided = round(100 * channel["decided"])
    get = f"{decided} {'gets' if decided == 1 else 'get'}" if decided else "under 1 gets"
    return (
        f"Of 100 such recordings {get} a verdict; of 100 such verdicts {wrong} wrong "
        f"(95 %: {low} to {high})."
    )


def explanation_in_words(result: Result) -> list[str]:
    """Return what a verdict rests on: where it lies, and the base models that add most.

    Parameters
    ----------
    result : mapping
        As a detection is written to JSON, with or without an ``explanation``.

    Returns
    -------
    list of str
        A line each; empty without an explanation, and where there is too little sound for any
        verdict.

    Examples
    --------
    >>> models = {"cnn": -0.4, "gru": 1.25, "rnn": None}
    >>> said = {"summary": "It is spread.", "models": models, "base": 0.1}
    >>> explanation_in_words({"explanation": said})
    ['It is spread.', 'base models add to the llr: gru +1.25, cnn -0.40; without them: +0.10']
    """
    explanation = result.get("explanation")
    if explanation is None or _has_too_little(result):
        return []
    asked = {name: llr for name, llr in explanation["models"].items() if llr is not None}
    most = sorted(asked.items(), key=lambda item: -abs(item[1]))
    added = ", ".join(f"{name} {llr:+.2f}" for name, llr in most)
    base, families = f"{explanation['base']:+.2f}", explanation.get("families")
    return [
        explanation["summary"],
        *([f"base models add to the llr: {added}; without them: {base}"] if added else []),
        *([families_in_words(families)] if families else []),
    ]


def families_in_words(families: Mapping[str, Any]) -> str:
    """Return which family of generators a deepfake sounds most like, or that it is like none.

    Parameters
    ----------
    families : mapping
        As `bonafide.explanation.types.NearestFamilies` is written to JSON.

    Returns
    -------
    str

    Examples
    --------
    >>> share = {"value": 0.6, "low": 0.5, "high": 0.7}
    >>> near = [{"name": "vc", "label": "voice conversion", "p": 0.8}]
    >>> families_in_words({"named": "vc", "nearest": near, "right": share, "unseen": share})
    'sounds most like voice conversion; named so rightly: 60 of 100 (95 %: 50 to 70)'
    >>> families_in_words({"named": None, "nearest": near, "right": share, "unseen": share})
    'like no known family of generators enough to name it; nearest: voice conversion (0.80)'
    """
    nearest = families["nearest"]
    if families["named"] is None:
        seen = ", ".join(f"{each['label']} ({each['p']:.2f})" for each in nearest)
        return f"like no known family of generators enough to name it; nearest: {seen}"
    value, low, high = of_100(families["right"])
    said = f"named so rightly: {value} of 100 (95 %: {low} to {high})"
    return f"sounds most like {nearest[0]['label']}; {said}"


def channels_in_words(results: Iterable[Result]) -> list[str]:
    """Return for each channel how many results are of it, and how often these are wrong.

    Parameters
    ----------
    results : iterable of mapping
        As `bonafide.detection.Judged` is written to JSON.

    Returns
    -------
    list of str
        A line a channel, the most frequent first; empty where none was heard.

    Examples
    --------
    >>> opus = {"name": "opus", "p": 0.9, "label": "Opus", "decided": None, "wrong": None}
    >>> print(*channels_in_words([{"channel": opus}, {"channel": None}]))
    1 of 2: sounds like Opus. How many verdicts on such sound are wrong was not measured.
    """
    all_of = list(results)
    said = Counter(words for result in all_of if (words := channel_in_words(result)))
    return [
        f"{n} of {len(all_of)}: {words[0].lower()}{words[1:]}" for words, n in said.most_common()
    ]


def by_reason(codes: Iterable[str]) -> str:
    """Return how often each code of an error stands among them.

    Parameters
    ----------
    codes : iterable of str
        In any order.

    Returns
    -------
    str
        Sorted by code.

    Examples
    --------
    >>> by_reason(["too_short", "not_audio", "too_short"])
    'not_audio 1, too_short 2'
    """
    return ", ".join(f"{code} {count}" for code, count in sorted(Counter(codes).items()))
