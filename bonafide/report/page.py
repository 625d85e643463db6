"""A report as a page: what the templates show, from what JSON prints and nothing else."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import bonafide
from bonafide.drawing import Drawing
from bonafide.errors import printable
from bonafide.provenance import NAMES
from bonafide.report.pictures import pictures
from bonafide.report.scale import SCALE, ratio, strength, supported
from bonafide.report.words import (
    HEADLINES,
    NO_WORDS,
    card_parts,
    conclusions,
    percent,
    thresholds_for,
)
from bonafide.words import clock, track_in_words

if TYPE_CHECKING:
    from jinja2 import Environment

Json = Mapping[str, Any]

TEMPLATE = "recording.html.j2"
PROBABILITY = (0.0, 1.0)
METRICS = {
    "eer": "EER: both kinds of errors where they are equally frequent",
    "min_dcf": "minDCF: detection cost at the best threshold; 0 is perfect",
    "act_dcf": "actDCF: detection cost at the threshold in use",
    "cllr": "Cllr: cost of the llr in bits; 0 is perfect, 1 is uninformative",
    "min_cllr": "minCllr: the same, were the calibration perfect",
    "auc": "AUC: how often genuine speech scores above generated speech; 0.5 is chance",
    "ece": "ECE: how far p_spoof is from the share of spoofs; 0 is perfect",
    "log_loss": "log loss: how improbable p_spoof makes the truth, in nats; 0 is perfect",
    "miss": "miss: genuine recordings rejected at the threshold in use",
    "false_alarm": "false alarm: generated recordings accepted at the threshold in use",
}
SHARES = ("eer", "miss", "false_alarm")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bonafide.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    told = {"json": json.dumps, "percent": percent, "clock": clock, "ratio": ratio, "named": _named}
    environment.filters |= {**told, "places": _places, "shown": _shown}
    return environment


def render(
    *,
    result: Json,
    model: Json,
    origin: Json | None,
    drawing: Drawing | None,
    sha256: str,
    name: str,
    size_bytes: int,
    bundle_folder: str = "",
) -> str:
    """Return the report of a recording: a page without a script that loads nothing.

    It holds no date and nothing of the machine: the same arguments give the same bytes.

    Parameters
    ----------
    result : mapping
        What ``POST /v1/explain`` answers, as ``bonafide score --explain --format json`` prints it;
        that of ``/v1/detect``, which has no ``explanation``, will do.
    model : mapping
        What ``GET /v1/model`` answers, of the bundle that `result` is from.
    origin : mapping or None
        What ``POST /v1/provenance`` answers; None where nobody asked.
    drawing : Drawing or None
        What is drawn of the recording, of several tracks the one of `track_drawn`; None
        where it cannot be drawn.
    sha256 : str
        Of the file, in hexadecimal digits.
    name : str
        Of the file, as it is to be shown.
    size_bytes : int
        Of the file.
    bundle_folder : str
        The bundle's folder, seen from that of the file, where it was given by it: it may be in no
        registry. Empty where it has a name.

    Returns
    -------
    str
        HTML.
    """
    thresholds, said = thresholds_for(result, model), conclusions(result)
    values = {
        "file": {"name": _shown(name), "sha256": sha256, "size_bytes": size_bytes},
        "command": _command(name, bundle_folder or "{name}:{version}".format(**model["bundle"])),
        "by_folder": bool(bundle_folder),
        "result": result,
        "model": model,
        "manifest": model["manifest"],
        "labels": model["manifest"].get("labels", {}),
        "origin": origin,
        "thresholds": thresholds,
        "said": said,
        "headlines": HEADLINES,
        "likelihood_in_words": NO_WORDS.get(result["verdict"]) or supported(result["llr"]),
        "scale": SCALE,
        "strength": None if result["verdict"] in NO_WORDS else strength(result["llr"]),
        "tracks": [(track_in_words(track), track) for track in result.get("tracks", ())],
        "spokesman": _name_of(spokesman(result)),
        "pictures": pictures(
            {**result, "segments": []} if said.too_little else result, thresholds, drawing
        ),
        "drawn_in_part": drawing is not None and drawing.drawn_s < result["duration_s"] - 1,
        "explained": _explained(result),
        "opinions": list(_opinions(result, model["manifest"])),
        "channels": list(_channels(model)),
        "metrics": list(_metrics(model["manifest"].get("metrics", {}))),
        "card": list(card_parts(model["card"])),
        "version": bonafide.__version__,
        "probability": PROBABILITY,
    }
    return _environment().get_template(TEMPLATE).render(**values)


def _places(values: Sequence[float], domain: Sequence[float]) -> list[float]:
    """Return where values lie between the ends of a bar's room, in percent."""
    low, high = domain
    span = (high - low) or 1.0
    return [100 * (min(max(value, low), high) - low) / span for value in values]


