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
        verdict; ``channels``: the same by channel, null where there is no such verdict;
        ``parts_from``, in nats, if it tells parts; ``distance_to``, if it tells that a channel is
        unlike all known ones; ``sequential``, if it decides while a recording goes on.
    prior_spoof : float
        The share of spoofs that p_spoof assumes, in [0, 1].
    channels : list of dict
        ``name`` and ``label`` of each channel that it tells apart; may be empty.
    channel_errors : dict
        The error rates measured on each channel, by its name.
    stages : list of dict
        Which models decide, one stage after the other; those of the last one are asked only where
        the `route` says so.
    route : dict or None
        Which windows go on to the second stage: those whose llr is nearer to 0 than ``doubt_llr``
        or whose channel is clean with less than ``clean_from``; None with one stage.
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
    channels: list[dict[str, Any]]
    channel_errors: dict[str, Any]
    stages: list[dict[str, Any]]
    route: dict[str, Any] | None
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
        channels=manifest.get("channels", []),
        channel_errors=bundle.channel_errors,
        stages=bundle.stages,
        route=manifest.get("route"),
        lineage={key: manifest.get(key) for key in LINEAGE},
        card=card.read_text(encoding="utf-8") if card.is_file() else "",
        manifest=manifest,
    )


ENDPOINT = BundleEndpoint(
    "model", "Manifest, card, thresholds, channels and lineage of the bundle that answers.", answer
)
