"""What the page says of a result: verdicts, warnings, reasons and errors in plain words."""

import re
from collections.abc import Mapping
from typing import Any

from bonafide.audio import MIN_SOUND_S
from bonafide.client import ServiceError
from bonafide.detection import NO_VERDICT
from bonafide.evaluation.evaluate import SIMULATED_NOTE
from bonafide.report import spokesman
from bonafide.words import clock, of_100, parts_in_words
from serving.app.language import Words, words_in

Result = Mapping[str, Any]

# The messages of these hold a number that helps.
_WITH_DETAIL = frozenset(("bad_format", "too_large", "too_long"))
UNHEARD = "sources it never heard"  # what the manifest says where nothing else was asked for
# After these the same request may well be answered.
PASSING = frozenset(("not_ready", "no_room", "other_bundle", "upload_too_slow"))


def nothing_to_judge(words: Words, code: str) -> str:
    """Return why there is nothing to judge: a code of `NO_VERDICT`."""
    return words(f"nothing.{code}", seconds=words.number(f"{MIN_SOUND_S:g}"))


def chance(words: Words, p_spoof: float, prior_spoof: float) -> str:
    """Return the probability and what it assumes, in one sentence."""
    shown = words.percent(p_spoof), words.percent(prior_spoof)
    return words("answer.chance", chance=shown[0], prior=shown[1])


def edges(thresholds: Mapping[str, Any]) -> tuple[float, float]:
    """Return the ends of the undecided band: up to 0 or 1 where a verdict is never given."""
    low, high = thresholds["bonafide_to"], thresholds["spoof_from"]
    return 0.0 if low is None else low, 1.0 if high is None else high


def undecided(words: Words, thresholds: Mapping[str, Any]) -> str:
    """Return what an inconclusive verdict means where the score lies in the undecided band."""
    low, high = thresholds["bonafide_to"], thresholds["spoof_from"]
    if low is None and high is None:
        said = words("answer.never")
    elif low is None:
        said = words("answer.never_real", high=words.percent(high))
    elif high is None:
        said = words("answer.never_fake", low=words.percent(low))
    else:
        said = words("answer.undecided", low=words.percent(low), high=words.percent(high))
    return f"{said} {words('answer.no_hint')}"


def is_unknown(result: Result) -> bool:
    """Return whether a recording's channel is unlike all that the detector knows."""
    return any(caution["code"] == "unknown_channel" for caution in result["warnings"])


def channel(words: Words, result: Result) -> str:
    """Return what a recording seems to have gone through, and how often verdicts on that are wrong.

    Empty where no channel was heard, and where it is unlike all known ones.
    """
    heard = result.get("channel")
    if not heard or is_unknown(result):
        return ""
    said = f"{words('channel.heard', channel=channel_name(words, heard))} {_errors(words, heard)}"
    return f"{said} {words('channel.parts')}" if result["verdict"] == "partly_spoof" else said


def channel_name(words: Words, heard: Result) -> str:
    """Return a channel's name; one that a bundle brings along has only its own label."""
    key = f"channel.{heard['name']}"
    return words(key) if key in words else str(heard["label"])


def _errors(words: Words, heard: Result) -> str:
    if heard["decided"] is None:
        return words("channel.unmeasured")
    if not heard["wrong"]:
        return words("channel.never")

    def hundredths(share: float) -> str:
        return str(round(100 * share)) if share >= 0.005 else words("number.under_one")

    low, high = (str(round(100 * heard["wrong"][end])) for end in ("low", "high"))
    decided, wrong = hundredths(heard["decided"]), hundredths(heard["wrong"]["value"])
    return words("channel.errors", decided=decided, wrong=wrong, low=low, high=high)


def partly(words: Words, result: Result) -> str:
    """Return which parts sound generated, and what the chance of the whole means beside them."""
    said = words.listed(
        f"**{_part(words, part)}** ({words.percent(part['p_spoof'])})" for part in result["parts"]
    )
    return words("answer.partly", parts=said, chance=words.percent(result["p_spoof"]))


def parts(words: Words, result: Result) -> str:
    """Return where the parts lie that sound generated; empty if there are none."""
    return words.listed(_part(words, part) for part in result["parts"])


def _part(words: Words, part: Result) -> str:
    return words.foreign(parts_in_words({"parts": [part]}))


def _track(words: Words, track: Result) -> str:
    number, inside = track["track"], track["channel_number"]
    if inside is None:
        return words("answer.track", track=number)
    return words("answer.track_channel", track=number, channel=inside)


def tracks(words: Words, result: Result) -> str:
    """Return what is judged of each track or channel, as a list in Markdown."""
    chosen, lines = spokesman(result), []
    for each in result["tracks"]:
        verdict = words(f"verdict.{each['verdict']}")
        said = f"{verdict} ({words.percent(each['p_spoof'])})"
        codes = [caution["code"] for caution in each["warnings"]]
        if too_little := [code for code in codes if code in NO_VERDICT]:
            said = words(f"answer.{too_little[0]}")
        elif each["parts"]:
            said = f"{verdict}: {parts(words, each)}"
        line = f"{_track(words, each)}: {said}"
        lines.append(f"- **{line}**" if each is chosen else f"- {line}")
    return "\n".join([f"{words('answer.tracks')}\n", *lines])


