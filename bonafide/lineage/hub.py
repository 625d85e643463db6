"""A bundle's model card in the form that public model hubs read: YAML, then Markdown.

As Hugging Face documents it (https://huggingface.co/docs/hub/model-cards). Every figure is one of
the manifest's.
"""

import re
from typing import Any

from bonafide.bundle import ROWS, Bundle
from bonafide.lineage.rows import TRAINING, read_rows

TAGS = ("audio", "speech", "anti-spoofing", "deepfake-detection", "onnx")
METRICS = {  # of the manifest -> names for people; the others are of use beside these alone
    "eer": "Equal error rate",
    "cllr": "Cllr, bits",
    "auc": "Area under the ROC curve",
}
SEVERAL = {"mul": "multilingual"}  # ISO 639-2's word and the hub's
LANGUAGE = re.compile("[a-z]{2,3}")


def hub_card(bundle: Bundle, licence: str) -> str:
    """Return the card of a bundle with the metadata that hubs search and show.

    Parameters
    ----------
    bundle : Bundle
        Languages are those of its training rows, where it holds them.
    licence : str
        An identifier of the hub's, such as ``apache-2.0`` or ``unknown``.

    Returns
    -------
    str
        The content of the hub's ``README.md``.
    """
    import yaml

    languages = _languages(bundle)
    front = {
        "license": licence,
        **({"language": languages} if languages else {}),
        "library_name": "bonafide",
        "pipeline_tag": "audio-classification",
        "tags": list(TAGS),
        "metrics": [key for key in METRICS if key in bundle.manifest.get("metrics", {})],
        "model-index": [_results(bundle)],
    }
    text = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    path = bundle.folder / "card.md"
    body = path.read_text(encoding="utf-8") if path.is_file() else f"# {bundle.identity['name']}\n"
    return f"---\n{text}---\n\n{body}"


def _languages(bundle: Bundle) -> list[str]:
    """Return the codes of languages that it was trained on, the most frequent first."""
    if not (bundle.folder / ROWS).is_file():
        return []
    rows = read_rows(bundle, ["language", "use"])
    counts: dict[str, int] = {}
    for tag, use in zip(*(rows[name].to_pylist() for name in ("language", "use")), strict=True):
        code = tag.lower().partition("-")[0]
        code = SEVERAL.get(code, code if LANGUAGE.fullmatch(code) else "")
        if code and use == TRAINING:
            counts[code] = counts.get(code, 0) + 1
    return sorted(counts, key=lambda code: (-counts[code], code))


def _results(bundle: Bundle) -> dict[str, Any]:
    """Return the manifest's metrics as an entry of ``model-index``."""
    manifest = bundle.manifest
    measured = manifest.get("metrics", {})
    found = [
        {"type": key, "name": _named(name, measured[key]), "value": measured[key]["value"]}
        for key, name in METRICS.items()
        if key in measured
    ]
    dataset = {"type": "private", "name": measured.get("rows", "-")}
    if rows_sha256 := manifest.get("corpus", {}).get("rows_sha256"):
        dataset["revision"] = rows_sha256
    task = {"type": "audio-classification", "name": "Detection of machine-generated speech"}
    results = [{"task": task, "dataset": dataset, "metrics": found}] if found else []
    return {"name": f"{manifest['name']}:{manifest['version']}", "results": results}


def _named(name: str, interval: dict[str, float]) -> str:
    return f"{name} (95 % interval {interval['low']:.4g} to {interval['high']:.4g})"