def _shown(text: str) -> str:
    """Return what strangers wrote as one line of text that a file can hold."""
    return printable(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _named(code: str) -> str:
    """Return what people call a finding; the code itself where another version found it."""
    return NAMES.get(code, code)


def spokesman(result: Json) -> Json | None:
    """Return the track, or channel of one, whose result a file has.

    Parameters
    ----------
    result : mapping
        As `bonafide.detection.Detection` is written to JSON.

    Returns
    -------
    mapping or None
        Of its ``tracks``; None where there is only one.
    """
    told = ("verdict", "llr", "p_spoof", "duration_s", "segments")
    same = (each for each in result.get("tracks", ()) if all(each[k] == result[k] for k in told))
    return next(same, None)


def track_drawn(result: Json) -> tuple[int | None, int | None]:
    """Return which track, and which channel of it, is drawn of a recording.

    Parameters
    ----------
    result : mapping
        As `bonafide.detection.Detection` is written to JSON.

    Returns
    -------
    tuple of int or None
        From 0, as `bonafide.drawing.draw` takes them; None where none is chosen.
    """
    track = spokesman(result)
    if track is None:
        return None, None
    inside = track["channel_number"]
    return track["track"] - 1, None if inside is None else inside - 1


def _name_of(track: Json | None) -> str:
    return track_in_words(track) if track is not None else ""


def _command(name: str, bundle: str) -> str:
    path = f"./{name}" if name.startswith("-") and name != "-" else name
    return f"bonafide report {_word(path)} --bundle {_word(bundle)} --html report.html"


def _word(text: str) -> str:
    """Return a word that a shell takes for the very text, and that a page can show."""
    if _shown(text) == text:
        return shlex.quote(text)
    inside = re.sub(r"['\\]", r"\\\g<0>", text)
    return "$'" + "".join(c if _shown(c) == c else _octal(c) for c in inside) + "'"


def _octal(character: str) -> str:
    """Return a character's bytes as a shell writes them; a byte that is no UTF-8 stands alone."""
    of_a_byte = "\udc80" <= character <= "\udcff"
    encoded = character.encode("utf-8", "surrogateescape" if of_a_byte else "surrogatepass")
    return "".join(f"\\{byte:03o}" for byte in encoded)


def _domain(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the room of bars that begin at 0."""
    return min([*values, 0.0]), max([*values, 0.0])


def _explained(result: Json) -> dict[str, Any] | None:
    """Return an explanation, its base models by what they add, and the room for its bars."""
    explanation = result.get("explanation")
    if explanation is None:
        return None
    models = explanation["models"]
    asked = sorted((n for n in models if models[n] is not None), key=lambda n: -abs(models[n]))
    added = [*(models[name] for name in asked), explanation["base"]]
    return {
        **explanation,
        "asked": asked,
        "not_asked": [name for name in models if models[name] is None],
        "seconds_domain": _domain([second["llr"] for second in explanation["seconds"]]),
        "bands_domain": _domain([band["unusual"] for band in explanation["bands"]]),
        "models_domain": _domain(added),
    }


def _opinions(result: Json, manifest: Json) -> Iterator[tuple[str, str, float | None, bool]]:
    """Yield the kind, the name and the p_spoof of each model, and whether it decides."""
    labels = manifest.get("labels", {})
    for kind, said in (("base model", result["models"]), ("stack", result["stack"])):
        for name, p_spoof in said.items():
            decides = kind == "stack" and name == manifest.get("choice")
            yield kind, _shown(labels.get(name, name)), p_spoof, decides


def _channels(model: Json) -> Iterator[dict[str, Any]]:
    """Yield for each channel what the bundle decides there, and how often it is wrong."""
    labels = {each["name"]: each["label"] for each in model["channels"]}
    for name, thresholds in model["thresholds"].get("channels", {}).items():
        errors = model["channel_errors"].get(name, {})
        yield {"name": name, "label": labels.get(name, name), **thresholds, "errors": errors}


def _metrics(metrics: Json) -> Iterator[tuple[str, Json, bool]]:
    """Yield what was measured of a bundle, with its interval, and whether it is a share."""
    for name, measured in metrics.items():
        if isinstance(measured, Mapping) and {"value", "low", "high"} <= measured.keys():
            yield METRICS.get(name, name), measured, name in SHARES
