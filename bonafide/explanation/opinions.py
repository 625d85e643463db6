"""What each base model adds to a score, and the stage that it is of."""

import numpy as np

from bonafide.base_models import BaseModels
from bonafide.bundle import ADAPTER, Bundle
from bonafide.errors import BundleError
from bonafide.explanation.shapley import coalitions, shapley_values
from bonafide.judging import calibrated
from bonafide.runtime import Graph
from bonafide.types import Floats, Scores, Tensor, Waveform, WindowScores

NO_OPINION = 0.5  # the p_spoof of a base model that is not heard
MOST_MODELS = 14  # of a stage: what they add takes 2 to the power of their number


class Stage:
    """One stage of a bundle, run part by part: its base models, and what it makes of them.

    Parameters
    ----------
    bundle : Bundle
        With its single graphs.
    number : int
        Which stage, from 0; -1 for the last.

    Raises
    ------
    BundleError
        ``bad_graph`` if a graph cannot be loaded; ``too_many_models`` for more than `MOST_MODELS`.
    """

    def __init__(self, bundle: Bundle, number: int) -> None:
        self._bundle, self._entry = bundle, bundle.stages[number]
        self.models: list[str] = list(self._entry["models"])
        if len(self.models) > MOST_MODELS:
            raise BundleError(
                "too_many_models",
                f"{bundle.folder}: {len(self.models)} base models in a stage; at most "
                f"{MOST_MODELS} can be explained",
            )
        self._columns = [bundle.models.index(name) for name in self.models]
        self._meta = Graph(
            bundle.graph_path(f"{self._entry['prefix']}meta_{self._entry['choice']}")
        )
        self._adapter = Graph(bundle.graph_path(ADAPTER)) if bundle.is_adapted else None

    def llr(self, models: Scores, channel: Scores | None) -> Floats:
        """Return what the stage makes of its base models.

        Parameters
        ----------
        models : ndarray of float32, shape (n, len(self.models))
            Their p_spoof.
        channel : ndarray of float32, shape (n, n_channels), or None
            Posteriors; None for bundles that know no channels.

        Returns
        -------
        ndarray of float64, shape (n,)
            As the bundle answers where this stage does.
        """
        inputs: dict[str, Tensor] = {"models": models}
        if channel is not None:
            inputs["channel"] = channel
        llr = calibrated(self._meta(inputs)["p_spoof"], **self._entry["calibration"])
        if self._adapter is None:
            return llr
        said = np.full((len(models), len(self._bundle.models)), np.nan, np.float32)
        said[:, self._columns] = models
        adapted = self._adapter({"llr": llr.astype(np.float32), "models": said})["adapted"]
        return adapted.astype(np.float64)

    def opinions(self, scores: WindowScores) -> tuple[Floats, Floats]:
        """Return what each base model adds to the llr of windows that this stage answered.

        It is what the llr gains by a model's opinion, on average over all orders in which the
        models are heard; one that is not heard counts as `NO_OPINION`. Exact for both meta-models.

        Parameters
        ----------
        scores : WindowScores
            Of n windows.

        Returns
        -------
        ndarray of float64, shape (len(self.models), n)
            Nats.
        ndarray of float64, shape (n,)
            The llr without any opinion.
        """
        heard = coalitions(len(self.models))
        worth = np.empty((len(heard), len(scores.llr)))
        for window, said in enumerate(scores.models[:, self._columns]):
            channel = scores.channel
            if channel is not None:
                channel = np.repeat(channel[window : window + 1], len(heard), axis=0)
            worth[:, window] = self.llr(
                np.where(heard, said, np.float32(NO_OPINION)).astype(np.float32), channel
            )
        return shapley_values(worth), worth[0]


class FirstStage(Stage):
    """The first of two stages, which answers windows of any sound, however doubtful.

    Parameters
    ----------
    bundle : Bundle
        Of two stages.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, 0)
        self._base = BaseModels(bundle, self.models)

    def score_windows(self, waveforms: Waveform) -> Floats:
        """Score windows.

        Parameters
        ----------
        waveforms : ndarray of float32, shape (n, window_samples)
            At 16 kHz and any level.

        Returns
        -------
        ndarray of float64, shape (n,)
            The llr of each.
        """
        models, routed = self._base(waveforms)
        return self.llr(models, routed["channel"])
