"""The four Keras networks. Each sees the time sequence of one view. Imports tensorflow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bonafide.training.config import FitConfig, NetworkConfig
from bonafide.training.data import BatchSampler, Features, Rows, View
from bonafide.training.parallel import Progress, silent

layers = keras.layers
Tensor = Any

PREDICT_ROWS = 64


def _normed(x: Tensor) -> Tensor:
    # Keras's momentum of 0.99 needs hundreds of steps before the held-out loss means anything.
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))


def _conv_block(x: Tensor, filters: int, strides: tuple[int, int]) -> Tensor:
    return _normed(layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x))


def _head(x: Tensor, dropout: float) -> Tensor:
    """Pool over time by mean and maximum, then decide: (batch, t, d) -> (batch, 1)."""
    pooled = layers.Concatenate()(
        [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
    )
    return layers.Dense(1, activation="sigmoid")(layers.Dropout(dropout)(pooled))


def _cnn(frames: Tensor, config: NetworkConfig) -> Tensor:
    x = layers.Reshape((-1, frames.shape[2], 1))(frames)  # (batch, t, d, 1)
    for multiple, strides in ((1, (2, 2)), (2, (2, 2)), (3, (2, 2)), (4, (1, 2))):
        x = _conv_block(x, multiple * config.width, strides)
    x = layers.Reshape((-1, x.shape[2] * x.shape[3]))(x)  # (batch, t / 8, d / 16 * filters)
    x = layers.Dense(2 * config.width, activation="relu")(x)
    return _head(x, config.dropout)


def _recurrent(layer: Callable[[int], Any]) -> Callable[[Tensor, NetworkConfig], Tensor]:
    """Put a strided convolution before a recurrent layer: a quarter of the steps in time."""

    def build(frames: Tensor, config: NetworkConfig) -> Tensor:
        x = frames
        for kernel in (5, 3):
            x = layers.Conv1D(config.width, kernel, strides=2, padding="same", use_bias=False)(x)
            x = _normed(x)
        x = layers.Dropout(config.dropout)(x)
        x = layer(config.width)(x)  # (batch, t / 4, width)
        return _head(x, config.dropout)

    return build


BUILDERS: dict[str, Callable[[Tensor, NetworkConfig], Tensor]] = {
    "cnn": _cnn,
    "rnn": _recurrent(lambda width: layers.SimpleRNN(width, return_sequences=True)),
    "bilstm": _recurrent(
        lambda width: layers.Bidirectional(layers.LSTM(width, return_sequences=True))
    ),
    "gru": _recurrent(lambda width: layers.GRU(width, return_sequences=True)),
}


def build_network(
    kind: str, config: NetworkConfig, n_features: int, n_frames: int | None = None
) -> keras.Model:
    """Build one network.

    Parameters
    ----------
    kind : {"cnn", "rnn", "bilstm", "gru"}
    config : NetworkConfig
    n_features : int
        Features of one frame of its view.
    n_frames : int or None
        Fixed number of frames, for export; None takes any, as training on crops needs.

    Returns
    -------
    keras.Model
        From standardised ``frames`` (batch, n_frames, n_features) to p_spoof (batch, 1) in [0, 1].
    """
    frames = keras.Input((n_frames, n_features), name="frames")
    return keras.Model(frames, BUILDERS[kind](frames, config), name=kind)


class _Batches(keras.utils.PyDataset):
    def __init__(self, sampler: BatchSampler, steps: int) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=1)
        self._sampler, self._steps = sampler, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> tuple[Features, NDArray[np.float32]]:
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
        Loss on training batches and on the held-out rows, by epoch.
    """

    suffix = ".keras"

    def __init__(self, kind: str, config: NetworkConfig, fit_config: FitConfig, seed: int) -> None:
        self.kind, self.config, self.fit_config, self.seed = kind, config, fit_config, seed

    def fit(
        self, view: View, rows: Rows, validation_rows: Rows, progress: Progress = silent
    ) -> "Network":
        """Fit on `rows`; stop when the loss on `validation_rows` no longer falls."""
        keras.utils.set_random_seed(self.seed)
        fit = self.fit_config
        steps = fit.epochs * fit.steps_per_epoch
        self.model_ = build_network(self.kind, self.config, view.features.shape[2])
        self.model_.compile(
            keras.optimizers.AdamW(
                keras.optimizers.schedules.CosineDecay(fit.learning_rate, steps),
                weight_decay=fit.weight_decay,
                clipnorm=1.0,
            ),
            loss="binary_crossentropy",
            jit_compile=False,
        )
        held_out = (
            view.take(validation_rows),
            view.is_spoof[validation_rows].astype(np.float32)[:, None],
            self._class_weights(view.is_spoof[validation_rows]),
        )
        history = self.model_.fit(
            _Batches(BatchSampler(view, rows, fit, self.seed), fit.steps_per_epoch),
            epochs=fit.epochs,
            validation_data=held_out,
            validation_batch_size=PREDICT_ROWS,
            callbacks=[
                keras.callbacks.EarlyStopping(
                    "val_loss", patience=fit.patience_epochs, restore_best_weights=True
                ),
                _Report(progress, fit.epochs),
            ],
            verbose=0,
            shuffle=False,
        )
        self.history_ = {
            "loss": [float(v) for v in history.history["loss"]],
            "held_out_loss": [float(v) for v in history.history["val_loss"]],
        }
        return self

    @staticmethod
    def _class_weights(is_spoof: NDArray[np.bool_]) -> NDArray[np.float32]:
        share = is_spoof.mean()
        weights = np.where(is_spoof, 0.5 / share, 0.5 / (1 - share))
        return np.asarray(weights, dtype=np.float32)

    def predict(self, view: View, rows: Rows) -> NDArray[np.float32]:
        """Give p_spoof of whole windows, shape (len(rows),)."""
        parts = [
            np.asarray(self.model_(view.take(rows[start : start + PREDICT_ROWS]), training=False))
            for start in range(0, len(rows), PREDICT_ROWS)
        ]
        return np.concatenate([np.zeros((0, 1), np.float32), *parts])[:, 0]

    def save(self, path: Path) -> None:
        """Write the .keras file."""
        self.model_.save(path)
