"""The four Keras networks. Each hears one view and the statistics. Imports tensorflow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bonafide.process.pool import Progress, silent
from bonafide.training.config import FitConfig, NetworkConfig
from bonafide.training.sampling import BatchSampler, Examples, Features, Rows

layers = keras.layers
Tensor = Any

PREDICT_ROWS = 64


def _normed(x: Tensor) -> Tensor:
    # Keras's momentum of 0.99 lags behind fits of a thousand steps.
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(x))


def _convolved(frames: Tensor, config: NetworkConfig) -> Tensor:
    """Convolve over time: (batch, t, d) -> (batch, t / product of strides, width)."""
    x = frames
    for number, stride in enumerate(config.strides):
        kernel = max(3 if number else 5, stride)
        x = layers.Conv1D(config.width, kernel, strides=stride, padding="same", use_bias=False)(x)
        x = _normed(x)
    return layers.Dropout(config.dropout)(x)


RECURRENT: dict[str, Callable[[int], Any]] = {
    "rnn": lambda width: layers.SimpleRNN(width, return_sequences=True),
    "bilstm": lambda width: layers.Bidirectional(layers.LSTM(width, return_sequences=True)),
    "gru": lambda width: layers.GRU(width, return_sequences=True),
}


def build_network(
    kind: str,
    config: NetworkConfig,
    n_features: int,
    n_statistics: int,
    n_frames: int | None = None,
) -> keras.Model:
    """Build one network.

    It listens twice: to the frames, by convolutions over time, a recurrence unless it is the CNN,
    and mean and maximum over time; and to the statistics, by two dense layers. One layer decides.

    Parameters
    ----------
    kind : {"cnn", "rnn", "bilstm", "gru"}
    config : NetworkConfig
    n_features : int
        Features of one frame of its view.
    n_statistics : int
    n_frames : int or None
        Fixed number of frames, for export; None takes any, as training on crops needs.

    Returns
    -------
    keras.Model
        From standardised ``frames`` (batch, n_frames, n_features) and ``statistics``
        (batch, n_statistics) to p_spoof (batch, 1) in [0, 1].
    """
    frames = keras.Input((n_frames, n_features), name="frames")
    statistics = keras.Input((n_statistics,), name="statistics")
    x = _convolved(frames, config)
    if kind in RECURRENT:
        x = RECURRENT[kind](config.width)(x)
    over_time = [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
    heard = layers.Dropout(config.dropout)(layers.Concatenate()(over_time))
    known = statistics
    for _ in range(2):
        known = _normed(layers.Dense(config.statistics_width, use_bias=False)(known))
        known = layers.Dropout(config.statistics_dropout)(known)
    p_spoof = layers.Dense(1, activation="sigmoid")(layers.Concatenate()([heard, known]))
    return keras.Model([frames, statistics], p_spoof, name=kind)


class _Batches(keras.utils.PyDataset):
    def __init__(self, sampler: BatchSampler, steps: int) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=1)
        self._sampler, self._steps = sampler, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> tuple[tuple[Features, Features], NDArray[np.float32]]:
        return self._sampler.draw()


class _Report(keras.callbacks.Callback):
    def __init__(self, progress: Progress, epochs: int) -> None:
        super().__init__()
        self._progress, self._epochs = progress, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._progress(epoch + 1, self._epochs)


class Network:
    """A Keras network as a base model.

    Parameters
    ----------
    kind : {"cnn", "rnn", "bilstm", "gru"}
    config : NetworkConfig
    fit_config : FitConfig
    seed : int

    Attributes
    ----------
    model_ : keras.Model
    history_ : dict of str to list of float
        Loss on training batches by epoch.
    """

    suffix = ".keras"

    def __init__(self, kind: str, config: NetworkConfig, fit_config: FitConfig, seed: int) -> None:
        self.kind, self.config, self.fit_config, self.seed = kind, config, fit_config, seed

    def fit(self, examples: Examples, rows: Rows, progress: Progress = silent) -> "Network":
        """Fit on `rows` and their copies for as many steps as the configuration says."""
        keras.utils.set_random_seed(self.seed)
        fit = self.fit_config
        assert examples.frames is not None
        self.model_ = build_network(
            self.kind,
            self.config,
            examples.frames.features.shape[2],
            examples.statistics.features.shape[1],
        )
        steps = fit.epochs * fit.steps_per_epoch
        self.model_.compile(
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
        history = self.model_.fit(
            _Batches(BatchSampler(examples, rows, fit, self.seed), fit.steps_per_epoch),
            epochs=fit.epochs,
            callbacks=[_Report(progress, fit.epochs)],
            verbose=0,
            shuffle=False,
        )
        self.history_ = {"loss": [float(v) for v in history.history["loss"]]}
        return self

    def predict(self, examples: Examples, rows: Rows) -> NDArray[np.float32]:
        """Return p_spoof of whole windows, shape (len(rows),)."""
        assert examples.frames is not None
        scores = [np.zeros((0, 1), np.float32)]
        for start in range(0, len(rows), PREDICT_ROWS):
            chunk = rows[start : start + PREDICT_ROWS]
            inputs = [examples.frames.take(chunk), examples.statistics.take(chunk)]
            scores.append(np.asarray(self.model_(inputs, training=False)))
        return np.concatenate(scores)[:, 0]

    def save(self, path: Path) -> None:
        """Write the .keras file."""
        self.model_.save(path)
