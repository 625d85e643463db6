"""What a bundle's manifest must hold, in each of its formats."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from bonafide.features.spec import ENCODER, FeatureSpec

FORMATS = (1, 2, 3)  # 3 where there are channels
META_MODELS = ("logistic", "xgboost")  # the columns of the graph's output ``stack``
REQUIRED = (
    *("name", "version", "feature_spec", "models", "views", "prior_spoof", "thresholds", "choice"),
    "calibration",
)
OF_CHANNELS = ("channels", "stages", "hears")  # format 3 requires these too
SIDES = ("bonafide_to", "spoof_from")
SEQUENTIAL = "sequential"  # of thresholds: bars for recordings that still go on
BARS = ("distance_to", "parts_from")  # of thresholds, too, where they are known
SHARES = ("eer", "miss", "false_alarm")  # of what was measured; the rest has other bounds
OF_ERRORS = ("wrong", "bonafide_called_spoof", "spoof_called_bonafide")
TYPICAL = "typical_bands"  # what bands add on average, and say nothing by
N_BANDS = 8  # that explanations tell apart
LONGEST = 72  # characters of a value in a message
MOST_NATS = 1000.0  # more than any score; probabilities of it are 0 and 1 as it is
OF_FAMILIES = ("known", "hears", "named_from", "measured")
# Base models and their labels in bundles of format 1, whose manifests do not name them.
MODELS_OF_FORMAT_1 = {
    "cnn": "CNN",
    "rnn": "RNN",
    "bilstm": "BiLSTM",
    "gru": "GRU",
    "xgboost": "XGBoost",
}


def format_of(manifest: Mapping[str, Any]) -> int:
    """Return the format in which a manifest is written: 3 where it has channels, else 2."""
    return 3 if "channels" in manifest else 2


def complete(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest with every required entry, those that format 1 lacks filled in.

    Parameters
    ----------
    manifest : mapping
        As it was read, of any of `FORMATS`.

    Returns
    -------
    dict
        Its entries.

    Raises
    ------
    ValueError
        If an entry is not what it must be.
    KeyError
        If one is missing.
    TypeError
        If one has another type.
    """
    if manifest["format"] not in FORMATS:
        raise ValueError(f"format {manifest['format']!r}: must be one of 1, 2, 3")
    known: dict[str, Any] = {}
    if manifest["format"] == 1:
        known = {"models": list(MODELS_OF_FORMAT_1), "labels": MODELS_OF_FORMAT_1}
    present = {**known, **manifest}
    with_channels = manifest["format"] == 3
    for key in (*REQUIRED, *(OF_CHANNELS if with_channels else ())):
        present[key]
    _require_names("models", present["models"])
    labels = present.get("labels", {})
    if not (isinstance(labels, dict) and all(isinstance(text, str) for text in labels.values())):
        raise ValueError(f"labels={labels!r}: must give texts to names")
    if with_channels:
        _require_channels(present)
        _require_stages(present)
        _require_hears(present)
    elif "channels" in present:
        raise ValueError(f"format {manifest['format']}: must be 3, as there are channels")
    if "families" in present:
        if not with_channels:
            raise ValueError(f"format {manifest['format']}: must be 3, as there are families")
        _require_families(present)
    _require_decision(present)
    _require_told(present)
    if TYPICAL in present:
        _require_bands(present[TYPICAL])
    return present


def _require_decision(manifest: Mapping[str, Any]) -> None:
    """Raise a ValueError unless a verdict can be reached by prior, choice and thresholds."""
    if not (_is_share(prior := manifest["prior_spoof"]) and 0 < prior < 1):
        raise ValueError(f"prior_spoof={_brief(prior)}: must be between 0 and 1")
    for stage in (manifest, *manifest.get("stages", ())):
        _require_known("choice", [stage["choice"]], META_MODELS)
        line = _entries("calibration", stage["calibration"])
        if line.keys() != {"slope", "intercept"} or not all(map(_is_number, line.values())):
            raise ValueError(
                f"calibration={_brief(line)}: must be slope and intercept, two numbers"
            )
        if stage is manifest or "thresholds" in stage:
            _require_thresholds(_entries("thresholds", stage["thresholds"]))
    for name, view in _entries("views", manifest["views"]).items():
        if not isinstance(view, str):
            raise ValueError(f"views: {name}={_brief(view)}: must be a view's name")


