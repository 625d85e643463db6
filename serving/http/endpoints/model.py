"""``GET /v1/model``: the bundle that the service answers with."""

from dataclasses import dataclass, field
from typing import Any

from bonafide.bundle import Bundle
from bonafide.detection import BundleIdentity
from serving.http.endpoints import BundleEndpoint

LINEAGE = ("corpus", "code", "zenml", "created")


@dataclass(frozen=True)
class Model:
    """The bundle that answers.

    Parameters
    ----------
    bundle : BundleIdentity
    thresholds : dict
        ``spoof_from`` and ``bonafide_to``: the p_spoof from which, and up to which, there is a
        verdict; ``parts_from``, in nats, if it tells parts.
    prior_spoof : float
        The share of spoofs that p_spoof assumes, in [0, 1].
    lineage : dict
        What the bundle was made from, and when.
    card : str
        The model card, Markdown; empty where the bundle has none.
    manifest : dict
        All of ``manifest.json``.
    """

    bundle: BundleIdentity
    thresholds: dict[str, Any]
    prior_spoof: float = field(metadata={"ge": 0, "le": 1})
    lineage: dict[str, Any]
    card: str
    manifest: dict[str, Any]


def answer(bundle: Bundle) -> Model:
    """Describe a bundle."""
    card, manifest = bundle.folder / "card.md", bundle.manifest
    return Model(
        bundle=BundleIdentity(**bundle.identity),
        thresholds=manifest["thresholds"],
        prior_spoof=manifest["prior_spoof"],
        lineage={key: manifest.get(key) for key in LINEAGE},
        card=card.read_text(encoding="utf-8") if card.is_file() else "",
        manifest=manifest,
    )


ENDPOINT = BundleEndpoint(
    "model", "Manifest, card, thresholds and lineage of the bundle that answers.", answer
)
