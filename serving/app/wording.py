"""What the page says: verdicts, warnings and errors in plain words."""

import re
from collections.abc import Mapping
from typing import Any

from bonafide.audio import MIN_SOUND_S
from bonafide.evaluation.evaluate import SIMULATED_NOTE
from bonafide.words import parts_in_words, track_in_words
from serving.app.client import ServiceError

Result = Mapping[str, Any]

VERDICTS = {
    "bonafide": "Likely a real recording",
    "spoof": "Likely a deepfake",
    "partly_spoof": "Parts of it sound generated",
    "inconclusive": "Inconclusive",
}

TOO_LITTLE = {"no_speech": "nothing that sounds like speech", "too_short": "too short to judge"}

# Errors of the service that are no failures: there is too little to judge.
NOTHING_TO_JUDGE = {
    "too_short": f"The recording is too short: a verdict needs at least {MIN_SOUND_S:g} s of "
    "sound. Please choose a longer one.",
    "no_speech": "Nothing in the recording sounds like speech, and only speech can be judged. "
    "Please choose one in which somebody speaks.",
}

NUMBERS = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_TRY_AGAIN = "Please try again in a moment."
ERRORS = {
    "empty": "The file is empty, or there is no sound in it.",
    "not_audio": "This is not an audio or video file that can be read. WAV, MP3, M4A, Ogg, Opus, "
    "FLAC, WebM and MP4 can be, among others.",
    "no_sound": "This video has no sound track.",
    "bad_format": "The sound is stored in an unusual way that is not supported.",
    "damaged": "The file is damaged: no sound can be read from it.",
    "not_finite": "The file is damaged: its samples are not valid.",
    "decoder_crashed": "The file cannot be read: it crashes the decoder.",
    "too_large": "The file is too large.",
    "too_long": "The recording is too long.",
    "busy": "The detector is busy with other recordings.",
    "over_rate": "Too many recordings were sent in a short time.",
    "not_ready": f"The detector is still starting. {_TRY_AGAIN}",
    "no_room": f"The detector has no room left for recordings. {_TRY_AGAIN}",
    "deadline": "Judging this recording took too long and was stopped. A shorter one may work.",
    "upload_too_slow": f"Sending the file to the detector took too long. {_TRY_AGAIN}",
    "unauthorized": "The detector refuses this page: its API key is missing or not known. "
    "Please ask whoever started the page.",
    "keys_required": "The detector answers only the machine that it runs on. "
    "Please ask whoever started the page.",
    "bad_host": "The detector does not answer at this address. "
    "Please ask whoever started the page.",
    "unreachable": "The detector cannot be reached. Is it running?",
    "bad_answer": "The detector gave an answer that this page does not understand.",
}
_UNKNOWN = "Something went wrong in the detector."
# The messages of these hold a number that helps.
_WITH_DETAIL = frozenset(("bad_format", "too_large", "too_long"))


def percent(share: float) -> str:
    """Return a probability as people read it: never 0 % or 100 %, as nothing is certain."""
    if share < 0.01:
        return "under 1 %"
    return "over 99 %" if share > 0.99 else f"{share:.0%}".replace("%", " %")


def chance(p_spoof: float, prior_spoof: float) -> str:
    """Return the probability and what it assumes, in one sentence."""
    return (
        f"The detector sees a **{percent(p_spoof)}** chance that this is a deepfake, assuming "
        f"that {percent(prior_spoof)} of all recordings are."
    )


def thresholds_for(result: Result, model: Result) -> dict[str, Any]:
    """Return the thresholds that hold on the channel of a result; None: no such verdict there."""
    channel = (result.get("channel") or {}).get("name")
    return {**model["thresholds"], **model["thresholds"].get("channels", {}).get(channel, {})}


def edges(thresholds: Mapping[str, Any]) -> tuple[float, float]:
    """Return the ends of the undecided band: up to 0 or 1 where a verdict is never given."""
    low, high = thresholds["bonafide_to"], thresholds["spoof_from"]
    return 0.0 if low is None else low, 1.0 if high is None else high


def undecided(thresholds: Mapping[str, Any]) -> str:
    """Return what an inconclusive verdict means where the score lies in the undecided band."""
    low, high = thresholds["bonafide_to"], thresholds["spoof_from"]
    no_hint = "This is not a hint either way."
    if low is None and high is None:
        return f"On such sound this detector errs too often for any verdict. {no_hint}"
    if low is None:
        return (
            f"On such sound this detector never calls a recording real, and a deepfake only from "
            f"{percent(high)}: otherwise it errs too often. {no_hint}"
        )
    if high is None:
        return (
            f"On such sound this detector never calls a recording a deepfake, and real only up to "
            f"{percent(low)}: otherwise it errs too often. {no_hint}"
        )
    return (
        f"The chance lies between {percent(low)} and {percent(high)}, where this detector errs too "
        f"often to decide. {no_hint}"
    )


def is_unknown(result: Result) -> bool:
    """Return whether a recording's channel is unlike all that the detector knows."""
    return any(caution["code"] == "unknown_channel" for caution in result["warnings"])