def _require_thresholds(thresholds: Mapping[str, Any]) -> None:
    """Raise a ValueError unless there are all that a verdict needs, each a number in its bounds."""
    for name, sides in _entries("channels of thresholds", thresholds.get("channels", {})).items():
        for side, value in _entries(f"thresholds of {name}", sides).items():
            _require_bar(f"{side} of {name}", value)
    if missing := [side for side in SIDES if side not in thresholds]:
        raise ValueError(f"thresholds: {missing[0]} is missing; must have {' and '.join(SIDES)}")
    for side in SIDES:
        _require_bar(side, thresholds[side])
    for bar in BARS:
        value = thresholds.get(bar, 0)
        if not (_is_number(value) and value >= 0):
            raise ValueError(f"{bar}={_brief(value)}: must be a number from 0")
    if SEQUENTIAL in thresholds:
        _require_sequential(_entries(SEQUENTIAL, thresholds[SEQUENTIAL]))


def _require_sequential(test: Mapping[str, Any]) -> None:
    """Raise a ValueError unless a sequential test has two shares, and two bars for each channel."""
    if test.keys() != {"wrong_at_most", "correlation", "channels"}:
        allowed = "wrong_at_most, correlation and channels"
        raise ValueError(f"{SEQUENTIAL}={_brief(test)}: must have {allowed}")
    for share in ("wrong_at_most", "correlation"):
        if not _is_share(test[share]):
            raise ValueError(f"{SEQUENTIAL}, {share}={_brief(test[share])}: must be from 0 to 1")
    for name, bars in _entries(f"channels of {SEQUENTIAL}", test["channels"]).items():
        whole = isinstance(bars, dict) and bars.keys() == {"bonafide_from", "spoof_to"}
        if not (whole and all(_is_number(bar) for bar in bars.values())):
            allowed = "bonafide_from and spoof_to, two numbers"
            raise ValueError(f"{SEQUENTIAL} of {name}={_brief(bars)}: must be {allowed}")
        if not bars["spoof_to"] < 0 < bars["bonafide_from"]:
            allowed = "spoof_to below 0 and bonafide_from above"
            raise ValueError(f"{SEQUENTIAL} of {name}={_brief(bars)}: must have {allowed}")


def _require_told(manifest: Mapping[str, Any]) -> None:
    """Raise a ValueError unless what is told of a bundle and decides nothing is as it is shown."""
    for name, value in _entries("metrics", manifest.get("metrics", {})).items():
        if name in SHARES:
            _require_interval(f"metrics, {name}", value)
        elif not (isinstance(value, str) or is_interval(value)):
            allowed = "must be a text, or a value and its interval's ends"
            raise ValueError(f"metrics, {name}={_brief(value)}: {allowed}")
    corpus = _entries("corpus", manifest.get("corpus", {}))
    _require_count("rows of corpus", corpus.get("rows", 0))
    for key, where in (("created", manifest), ("rows_sha256", corpus)):
        if not isinstance(text := where.get(key, ""), str):
            raise ValueError(f"{key}={_brief(text)}: must be a text")


def _require_bands(typical: Any) -> None:
    """Raise a ValueError unless bands have what they add on average: one list, or two."""
    rows = typical if isinstance(typical, list) and len(typical) == 2 else [typical]
    whole = all(isinstance(row, list) and len(row) == N_BANDS for row in rows)
    if not (whole and all(_is_number(n) and abs(n) <= MOST_NATS for row in rows for n in row)):
        allowed = f"two lists of {N_BANDS} numbers from {-MOST_NATS:g} to {MOST_NATS:g}"
        raise ValueError(f"{TYPICAL}={_brief(typical)}: must be {allowed}")


def _brief(value: Any) -> str:
    """Return what was seen, cut short where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _entries(what: str, value: Any) -> dict[str, Any]:
    """Return a value that gives something to names, or raise a ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"{what}={_brief(value)}: must be entries with names")
    return value


def _require_count(what: str, value: Any) -> None:
    if not (isinstance(value, int) and _is_number(value) and value >= 0):
        raise ValueError(f"{what}={_brief(value)}: must be a count")


def _require_names(what: str, names: Any) -> None:
    """Raise a ValueError unless there are names, each of its own."""
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise ValueError(f"{what}={names!r}: must be a list of names")
    if len(set(names)) < len(names):
        raise ValueError(f"{what}={names!r}: must not hold a name twice")


def _require_known(what: str, seen: Iterable[Any], known: Iterable[str]) -> None:
    allowed = list(known)
    if strange := [each for each in seen if each not in allowed]:
        raise ValueError(f"{what}: {_brief(strange[0])} must be one of {', '.join(allowed)}")