def warning(words: Words, caution: Mapping[str, str]) -> str:
    """Return one of a result's warnings in plain words."""
    key, message = f"warning.{caution['code']}", caution["message"]
    if key in words:
        return words(key, message=words.foreign(message))
    return words.foreign(f"{message[:1].upper()}{message[1:]}.")


def labels(words: Words, model: Result) -> dict[str, str]:
    """Return what base models and stacks are called, of those that a bundle gives labels to."""
    ours = words_in("en")

    def called(name: str, label: str) -> str:
        # Who trained a bundle may have called another model so.
        key = f"opinions.of.{name}"
        return words(key) if key in ours and ours(key) == label else words.foreign(label)

    given = model.get("manifest", {}).get("labels", {})
    return {name: called(name, label) for name, label in given.items()}


def opinions(words: Words, result: Result, labels: Mapping[str, str]) -> str:
    """Return the caption of the models' scores, and which models were not asked."""
    asked = {
        kind: sum(p is not None for p in result[kind].values()) for kind in ("models", "stack")
    }
    said = words("opinions.caption", models=asked["models"], stacks=asked["stack"])
    if rest := [labels.get(name, name) for name, p in result["models"].items() if p is None]:
        said += " " + words("opinions.not_asked", models=words.listed(rest))
    return said


def focus(words: Words, explanation: Result, result: Result) -> str:
    """Return where what speaks most for an answer lies, and of which windows that is said."""
    place = explanation["focus"]
    if place is None:
        return words("why.nothing")
    n_explained, n_windows = len(explanation["windows"]), len(result["segments"])
    is_open = result["verdict"] == "inconclusive"
    is_known = all(band["typical"] is not None for band in explanation["bands"])
    start, end = clock(place["start_s"]), clock(place["end_s"])
    low, high = (words.number(f"{place[end] / 1000:g}") for end in ("low_hz", "high_hz"))
    said = (
        words("why.open") if is_open else "",
        words("why.looked_at", explained=n_explained, windows=n_windows)
        if n_explained < n_windows
        else "",
        words(f"why.focus_{place['towards']}", start=start, end=end, low=low, high=high),
        "" if is_known else words("why.no_average"),
    )
    return " ".join(filter(None, said))


def families(words: Words, found: Result) -> str:
    """Return which kind of generator a deepfake sounds most like, or that it is like none."""

    def kind(family: Result) -> str:
        key = f"family.of.{family['name']}"  # bundles of others may know others
        return words(key) if key in words else str(family["label"])

    if found["named"] is None:
        nearest = (f"{kind(each)} ({words.percent(each['p'])})" for each in found["nearest"])
        return words("family.unnamed", nearest=words.listed(nearest))
    right, low, high = of_100(found["right"])
    of = kind(found["nearest"][0])
    return words("family.named", family=of, right=right, low=low, high=high)


def failure(words: Words, error: ServiceError) -> str:
    """Return an error in plain words, and when to try again."""
    if error.code in NO_VERDICT:
        return nothing_to_judge(words, error.code)
    key = f"error.{error.code}"
    said = words(key if key in words else "error.unknown")
    if error.code in _WITH_DETAIL:
        said += f" ({words.foreign(error.message)})"
    if error.retry_after_s:
        said += " " + words("error.again_in", seconds=error.retry_after_s)
    elif error.code in PASSING:
        said += " " + words("error.again_soon")
    return said


def is_simulated(model: Result) -> bool:
    """Return whether the bundle was trained on the simulated corpus, so that it cannot detect."""
    return SIMULATED_NOTE in model.get("card", "")


def trained_on(words: Words, model: Result) -> str:
    """Return what the bundle was trained on, and how often it errs on what it has not heard."""
    manifest = model.get("manifest", {})
    said = []
    if rows := manifest.get("corpus", {}).get("rows"):
        said.append(words("about.rows", rows=rows))
    metrics = manifest.get("metrics", {})
    if eer := metrics.get("eer"):
        where, wrong = metrics.get("on", UNHEARD), round(100 * eer["value"])
        key = "about.error_unheard" if where == UNHEARD else "about.error_on"
        said.append(words(key, where=words.foreign(where), wrong=wrong))
    return " ".join([*said, words("answer.proof")])


def brief_card(card: str) -> str:
    """Return the parts of a model card that hold no table, under small headings."""
    parts = re.split(r"(?m)^#+ (.*)$", card)[1:]
    titled = list(zip(parts[::2], parts[1::2], strict=True))
    said = [f"**{title}**\n\n{text.strip()}" for title, text in titled[1:] if "\n|" not in text]
    opening = titled[0][1].strip() if titled else ""
    return "\n\n".join([opening, *said]).replace("![", "[")  # an image is fetched from elsewhere


def plain(text: str) -> str:
    """Return a text with every character escaped that Markdown would take for markup."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~$:&])", r"\\\1", text)
