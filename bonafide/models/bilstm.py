"""A bidirectional LSTM (Hochreiter and Schmidhuber, 1997; Schuster and Paliwal, 1997)."""

from bonafide.models.architecture import NetworkConfig, Recurrence, Width
from bonafide.models.network import Network


class BiLSTMConfig(NetworkConfig):
    """Configuration of the BiLSTM, with its defaults."""

    view: str = "mfcc"
    width: Width = 24


class BiLSTM(Network):
    """Convolutions and an LSTM in both directions; see `Network`."""

    name, label, Config = "bilstm", "BiLSTM", BiLSTMConfig
    # Keras keeps the gates as i, f, c, o; ONNX as i, o, f, c.
    recurrence = Recurrence("LSTM", "LSTM", gates=(0, 3, 1, 2), bidirectional=True)