def partly(result: Mapping[str, Any]) -> str:
    """Return which parts sound generated, and what the chance of the whole means beside them."""
    parts = [
        f"**{parts_in_words({'parts': [part]})}** ({percent(part['p_spoof'])})"
        for part in result["parts"]
    ]
    return (
        f"Sounds like a deepfake, unlike the rest: {', '.join(parts)}. Over the whole recording "
        f"the chance is {percent(result['p_spoof'])}: real speech around such parts hides them. "
        "Times are to within a few seconds."
    )


def spokesman(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the track or channel whose verdict is that of the file; None if there is only one."""
    told = ("verdict", "llr", "p_spoof", "duration_s", "segments")
    same = (each for each in result.get("tracks", ()) if all(each[n] == result[n] for n in told))
    return next(same, None)


def tracks(result: Mapping[str, Any]) -> str:
    """Return what is judged of each track or channel, as a list in Markdown."""
    chosen, lines = spokesman(result), []
    for each in result["tracks"]:
        said = f"{VERDICTS[each['verdict']].lower()} ({percent(each['p_spoof'])})"
        codes = [caution["code"] for caution in each["warnings"]]
        if too_little := [TOO_LITTLE[code] for code in codes if code in TOO_LITTLE]:
            said = too_little[0]
        elif each["parts"]:
            said = f"{VERDICTS[each['verdict']].lower()}: {parts_in_words(each)}"
        name = track_in_words(each)
        lines.append(f"- **{name}: {said}**" if each is chosen else f"- {name}: {said}")
    return "\n".join(
        ["Each track and channel was judged; the most suspicious one counts:\n", *lines]
    )


def warning(caution: Mapping[str, str]) -> str:
    """Return one of a result's warnings in plain words."""
    if caution["code"] == "damaged":  # its message is the decoder's
        return "The file is damaged or breaks off; only what could be read of it was judged."
    if caution["code"] == "not_all_judged":
        return f"Not all of the file was judged: {caution['message']}."
    if caution["code"] == "unknown_channel":
        return (
            "This recording sounds unlike everything on which the detector was tested: its "
            "telephone, app or room changed the sound in a way that it does not know. So there is "
            "no verdict, and this is not a hint either way."
        )
    return f"{caution['message'][:1].upper()}{caution['message'][1:]}."


def _count(things: Mapping[str, float | None], one: str, many: str) -> str:
    asked = sum(p_spoof is not None for p_spoof in things.values())
    number = NUMBERS[asked] if asked < len(NUMBERS) else str(asked)
    return f"{number} {one if asked == 1 else many}"


def opinions(result: Result, labels: Mapping[str, str]) -> str:
    """Return the caption of the models' scores, and which models were not asked."""
    models = _count(result["models"], "model listens on its own", "models listen on their own")
    stacks = _count(result["stack"], "stack weighs", "stacks weigh")
    rest = [labels.get(name, name) for name, p in result["models"].items() if p is None]
    not_asked = f" Not asked, as the others left no doubt: {', '.join(rest)}." if rest else ""
    return (
        f"{models.capitalize()} (circles); {stacks} what they say (diamonds). The verdict's chance "
        f"is that of the stack that decides, corrected for overconfidence.{not_asked}"
    )


def failure(error: ServiceError) -> str:
    """Return an error in plain words, and when to try again."""
    words = ERRORS.get(error.code, _UNKNOWN)
    if error.code in _WITH_DETAIL:
        words += f" ({error.message})"
    if error.retry_after_s:
        words = words.replace(_TRY_AGAIN, "").strip()
        words += f" Please try again in {error.retry_after_s} s."
    return words


def is_simulated(model: Mapping[str, Any]) -> bool:
    """Return whether the bundle was trained on the simulated corpus, so that it cannot detect."""
    return SIMULATED_NOTE in model.get("card", "")


def trained_on(model: Mapping[str, Any]) -> str:
    """Return what the bundle was trained on, and how often it errs on what it has not heard."""
    manifest = model.get("manifest", {})
    words = []
    if rows := manifest.get("corpus", {}).get("rows"):
        words.append(f"This detector was trained on {rows} recordings.")
    metrics = manifest.get("metrics", {})
    if eer := metrics.get("eer"):
        words.append(
            f"On {metrics.get('on', 'sources it had never heard')}, it was wrong about "
            f"{round(100 * eer['value'])} times in 100; on others it can be wrong more often."
        )
    return " ".join([*words, "A verdict is a statistical statement, not proof."])


def brief_card(card: str) -> str:
    """Return the parts of a model card that hold no table, under small headings."""
    parts = re.split(r"(?m)^#+ (.*)$", card)[1:]
    titled = list(zip(parts[::2], parts[1::2], strict=True))
    words = [f"**{title}**\n\n{text.strip()}" for title, text in titled[1:] if "\n|" not in text]
    opening = titled[0][1].strip() if titled else ""
    return "\n\n".join([opening, *words]).replace("![", "[")  # an image is fetched from elsewhere


def plain(text: str) -> str:
    """Return a text with every character escaped that Markdown would take for markup."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~$:&])", r"\\\1", text)