def _require_channels(manifest: Mapping[str, Any]) -> None:
    """Raise a ValueError unless channels have names and labels, and thresholds are of them."""
    names = [channel["name"] for channel in manifest["channels"]]
    _require_names("channels", names)
    for channel in manifest["channels"]:
        if not isinstance(channel["label"], str):
            raise ValueError(f"channels: label {channel['label']!r} must be a text")
    thresholds = _entries("thresholds", manifest["thresholds"])
    of_channels = _entries("channels of thresholds", thresholds.get("channels", {}))
    for what, entries in (("thresholds", of_channels), ("channel_errors", errors_of(manifest))):
        _require_known(f"{what} of a channel", entries, names)
    for name, sides in of_channels.items():
        _require_known(f"thresholds of {name}", _entries(f"thresholds of {name}", sides), SIDES)
    for name, errors in errors_of(manifest).items():
        _entries(f"channel_errors of {name}", errors)
        if not _is_share(undecided := errors.get("undecided")):
            raise ValueError(f"undecided={_brief(undecided)} of {name}: must be from 0 to 1")
        for kind in OF_ERRORS if undecided < 1 else ():  # else there are no verdicts to be wrong
            _require_interval(f"{kind} of {name}", errors.get(kind))
        _require_count(f"rows of {name}", errors.get("rows"))


def _require_bar(what: str, value: Any) -> None:
    if not (value is None or _is_share(value)):
        raise ValueError(f"{what}={_brief(value)}: must be from 0 to 1, or null")


def _require_families(manifest: Mapping[str, Any]) -> None:
    """Raise a ValueError unless families have names, labels, a bar, and shares as intervals."""
    families = manifest["families"]
    if not isinstance(families, dict) or families.keys() != set(OF_FAMILIES):
        raise ValueError(f"families: must have {', '.join(OF_FAMILIES)} and nothing else")
    known, hears, measured = (families[key] for key in ("known", "hears", "measured"))
    _require_names("families", [_named(family) for family in known])
    _require_names("hears of families", hears)
    vectors = FeatureSpec.from_json(manifest["feature_spec"]).vectors
    _require_known("hears of families", hears, [name for name in vectors if name != ENCODER])
    if not _is_share(bar := families["named_from"]):
        raise ValueError(f"families, named_from: {bar!r}: must be from 0 to 1")
    needed = ("unseen", "right") if bar < 1 else ("unseen",)
    if not isinstance(measured, dict) or set(needed) - measured.keys():
        raise ValueError(f"families, measured: must have {' and '.join(needed)}")
    for name, share in measured.items():
        _require_interval(f"families, {name}", share)


def _named(family: Any) -> str:
    """Return the name of a family that has a name, a label, and nothing else."""
    is_named = isinstance(family, dict) and family.keys() == {"name", "label"}
    if is_named and all(isinstance(text, str) and text.strip() for text in family.values()):
        return str(family["name"])
    raise ValueError(f"families: {family!r}: must be a name and a label, both texts")


def is_interval(value: Any) -> bool:
    """Return whether something is three numbers, a value and the ends of its interval."""
    keys = {"value", "low", "high"}
    return isinstance(value, dict) and value.keys() == keys and all(map(_is_number, value.values()))


def _is_number(value: Any) -> bool:
    """Return whether something is a number that a float holds: JSON has integers without end."""
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return numeric and abs(value) <= sys.float_info.max


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _require_interval(what: str, share: Any) -> None:
    """Raise a ValueError unless something is a share with the ends of its interval."""
    is_whole = is_interval(share) and all(map(_is_share, share.values()))
    if not (is_whole and share["low"] <= share["high"]):
        raise ValueError(
            f"{what}: {_brief(share)}: must be a value from 0 to 1 and its interval's ends"
        )


def errors_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the error rates measured on each channel, by its name; empty in older formats."""
    return dict(manifest.get("channel_errors", {}))


def _require_stages(manifest: Mapping[str, Any]) -> None:
    """Raise a ValueError unless one or two stages decide with models that there are."""
    stages = manifest["stages"]
    if not (isinstance(stages, list) and len(stages) in (1, 2)):
        raise ValueError(f"stages={stages!r}: must be a list of one or two")
    if stages[-1]["prefix"] != "" or len({stage["prefix"] for stage in stages}) < len(stages):
        raise ValueError("stages: the last one's prefix must be empty, and no other's")
    for stage in stages:
        _require_names("models of a stage", stage["models"])
        _require_known("models of a stage", stage["models"], manifest["models"])
        _require_known("choice of a stage", [stage["choice"]], META_MODELS)
        stage["calibration"]
    if len(stages) == 2:
        for key in ("doubt_llr", "clean_from"):
            if not _is_number(value := manifest["route"][key]):
                raise ValueError(f"{key} of route={_brief(value)}: must be a number")


def _require_hears(manifest: Mapping[str, Any]) -> None:
    """Raise a ValueError unless each base model hears at least one vector."""
    hears = manifest["hears"]
    _require_known("hears", hears, manifest["models"])
    for name in manifest["models"]:
        _require_names(f"hears of {name}", hears[name])
