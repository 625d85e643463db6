"""The family of generators that a deepfake sounds most like, or none."""

import numpy as np

from bonafide.base_models import BaseModels
from bonafide.bundle import FAMILIES, Bundle
from bonafide.detection import Share
from bonafide.errors import BundleError
from bonafide.explanation.types import Family, NearestFamilies
from bonafide.features.spec import STATISTICS
from bonafide.runtime import Graph
from bonafide.types import Waveform

FAMILY = "family"  # the graph's output
NEAREST = 3  # families that are told


class KnownFamilies:
    """The families that a bundle tells apart, as an open set: most recordings are not named.

    Parameters
    ----------
    bundle : Bundle
        That knows some; see `bonafide.bundle.Bundle.families`.

    Raises
    ------
    BundleError
        ``bad_graph`` if a graph cannot be loaded, or has another number of families.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._entry, self._families = bundle.families, bundle.families["known"]
        self._base = BaseModels(bundle, ())
        self._graph = Graph(path := bundle.graph_path(FAMILIES))
        if self._graph.shapes.get(FAMILY, ())[1:] != (len(self._families),):
            shapes = self._graph.shapes
            message = f"{path}: outputs {shapes}: must be [batch, {len(self._families)}] {FAMILY}"
            raise BundleError("bad_graph", message)

    def nearest(self, windows: Waveform) -> NearestFamilies:
        """Return the families that windows of a deepfake sound most like.

        Parameters
        ----------
        windows : ndarray of float32, shape (n, window_samples)
            Of one recording, at least one.

        Returns
        -------
        NearestFamilies
            By the mean of their posteriors.
        """
        scaled = self._base.scaled(windows)
        heard = np.concatenate([scaled[name] for name in self._entry["hears"]], axis=1)
        posterior = self._graph({STATISTICS: heard})[FAMILY].mean(axis=0)
        nearest = tuple(
            Family(**self._families[number], p=float(posterior[number]))
            for number in np.argsort(-posterior, kind="stable")[:NEAREST].tolist()
        )
        shares = {name: Share(**values) for name, values in self._entry["measured"].items()}
        named = nearest[0].name if nearest[0].p > self._entry["named_from"] else None
        return NearestFamilies(named, nearest, shares.get("right"), shares["unseen"])
