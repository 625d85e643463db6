"""The Keras side of `bonafide.models.network`: layers, batches, training. Imports TensorFlow."""

from typing import Any

import keras
from numpy.typing import NDArray

from bonafide.features.spec import STATISTICS
from bonafide.models.architecture import DenseConfig, NetworkConfig, Recurrence
from bonafide.models.config import FitConfig
from bonafide.models.examples import BatchSampler, Examples, Rows
from bonafide.process.pool import Progress
from bonafide.types import Features

layers = keras.layers
Tensor = Any


def _normed(x: Tensor) -> Tensor:
    # Keras's default momentum, 0.99, lags behind in fits of a thousand steps.
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(x))


def _convolved(frames: Tensor, config: NetworkConfig) -> Tensor:
    """Convolve over time: (batch, t, d) -> (batch, t / product of strides, width)."""
    x = frames
    for number, stride in enumerate(config.strides):
        kernel = max(3 if number else 5, stride)
        x = layers.Conv1D(config.width, kernel, strides=stride, padding="same", use_bias=False)(x)
        x = _normed(x)
    return layers.Dropout(config.dropout)(x)


def _recurrent(recurrence: Recurrence, width: int) -> Any:
    layer = getattr(layers, recurrence.layer)(width, return_sequences=True)
    return layers.Bidirectional(layer) if recurrence.bidirectional else layer


def build_network(
    name: str,
    recurrence: Recurrence | None,
    config: NetworkConfig | DenseConfig,
    n_features: int | None,
    n_statistics: int,
    n_frames: int | None = None,
    *,
    seed: int | None = None,
) -> keras.Model:
    """Build one network.

    It has two branches: convolutions over the frames, a recurrence unless it is the CNN, and mean
    and maximum over time; and two dense layers on the statistics. A last layer joins them. One that
    hears no frames has the second branch alone.

    Parameters
    ----------
    name : str
        Name of the Keras model.
    recurrence : Recurrence or None
        What follows the convolutions; None for nothing.
    config : NetworkConfig or DenseConfig
        Widths, strides and dropouts.
    n_features : int or None
        Features of one frame of its view; None if it hears none.
    n_statistics : int
        Statistics of one window.
    n_frames : int or None
        Fixed number of frames, for export; None for any, as training on crops needs.
    seed : int or None
        Of the first weights, and of what Keras draws from then on; None leaves both to chance.

    Returns
    -------
    keras.Model
        From standardised ``frames`` (batch, n_frames, n_features), if any, and ``statistics``
        (batch, n_statistics) to p_spoof (batch, 1) in [0, 1].
    """
    if seed is not None:
        keras.utils.set_random_seed(seed)
    inputs, branches = [], []
    if n_features is not None:
        assert isinstance(config, NetworkConfig)
        inputs.append(keras.Input((n_frames, n_features), name="frames"))
        branches.append(_heard(inputs[0], recurrence, config))
    known = keras.Input((n_statistics,), name=STATISTICS)
    inputs.append(known)
    for _ in range(2):
        known = _normed(layers.Dense(config.statistics_width, use_bias=False)(known))
        known = layers.Dropout(config.statistics_dropout)(known)
    branches.append(known)
    both = layers.Concatenate()(branches) if len(branches) > 1 else known
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(both), name=name)


def _heard(frames: Tensor, recurrence: Recurrence | None, config: NetworkConfig) -> Tensor:
    """Convolve frames, run a recurrence over them, and pool: (batch, t, d) -> (batch, n)."""
    x = _convolved(frames, config)
    if recurrence is not None:
        x = _recurrent(recurrence, config.width)(x)
    over_time = [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
    return layers.Dropout(config.dropout)(layers.Concatenate()(over_time))


class _Batches(keras.utils.PyDataset):
    def __init__(self, sampler: BatchSampler, steps: int) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=1)
        self._sampler, self._steps = sampler, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> tuple[tuple[Features, ...], NDArray[Any]]:
        return self._sampler.draw()


class _Report(keras.callbacks.Callback):
    def __init__(self, progress: Progress, epochs: int) -> None:
        super().__init__()
        self._progress, self._epochs = progress, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._progress(epoch + 1, self._epochs)


def train_network(
    model: keras.Model,
    examples: Examples,
    rows: Rows,
    fit: FitConfig,
    seed: int,
    progress: Progress,
) -> dict[str, list[float]]:
    """Train a network in place.

    Parameters
    ----------
    model : keras.Model
        From `build_network`.
    examples : Examples
        With frames, if the network hears any.
    rows : ndarray of int64, shape (n_training_rows,)
        The rows to fit on, from 0.
    fit : FitConfig
        Steps, rates and batches.
    seed : int
        Of the batches.
    progress : callable
        Called with the number of epochs done and of all epochs.

    Returns
    -------
    dict of str to list of float
        Losses by epoch, under ``loss``.
    """
    steps = fit.epochs * fit.steps_per_epoch
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(fit.learning_rate, steps),
            weight_decay=fit.weight_decay,
            clipnorm=1.0,
            use_ema=fit.average_momentum > 0.0,
            ema_momentum=fit.average_momentum,
        ),
        loss="binary_crossentropy",
        jit_compile=False,
    )
    history = model.fit(
        _Batches(BatchSampler(examples, rows, fit, seed), fit.steps_per_epoch),
        epochs=fit.epochs,
        callbacks=[_Report(progress, fit.epochs)],
        verbose=0,
        shuffle=False,
    )
    return {"loss": [float(value) for value in history.history["loss"]]}
