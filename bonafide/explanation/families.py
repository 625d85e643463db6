"""The family of generators that a deepfake sounds most like, or none."""

import numpy as np

from bonafide.base_models import BaseModels
from bonafide.bundle import FAMILIES, Bundle
from bonafide.detection import Share
from bonafide.errors import BundleError
from bonafide.explanation.types import Family, NearestFamilies
from bonafide.features.spec import STATISTICS
from bonafide.runtime import Graph
from bonafide.types import Scores, Tensor, Waveform

FAMILY = "family"  # the graph's output
NEAREST = 3  # families that are told
OFF_ONE = 1e-3  # that posteriors may sum to


class KnownFamilies:
    """The families that a bundle tells apart, as an open set: most recordings are not named.

    Parameters
    ----------
    bundle : Bundle
        That knows some; see `bonafide.bundle.Bundle.families`.

    Raises
    ------
    BundleError
        ``bad_graph`` if a graph cannot be loaded, or gives no posteriors of these families.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._entry, self._path = bundle.families, bundle.graph_path(FAMILIES)
        self._base = BaseModels(bundle, ())
        self._graph = Graph(self._path)
        width = sum(bundle.spec.vectors[name] for name in self._entry["hears"])
        self._posterior(np.zeros((2, width), np.float32))

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

        Raises
        ------
        BundleError
            ``bad_graph`` if the graph gives no posteriors.
        """
        scaled = self._base.scaled(windows)
        heard = np.concatenate([scaled[name] for name in self._entry["hears"]], axis=1)
        posterior = self._posterior(heard).mean(axis=0)
        nearest = tuple(
            Family(**self._entry["known"][number], p=float(posterior[number]))
            for number in np.argsort(-posterior, kind="stable")[:NEAREST].tolist()
        )
        shares = {name: Share(**values) for name, values in self._entry["measured"].items()}
        named = nearest[0].name if nearest[0].p > self._entry["named_from"] else None
        return NearestFamilies(named, nearest, shares.get("right"), shares["unseen"])

    def _posterior(self, vectors: Tensor) -> Scores:
        """Run the graph, and see that it gives a posterior for each family and row."""
        shape = (len(vectors), len(self._entry["known"]))
        try:
            found = self._graph({STATISTICS: vectors})[FAMILY]
            is_posterior = (
                found.shape == shape
                and bool((found >= 0).all())
                and bool((abs(found.sum(axis=1) - 1) < OFF_ONE).all())
            )
        except Exception as error:  # onnxruntime's own have no base but this
            message = f"{self._path}: does not run on {STATISTICS} {vectors.shape}: {error}"
            raise BundleError("bad_graph", message) from error
        if not is_posterior:
            message = f"{self._path}: {FAMILY} {found.shape}: must be posteriors {shape}"
            raise BundleError("bad_graph", message)
        return found
