"""The Keras side of `bonafide.models.network`: layers, batches, training. Imports TensorFlow."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from bonafide.features.spec import STATISTICS
from bonafide.models.architecture import DenseConfig, NetworkConfig, Recurrence
from bonafide.models.config import FitConfig
from bonafide.models.examples import BatchSampler, Examples, Rows
from bonafide.process.pool import Progress

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


class _Trainer:
    """A compiled twin of a network, in which one fit after another is made.

    What TensorFlow traces of a step is kept from fit to fit: tracing takes as long as a few hundred
    steps do.
    """

    def __init__(self, twin: keras.Model, fit: FitConfig) -> None:
        steps = fit.epochs * fit.steps_per_epoch
        optimizer = keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(fit.learning_rate, steps),
            weight_decay=fit.weight_decay,
            clipnorm=1.0,
            use_ema=fit.average_momentum > 0.0,
            ema_momentum=fit.average_momentum,
        )
        optimizer.build(twin.trainable_variables)
        twin.compile(optimizer, loss="binary_crossentropy", jit_compile=False)
        self._twin, self._fit = twin, fit
        self._at_first = [variable.numpy() for variable in optimizer.variables]

    def train(
        self, model: keras.Model, sampler: BatchSampler, progress: Progress
    ) -> dict[str, list[float]]:
        """Train a network in place, from its own weights and random states."""
        twin, optimizer, epochs = self._twin, self._twin.optimizer, self._fit.epochs
        _assign(twin.variables, model.variables)
        _assign(optimizer.variables, self._at_first)
        losses = []
        for epoch in range(epochs):
            steps = range(self._fit.steps_per_epoch)
            losses.append(float(np.mean([twin.train_on_batch(*sampler.draw()) for _ in steps])))
            progress(epoch + 1, epochs)
        optimizer.finalize_variable_values(twin.trainable_variables)
        _assign(model.variables, twin.variables)
        return {"loss": losses}


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


_trainers: dict[str, _Trainer] = {}  # of the last network alone: fits of one come in a row


def fit_network(
    name: str,
    recurrence: Recurrence | None,
    config: NetworkConfig | DenseConfig,
    examples: Examples,
    rows: Rows,
    fit: FitConfig,
    seed: int,
    progress: Progress,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Build and train one network.

    Parameters
    ----------
    name, recurrence, config
        As `build_network` takes them.
    examples : Examples
        With frames, if the network hears any.
    rows : ndarray of int64, shape (n_training_rows,)
        The rows to fit on, from 0.
    fit : FitConfig
        Steps, rates and batches.
    seed : int
        Of the first weights, of dropout, and of the batches.
    progress : callable
        Called with the number of epochs done and of all epochs.

    Returns
    -------
    keras.Model
        Fitted.
    dict of str to list of float
        Losses by epoch, under ``loss``.
    """
    n_features = examples.frames.features.shape[2] if examples.frames else None
    n_statistics = examples.statistics.features.shape[1]
    build = partial(build_network, name, recurrence, config, n_features, n_statistics)
    key = repr((name, recurrence, config, n_features, n_statistics, fit))
    if key not in _trainers:
        _trainers.clear()
        _trainers[key] = _Trainer(build(), fit)
    model = build(seed=seed)
    sampler = BatchSampler(examples, rows, fit, seed)
    return model, _trainers[key].train(model, sampler, progress)
