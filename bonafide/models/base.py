"""The interface of base models, which every family implements."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from bonafide.models.config import FitConfig, ModelConfig
from bonafide.models.examples import Examples, Rows
from bonafide.process.pool import Progress, silent
from bonafide.types import Features, Scores

if TYPE_CHECKING:
    import onnx
    from optuna.trial import Trial

Inputs = Mapping[str, Features]
SCORE_ROWS = 64


class BaseModel(ABC):
    """One fit of one family; probabilities are of spoof, in [0, 1].

    A subclass is a plug-in: it defines `name`, `label`, `suffix` and `Config`, and implements the
    abstract methods. Its module imports no training library before a method needs it.

    Parameters
    ----------
    config : ModelConfig
        An instance of the family's own `Config`.
    fit_config : FitConfig
        How base models are fitted.
    seed : int
        Of every random number in the fit.

    Attributes
    ----------
    name, label : str
        As the configuration names it, and as people read it.
    suffix : str
        Usual suffix of a file in the model's own format.
    Config : type
        The family's part of the configuration; its defaults are what is trained by default.
        A field ``view`` names the view that is heard frame by frame.
    history_ : dict of str to list of float
        Losses of the fit, by epoch or by round.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    suffix: ClassVar[str]
    Config: ClassVar[type[ModelConfig]]
    history_: dict[str, list[float]]

    def __init__(self, config: ModelConfig, fit_config: FitConfig, seed: int) -> None:
        self.config: Any = config
        self.fit_config, self.seed = fit_config, seed
        self.history_ = {}

    @classmethod  # noqa: B027  # most libraries need nothing
    def fix_threads(cls) -> None:
        """Fix what could make two runs differ, such as thread counts, before anything is fitted."""

    @abstractmethod
    def fit(self, examples: Examples, rows: Rows, progress: Progress = silent) -> Self:
        """Fit on some rows of the examples and on their augmented copies.

        Parameters
        ----------
        examples : Examples
            All rows, with their features and labels.
        rows : ndarray of int64, shape (n_training_rows,)
            The rows to fit on, from 0.
        progress : callable
            Called with (done, total).

        Returns
        -------
        Self
            Fitted.
        """

    @abstractmethod
    def score(self, inputs: Inputs) -> Scores:
        """Score standardised features.

        Parameters
        ----------
        inputs : mapping of str to ndarray of float32
            ``statistics`` (n, n_statistics), and ``frames`` (n, n_frames, n_features) where the
            model hears a view.

        Returns
        -------
        ndarray of float32, shape (n,)
            p_spoof.
        """

    def predict(self, examples: Examples, rows: Rows) -> Scores:
        """Score whole windows, a few at a time.

        Parameters
        ----------
        examples : Examples
            All rows, with their features.
        rows : ndarray of int64, shape (n,)
            The rows to score, from 0.

        Returns
        -------
        ndarray of float32, shape (n,)
            p_spoof.
        """
        starts = range(0, len(rows), SCORE_ROWS)
        chunks = [self.score(examples.take(rows[at : at + SCORE_ROWS])) for at in starts]
        return np.concatenate(chunks) if chunks else np.zeros(0, np.float32)

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the fitted model in its own format."""

    @abstractmethod
    def load(self, path: Path) -> Self:
        """Load what `save` wrote, ready for `score` and `to_onnx`."""

    @abstractmethod
    def to_onnx(self, inputs: Inputs) -> "onnx.ModelProto":
        """Convert the fitted model.

        Parameters
        ----------
        inputs : mapping
            As `score` takes them; only their shapes matter.

        Returns
        -------
        onnx.ModelProto
            Inputs as in `score`, with a free first dimension ``batch``; output ``p_spoof`` [batch].
        """

    def witnesses(self, inputs: Inputs) -> dict[str, Scores]:
        """Score by other converters, for comparison with `to_onnx`.

        Parameters
        ----------
        inputs : mapping
            As `score` takes them.

        Returns
        -------
        dict of str to ndarray of float32, shape (n,)
            Name of a converter -> p_spoof; empty if there is none.
        """
        return {}

    @classmethod
    @abstractmethod
    def suggest(cls, trial: "Trial") -> dict[str, Any]:
        """Draw hyper-parameters for a search.

        Parameters
        ----------
        trial : optuna.Trial
            Draws them.

        Returns
        -------
        dict of str to Any
            Fields of `Config` and their values.
        """
